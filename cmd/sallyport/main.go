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

	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/source/objects"
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
	p := newProgress(stderr)
	defer p.end()
	if f, ok := stdout.(*os.File); ok && p.w != nil {
		stdout = quietOutput{f, p}
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(p.context())
	p.end()
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	for _, line := range messages(err) {
		fmt.Fprintf(stderr, "sallyport: %s\n", names.Safe(asKubectl(line)))
	}
	return 1
}

// messages gives a line for each problem of the input, and one for any other error: a newline in
// what people typed or in the input must not look like a message of its own.
func messages(err error) []string {
	const most = 50
	var problems objects.InputErrors
	if !errors.As(err, &problems) {
		return []string{withHint(err.Error())}
	}
	var out []string
	for i, p := range problems {
		if i == most {
			return append(out, fmt.Sprintf("and %d more", len(problems)-i))
		}
		out = append(out, p.Error())
	}
	return out
}

// withHint brings cobra's message about an unknown verb into the form of all others.
func withHint(message string) string {
	if !strings.HasPrefix(message, "unknown command ") {
		return message
	}
	problem, similar, _ := strings.Cut(message, "\n\nDid you mean this?\n")
	if list := strings.Fields(similar); len(list) > 0 {
		return problem + " (did you mean " + strings.Join(list, " or ") + "?)"
	}
	return problem + " (see sallyport --help)"
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Predict and explain what Kubernetes network policies do",
		Long: `Sallyport answers who may talk to whom in Kubernetes, and why, from files and before
anything is applied, or from a live cluster, of which it only reads.`,
		Example: `  sallyport check -f manifests shop/web shop/db:5432
  sallyport explain -f manifests shop/db
  sallyport explain -f manifests networkpolicy/allow-api -n shop
  sallyport check --context prod shop/web shop/db:5432`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		problem, _, _ := strings.Cut(err.Error(), ": strconv.") // which says the same in Go's words
		return fmt.Errorf("%s (see %s --help)", problem, c.CommandPath())
	})
	root.SetHelpCommand(newHelp())
	root.AddCommand(newAgent(), newCheck(), newDiff(), newExplain(), newImport(), newLint(), newReach(), newSnapshot(), newTest(), newWhoCan(), newSinglePoints(), newUninstall())
	callAsKubectl(root)
	return root
}

// newHelp replaces cobra's verb, which prints an unknown topic as it is and calls that a success.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Show the help of a verb",
		RunE: func(c *cobra.Command, args []string) error {
			verb, _, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			verb.InitDefaultHelpFlag()
			verb.InitDefaultVersionFlag()
			return verb.Help()
		},
	}
}
