package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/source/manifest"
	"sallyport.dev/sallyport/internal/source/objects"
)

// input holds the flags that every verb which reads a cluster has in common.
type input struct {
	files, kustomize []string
	namespace        string
	skipUnreadable   bool
	strict           bool
	podCIDRs         []string
	blockMetadata    bool
	kubeVersion      string
	plugin           string
	aks              string
	trustDomain      string
	live             live
	readLive         bool // see settle
}

func (in *input) sourceFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVarP(&in.files, "filename", "f", nil, "`PATH` of a file or directory (recursive), or - for standard input; repeatable")
	f.StringArrayVarP(&in.kustomize, "kustomize", "k", nil, "`DIR` to run kustomize on; repeatable")
	f.StringVarP(&in.namespace, "namespace", "n", "", "`NAMESPACE` of objects and names that have none (default \"default\"; with a live cluster, its context's)")
	in.live.addTo(c)
}

// platformFlags say what cluster the input is for.
func (in *input) platformFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&in.podCIDRs, "pod-cidr", nil, "`CIDR` that pods have their addresses from; repeatable (default those of the Nodes)")
	f.StringVar(&in.kubeVersion, "kube-version", "", "answer as this Kubernetes `VERSION` would act, from 1.7 on (default the newest)")
	f.StringVar(&in.plugin, "plugin", "", "answer as this network `PLUGIN` would act: sallyport, calico, cilium[@1.16], azure-npm, none, or another's name (default the rules as written)")
	f.StringVar(&in.trustDomain, "trust-domain", "", "`NAME` of the trust domain in which the cluster's identities are (default cluster.local)")
	f.StringVar(&in.aks, "aks", "", "`FILE` with the output of az aks show -o json: sets version, plugin and pod ranges")
}

// modelFlags say how questions are answered.
func (in *input) modelFlags(c *cobra.Command) {
	in.platformFlags(c)
	f := c.Flags()
	f.BoolVar(&in.skipUnreadable, "skip-unreadable", false, "list files that cannot be read, and answer unknown where they might matter, instead of failing (default false)")
	f.BoolVar(&in.strict, "strict", false, "answer unknown where an address that is not known is otherwise assumed to lie outside a block, and where a policy of another engine might decide (default false)")
	f.BoolVar(&in.blockMetadata, "block-metadata", false, "pods may not reach metadata addresses (default false)")
}

// world is what a verb works on.
type world struct {
	written     *cluster.Snapshot // before the version's lens
	snap        *cluster.Snapshot
	model       *policy.Model
	resolver    *question.Resolver
	enforcement platform.Enforcement
	facts       *facts
	inputNotes  []string // of reading
	notes       []string // those, and what version and plugin change
}

// objectOptions say how objects are read.
func (in *input) objectOptions() objects.Options {
	return objects.Options{DefaultNamespace: in.namespace, SkipUnreadable: in.skipUnreadable}
}

// read gives a builder that holds everything the flags name: files over the live cluster.
func (in *input) read(c *cobra.Command) (*objects.Builder, error) {
	given := len(in.files)+len(in.kustomize) > 0
	if err := in.settle(c, given); err != nil {
		return nil, err
	}
	if !given && !in.readLive {
		return nil, errors.New("no input: give files or directories with -f, a kustomization with -k, or a live cluster with --context")
	}
	if _, err := in.facts(); err != nil { // a wrong flag is told before anything is read
		return nil, err
	}
	b := objects.NewBuilder(in.objectOptions())
	if in.readLive {
		var err error
		if b, err = in.readCluster(c); err != nil {
			return nil, err
		}
	}
	if !given {
		return b, nil
	}
	doing(c, "reading manifests")
	o := manifest.Options{Files: in.files, Kustomize: in.kustomize, Stdin: c.InOrStdin()}
	if in.readLive {
		o.Layer = 1
	}
	return b, manifest.Load(b, o)
}

// load reads the input and compiles it under the flags given.
func (in *input) load(c *cobra.Command) (*world, error) {
	b, err := in.read(c)
	if err != nil {
		return nil, err
	}
	snap, err := b.Build()
	if err != nil {
		return nil, err
	}
	doing(c, "working out what %d policies do to %d pods", len(snap.NetworkPolicies)+len(snap.ClusterPolicies), len(snap.Pods))
	return in.world(snap)
}

