package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// End is what a term stands for.
type End struct {
	Label   string // the full name, for people and JSON
	Pods    []int  // indices in the Snapshot
	Nodes   []int
	Regions []policy.Region // pieces of address space outside the cluster
	Targets []Target        // instead of the above, where the term is a Service or leads to services
	Service *cluster.Service
	// ExternalService is the index in the Snapshot of the service outside that the end is, plus one; 0 for none. Regions
	// are then its addresses.
	ExternalService int
	From            netip.Addr   // the address that the packet carries, where given
	Family          flow.Family  // the only family asked about; 0 for every one
	Within          netip.Prefix // the only addresses of pods and nodes asked about; invalid for all
	External        bool         // the whole world outside
	Notes           []string
}

// Target is a backend of a service port: the end that policies see, and the port they see.
type Target struct {
	End    flow.End // Addr is set where an EndpointSlice names it
	Any    bool     // every port that was asked, not Port: a headless Service changes no ports
	Proto  netset.Proto
	Port   uint16      // target port
	Asked  uint16      // the service's port
	Family flow.Family // the only family of the service's own addresses; 0 for both, or where it is not known
}

// Resolver looks terms up in a model's snapshot.
type Resolver struct {
	Model *policy.Model
	// Namespace is where kind/name is looked for.
	Namespace string
	// NodePortUnfiltered: the plugin does not subject traffic from outside to a NodePort or
	// LoadBalancer Service with externalTrafficPolicy Cluster to policy.
	NodePortUnfiltered bool
	// Enforced, where nothing enforces policies, is the same world with something that does: Ask
	// then also says what the policies would do. Nil otherwise.
	Enforced *Resolver

	layers *layers.Model // nil where they do not speak
	space  *policy.Space
	addrs  map[netip.Addr]flow.End // of pods and nodes
}

// NewResolver prepares look-ups. namespace is the default for names without one.
func NewResolver(m *policy.Model, namespace string) *Resolver {
	r := &Resolver{Model: m, Namespace: namespace, layers: layers.Compile(m), addrs: map[netip.Addr]flow.End{}}
	snap := m.Snapshot()
	for i := range snap.Nodes {
		for _, a := range snap.Nodes[i].Addrs {
			r.addrs[a] = flow.End{Kind: flow.Node, Index: i, Addr: a}
		}
	}
	for i := range snap.Pods {
		if snap.Pods[i].HostNetwork {
			continue
		}
		for _, a := range snap.Pods[i].Addrs {
			r.addrs[a] = flow.End{Kind: flow.Pod, Index: i, Addr: a}
		}
	}
	divided := append(notExternal(), m.PodRanges()...)
	if r.layers != nil {
		divided = append(divided, r.layers.Prefixes()...)
	}
	r.space = m.Space(divided...)
	return r
}

// notExternal lists the ranges that no host outside the cluster can have.
func notExternal() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",
		"::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8", "fd00:ec2::254/128"} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// addresses lists the known addresses of a pod or node; a hostNetwork pod has its node's.
func (r *Resolver) addresses(e flow.End) []netip.Addr {
	snap := r.Model.Snapshot()
	if e.Kind == flow.Node {
		return snap.Nodes[e.Index].Addrs
	}
	p := &snap.Pods[e.Index]
	if i := snap.NodeIndex(p.NodeName); p.HostNetwork && len(p.Addrs) == 0 && i >= 0 {
		return snap.Nodes[i].Addrs
	}
	return p.Addrs
}

// Resolve looks a term up. The error lists candidates where there are any.
func (r *Resolver) Resolve(t Term) (End, error) {
	var e End
	var err error
	switch {
	case t.External:
		e = r.external()
	case t.Prefix.IsValid():
		e = r.prefix(t)
	default:
		e, err = r.named(t)
	}
	if t.From.IsValid() {
		e.From = t.From
	}
	return e, err
}

func (r *Resolver) external() End {
	return End{Label: "external", External: true, Regions: r.Outside()}
}

// Space is how policies divide the addresses, with what no host outside can have set apart.
func (r *Resolver) Space() *policy.Space { return r.space }

// Outside lists the pieces of address space outside the cluster that policies tell apart.
func (r *Resolver) Outside() []policy.Region { return outside(r.space, r.Model) }

// Together gives the space that divides the addresses wherever policies of one of two clusters do, and its
// pieces outside both.
func Together(a, b *Resolver) (*policy.Space, []policy.Region) {
	space := a.space.Join(b.space)
	return space, outside(space, a.Model, b.Model)
}

// Divided gives the space divided by some more prefixes, and its pieces that are outside or in one of these.
func (r *Resolver) Divided(extra []netip.Prefix) (*policy.Space, []policy.Region) {
	space := r.space.Join(r.Model.Space(extra...))
	out := outside(space, r.Model)
	for _, p := range extra {
		for _, region := range space.Regions(p) {
			if !slices.ContainsFunc(out, func(o policy.Region) bool { return o.Prefix == region.Prefix }) {
				out = append(out, region)
			}
		}
	}
	return space, out
}

func outside(space *policy.Space, models ...*policy.Model) []policy.Region {
	inner := notExternal()
	for _, m := range models {
		inner = append(inner, m.PodRanges()...)
	}
	var out []policy.Region
	for _, whole := range space.Whole() {
		for _, region := range space.Regions(whole) {
			if !slices.ContainsFunc(inner, func(p netip.Prefix) bool { return p.Bits() <= region.Prefix.Bits() && p.Overlaps(region.Prefix) }) {
				out = append(out, region)
			}
		}
	}
	return out
}

