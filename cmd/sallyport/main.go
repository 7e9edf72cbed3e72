// Command sallyport predicts and explains what Kubernetes network policies do.
//
// Here live flags, exit statuses and messages only: a file for each verb, no logic.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/report"
)

// version is set by the release build.
var version = "devel"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// exitStatus is an answer's exit status on its way out of a verb: no message belongs to it.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run runs one command line and gives its exit status: 1 for anything that could not be decided.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	for _, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
		fmt.Fprintf(stderr, "sallyport: %s\n", report.Safe(line))
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Predict and explain what Kubernetes network policies do",
		Long: `Sallyport answers who may talk to whom in Kubernetes, and why, from files and before
anything is applied.`,
		Example: `  sallyport check -f manifests shop/web shop/db:5432
  sallyport explain -f manifests shop/db
  sallyport explain -f manifests networkpolicy/allow-api -n shop`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see %s --help)", err, c.CommandPath())
	})
	root.AddCommand(newCheck(), newExplain(), newSnapshot())
	return root
}
