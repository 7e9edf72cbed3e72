package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/failure"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/report"
)

// maxSurveyed bounds the pairs of ends that are looked at where no END is given.
const maxSurveyed = 40_000

func newSinglePoints() *cobra.Command {
	var in input
	var output string
	c := &cobra.Command{
		Use:   "single-points [END[:PORT]]",
		Short: "Say what hangs on a single layer, and which failures open it",
		Long: `Say for every source in the cluster and outside what stands between it and END, or each workload and
service outside: what is open, what hangs on a single layer (network policy at one end, the firewall
outside, or identity), and what is defended twice; then what opens under each failure, alone or two
together: an agent down, a policy not yet programmed or deleted, a label of a namespace gone, the
firewall outside opened, password login on, a token stolen, a node compromised. Every claim was tried
by applying the failures and deciding again. Without a port it is about those that END declares, else about every port.

Exit status: 0 if answered, 1 if it could not be decided.`,
		Example: `  sallyport single-points -f manifests shop/xsvc/orders-db
  sallyport single-points -f manifests shop/db:5432
  sallyport single-points -f manifests -o json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("single-points takes at most one end, and got %d (see sallyport single-points --help)", len(args))
			}
			return validOutput(output, "text", "json")
		},
		RunE: func(c *cobra.Command, args []string) error {
			w, err := in.load(c)
			if err != nil {
				return err
			}
			all := w.everything(w.resolver.Outside())
			all.Strangers = w.strangers()
			r := analyze.New(w.model, w.resolver.Space(), all)
			targets, notes, err := w.protected(r, args)
			if err != nil {
				return err
			}
			doing(c, "trying failures at %d ends", len(targets))
			s := failure.NewFinder(w.model).Survey(r, targets)
			o := report.SinglePointsOptions{Notes: append(notes, w.allNotes()...)}
			if output == "json" {
				return report.SinglePointsJSON(c.OutOrStdout(), r, &s, o)
			}
			return report.SinglePoints(c.OutOrStdout(), r, &s, o)
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	c.ValidArgsFunction = in.completer(1, endChoices)
	in.completeFlags(c, map[string][]string{"output": {"text", "json"}})
	return c
}

// protected lists what a question is about: one end, or every workload and service outside.
func (w *world) protected(r *analyze.Reach, args []string) ([]failure.Target, []string, error) {
	if len(args) == 0 {
		var out []failure.Target
		sources := 0
		for i := range r.Parties {
			if !r.Parties[i].Stranger { // which few services are asked by
				sources++
			}
			if p := &r.Parties[i]; !p.External || p.Service > 0 {
				out = append(out, failure.Target{Party: i, Ports: w.portsOf(r, i)})
			}
		}
		if len(out)*sources > maxSurveyed {
			return nil, nil, fmt.Errorf("%d ends are too many to look at together (name one: single-points END)", len(out))
		}
		return out, nil, nil
	}
	t, err := question.ParseTerm(args[0], true)
	if err != nil {
		return nil, nil, err
	}
	end, goals, err := w.resolver.Goals(t)
	if err != nil {
		return nil, nil, err
	}
	if end.ExternalService == 0 && len(end.Regions) > 0 {
		return nil, nil, fmt.Errorf("%s is neither a workload nor a service outside (declare it as an ExternalService, or ask check about it)", end.Label)
	}
	if end.ExternalService > 0 {
		return []failure.Target{{Party: partyOf(r, &end), Ports: goals[0].Ports}}, end.Notes, nil
	}
	var out []failure.Target
	for _, g := range targetsOf(r, goals) {
		if !t.Port.Given && end.Service == nil {
			g.Ports = w.portsOf(r, g.Party)
		}
		out = append(out, failure.Target{Party: g.Party, Ports: g.Ports})
	}
	return out, end.Notes, nil
}

// portsOf gives the ports that a party serves, as far as that is said; else every port.
func (w *world) portsOf(r *analyze.Reach, party int) netset.PortSet {
	if service := r.Parties[party].Service; service > 0 {
		return w.resolver.Layers().Service(service - 1).Ports
	}
	var out netset.PortSet
	for i := range w.snap.Pods {
		if r.PartyOf(i) != party {
			continue
		}
		for _, p := range w.snap.Pods[i].Ports {
			out.Add(p.Proto, netset.PortRange{First: p.Port, Last: p.Port})
		}
	}
	if out.Empty() {
		return netset.EveryPort()
	}
	return out
}
