package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/report"
	"sallyport.dev/sallyport/internal/source/manifest"
	"sallyport.dev/sallyport/internal/source/objects"
)

// newDiff is the verb diff.
func newDiff() *cobra.Command {
	var in input
	var deletes []string
	var output string
	c := &cobra.Command{
		Use:   "diff BEFORE [AFTER]",
		Short: "Print which connections a change opens and closes, and which policy causes each",
		Long: `Print which connections a change opens and closes, and which policy causes each, the world outside
and pods of one workload among themselves included.

With BEFORE and AFTER (files, directories, kustomizations, saved snapshots, or - for standard input),
compare the two. With BEFORE alone, compare it with what it becomes when the objects of -f and -k are
laid over it, and those of --delete are gone; a namespace goes with all that is in it.

Marks: + added, ~ changed, - removed, = the same, but its labels or ports are not. In text and md a list
to a list is each to each; a single pod always reaches itself, also where that seems to be among them.

Exit status: 0 if nothing opens, closes or becomes less sure, 2 if something does (not kubectl's 1),
1 if it could not be decided.`,
		Example: `  sallyport diff main/manifests branch/manifests
  sallyport diff cluster.yaml -f new-policy.yaml
  sallyport diff cluster.yaml --delete shop/networkpolicy/default-deny
  sallyport diff base/overlays/prod head/overlays/prod -o md`,
		Args: func(c *cobra.Command, args []string) error {
			changes := len(in.files)+len(in.kustomize)+len(deletes) > 0
			switch {
			case len(args) == 0 || len(args) > 2:
				return fmt.Errorf("diff takes BEFORE and AFTER, or BEFORE with -f, -k or --delete, and got %d (see sallyport diff --help)", len(args))
			case len(args) == 2 && changes:
				return errors.New("-f, -k and --delete change BEFORE, so AFTER cannot be given as well (see sallyport diff --help)")
			case len(args) == 1 && !changes:
				return errors.New("nothing to compare BEFORE with: give AFTER, or a change with -f, -k or --delete (see sallyport diff --help)")
			}
			return validOutput(output, report.DiffFormats...)
		},
		RunE: func(c *cobra.Command, args []string) error {
			was, is, err := in.sides(c, args, deletes)
			if err != nil {
				return err
			}
			doing(c, "comparing %d pods before with %d after", len(was.snap.Pods), len(is.snap.Pods))
			space, outside := question.Together(was.resolver, is.resolver)
			o := analyze.Options{Outside: outside}
			d := analyze.NewDiff(analyze.New(was.model, space, o), analyze.New(is.model, space, o))
			differs, err := report.Diff(c.OutOrStdout(), d, output, bothNotes(was, is))
			if err != nil {
				return err
			}
			if differs {
				return exitStatus(2)
			}
			return nil
		},
	}
	in.sourceFlags(c)
	in.modelFlags(c)
	f := c.Flags()
	f.Lookup("filename").Usage = "`PATH` of a file or directory laid over BEFORE, or - for standard input; repeatable"
	f.Lookup("kustomize").Usage = "`DIR` to run kustomize on, laid over BEFORE; repeatable"
	f.StringArrayVar(&deletes, "delete", nil, "`OBJECT` that is gone after: a policy (shop/netpol/db), workload, pod, service, or namespace/NAME; repeatable")
	f.StringVarP(&output, "output", "o", "text", "`FORMAT`: text, md or json")
	in.completeFlags(c, map[string][]string{"output": report.DiffFormats})
	_ = c.RegisterFlagCompletionFunc("delete", in.completer(2, policyOrEndChoices)) // fails only for a flag that is not there
	return c
}

// sides reads both sides of a diff.
func (in *input) sides(c *cobra.Command, args, deletes []string) (was, is *world, err error) {
	if _, err := in.facts(); err != nil {
		return nil, nil, err
	}
	doing(c, "reading both sides")
	r := sideReader{in: in, stdin: c.InOrStdin()}
	if err := r.onlyOneStdin(args); err != nil {
		return nil, nil, err
	}
	old, err := r.snapshot(layer{path: args[0]})
	if err != nil {
		return nil, nil, err
	}
	layers := []layer{{path: args[len(args)-1]}}
	if len(args) == 1 && len(in.files)+len(in.kustomize) > 0 {
		layers = append(layers, layer{files: in.files, kustomize: in.kustomize})
	}
	now, err := r.snapshot(layers...)
	if err != nil {
		return nil, nil, err
	}
	if was, err = in.world(old); err != nil {
		return nil, nil, err
	}
	if is, err = in.world(now); err != nil {
		return nil, nil, err
	}
	for _, text := range deletes {
		if is, err = in.without(is, now, text); err != nil {
			return nil, nil, err
		}
	}
	return was, is, nil
}

