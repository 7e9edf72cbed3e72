package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cluster"
)

func newSnapshot() *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Print the input reduced to what answers depend on",
		Long: `Print the input reduced to what answers depend on, as YAML that every verb reads with -f.
It holds no environment, command, image, volume or Secret, and of annotations only its own and
prometheus.io's scrape and port, so it can go with a bug report. What --kube-version, --plugin, --pod-cidr and --aks say is kept in it.`,
		Example: `  sallyport snapshot -f manifests > cluster.yaml
  sallyport snapshot --context prod > cluster.yaml
  sallyport check -f cluster.yaml shop/web shop/db:5432`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("snapshot takes no arguments, and got %d (see sallyport snapshot --help)", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := in.read(c)
			if err != nil {
				return err
			}
			snap, err := b.Build()
			if err != nil {
				return err
			}
			facts, err := in.facts()
			if err != nil {
				return err
			}
			if err := facts.complete(snap.Facts); err != nil {
				return err
			}
			snap.Facts = cluster.Facts{KubeVersion: facts.version.String(), Plugin: facts.plugin.Spelling(), PodCIDRs: append(facts.podCIDRs, snap.Facts.PodCIDRs...), TrustDomain: facts.trustDomain,
				PodIdentityAddOn: facts.podIdentityAddOn}
			var out bytes.Buffer // nothing is printed where it fails halfway
			if err := b.WriteSnapshot(&out, snap); err != nil {
				return err
			}
			_, err = out.WriteTo(c.OutOrStdout())
			return err
		},
	}
	in.sourceFlags(c)
	in.platformFlags(c)
	in.completeFlags(c, nil)
	return c
}
