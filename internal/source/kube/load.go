package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/source/objects"
)

// DefaultTimeout is how long one request may take, its body included, where nobody says otherwise.
const DefaultTimeout = time.Minute

// Options say which cluster to read and how.
type Options struct {
	Config  *rest.Config
	Timeout time.Duration // of one request; 0: none
	// Namespace is the one that is read where the user may not read all of them.
	Namespace string
	// All: the whole cluster or nothing; there is no falling back to Namespace.
	All bool
	// PluginGiven: the network plugin is known from elsewhere, so that nothing is said of what was
	// not detected.
	PluginGiven bool
	// Lint: what says something to lint only is read too.
	Lint    bool
	Objects objects.Options
	// Progress is told how many objects of a kind were read so far. May be nil.
	Progress func(plural string, objects int)
}

// Load adds the objects of a live cluster to a Builder, in the lowest layer, over which files may lie. What the
// user is not allowed to read is named in the header, with what follows from it; an error means that
// nothing was added.
func Load(ctx context.Context, b *objects.Builder, o Options) error {
	c, err := newClient(o.Config, o.Timeout)
	if err != nil {
		return err
	}
	return load(ctx, b, o, c)
}

func load(ctx context.Context, b *objects.Builder, o Options, c *client) error {
	r := &reader{client: c, o: o, objects: o.Objects, out: objects.NewBuilder(o.Objects), missing: map[consequence][]string{}}
	version, err := r.version(ctx)
	if err != nil {
		return err
	}
	wanted := inOrder(objects.Resources())
	if !o.Lint {
		wanted = slices.DeleteFunc(wanted, func(r objects.Resource) bool { return r.Lint })
	}
	if r.catalog, err = c.discover(ctx, wanted); err != nil {
		return err
	}
	for i := range wanted {
		if err := r.resource(ctx, &wanted[i]); err != nil {
			return err
		}
	}
	r.unknownPolicies(ctx, wanted)
	r.detect(version)
	r.notes()
	r.out.AddHeader(r.header)
	b.Absorb(r.out)
	return nil
}

// reader is one Load.
type reader struct {
	client  *client
	o       Options
	objects objects.Options
	catalog *catalog
	out     *objects.Builder
	header  objects.Header

	scope      string                   // the one namespace that is read; empty: all
	missing    map[consequence][]string // the kinds that may not be read
	readKinds  []groupKind              // policies of other engines that were read
	daemonSets []platform.DaemonSet
	allDaemons bool // every DaemonSet of the cluster is among them
}

func (r *reader) progress(plural string, count int) {
	if r.o.Progress != nil {
		r.o.Progress(plural, count)
	}
}

// inOrder puts policies and pods first: which namespaces they may be read in settles what is read of
// the rest. The two groups of Calico hold the same policies, and its API server's comes first.
func inOrder(list []objects.Resource) []objects.Resource {
	rank := func(r objects.Resource) int {
		switch {
		case r.Policy:
			return 0
		case r.Kind == "Pod":
			return 1
		case strings.HasPrefix(r.Group, "crd."):
			return 3
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b objects.Resource) int { return rank(a) - rank(b) })
	return list
}

// version asks for the server's version; not to know it is no reason to answer nothing.
func (r *reader) version(ctx context.Context) (string, error) {
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	err := r.client.small(ctx, request{path: "/version"}, &v)
	switch {
	case isStatus(err, http.StatusForbidden, http.StatusNotFound):
		r.header.Notes = append(r.header.Notes, "the server does not say its version; the newest is assumed (hint: --kube-version)")
		return "", nil
	case err != nil:
		return "", err
	}
	if _, err := platform.ParseVersion(v.GitVersion); err != nil {
		r.header.Notes = append(r.header.Notes, "the server's version cannot be read, and the newest is assumed: "+objects.SafeText(err.Error()))
		return "", nil
	}
	r.header.Facts.KubeVersion = v.GitVersion
	return v.GitVersion, nil
}

