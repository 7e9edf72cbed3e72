package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/report"
)

func newWhoCan() *cobra.Command {
	var in input
	var from, output string
	var transitive bool
	c := &cobra.Command{
		Use:   "who-can TO[:PORT]",
		Short: "Print who may open connections to one end, or what a compromised one reaches",
		Long: `Print who may open connections to one end, inside and outside the cluster, and by which rules
(ends and ports are those of sallyport check). With --from X --transitive: what somebody who holds X
reaches step by step, opening connections from whatever was reached, each by a shortest path; with
TO, the path to it.

What depends on something that is not known counts as open here, and is marked.

Exit status: 0 if answered, even if nobody can, 1 if it could not be decided.`,
		Example: `  sallyport who-can -f manifests shop/db:5432
  sallyport who-can -f manifests svc/api:http -n shop
  sallyport who-can -f manifests --from shop/web --transitive
  sallyport who-can -f manifests --from shop/web --transitive shop/db`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case (from != "") != transitive:
				return errors.New("--from and --transitive go together (see sallyport who-can --help)")
			case len(args) > 1, len(args) == 0 && from == "":
				return fmt.Errorf("who-can takes one end, and got %d (see sallyport who-can --help)", len(args))
			}
			return validOutput(output, "text", "json")
		},
		RunE: func(c *cobra.Command, args []string) error {
			w, err := in.load(c)
			if err != nil {
				return err
			}
			w.notes = w.allNotes()
			if transitive {
				return w.spread(c, from, args, output)
			}
			return w.whoCan(c, args[0], output)
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	c.Flags().StringVar(&from, "from", "", "with --transitive: the workload that somebody holds")
	c.Flags().BoolVar(&transitive, "transitive", false, "with --from: what is reached step by step (default false)")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.ValidArgsFunction = in.completer(1, endChoices)
	in.completeFlags(c, map[string][]string{"output": {"text", "json"}})
	_ = c.RegisterFlagCompletionFunc("from", in.completer(2, endChoices)) // fails only for a flag that is not there
	return c
}

func (w *world) whoCan(c *cobra.Command, to, output string) error {
	t, err := question.ParseTerm(to, true)
	if err != nil {
		return err
	}
	end, goals, err := w.resolver.Goals(t)
	if err != nil {
		return err
	}
	outside := w.resolver.Outside()
	if len(end.Regions) > 0 {
		outside = end.Regions
	}
	o := w.everything(outside)
	if end.ExternalService > 0 {
		o.Strangers = w.strangers()
	}
	r := analyze.New(w.model, w.resolver.Space(), o)
	targets := targetsOf(r, goals)
	if end.ExternalService > 0 {
		targets = []analyze.Target{{Party: partyOf(r, &end), Ports: goals[0].Ports}}
	}
	list := r.WhoCan(targets)
	shown := report.WhoCanOptions{To: end.Label, Asked: question.AskedText(t.Port), Outside: len(end.Regions) > 0, Notes: append(slices.Clone(end.Notes), w.notes...)}
	if output == "json" {
		return report.WhoCanJSON(c.OutOrStdout(), r, list, shown)
	}
	return report.WhoCan(c.OutOrStdout(), r, list, shown)
}

// targetsOf brings goals together by party.
func targetsOf(r *analyze.Reach, goals []question.Goal) []analyze.Target {
	var out []analyze.Target
	for _, g := range goals {
		for _, party := range partiesOf(r, g.Pod) {
			i := slices.IndexFunc(out, func(t analyze.Target) bool { return t.Party == party })
			if i < 0 {
				out = append(out, analyze.Target{Party: party, Ports: g.Ports})
				continue
			}
			out[i].Ports = out[i].Ports.Union(g.Ports)
		}
	}
	return out
}

// partiesOf gives the party of a pod, or every piece of the outside for -1.
func partiesOf(r *analyze.Reach, pod int) []int {
	if pod >= 0 {
		return []int{r.PartyOf(pod)}
	}
	var out []int
	for i := range r.Parties {
		if r.Parties[i].External && r.Parties[i].Service == 0 {
			out = append(out, i)
		}
	}
	return out
}

func (w *world) spread(c *cobra.Command, from string, args []string, output string) error {
	r := analyze.New(w.model, w.resolver.Space(), w.everything(w.resolver.Outside()))
	start, err := w.party(r, from)
	switch {
	case err != nil:
		return err
	case r.Parties[start].External:
		return fmt.Errorf("%s opens no connections of its own (steps begin at a pod or workload)", r.Parties[start].Name)
	}
	steps := r.Spread(start)
	if len(args) == 0 {
		if output == "json" {
			return report.SpreadJSON(c.OutOrStdout(), r, start, steps, w.notes)
		}
		return report.Spread(c.OutOrStdout(), r, start, steps, w.notes)
	}
	goal, err := w.party(r, args[0])
	if err != nil {
		return err
	}
	path := analyze.Path(steps, goal)
	if output == "json" {
		return report.SpreadJSON(c.OutOrStdout(), r, start, path, w.notes)
	}
	return report.Path(c.OutOrStdout(), r, start, goal, path, w.notes)
}

// everything makes the world outside and the services there parties too.
func (w *world) everything(outside []policy.Region) analyze.Options {
	return analyze.Options{Outside: outside, Services: w.resolver.Services(w.resolver.Space(), w.resolver.Outside())}
}

// strangers divides the world outside as a source of services.
func (w *world) strangers() *analyze.Strangers {
	return analyze.NewStrangers(w.resolver.Outside(), nil, w.resolver.Layers())
}

// party finds the workload that an end names.
func (w *world) party(r *analyze.Reach, text string) (int, error) {
	t, err := question.ParseTerm(text, false)
	if err != nil {
		return 0, err
	}
	end, err := w.resolver.Resolve(t)
	if err != nil {
		return 0, err
	}
	if len(end.Pods) == 0 && end.ExternalService == 0 {
		return 0, fmt.Errorf("%s is no pod or workload: steps are taken from those", end.Label)
	}
	return partyOf(r, &end), nil
}