// inputs divides paths that were given without -f or -k: a directory with a kustomization is one.
func inputs(paths []string) (files, kustomize []string) {
	for _, path := range paths {
		if manifest.IsKustomization(path) {
			kustomize = append(kustomize, path)
		} else {
			files = append(files, path)
		}
	}
	return files, kustomize
}

// world compiles a Snapshot under the flags given.
func (in *input) world(snap *cluster.Snapshot) (*world, error) {
	facts, err := in.facts()
	if err != nil {
		return nil, err
	}
	if err := facts.complete(snap.Facts); err != nil {
		return nil, err
	}
	w := &world{written: snap, facts: facts}
	for _, n := range snap.Notes {
		w.note(n)
	}
	w.noteNotUnderstood(snap)
	for _, u := range snap.Unreadable {
		switch {
		case u.Counts(in.strict): // said where it makes a verdict unknown
		case u.Missing == cluster.MissingLayers:
			w.notes = append(w.notes, "not read, and may say who else is let in or kept out by identity: "+u.Why)
		case u.Missing == cluster.MissingForeign:
			w.notes = append(w.notes, "not read, and may hold policies of another engine, which may decide otherwise: "+u.Why)
		default:
			w.notes = append(w.notes, u.Why)
		}
	}
	w.inputNotes = append(slices.Clone(w.notes), facts.notes...)
	snap, lensNotes := facts.version.Apply(snap)
	for _, n := range lensNotes {
		w.note(n)
	}
	w.notes = append(w.notes, facts.notes...)
	w.notes = append(w.notes, facts.plugin.Notes(snap)...)
	w.enforcement = facts.plugin.Enforcement(facts.version)
	named := *snap
	named.Facts.TrustDomain, named.Facts.PodIdentityAddOn = facts.trustDomain, facts.podIdentityAddOn
	snap, w.snap = &named, &named
	o := policy.Options{Strict: in.strict, PodCIDRs: facts.podCIDRs, BlockMetadata: in.blockMetadata,
		Azure: facts.azure, Behaviour: facts.plugin.Behaviour()}
	w.model = policy.Compile(snap, o)
	w.resolver = question.NewResolver(w.model, in.namespace)
	if o.Behaviour.NotEnforced { // people still want to know what their policies would do
		o.Behaviour = policy.Behaviour{}
		w.resolver.Enforced = question.NewResolver(policy.Compile(snap, o), in.namespace)
	}
	w.resolver.NodePortUnfiltered = facts.plugin.NodePortUnfiltered()
	return w, nil
}

// allNotes are the notes, who enforces the answer, and what was not evaluated.
func (w *world) allNotes() []string {
	out := slices.Clone(w.notes)
	if w.enforcement.Text != "" {
		out = append(out, w.enforcement.Text)
	}
	return append(out, notEvaluated(w.model.Snapshot())...)
}

// notEvaluated names a policy of another engine, and how many there are (S33).
func notEvaluated(s *cluster.Snapshot) []string {
	if len(s.ForeignPolicies) == 0 {
		return nil
	}
	p := &s.ForeignPolicies[0]
	text := "not evaluated: " + p.Kind + " " + path.Join(p.Namespace, p.Name)
	if n := len(s.ForeignPolicies) - 1; n > 0 {
		text += fmt.Sprintf(" and %d more policies of other engines", n)
	}
	return []string{text + " may decide otherwise"}
}

// noteNotUnderstood names the policies from a server that are not fully understood (S32, S43, L4).
func (w *world) noteNotUnderstood(s *cluster.Snapshot) {
	follows := "fails closed"
	name := func(o cluster.Origin, what string, parts []string) {
		for _, p := range parts {
			w.note(cluster.Note{Origin: o.At(""), Text: what + " is not fully understood, and " + follows + ": " + p})
		}
	}
	for _, p := range s.NetworkPolicies {
		name(p.Origin, "NetworkPolicy "+p.Object.Namespace+"/"+p.Object.Name, p.NotUnderstood)
	}
	for _, p := range s.ClusterPolicies {
		name(p.Origin, p.Kind+" "+p.Object.Name, p.NotUnderstood)
	}
	for _, p := range s.AccessPolicies {
		name(p.Origin, "AccessPolicy "+p.String(), p.NotUnderstood)
	}
	follows = "what hangs on it is unknown"
	for _, p := range s.Identities {
		name(p.Origin, "WorkloadIdentity "+p.Namespace+"/"+p.Name, p.NotUnderstood)
	}
	for _, x := range s.External {
		name(x.Origin, x.String(), x.NotUnderstood)
	}
}