// resource reads one kind, if the server has it.
func (r *reader) resource(ctx context.Context, res *objects.Resource) error {
	if group, is := strings.CutPrefix(res.Group, "crd."); is && slices.Contains(r.readKinds, groupKind{group, res.Kind}) {
		return nil // the same objects under another name
	}
	read, other := r.catalog.of(res)
	switch {
	case other != nil:
		return r.otherVersion(ctx, res, other)
	case read == nil:
		return r.absent(res)
	}
	l := &listing{served: *read, group: res.Group, kind: res.Kind}
	got, err := r.scoped(ctx, res, l)
	if isForbidden(err) && res.Kind == "Namespace" && r.o.Namespace != "" {
		got, err = r.one(ctx, l, r.o.Namespace) // its user may often read that one
		if err == nil {
			r.lack(res, "other namespaces than "+r.o.Namespace)
		}
	}
	switch {
	case err == nil:
		r.take(res, got)
	case r.tolerable(res, err):
		return r.forbidden(res, l, err)
	default:
		return err
	}
	return nil
}

// scoped reads a kind in all namespaces, or in the one that the user may read.
func (r *reader) scoped(ctx context.Context, res *objects.Resource, l *listing) (*result, error) {
	if res.Namespaced {
		l.namespace = r.scope
	}
	got, err := r.list(ctx, l)
	settles := res.Kind == "Pod" || res.Policy
	if !isForbidden(err) || !settles || !res.Namespaced || r.scope != "" || r.o.All || r.o.Namespace == "" {
		return got, err
	}
	l.namespace = r.o.Namespace
	narrow, err2 := r.list(ctx, l)
	if err2 != nil {
		l.namespace = ""
		if isForbidden(err2) {
			return nil, err // the wider one says more
		}
		return nil, err2
	}
	r.scope = l.namespace
	return narrow, nil
}

// tolerable tells whether an answer without a kind is still worth something, and true. What is missing
// of another engine, of identities or of Gateway API, whose servers are often not well, must not stand in its way.
func (r *reader) tolerable(res *objects.Resource, err error) bool {
	if isForbidden(err) || isStatus(err, http.StatusNotFound) {
		return true
	}
	return asStatus(err) != nil && (res.Foreign || res.Layer || res.Versions == nil)
}

func (r *reader) take(res *objects.Resource, got *result) {
	r.out.Absorb(got.objects)
	if res.Policy && res.Namespaced && r.scope != "" {
		r.header.PoliciesOf = []string{r.scope} // over the cluster may lie files with pods elsewhere
	}
	if res.Foreign {
		r.readKinds = append(r.readKinds, groupKind{res.Group, res.Kind})
	}
	if res.Kind == "DaemonSet" {
		r.daemonSets, r.allDaemons = got.daemonSets, r.scope == "" && len(got.daemonSets) == got.count
	}
	if r.header.Revision == "" {
		r.header.Revision = got.revision
	}
}

// forbidden names a kind that could not be read.
func (r *reader) forbidden(res *objects.Resource, l *listing, err error) error {
	name := l.plural
	if l.group != "" {
		name += "." + l.group
	}
	why := err.Error()
	if isForbidden(err) {
		why = fmt.Sprintf("not allowed to list %s (%s)", name, asStatus(err).message)
	}
	switch {
	case res.Policy:
		r.header.Unreadable = append(r.header.Unreadable, why)
	case res.Kind == "Pod":
		where := "in any namespace"
		if r.o.All || r.o.Namespace == "" {
			where = "in all namespaces"
		}
		return fmt.Errorf("not allowed to list pods %s, so there is nothing to answer about: %w (hint: deploy/reader.yaml has the rights that are needed; -n chooses a namespace)", where, err)
	case res.Layer:
		r.header.UnreadableLayers = append(r.header.UnreadableLayers, why)
	case res.Foreign:
		r.header.UnreadableForeign = append(r.header.UnreadableForeign, why)
	default:
		r.lack(res, name)
	}
	return nil
}

func (r *reader) lack(res *objects.Resource, what string) {
	c := consequenceOf(res)
	r.missing[c] = append(r.missing[c], what)
}

// absent is a kind that the server does not have, which is nothing to speak of, unless it only could
// not say what it has.
func (r *reader) absent(res *objects.Resource) error {
	why, failed := r.catalog.failed[res.Group]
	what := objects.Safe(res.Kind) + " of " + res.Group + ": " + why
	switch {
	case !failed:
	case res.Policy:
		r.header.Unreadable = append(r.header.Unreadable, what)
	case res.Layer:
		r.header.UnreadableLayers = append(r.header.UnreadableLayers, what)
	case res.Foreign:
		r.header.UnreadableForeign = append(r.header.UnreadableForeign, what)
	default:
		r.lack(res, what)
	}
	if res.Kind == "Pod" || res.Kind == "NetworkPolicy" && !res.Foreign {
		return fmt.Errorf("the server has no %s of version %s (hint: is this a Kubernetes API server?)", res.Kind, strings.Join(res.Versions, " or "))
	}
	return nil
}

