package objects

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
)

// Build gives the Snapshot of everything added, or InputErrors. It may be called once, and
// nothing can be added after it.
func (b *Builder) Build() (*cluster.Snapshot, error) {
	a := &assembly{b: b, s: &cluster.Snapshot{}, namespaces: map[string]*cluster.Namespace{}, nodes: map[string]*cluster.Node{},
		granted: map[[2]string]cluster.ServiceAccount{}, tokenless: map[[2]string]bool{}}
	b.kept = b.chosen()
	for _, it := range b.kept {
		a.take(it)
	}
	a.readHeaders()
	a.endpoints()
	a.services()
	a.assumeNamespaces()
	a.finishNodes()
	if len(b.errors) > 0 {
		return nil, b.errors.sorted()
	}
	a.finish()
	return a.s, nil
}

// assembly is the work of one Build.
type assembly struct {
	b *Builder
	s *cluster.Snapshot

	namespaces map[string]*cluster.Namespace
	nodes      map[string]*cluster.Node
	pods       []*item
	workloads  []*item
	scalers    []*item
	svcs       []*item
	slices     []*item
	granted    map[[2]string]cluster.ServiceAccount // by namespace and name
	tokenless  map[[2]string]bool                   // accounts whose token is not mounted unless a pod says so
}

// take sorts one item into its place, or reports what is wrong with it.
func (a *assembly) take(it *item) {
	for _, n := range it.notes {
		a.b.Note(it.origin.At(n.path), it.key.String()+": "+n.text)
	}
	if len(it.problems) > 0 && (it.policy == nil || !it.fromServer) {
		a.b.report(it)
		return
	}
	if b, ok := it.slim.(*bindingObject); ok { // rights are no sign that a namespace is in use
		a.binding(it, b)
		return
	}
	a.use(it.key.namespace)
	a.ignores(it)
	if it.policy != nil {
		a.policy(it)
		return
	}
	switch o := it.slim.(type) {
	case *namespaceObject:
		a.namespace(it, o)
	case *nodeObject:
		a.node(it, o)
	case *podObject:
		a.pods = append(a.pods, it)
	case *workloadObject:
		a.workloads = append(a.workloads, it)
	case *scalerObject:
		a.scalers = append(a.scalers, it)
	case *serviceObject:
		a.svcs = append(a.svcs, it)
	case *sliceObject:
		a.slices = append(a.slices, it)
	case *accountObject:
		a.s.Accounts = append(a.s.Accounts, cluster.ServiceAccount{Origin: it.origin, Namespace: it.key.namespace, Name: it.key.name,
			EntraClient: annotation(&o.Metadata, cluster.EntraClientAnnotation), EntraTenant: annotation(&o.Metadata, cluster.EntraTenantAnnotation)})
		a.tokenless[[2]string{it.key.namespace, it.key.name}] = o.Token != nil && !*o.Token
	case *webhooksObject, *apiServiceObject, *definitionObject:
		a.callback(it, o)
	case *monitorObject:
		a.monitor(it, o)
	case *ingressObject:
		a.ingress(it, o)
	case *routeObject:
		a.route(it, o)
	case *foreignObject:
		a.foreign(it, o)
	case *azureObject:
		a.azure(it, o)
	}
}

// use makes a namespace known that some object lies in (S4).
func (a *assembly) use(namespace string) {
	if namespace == "" || a.namespaces[namespace] != nil {
		return
	}
	a.namespaces[namespace] = &cluster.Namespace{Name: namespace, Assumed: true}
}

func (a *assembly) namespace(it *item, o *namespaceObject) {
	labels := maps.Clone(o.Metadata.Labels) // what was written stays as it was, for Pruned
	if labels == nil {
		labels = map[string]string{}
	}
	if got, ok := labels[cluster.MetadataNameLabel]; ok && got != it.key.name {
		it.problems = append(it.problems, problem{path: "metadata.labels",
			text: fmt.Sprintf("label %s is %s, but a server always sets it to the namespace's own name", cluster.MetadataNameLabel, quoteShort(got)),
			hint: "leave the label out"})
		a.b.report(it)
		return
	}
	_, written := labels[cluster.MetadataNameLabel]
	labels[cluster.MetadataNameLabel] = it.key.name
	a.namespaces[it.key.name] = &cluster.Namespace{Origin: it.origin, Name: it.key.name, Labels: labels, NameLabelWritten: written}
}

// assumeNamespaces moves the namespaces into the Snapshot; those without an object have the one
// label that every namespace has (S4).
func (a *assembly) assumeNamespaces() {
	for _, n := range a.namespaces {
		if n.Assumed {
			n.Labels = map[string]string{cluster.MetadataNameLabel: n.Name}
		}
		a.s.Namespaces = append(a.s.Namespaces, *n)
	}
}

func (a *assembly) policy(it *item) {
	p := it.policy
	var unclear []string
	for _, q := range p.problems {
		if p.own != nil && strings.HasPrefix(q.path, "metadata.") {
			continue // of a server's metadata only the names count, and those are checked before
		}
		unclear = append(unclear, q.text)
	}
	slices.Sort(unclear)
	unclear = slices.Compact(unclear)
	if p.own != nil {
		a.ownResource(it, unclear)
		return
	}
	if p.network != nil {
		p.network.ObjectMeta = p.names.objectMeta()
		a.s.NetworkPolicies = append(a.s.NetworkPolicies, cluster.NetworkPolicy{Origin: it.origin, Object: p.network, NotUnderstood: unclear})
		return
	}
	p.cluster.ObjectMeta = p.names.objectMeta()
	a.s.ClusterPolicies = append(a.s.ClusterPolicies, cluster.ClusterPolicy{
		Origin: it.origin, Kind: it.key.kind, Object: p.cluster, NotUnderstood: unclear,
	})
}

func badValue(path, value, wanted string) problem {
	return problem{path: path, text: fmt.Sprintf("%s %s is not %s", path, quoteShort(value), wanted)}
}

// finish sorts every list by (namespace, kind, name), so that the order of the input cannot show (S61).
func (a *assembly) finish() {
	s, b := a.s, a.b
	slices.SortFunc(s.Namespaces, func(x, y cluster.Namespace) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(s.Nodes, func(x, y cluster.Node) int { return strings.Compare(x.Name, y.Name) })
	slices.SortStableFunc(s.Pods, comparePods)
	s.Granted = a.sortedGrants()
	s.Unreadable = append(s.Unreadable, b.unreadable...)
	slices.SortFunc(s.Unreadable, func(x, y cluster.Unreadable) int {
		return cmp.Or(compareOrigin(x.Origin, y.Origin), strings.Compare(x.Why, y.Why))
	})
	slices.SortStableFunc(s.Ignores, func(x, y cluster.Ignore) int { return compareOrigin(x.Origin, y.Origin) })
	s.Notes = slices.Concat(s.Notes, b.notes, b.unneededNotes())
	compareNotes := func(x, y cluster.Note) int {
		return cmp.Or(compareOrigin(x.Origin, y.Origin), strings.Compare(x.Text, y.Text))
	}
	slices.SortFunc(s.Notes, compareNotes)
	s.Notes = slices.CompactFunc(s.Notes, func(x, y cluster.Note) bool { return compareNotes(x, y) == 0 })
}

func comparePods(x, y cluster.Pod) int {
	return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Owner.Kind, y.Owner.Kind),
		strings.Compare(x.Owner.Name, y.Owner.Name), strings.Compare(x.Name, y.Name), x.Replica-y.Replica)
}
