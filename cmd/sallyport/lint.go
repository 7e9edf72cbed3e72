package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/lint"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/report"
)

// failWords are those of --fail-on.
var failWords = []string{"note", "warning", "error", "never"}

// failOn gives the mildest severity that fails for each word of --fail-on.
var failOn = map[string]lint.Severity{"note": lint.Note, "warning": lint.Warning, "error": lint.Error, "never": lint.Error + 1}

func newLint() *cobra.Command {
	var in input
	var fail, output string
	c := &cobra.Command{
		Use:   "lint",
		Short: "Find mistakes in policies",
		Long: `Find mistakes in policies: what cannot mean what its author meant, what has no effect, and what a
cluster will miss once the policies apply. Each finding names its rule; docs/lint has a page for
each rule.

A finding that is no mistake is ignored by a comment on or above the line it names,

  # sallyport:ignore RULE REASON

or, for a whole object, by the annotation sallyport.dev/ignore with a line "RULE REASON" for each
rule. Ignored findings are counted, and in the other formats marked.

Exit status: 0 if nothing is found from --fail-on up, 2 if something is, 1 if the input could not
be read.`,
		Example: `  sallyport lint -f manifests
  sallyport lint -f manifests --fail-on error
  sallyport lint -f manifests -o sarif > sallyport.sarif
  helm template ./chart | sallyport lint -f -`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("lint takes no arguments, and got %d (see sallyport lint --help)", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf("--fail-on", fail, failWords...); err != nil {
				return err
			}
			if err := validOutput(output, report.LintFormats...); err != nil {
				return err
			}
			w, err := in.load(c)
			if err != nil {
				return err
			}
			doing(c, "looking for mistakes in %d policies", len(w.written.NetworkPolicies)+len(w.written.ClusterPolicies))
			found := w.lint()
			if err := w.printLint(c, output, found, failOn[fail]); err != nil {
				return err
			}
			if lint.Worst(found) >= failOn[fail] {
				return exitStatus(2)
			}
			return nil
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	c.Flags().StringVar(&fail, "fail-on", "warning", "exit with 2 from this `SEVERITY` up: note, warning, error or never")
	c.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text, json, sarif or junit")
	in.completeFlags(c, map[string][]string{"output": report.LintFormats, "fail-on": failWords})
	return c
}

// lint checks the policies as if something enforced them; that nothing does is a finding by itself.
func (w *world) lint() []lint.Finding {
	m := w.model
	if o := m.Options(); o.Behaviour.NotEnforced {
		o.Behaviour = policy.Behaviour{}
		m = policy.Compile(w.snap, o)
	}
	return lint.Run(&lint.Input{Written: w.written, Model: m, Version: w.facts.version, Plugin: w.facts.plugin})
}

func (w *world) printLint(c *cobra.Command, output string, found []lint.Finding, failOn lint.Severity) error {
	out := c.OutOrStdout()
	for _, u := range w.written.Unreadable {
		w.inputNotes = append(w.inputNotes, noteText(cluster.Note{Origin: u.Origin, Text: "not read, and what only it could contradict is not said: " + u.Why}))
	}
	o := report.LintOptions{Version: version, FailOn: failOn, Notes: w.inputNotes, Color: isTerminal(out)}
	return report.Lint(out, output, found, o)
}