// otherVersion is a kind that the server has in versions only that are not read: of a policy that
// matters where there is one.
func (r *reader) otherVersion(ctx context.Context, res *objects.Resource, other *served) error {
	l := &listing{served: *other, group: res.Group, kind: res.Kind}
	what := fmt.Sprintf("the server has %s as %s only, and %s is read", res.Kind, l.apiVersion(), strings.Join(res.Versions, " or "))
	if !res.Policy && !res.Layer {
		r.lack(res, what)
		return nil
	}
	switch found, err := r.exists(ctx, l); {
	case err != nil && !isForbidden(err):
		return err
	case (err != nil || found) && res.Layer:
		r.header.UnreadableLayers = append(r.header.UnreadableLayers, what)
	case err != nil || found:
		r.header.Unreadable = append(r.header.Unreadable, what)
	}
	return nil
}

// maxUnknown is how many kinds of policies that nobody here knows are looked for.
const maxUnknown = 20

// unknownPolicies names kinds in the group of cluster-wide policies that this program has never heard
// of: they decide about traffic, whatever they are.
func (r *reader) unknownPolicies(ctx context.Context, wanted []objects.Resource) {
	groups := map[string]bool{}
	known := map[groupKind]bool{}
	for _, res := range wanted {
		known[groupKind{res.Group, res.Kind}] = true
		groups[res.Group] = groups[res.Group] || res.Policy && !res.Namespaced
	}
	kinds := slices.SortedFunc(maps.Keys(r.catalog.kinds), func(a, b groupKind) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.kind, b.kind))
	})
	kinds = slices.DeleteFunc(kinds, func(gk groupKind) bool { return known[gk] || !groups[gk.group] })
	for i, gk := range kinds {
		if i == maxUnknown {
			r.header.Unreadable = append(r.header.Unreadable, fmt.Sprintf("the server has %d more kinds of policies that are not known here", len(kinds)-i))
			break
		}
		l := &listing{served: r.catalog.kinds[gk][0], group: gk.group, kind: gk.kind}
		if some, err := r.exists(ctx, l); err != nil || some {
			r.header.Unreadable = append(r.header.Unreadable, "the server has "+objects.Safe(gk.kind)+" of "+l.apiVersion()+", which is not known here")
		}
	}
}

func (r *reader) detect(version string) {
	if r.o.PluginGiven {
		return
	}
	d := platform.Detect(r.daemonSets, r.allDaemons, version)
	r.header.Facts.Plugin = d.Plugin.Spelling()
	r.header.Notes = append(r.header.Notes, d.Notes...)
}

// notes says what could not be read, by what follows from it.
func (r *reader) notes() {
	if r.scope != "" {
		r.header.Incomplete = append(r.header.Incomplete, fmt.Sprintf("only namespace %s could be read: pods and Services elsewhere are not listed, and their addresses look like addresses outside", r.scope))
	}
	for what, kinds := range r.missing {
		list := &r.header.Incomplete
		if what.beside {
			list = &r.header.Notes
		}
		*list = append(*list, "not read: "+strings.Join(kinds, ", ")+"; "+what.follows)
	}
	slices.Sort(r.header.Notes)
	slices.Sort(r.header.Incomplete)
	slices.Sort(r.header.Unreadable)
	slices.Sort(r.header.UnreadableForeign)
	slices.Sort(r.header.UnreadableLayers)
}

// consequence is what follows where a kind could not be read; beside: policies are not about it, so that
// nothing that is said of them could be wrong.
type consequence struct {
	follows string
	beside  bool
}

func consequenceOf(res *objects.Resource) consequence {
	if res.Lint {
		return consequence{"lint says less", true}
	}
	switch res.Kind {
	case "Namespace":
		return consequence{"their labels are unknown, and so is every verdict that depends on one", false}
	case "Node":
		return consequence{"labels and addresses of nodes and the ranges of pod addresses are not known", false}
	case "Service", "EndpointSlice":
		return consequence{"questions to Services are not answered, or without all backends", false}
	case "ServiceAccount":
		return consequence{"service accounts are not known", true}
	case "HorizontalPodAutoscaler":
		return consequence{"a workload without pods may count as one replica", true}
	case "Ingress", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute":
		return consequence{"ways in from outside may be missing", true}
	}
	return consequence{"workloads without a running pod are missing, and pods may go by the name of their ReplicaSet or Job", false}
}