// layer is a set of inputs read over those before it.
type layer struct {
	path             string // of BEFORE or AFTER
	files, kustomize []string
}

// sideReader reads layers. Standard input is kept, because both sides may need it.
type sideReader struct {
	in    *input
	stdin io.Reader
	kept  []byte
}

func (r *sideReader) onlyOneStdin(args []string) error {
	n := 0
	for _, path := range slices.Concat(args, r.in.files) {
		if path == "-" {
			n++
		}
	}
	if n > 1 {
		return errors.New("- can be given once: there is only one standard input")
	}
	if n == 0 {
		return nil
	}
	var err error
	r.kept, err = io.ReadAll(r.stdin)
	return err
}

func (r *sideReader) snapshot(layers ...layer) (*cluster.Snapshot, error) {
	b := objects.NewBuilder(objects.Options{DefaultNamespace: r.in.namespace, SkipUnreadable: r.in.skipUnreadable})
	for i, l := range layers {
		o := manifest.Options{Files: l.files, Kustomize: l.kustomize, Stdin: bytes.NewReader(r.kept), Layer: i}
		if l.path != "" {
			o.Files, o.Kustomize = inputs([]string{l.path})
		}
		if err := manifest.Load(b, o); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

// without gives the world after an object was deleted.
func (in *input) without(w *world, snap *cluster.Snapshot, text string) (*world, error) {
	ref, err := w.objectNamed(text, in.namespace)
	if err != nil {
		return nil, fmt.Errorf("--delete: %w", err)
	}
	left, ok := snap.Without(ref)
	if !ok {
		return nil, fmt.Errorf("--delete: there is no %s", text)
	}
	*snap = *left
	return in.world(left)
}

// objectNamed finds what --delete names.
func (w *world) objectNamed(text, namespace string) (cluster.ObjectRef, error) {
	p, isPolicy, err := w.findPolicy(text, namespace)
	if err != nil {
		return cluster.ObjectRef{}, err
	}
	if isPolicy {
		return cluster.ObjectRef{Kind: strings.ToLower(p.Ref.Kind), Namespace: p.Ref.Namespace, Name: p.Ref.Name}, nil
	}
	if kind, name, ok := strings.Cut(text, "/"); ok && slices.Contains([]string{"namespace", "namespaces", "ns"}, strings.ToLower(kind)) {
		return cluster.ObjectRef{Kind: "namespace", Name: name}, nil
	}
	t, err := question.ParseTerm(text, false)
	if err != nil {
		return cluster.ObjectRef{}, err
	}
	end, err := w.resolver.Resolve(t)
	switch {
	case err != nil:
		return cluster.ObjectRef{}, err
	case t.Name == "" || t.Kind == "node":
	case end.Service != nil && t.Kind == "service":
		return cluster.ObjectRef{Kind: "service", Namespace: end.Service.Namespace, Name: end.Service.Name}, nil
	case len(end.Pods) > 0:
		pod := &w.model.Snapshot().Pods[end.Pods[0]]
		if pod.Name == t.Name && !pod.Template && (t.Kind == "" || t.Kind == "pod") {
			return cluster.ObjectRef{Kind: "pod", Namespace: pod.Namespace, Name: pod.Name}, nil
		}
		return cluster.ObjectRef{Kind: pod.Owner.Kind, Namespace: pod.Owner.Namespace, Name: pod.Owner.Name}, nil
	}
	return cluster.ObjectRef{}, fmt.Errorf("%q is no policy, workload, pod, service or namespace", text)
}

// bothNotes joins what people should know of either side.
func bothNotes(was, is *world) []string {
	before, after := was.allNotes(), is.allNotes()
	var out []string
	for _, n := range after {
		if !slices.Contains(before, n) {
			n = "after: " + n
		}
		out = append(out, n)
	}
	for _, n := range before {
		if !slices.Contains(after, n) {
			out = append(out, "before: "+n)
		}
	}
	return out
}
