package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/report"
)

const endsHelp = `An end is ns/name (a pod, else the one workload of that name), ns/kind/name, kind/name,
node/name, external (every address outside the cluster), an address or a CIDR. END@ADDRESS
says which source address a packet carries. The port follows the second end after a colon:
a number, a range a-b, a name, or *, with the protocol after a slash (:53/udp, :*/icmp);
TCP if none is given. IPv6 with a port is bracketed: '[2001:db8::7]:443'.`

func newCheck() *cobra.Command {
	var in input
	var trace, suggest bool
	var output string
	c := &cobra.Command{
		Use:   "check FROM TO[:PORT]",
		Short: "Say whether one end may open a connection to another, and why",
		Long: "Say whether one end may open a connection to another, and why.\n\n" + endsHelp + `

Exit status: 0 if every flow is allowed (without a port: if some port is surely open), 2 if
at least one is surely denied, 3 if otherwise something is unknown or ambiguous, 1 if the
question could not be decided.`,
		Example: `  sallyport check -f manifests shop/web shop/db:5432
  sallyport check -f manifests deploy/web svc/api:http -n shop
  sallyport check -f manifests external '[2001:db8::7]:443'
  helm template ./chart | sallyport check -f - shop/web shop/db:5432 --trace`,
		Args: twoEnds,
		RunE: func(c *cobra.Command, args []string) error {
			if err := validOutput(output, "text", "json"); err != nil {
				return err
			}
			w, err := in.load(c)
			if err != nil {
				return err
			}
			a, err := w.ask(args[0], args[1])
			if err != nil {
				return err
			}
			if suggest {
				if a.Suggestion, err = w.resolver.Suggest(a); err != nil {
					return err
				}
			}
			o := report.CheckOptions{Trace: trace, Enforcement: w.enforcement.Text, EnforcedBy: w.enforcement.By, Notes: w.notes, Color: isTerminal(c.OutOrStdout())}
			if output == "json" {
				err = report.CheckJSON(c.OutOrStdout(), w.snap, a, o)
			} else {
				err = report.Check(c.OutOrStdout(), w.snap, a, o)
			}
			if err != nil {
				return err
			}
			if status := a.ExitStatus(); status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	c.Flags().BoolVar(&trace, "trace", false, "show every rule that was compared (default false)")
	c.Flags().BoolVar(&suggest, "suggest", false, "for a denial, give the smallest rule that would allow it, and what else it would open (default false)")
	c.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	c.ValidArgsFunction = in.completer(2, endChoices)
	in.completeFlags(c, map[string][]string{"output": {"text", "json"}})
	return c
}

func twoEnds(c *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("check takes two ends, FROM and TO[:PORT], and got %d (see sallyport check --help)", len(args))
	}
	return nil
}

func validOutput(got string, known ...string) error { return oneOf("--output", got, known...) }

// oneOf refuses a flag's value that is none of those it may have.
func oneOf(flag, got string, known ...string) error {
	if slices.Contains(known, got) {
		return nil
	}
	return fmt.Errorf("%s: %q is not %s", flag, got, strings.Join(known, " or "))
}

// ask parses both ends and answers.
func (w *world) ask(from, to string) (*question.Answer, error) {
	f, err := question.ParseTerm(from, false)
	if err != nil {
		return nil, err
	}
	t, err := question.ParseTerm(to, true)
	if err != nil {
		return nil, err
	}
	return w.resolver.Ask(f, t)
}

// isTerminal tells whether colours are welcome.
func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Stat() (os.FileInfo, error) })
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
