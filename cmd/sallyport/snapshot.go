package main

import "github.com/spf13/cobra"

func newSnapshot() *cobra.Command { return &cobra.Command{Use: "snapshot"} }
