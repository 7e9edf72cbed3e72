package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/agent"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/source/directory"
	"sallyport.dev/sallyport/internal/source/manifest"
)

// agentFlags hold the flags of the verb.
type agentFlags struct {
	directory, namespace, node string
	uplinks, podCIDRs          []string
	blockMetadata, azure       bool
}

func newAgent() *cobra.Command {
	var in agentFlags
	c := &cobra.Command{
		Use:   "agent",
		Short: "Enforce policies on this node",
		Long: `Enforce policies on this node: keep one nftables table of its kernel at what the policies in a
directory of manifests say of the pods here, beside any network plugin. Pods are known by their
manifests with spec.nodeName and status.podIPs; one that nobody has told of yet is closed, by the
interface that leads to it. Connections that a change does not allow any more are cut within a
second, unless the policy has the annotation sallyport.dev/established: keep.

While the manifests have a mistake, what they said before stays in force. The table stays when the
agent ends, so that it may be restarted and replaced at any time; see sallyport uninstall --help.
It runs as root. docs/kernel.md says which kernels do, and what to know as an administrator.`,
		Example: `  sudo sallyport agent -f manifests --node node-1
  sudo sallyport agent -f manifests --node node-1 --uplink docker0`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := in.run(c); err != nil {
				return fmt.Errorf("agent: %w", err)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVarP(&in.directory, "filename", "f", "", "`DIR` of manifests, or a file, that is watched")
	f.StringVarP(&in.namespace, "namespace", "n", "default", "`NAMESPACE` of objects that have none")
	f.StringVar(&in.node, "node", "", "`NAME` of this node in the manifests (default its host name)")
	f.StringArrayVar(&in.uplinks, "uplink", nil, "`INTERFACE` that leads to others than pods, beside those that are found by routes; repeatable")
	f.StringArrayVar(&in.podCIDRs, "pod-cidr", nil, "`CIDR` that pods have their addresses from; repeatable (default those of the Nodes)")
	f.BoolVar(&in.blockMetadata, "block-metadata", false, "pods may not reach metadata addresses (default false)")
	f.BoolVar(&in.azure, "azure", false, "with --block-metadata: Azure's own metadata address too (default false)")
	return c
}

func (in *agentFlags) run(c *cobra.Command) error {
	if in.directory == "" {
		return errors.New("no input: give a directory of manifests with -f")
	}
	if in.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name this node with --node: %w", err)
		}
		in.node = name
	}
	podCIDRs, err := parsePodCIDRs(in.podCIDRs)
	if err != nil {
		return err
	}
	features, err := kernel.SelfTest()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	log.Info("enforcing", "node", in.node, "manifests", in.directory, "table with an owner", features.Owner)
	return agent.Run(ctx, agent.Config{
		Node: in.node, Uplinks: in.uplinks, Features: features, Log: log,
		Options: policy.Options{PodCIDRs: podCIDRs, BlockMetadata: in.blockMetadata, Azure: in.azure},
		Updates: in.watch(ctx),
	})
}

// watch reads the directory whenever something in it changes.
func (in *agentFlags) watch(ctx context.Context) <-chan cluster.Update {
	return directory.Watch(ctx, in.directory, func() (*cluster.Snapshot, error) {
		return manifest.Read(manifest.Options{Files: []string{in.directory}, DefaultNamespace: in.namespace})
	})
}
