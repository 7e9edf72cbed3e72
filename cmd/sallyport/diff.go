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
laid over it, and those of --delete are gone; a namespace goes with all that is in it. With a live
cluster (--context), that is BEFORE if there is none, and AFTER if there is no change.

Marks: + added, ~ changed, - removed, = the same, but its labels or ports are not. In text and md a list
to a list is each to each; a single pod always reaches itself, also where that seems to be among them.

Exit status: 0 if nothing opens, closes or becomes less sure, 2 if something does (not kubectl's 1),
1 if it could not be decided.`,
		Example: `  sallyport diff main/manifests branch/manifests
  sallyport diff cluster.yaml -f new-policy.yaml
  sallyport diff cluster.yaml --delete shop/networkpolicy/default-deny
  sallyport diff --context prod -f new-policy.yaml
  sallyport diff base/overlays/prod head/overlays/prod -o md`,
		Args: func(c *cobra.Command, args []string) error {
			changes := len(in.files)+len(in.kustomize)+len(deletes) > 0
			if err := in.settle(c, len(args) > 0); err != nil {
				return err
			}
			if err := in.diffArgs(len(args), changes); err != nil {
				return err
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
			strangers := analyze.NewStrangers(outside, nil, was.resolver.Layers(), is.resolver.Layers())
			side := func(w *world) *analyze.Reach {
				return analyze.New(w.model, space, analyze.Options{Outside: outside, Services: w.resolver.Services(space, outside), Strangers: strangers})
			}
			d := analyze.NewDiff(side(was), side(is))
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

// diffArgs checks that there is something to compare with something.
func (in *input) diffArgs(n int, changes bool) error {
	const see = " (see sallyport diff --help)"
	switch {
	case n == 0 && !in.readLive || n > 2:
		return fmt.Errorf("diff takes BEFORE and AFTER, or BEFORE or a live cluster (--context) with -f, -k or --delete, and got %d"+see, n)
	case n == 2 && changes:
		return errors.New("-f, -k and --delete change BEFORE, so AFTER cannot be given as well" + see)
	case n == 2 && in.readLive:
		return errors.New("BEFORE and AFTER are given, so there is nothing to compare a live cluster with" + see)
	case n == 1 && changes && in.readLive:
		return errors.New("BEFORE is given, so a live cluster would be AFTER, and -f, -k and --delete cannot be given as well" + see)
	case n == 1 && !changes && !in.readLive:
		return errors.New("nothing to compare BEFORE with: give AFTER, a live cluster with --context, or a change with -f, -k or --delete" + see)
	case n == 0 && !changes:
		return errors.New("nothing to compare the cluster with: give BEFORE, or a change with -f, -k or --delete" + see)
	}
	return nil
}

// sides reads both sides of a diff.
func (in *input) sides(c *cobra.Command, args, deletes []string) (was, is *world, err error) {
	r := sideReader{in: in, stdin: c.InOrStdin()}
	if err := r.onlyOneStdin(args); err != nil {
		return nil, nil, err
	}
	if _, err := in.facts(); err != nil {
		return nil, nil, err
	}
	before, after := in.layers(args)
	doing(c, "reading both sides")
	if in.readLive {
		if r.cluster, err = in.readCluster(c); err != nil {
			return nil, nil, err
		}
	}
	old, err := r.snapshot(before)
	if err != nil {
		return nil, nil, err
	}
	now, err := r.snapshot(after...)
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
	live             bool
	path             string // of BEFORE or AFTER
	files, kustomize []string
}

// layers gives what either side is made of: BEFORE is the live cluster where it is not given.
func (in *input) layers(args []string) (before layer, after []layer) {
	before = layer{live: true}
	if len(args) > 0 {
		before = layer{path: args[0]}
	}
	last := before
	switch {
	case len(args) == 2:
		last = layer{path: args[1]}
	case len(args) == 1 && in.readLive:
		last = layer{live: true}
	}
	after = []layer{last}
	if len(in.files)+len(in.kustomize) > 0 {
		after = append(after, layer{files: in.files, kustomize: in.kustomize})
	}
	return before, after
}

// sideReader reads layers. Standard input and the cluster are kept, because both sides may need them.
type sideReader struct {
	in      *input
	stdin   io.Reader
	kept    []byte
	cluster *objects.Builder
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
	b := objects.NewBuilder(r.in.objectOptions())
	for i, l := range layers {
		if l.live {
			b.Absorb(r.cluster)
			continue
		}
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

// azureKinds are the spellings of the kinds of Azure AD Pod Identity.
var azureKinds = map[string]string{
	"azureidentity": "AzureIdentity", "azureidentities": "AzureIdentity",
	"azureidentitybinding": "AzureIdentityBinding", "azureidentitybindings": "AzureIdentityBinding",
	"azurepodidentityexception": "AzurePodIdentityException", "azurepodidentityexceptions": "AzurePodIdentityException",
}

// objectNamed finds what --delete names.
func (w *world) objectNamed(text, namespace string) (cluster.ObjectRef, error) {
	if ref, _, isOwn, err := w.findOwn(text, namespace); isOwn || err != nil {
		return cluster.ObjectRef{Kind: strings.ToLower(ref.Kind), Namespace: ref.Namespace, Name: ref.Name}, err
	}
	if ref := refNamed(text, namespace, azureKinds); ref.Kind != "" {
		return cluster.ObjectRef{Kind: strings.ToLower(ref.Kind), Namespace: ref.Namespace, Name: ref.Name}, nil
	}
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
