package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/expect"
	"sallyport.dev/sallyport/internal/report"
	"sallyport.dev/sallyport/internal/source/expectfile"
	"sallyport.dev/sallyport/internal/source/objects"
)

// newTest is the verb test.
func newTest() *cobra.Command {
	var in input
	var init bool
	var output string
	c := &cobra.Command{
		Use:   "test FILE...",
		Short: "Check what is expected of the policies: who may reach what, who may not, nobody else",
		Long: `Check what is expected of the policies. FILE is a file of tests, or a directory with such files:

  apiVersion: sallyport.dev/v1alpha1
  kind: PolicyTest
  input: [manifests]                    # relative to this file; its own directory if left out
  tests:
  - name: the api keeps its orders
    allow: {from: shop/api, to: shop/db:5432}
  - deny: {from: external, to: [shop/db, shop/cache]}
  - only: {from: [shop/api, {namespace: jobs, pods: app=report}], to: shop/db}

allow: every connection is allowed (without a port, some port is); deny: every one is denied; only:
every one from anywhere else is denied, the outside included. Ends are those of sallyport check;
* stands for any characters of a name (shop/*, */prometheus); {namespace or namespaces: LABELS,
pods: LABELS, port: PORT} selects by label. Tests are about pods and the outside: nodes, and in
only the hostNetwork pods on them, are not counted. An end that matches nothing is an error.

With --init, print a first file that holds for what -f gives.

Exit status: 0 if all hold, 2 if one fails, 3 if none fails and one is undecided, 1 if it could not
be decided.`,
		Example: `  sallyport test policies.test.yaml
  sallyport test manifests -o junit > report.xml
  sallyport test tests/ -f cluster.yaml
  sallyport test --init -f manifests > manifests/policies.test.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case init && len(args) > 0:
				return errors.New("--init prints a file, and reads none (give the manifests with -f)")
			case !init && len(args) == 0:
				return errors.New("test takes files of tests, and got none (see sallyport test --help)")
			}
			return validOutput(output, report.TestFormats...)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if init {
				w, err := in.load(c)
				if err != nil {
					return err
				}
				r := analyze.New(w.model, w.resolver.Space(), w.everything(w.resolver.Outside()))
				return report.FirstTests(c.OutOrStdout(), r, w.notes)
			}
			files, err := in.test(c, args)
			if err != nil {
				return err
			}
			if err := report.Tests(c.OutOrStdout(), files, output); err != nil {
				return err
			}
			switch n := report.CountTests(files); {
			case n[expect.Fails] > 0:
				return exitStatus(2)
			case n[expect.Undecided] > 0:
				return exitStatus(3)
			}
			return nil
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	f := c.Flags()
	f.Lookup("filename").Usage = "`PATH` of manifests that the tests are about, instead of their own input; repeatable"
	f.BoolVar(&init, "init", false, "print a first file of tests from the present picture (default false)")
	f.StringVarP(&output, "output", "o", "text", "`FORMAT`: text, tap, junit or json")
	in.completeFlags(c, map[string][]string{"output": report.TestFormats})
	return c
}

// test runs files of tests; those with the same input share it.
func (in *input) test(c *cobra.Command, args []string) ([]report.TestFile, error) {
	paths, err := expectfile.Find(args)
	if err != nil {
		return nil, err
	}
	worlds := map[string]*world{}
	var out []report.TestFile
	var problems objects.InputErrors
	for _, path := range paths {
		files, err := expectfile.Read(path)
		var more objects.InputErrors
		if errors.As(err, &more) {
			problems = append(problems, more...)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			w, err := in.worldOf(c, &f, worlds)
			if err != nil {
				return nil, err
			}
			results, errs := expect.Run(w.resolver, f.Tests)
			for _, e := range errs {
				problems = append(problems, &objects.InputError{Problem: e.Error()})
			}
			out = append(out, report.TestFile{Path: f.Path, Snap: w.snap, Results: results, Notes: w.allNotes()})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

// worldOf reads what a file of tests is about.
func (in *input) worldOf(c *cobra.Command, f *expectfile.File, worlds map[string]*world) (*world, error) {
	own := *in
	if len(in.files)+len(in.kustomize) == 0 && !in.live.wanted(c) {
		own.files, own.kustomize = inputs(f.Input)
	}
	key := strings.Join(append(own.files, own.kustomize...), "\x00")
	if w := worlds[key]; w != nil {
		return w, nil
	}
	w, err := own.load(c)
	if err != nil {
		var problems objects.InputErrors
		if errors.As(err, &problems) {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	worlds[key] = w
	return w, nil
}