func (w *world) note(n cluster.Note) { w.notes = append(w.notes, noteText(n)) }

func noteText(n cluster.Note) string {
	if at := n.Origin.String(); at != "" {
		return at + ": " + n.Text
	}
	return n.Text
}

// facts is what flags, an AKS file and the input itself say of the platform; flags come first.
type facts struct {
	version     platform.Version
	plugin      platform.Plugin
	podCIDRs    []netip.Prefix
	azure       bool
	notes       []string
	trustDomain string
	// podIdentityAddOn: see cluster.Facts.
	podIdentityAddOn bool
}

var trustDomainPattern = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)

// parsePodCIDRs reads the values of --pod-cidr.
func parsePodCIDRs(list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("--pod-cidr: %q is not a CIDR such as 10.244.0.0/16", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (in *input) facts() (*facts, error) {
	if in.namespace == "" {
		in.namespace = "default"
	}
	if len(validation.IsDNS1123Label(in.namespace)) > 0 {
		return nil, notANamespace(in.namespace)
	}
	out := &facts{}
	var err error
	if out.podCIDRs, err = parsePodCIDRs(in.podCIDRs); err != nil {
		return nil, err
	}
	if in.aks != "" {
		if err := out.readAKS(in.aks); err != nil {
			return nil, err
		}
	}
	if in.kubeVersion != "" {
		v, err := platform.ParseVersion(in.kubeVersion)
		if err != nil {
			return nil, fmt.Errorf("--kube-version: %w", err)
		}
		out.version = v
	}
	if in.plugin != "" {
		p, err := platform.ParsePlugin(in.plugin)
		if err != nil {
			return nil, fmt.Errorf("--plugin: %w", err)
		}
		out.plugin = p
	}
	if out.trustDomain = in.trustDomain; out.trustDomain != "" && !trustDomainPattern.MatchString(out.trustDomain) {
		return nil, fmt.Errorf("--trust-domain: %q is not a trust domain such as example.org (lower case, without spiffe://)", in.trustDomain)
	}
	out.azure = out.azure || out.plugin.Name == "azure-npm"
	return out, nil
}

func notANamespace(name string) error {
	return fmt.Errorf("--namespace: %q cannot be a namespace's name (up to 63 of a-z, 0-9 and -, no - at either end)", name)
}

func (f *facts) readAKS(path string) error {
	data, err := readNamed("--aks", path)
	if err != nil {
		return err
	}
	a, err := parseAKS(path, data)
	if err != nil {
		return err
	}
	f.version, f.plugin, f.notes, f.azure = a.Version, a.Plugin, a.Notes, true
	f.podCIDRs = append(f.podCIDRs, a.PodCIDRs...)
	f.podIdentityAddOn = a.PodIdentityAddOn
	return nil
}

func parseAKS(path string, data []byte) (*platform.AKS, error) {
	a, err := platform.ParseAKS(data)
	if err != nil {
		return nil, fmt.Errorf("--aks: %s: %w", path, err)
	}
	return a, nil
}

// readNamed reads a file from Azure that a flag names.
func readNamed(flag, path string) ([]byte, error) {
	data, err := readSmall(path, platform.MaxAzure)
	var open *fs.PathError
	if errors.As(err, &open) {
		err = open.Err // the path stands before it, as in every message
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", flag, path, err)
	}
	return data, nil
}

// readSmall reads a file up to its size at most and one byte more, by which a larger one is known: what
// goes by a file's name may have no end.
func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// complete fills in what a saved snapshot says and no flag did.
func (f *facts) complete(c cluster.Facts) error {
	var err error
	if f.version == (platform.Version{}) && c.KubeVersion != "" {
		if f.version, err = platform.ParseVersion(c.KubeVersion); err != nil {
			return fmt.Errorf("the snapshot's kubeVersion: %w", err)
		}
	}
	if f.plugin.Name == "" && c.Plugin != "" {
		if f.plugin, err = platform.ParsePlugin(c.Plugin); err != nil {
			return fmt.Errorf("the snapshot's plugin: %w", err)
		}
	}
	if f.trustDomain == "" && c.TrustDomain != "" {
		if !trustDomainPattern.MatchString(c.TrustDomain) {
			return fmt.Errorf("the snapshot's trustDomain: %q is none", c.TrustDomain)
		}
		f.trustDomain = c.TrustDomain
	}
	f.podIdentityAddOn = f.podIdentityAddOn || c.PodIdentityAddOn
	return nil
}
