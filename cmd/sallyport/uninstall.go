package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/program"
)

func newUninstall() *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Remove from this node's kernel what enforces policies",
		Long: `Remove from this node's kernel what enforces policies: the nftables table that an agent put there,
and that stays in force when the agent ends, so that nothing opens while it is restarted or
replaced. After this nothing is enforced on this node. It runs on the node, as root, when no agent
runs there any more.`,
		Example: `  sudo sallyport uninstall`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			removed, err := kernel.Uninstall(0)
			if err != nil {
				return fmt.Errorf("uninstall: %w", err)
			}
			said := "removed the table inet " + program.TableName + ": nothing is enforced on this node any more"
			if !removed {
				said = "there is no table inet " + program.TableName + " here: nothing to remove"
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), said)
			return err
		},
	}
}
