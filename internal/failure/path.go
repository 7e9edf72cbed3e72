package failure

import (
	"cmp"
	"maps"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// The bounds of one search. What is left out by them is said (Path.Cut).
const (
	maxCandidates = 40 // failures that are tried one by one
	maxPaired     = 24 // of which pairs are tried
	maxVictims    = 5  // accounts whose token may be stolen
	maxOnNode     = 20 // pods on the source's node
)

// Path is what stands between two ends.
type Path struct {
	Decision layers.Decision
	// Opens lists the sets of one and of two failures that open the path: under them it is no longer denied, and under
	// no part of them. Empty where it is open as it is.
	Opens [][]Failure
	// Under lists every single failure that was tried, with the gates that still stop the path.
	Under []Left
	// Editors lists the namespaces of which whoever may edit their policies takes away more than one gate (L55).
	Editors []Editor
	// Cut: there was more to try than is tried.
	Cut bool
}

// Left is what is left under a failure.
type Left struct {
	Failure Failure
	Gates   []layers.Gate
}

// Finder looks at the paths of one model.
type Finder struct {
	m       *policy.Model
	l       *layers.Model
	onNode  map[string][]int
	holders []int // one pod for each set of identities that is issued
	victims map[victimsKey][]int
}

// victimsKey is equal for flows that the same identities pass.
type victimsKey struct {
	to      flow.End
	service int
	proto   netset.Proto
	port    uint16
	inside  string // the namespace of the source, for which services of it speak
}

// NewFinder prepares a model.
func NewFinder(m *policy.Model) *Finder {
	f := &Finder{m: m, l: layers.New(m), onNode: map[string][]int{}, victims: map[victimsKey][]int{}}
	pods := m.Snapshot().Pods
	seen := map[int]bool{}
	for i := range pods {
		p := &pods[i]
		if p.NodeName != "" {
			f.onNode[p.NodeName] = append(f.onNode[p.NodeName], i)
		}
		// Not one for each account: a podSelector of a WorkloadIdentity narrows what pods of one account are issued.
		if who := f.l.Who(i); !seen[who] && f.l.Issues(i) {
			seen[who] = true
			f.holders = append(f.holders, i)
		}
	}
	return f
}

// Decide gives what all layers say of a flow as things are.
func (w *Finder) Decide(f *flow.Flow, service int) layers.Decision {
	d := eval.Decide(w.m, f)
	return w.l.Decide(&d, service)
}

// Path looks at one flow.
func (w *Finder) Path(f *flow.Flow, service int) Path {
	network := eval.Decide(w.m, f)
	out := Path{Decision: w.l.Decide(&network, service)}
	if out.Decision.Could() {
		return out
	}
	out.Editors = w.editors(&network, &out.Decision)
	victims, cutVictims := w.stolen(f, service, &out.Decision)
	on, cutNode := w.onSourceNode(f)
	local := newLocal(w.m, w.l, f, service, victims, on)
	list, cut := w.candidates(local, &network, &out.Decision)
	out.Cut = cut || cutVictims || cutNode
	var rest []Left
	for _, c := range list {
		d := local.under([]Failure{c})
		out.Under = append(out.Under, Left{c, d.Gates()})
		if d.Could() {
			out.Opens = append(out.Opens, []Failure{c})
		} else {
			rest = append(rest, Left{c, d.Gates()})
		}
	}
	if len(rest) > maxPaired {
		rest, out.Cut = rest[:maxPaired], true
	}
	for i := range rest {
		for j := i + 1; j < len(rest); j++ {
			if !out.promising(&rest[i], &rest[j]) {
				continue
			}
			set := []Failure{rest[i].Failure, rest[j].Failure}
			if d := local.under(set); d.Could() {
				out.Opens = append(out.Opens, set)
			}
		}
	}
	return out
}

// promising spares the work for two failures that cannot open a path together: each gate has to fall under one of them,
// unless both may be needed for one gate, as two policies that deny, or one of them changes who tries.
func (p *Path) promising(a, b *Left) bool {
	if a.Failure.Kind == NodeCompromised || b.Failure.Kind == NodeCompromised || a.Failure.aboutObjects() && b.Failure.aboutObjects() {
		return true
	}
	return !slices.ContainsFunc(p.Decision.Gates(), func(g layers.Gate) bool { return slices.Contains(a.Gates, g) && slices.Contains(b.Gates, g) })
}

// stolen lists pods whose identity passes where the source's does not.
func (w *Finder) stolen(f *flow.Flow, service int, d *layers.Decision) (out []int, cut bool) {
	if !slices.Contains(d.Gates(), layers.GateIdentity) {
		return nil, false
	}
	key := victimsKey{to: f.To, service: service, proto: f.Proto, port: f.Port}
	if f.From.Kind == flow.Pod {
		key.inside = w.m.Snapshot().Pods[f.From.Index].Namespace
	}
	list, ok := w.victims[key]
	if !ok {
		for _, pod := range w.holders {
			got := w.l.Under(layers.Circumstances{As: pod}).IfOpen(f, service)
			if !slices.Contains(got.Gates(), layers.GateIdentity) {
				list = append(list, pod)
				if len(list) > maxVictims {
					break
				}
			}
		}
		w.victims[key] = list
	}
	return list[:min(len(list), maxVictims)], len(list) > maxVictims
}

// onSourceNode lists the ends that root on the source's node also is: the node, and the pods beside the source.
func (w *Finder) onSourceNode(f *flow.Flow) (out []flow.End, cut bool) {
	if f.From.Kind != flow.Pod {
		return nil, false
	}
	snap := w.m.Snapshot()
	node := snap.Pods[f.From.Index].NodeName
	if node == "" {
		return nil, false
	}
	if i := snap.NodeIndex(node); i >= 0 {
		out = w.nodeEnds(f, i)
	}
	for _, i := range w.onNode[node] {
		addr := snap.Pods[i].Addr(f.Family)
		itself := i == f.From.Index && addr == f.From.Addr
		if !itself && (f.To.Kind != flow.Pod || i != f.To.Index) && addr.IsValid() == f.From.Addr.IsValid() {
			out = append(out, flow.End{Kind: flow.Pod, Index: i, Addr: addr})
		}
	}
	return out[:min(len(out), maxOnNode)], len(out) > maxOnNode
}

// nodeEnds gives a node as the source of a flow, with each address that it may have.
func (w *Finder) nodeEnds(f *flow.Flow, node int) []flow.End {
	if !f.From.Addr.IsValid() {
		return []flow.End{{Kind: flow.Node, Index: node}}
	}
	var out []flow.End
	for _, a := range w.m.Snapshot().Nodes[node].Addrs {
		if flow.FamilyOf(a) == f.Family {
			out = append(out, flow.End{Kind: flow.Node, Index: node, Addr: a})
		}
	}
	return out
}

// candidates lists the failures that may have to do with what stops the flow.
func (w *Finder) candidates(l *local, network *eval.Decision, d *layers.Decision) (out []Failure, cut bool) {
	from, to := l.selectable(l.flow.From), l.selectable(l.flow.To)
	if from {
		out = append(out, Failure{Kind: AgentDown, Side: AtSource}, Failure{Kind: NotProgrammed, Side: AtSource})
	}
	if to {
		out = append(out, Failure{Kind: AgentDown, Side: AtDestination}, Failure{Kind: NotProgrammed, Side: AtDestination})
	}
	if l.flow.From.Kind == flow.Pod { // one with hostNetwork has the pods of its node, too
		out = append(out, Failure{Kind: NodeCompromised})
	}
	for _, i := range d.Services {
		x := &l.snap.External[i]
		if x.Spec.Firewall != nil {
			out = append(out, Failure{Kind: FirewallOpened, Service: i + 1})
		}
		if x.Spec.Authentication != nil {
			out = append(out, Failure{Kind: PasswordLogin, Service: i + 1})
		}
	}
	for _, v := range l.victims {
		if f := (Failure{Kind: TokenStolen, Namespace: v.namespace, Account: v.owner}); !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for _, ref := range policiesOf(w.m, l, network, d) {
		out = append(out, Failure{Kind: PolicyDeleted, Policy: ref})
	}
	out = append(out, l.labels()...)
	return out[:min(len(out), maxCandidates)], len(out) > maxCandidates
}

// selectable tells whether network policies may select an end.
func (l *local) selectable(e flow.End) bool {
	return e.Kind == flow.Pod && !l.snap.Pods[e.Index].HostNetwork
}

// policiesOf lists the policies that apply to an end, those that a layer names first.
func policiesOf(m *policy.Model, l *local, network *eval.Decision, d *layers.Decision) []cluster.PolicyRef {
	var out []cluster.PolicyRef
	put := func(ref cluster.PolicyRef) {
		if ref.Name != "" && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	for _, side := range network.Directions() {
		if side.Verdict != flow.Allowed {
			put(side.Rule.Policy)
			for _, p := range side.Isolating {
				put(p.Ref)
			}
		}
	}
	for _, s := range d.Steps {
		for _, r := range s.Refs {
			if r.Kind == "AccessPolicy" {
				put(cluster.PolicyRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name})
			}
		}
	}
	for i := range l.snap.AccessPolicies {
		p := &l.snap.AccessPolicies[i]
		put(cluster.PolicyRef{Kind: "AccessPolicy", Namespace: p.Namespace, Name: p.Name})
	}
	for _, dir := range flow.Directions {
		for _, ref := range applying(m, &network.Flow, dir) {
			put(ref)
		}
	}
	return out
}

// applying lists every policy that applies to the end which decides a direction, in the order of the tiers.
func applying(m *policy.Model, f *flow.Flow, dir flow.Direction) []cluster.PolicyRef {
	end := f.From
	if dir == flow.Ingress {
		end = f.To
	}
	if end.Kind != flow.Pod || m.ClassOf(end.Index) < 0 {
		return nil
	}
	s := m.Classes()[m.ClassOf(end.Index)].Subject(dir)
	var out []cluster.PolicyRef
	for _, p := range s.Admin {
		out = append(out, p.Ref)
	}
	for _, p := range s.Policies {
		out = append(out, p.Ref)
	}
	for _, p := range s.Baseline {
		out = append(out, p.Ref)
	}
	return out
}

// labels lists the labels that the namespaces of both ends may lose.
func (l *local) labels() []Failure {
	var out []Failure
	for _, e := range []flow.End{l.flow.From, l.flow.To} {
		if e.Kind != flow.Pod {
			continue
		}
		n := l.snap.NamespaceByName(l.snap.Pods[e.Index].Namespace)
		if n == nil || n.Assumed {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
			f := Failure{Kind: LabelGone, Namespace: n.Name, Label: key}
			if key != cluster.MetadataNameLabel && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// Compare orders failures, for people: what is about the ends, then services, identities, policies and labels.
func Compare(a, b Failure) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Side, b.Side), cmp.Compare(a.Service, b.Service),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Label, b.Label),
		cmp.Compare(a.Policy.Kind, b.Policy.Kind), cmp.Compare(a.Policy.Namespace, b.Policy.Namespace), cmp.Compare(a.Policy.Name, b.Policy.Name))
}