func (r *Resolver) prefix(t Term) End {
	snap := r.Model.Snapshot()
	if !t.IsCIDR {
		a := t.Prefix.Addr()
		if known, ok := r.addrs[a]; ok {
			if known.Kind == flow.Node {
				return End{Label: "node/" + snap.Nodes[known.Index].Name, Nodes: []int{known.Index}, From: a, Notes: []string{a.String() + " is a node's address"}}
			}
			p := &snap.Pods[known.Index]
			return End{Label: p.String(), Pods: []int{known.Index}, From: a, Notes: []string{fmt.Sprintf("%s is the address of %s", a, p)}}
		}
		for i := range snap.Services {
			if slices.Contains(snap.Services[i].ClusterIPs, a) {
				s := &snap.Services[i]
				return End{Label: serviceLabel(s), Service: s, Family: flow.FamilyOf(a), Notes: []string{fmt.Sprintf("%s is the cluster IP of %s", a, serviceLabel(s))}}
			}
		}
		return End{Label: "external/" + a.String(), Regions: []policy.Region{{Prefix: t.Prefix}}}
	}
	e := End{Label: "external/" + t.Prefix.String(), Regions: r.space.Regions(t.Prefix), Family: flow.FamilyOf(t.Prefix.Addr()), Within: t.Prefix}
	for i := range snap.Pods {
		if !snap.Pods[i].HostNetwork && slices.ContainsFunc(snap.Pods[i].Addrs, t.Prefix.Contains) {
			e.Pods = append(e.Pods, i)
		}
	}
	for i := range snap.Nodes {
		if slices.ContainsFunc(snap.Nodes[i].Addrs, t.Prefix.Contains) {
			e.Nodes = append(e.Nodes, i)
		}
	}
	if n := len(e.Pods) + len(e.Nodes); n > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%s holds the addresses of %d known pods and nodes; they are answered too", t.Prefix, n))
	}
	return e
}

func serviceLabel(s *cluster.Service) string { return s.Namespace + "/service/" + s.Name }

func (r *Resolver) named(t Term) (End, error) {
	ns := t.Namespace
	if ns == "" {
		ns = r.Namespace
	}
	switch t.Kind {
	case "":
		return r.podOrWorkload(ns, t.Name)
	case "pod":
		return r.pod(ns, t.Name)
	case "node":
		if i := r.Model.Snapshot().NodeIndex(t.Name); i >= 0 {
			return End{Label: "node/" + t.Name, Nodes: []int{i}}, nil
		}
		return End{}, errorf(r.didYouMean("", "node", t.Name), "no node %q in the input", t.Name)
	case "service":
		return r.service(ns, t.Name)
	case "externalservice", "clusterexternalservice":
		return r.externalService(ns, t)
	case "ingress", "gateway", "httproute", "grpcroute", "tlsroute", "tcproute", "udproute":
		return r.entry(ns, t)
	}
	return r.workload(ns, t.Kind, t.Name)
}

func (r *Resolver) pod(ns, name string) (End, error) {
	snap := r.Model.Snapshot()
	if i := snap.PodIndex(ns, name); i >= 0 {
		return r.describe(End{Label: snap.Pods[i].String(), Pods: []int{i}}), nil
	}
	return End{}, errorf(r.didYouMean(ns, "pod", name), "no pod %q in namespace %q", name, ns)
}

func (r *Resolver) workload(ns, kind, name string) (End, error) {
	e := End{Label: cluster.Workload{Namespace: ns, Kind: kind, Name: name}.String()}
	snap := r.Model.Snapshot()
	for i := range snap.Pods {
		if snap.Pods[i].Owner == (cluster.Workload{Namespace: ns, Kind: kind, Name: name}) {
			e.Pods = append(e.Pods, i)
		}
	}
	if len(e.Pods) == 0 {
		return End{}, errorf(r.didYouMean(ns, kind, name), "no %s %q in namespace %q", kind, name, ns)
	}
	return r.describe(e), nil
}

// podOrWorkload is ns/name: the pod, else the one workload of that name.
func (r *Resolver) podOrWorkload(ns, name string) (End, error) {
	if e, err := r.pod(ns, name); err == nil {
		return e, nil
	}
	found := map[string]bool{}
	snap := r.Model.Snapshot()
	for i := range snap.Pods {
		if o := snap.Pods[i].Owner; o.Namespace == ns && o.Name == name {
			found[o.Kind] = true
		}
	}
	switch len(found) {
	case 1:
		for kind := range found {
			return r.workload(ns, kind, name)
		}
	case 0:
		for i := range snap.External {
			if x := &snap.External[i]; x.Name == name && (x.Namespace == ns || x.Namespace == "") {
				return End{}, errorf("a service outside is written "+x.String(), "no pod or workload called %q in namespace %q", name, ns)
			}
		}
		return End{}, errorf(r.didYouMean(ns, "", name), "nothing called %q in namespace %q", name, ns)
	}
	var candidates []string
	for kind := range found {
		candidates = append(candidates, ns+"/"+kind+"/"+name)
	}
	slices.Sort(candidates)
	return End{}, errorf("say which: "+strings.Join(candidates, ", "), "%q is more than one workload", ns+"/"+name)
}

// describe adds what people should know of the pods at an end.
func (r *Resolver) describe(e End) End {
	pending, host := 0, 0
	for _, i := range e.Pods {
		p := &r.Model.Snapshot().Pods[i]
		if p.Pending {
			pending++
		}
		if p.HostNetwork {
			host++
		}
	}
	if pending > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%s: %d of %d pods are pending without an address and cannot talk yet; the verdict is the one they will have", e.Label, pending, len(e.Pods)))
	}
	if host > 0 {
		e.Notes = append(e.Notes, e.Label+" uses hostNetwork: to policies it is its node, and no policy selects it")
	}
	return e
}
