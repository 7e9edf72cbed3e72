package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/report"
)

// reachFlags are those of reach alone.
type reachFlags struct {
	direction, by, toPort, output string
	external, all                 bool
}

func newReach() *cobra.Command {
	var in input
	var fl reachFlags
	c := &cobra.Command{
		Use:   "reach [END]",
		Short: "Print who may open connections to whom, on which ports",
		Long: `Print who may open connections to whom, on which ports: for all workloads, or from and to one END
(a pod or workload; see sallyport check --help). Workloads that reach the same are printed together.

Ports that are open for some pods or address families of a pair only are marked partial, those
that depend on something that is not known unknown, and those on which policies of equal priority
disagree ambiguous.

Exit status: 0 if answered, even if nothing is reachable, 1 if it could not be decided.`,
		Example: `  sallyport reach -f manifests
  sallyport reach -f manifests shop/db --direction in
  sallyport reach -f manifests --by namespace --external -o matrix
  sallyport reach -f manifests --to-port 5432 -o svg > db.svg`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("reach takes at most one end, and got %d (see sallyport reach --help)", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			o, err := fl.options(len(args) > 0)
			if err != nil {
				return err
			}
			w, err := in.load(c)
			if err != nil {
				return err
			}
			r, err := w.reach(&fl, args, o)
			if err != nil {
				return err
			}
			doing(c, "writing")
			return report.Reach(c.OutOrStdout(), r, *o)
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	f := c.Flags()
	f.StringVar(&fl.direction, "direction", "both", "with END, `WHICH` connections: in, out or both")
	f.StringVar(&fl.by, "by", "workload", "`ENDS` to show: workload or namespace")
	f.BoolVar(&fl.external, "external", false, "show the world outside too, in pieces that policies, or firewalls of services outside, tell apart (default false)")
	f.StringVar(&fl.toPort, "to-port", "all", "only connections to this `PORT`: number, range a-b or *, with the protocol after a slash (53/udp, */icmp)")
	f.BoolVar(&fl.all, "all", false, "show closed pairs and pairs of a workload with itself too (default false)")
	f.StringVarP(&fl.output, "output", "o", "text", "`FORMAT`: text, matrix, json, csv (without notes), md, dot, mermaid or svg")
	c.ValidArgsFunction = in.completer(1, endChoices)
	in.completeFlags(c, map[string][]string{"output": report.ReachFormats, "by": {"workload", "namespace"}, "direction": {"in", "out", "both"}})
	return c
}

func (fl *reachFlags) options(focused bool) (*report.ReachOptions, error) {
	if err := validOutput(fl.output, report.ReachFormats...); err != nil {
		return nil, err
	}
	if err := oneOf("--by", fl.by, "workload", "namespace"); err != nil {
		return nil, err
	}
	if err := oneOf("--direction", fl.direction, "both", "in", "out"); err != nil {
		return nil, err
	}
	if fl.direction != "both" && !focused {
		return nil, fmt.Errorf("--direction is about an END, and none is given (see sallyport reach --help)")
	}
	o := &report.ReachOptions{Format: fl.output, All: fl.all, Focus: -1, In: fl.direction != "out", Out: fl.direction != "in"}
	if fl.toPort == "all" {
		return o, nil
	}
	p, err := question.ParsePort(fl.toPort)
	if err != nil {
		return nil, fmt.Errorf("--to-port: %w", err)
	}
	if p.Name != "" {
		return nil, fmt.Errorf("--to-port: %q is a name, which means another number at each pod: give the number, or a protocol as */icmp", p.Name)
	}
	o.Proto, o.Port = p.Proto, p.Range
	if o.Proto == 0 {
		o.Proto = netset.TCP
	}
	return o, nil
}

// reach analyses, and finds the party that the question focuses on.
func (w *world) reach(fl *reachFlags, args []string, o *report.ReachOptions) (*analyze.Reach, error) {
	ao := analyze.Options{ByNamespace: fl.by == "namespace"}
	if fl.external {
		ao.Outside = w.resolver.Outside()
		ao.Strangers = w.strangers()
	}
	ao.Services = w.resolver.Services(w.resolver.Space(), w.resolver.Outside())
	r := analyze.New(w.model, w.resolver.Space(), ao)
	o.Self = ao.ByNamespace
	o.Notes = w.allNotes()
	if len(args) == 0 {
		return r, nil
	}
	end, err := w.focus(args[0])
	if err != nil {
		return nil, err
	}
	o.Notes = append(o.Notes, end.Notes...)
	o.Focus = partyOf(r, end)
	if name := r.Parties[o.Focus].Name; name != end.Label {
		o.Notes = append(o.Notes, end.Label+" is answered as part of "+name)
	}
	return r, nil
}

// focus looks up the one pod or workload that a question is about.
func (w *world) focus(text string) (*question.End, error) {
	t, err := question.ParseTerm(text, true)
	if err != nil {
		return nil, err
	}
	if t.Port.Given {
		return nil, fmt.Errorf("%q: reach is about every port at once (leave the port out, and give it with --to-port)", text)
	}
	if t.From.IsValid() || t.IsCIDR {
		return nil, fmt.Errorf("%q: reach focuses on a pod or workload as a whole (ask check about these addresses)", text)
	}
	end, err := w.resolver.Resolve(t)
	if err != nil {
		return nil, err
	}
	if len(end.Pods) == 0 && end.ExternalService == 0 {
		return nil, fmt.Errorf("%s is no pod or workload: reach focuses on one of those (ask check about this end)", end.Label)
	}
	return &end, nil
}

// partyOf gives the party of an end that is a workload or a service outside.
func partyOf(r *analyze.Reach, end *question.End) int {
	if end.ExternalService == 0 {
		return r.PartyOf(end.Pods[0])
	}
	return slices.IndexFunc(r.Parties, func(p analyze.Party) bool { return p.Service == end.ExternalService })
}
