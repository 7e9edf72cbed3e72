package failure

import (
	"slices"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/policy"
)

// local is the part of a cluster that decides one flow: its ends, what applies to them, and the pods whose identities
// an attacker might hold. It gives the answers of the whole, and compiles in no time.
type local struct {
	snap    *cluster.Snapshot
	options policy.Options
	flow    flow.Flow
	service int
	victims []victim   // pods whose identity may be stolen
	on      []flow.End // the source's node, if that is known, and the pods on it
}

// victim is a pod of the local Snapshot that holds an identity of an account.
type victim struct {
	pod              int
	namespace, owner string // of the account
}

// newLocal cuts the part out. victims and on are of the whole.
func newLocal(m *policy.Model, outside *layers.Model, f *flow.Flow, service int, victims []int, on []flow.End) *local {
	whole := m.Snapshot()
	l := &local{options: m.Options(), service: service}
	l.options.PodCIDRs = slices.Clone(m.PodRanges())
	pods := slices.Concat(podsAmong(f.From, f.To), victims, podsAmong(on...))
	slices.Sort(pods)
	pods = slices.Compact(pods)
	s := *whole
	s.Services, s.Entries, s.Callbacks, s.Monitors, s.Granted, s.Notes, s.Ignores = nil, nil, nil, nil, nil, nil, nil
	at := map[int]int{}
	inside := map[string]bool{}
	nodes := map[string]bool{}
	s.Pods = nil
	for i, pod := range pods {
		at[pod] = i
		s.Pods = append(s.Pods, whole.Pods[pod])
		inside[whole.Pods[pod].Namespace] = true
		nodes[whole.Pods[pod].NodeName] = true
	}
	for _, e := range []flow.End{f.From, f.To} {
		if e.Kind == flow.Node {
			nodes[whole.Nodes[e.Index].Name] = true
		}
	}
	s.Namespaces = keep(whole.Namespaces, func(n *cluster.Namespace) bool { return inside[n.Name] })
	s.Nodes = keep(whole.Nodes, func(n *cluster.Node) bool { return nodes[n.Name] })
	s.NetworkPolicies = l.applied(m, f)
	accounts := map[[2]string]bool{}
	for i := range s.Pods {
		accounts[[2]string{s.Pods[i].Namespace, s.Pods[i].Account}] = true
	}
	s.Identities = keep(whole.Identities, func(w *cluster.WorkloadIdentity) bool {
		return accounts[[2]string{w.Namespace, w.Spec.ServiceAccountName}] || inside[w.Namespace] && len(w.NotUnderstood) > 0
	})
	s.Accounts = keep(whole.Accounts, func(x *cluster.ServiceAccount) bool { return accounts[[2]string{x.Namespace, x.Name}] })
	keepAzure(whole, &s, inside)
	meant := outside.Meant(f, service)
	s.External = onlyThese(whole.External, meant)
	s.AccessPolicies = keep(whole.AccessPolicies, func(p *cluster.AccessPolicy) bool { return concerns(whole, p, f, meant) })
	l.snap, l.flow = &s, *f
	l.flow.From, l.flow.To = l.moved(whole, f.From, at), l.moved(whole, f.To, at)
	for _, v := range victims {
		p := &whole.Pods[v]
		l.victims = append(l.victims, victim{at[v], p.Namespace, p.Account})
	}
	for _, p := range on {
		l.on = append(l.on, l.moved(whole, p, at))
	}
	return l
}

// keepAzure keeps what Azure AD Pod Identity may issue to the pods.
func keepAzure(whole, s *cluster.Snapshot, inside map[string]bool) {
	labels, named := map[string]bool{}, map[[2]string]bool{}
	for i := range s.Pods {
		labels[s.Pods[i].Labels[cluster.BindingLabel]] = true
	}
	s.AzureBindings = keep(whole.AzureBindings, func(b *cluster.AzureIdentityBinding) bool {
		named[[2]string{b.Namespace, b.Identity}] = named[[2]string{b.Namespace, b.Identity}] || labels[b.Selector]
		return labels[b.Selector]
	})
	s.AzureIdentities = keep(whole.AzureIdentities, func(x *cluster.AzureIdentity) bool {
		return named[[2]string{x.Namespace, x.Name}] || x == &whole.AzureIdentities[0] // that there is one counts for nodes (L15)
	})
	s.AzureExceptions = keep(whole.AzureExceptions, func(x *cluster.AzurePodIdentityException) bool { return inside[x.Namespace] })
}

// onlyThese empties all other services, so that the rest keep their numbers.
func onlyThese(list []cluster.ExternalService, meant []int) []cluster.ExternalService {
	out := make([]cluster.ExternalService, len(list))
	for i := range out {
		out[i].Spec = &v1alpha1.ExternalServiceSpec{}
	}
	for _, i := range meant {
		out[i] = list[i]
	}
	return out
}

// concerns tells whether an AccessPolicy may name the destination of a flow.
func concerns(s *cluster.Snapshot, p *cluster.AccessPolicy, f *flow.Flow, meant []int) bool {
	target := p.Spec.Target.ExternalService
	service := target != nil
	if f.To.Kind != flow.Pod {
		return service && slices.ContainsFunc(meant, func(i int) bool { return s.External[i].Name == target.Name })
	}
	pod := &s.Pods[f.To.Index]
	if p.Namespace != pod.Namespace {
		return false
	}
	pods := p.Spec.Target.Pods
	return pods == nil || service || len(p.NotUnderstood) > 0 || policy.NewSelector(pods.PodSelector).Match(pod.Labels, true) == policy.Yes
}

func podsAmong(ends ...flow.End) []int {
	var out []int
	for _, e := range ends {
		if e.Kind == flow.Pod {
			out = append(out, e.Index)
		}
	}
	return out
}

// moved gives an end by its index in the local Snapshot.
func (l *local) moved(whole *cluster.Snapshot, e flow.End, at map[int]int) flow.End {
	switch e.Kind {
	case flow.Pod:
		e.Index = at[e.Index]
	case flow.Node:
		e.Index = l.snap.NodeIndex(whole.Nodes[e.Index].Name)
	}
	return e
}

// applied keeps the NetworkPolicies that select an end; which do hangs on nothing that fails.
func (l *local) applied(m *policy.Model, f *flow.Flow) []cluster.NetworkPolicy {
	refs := map[cluster.PolicyRef]bool{}
	for _, pod := range podsAmong(f.From, f.To) {
		if class := m.ClassOf(pod); class >= 0 {
			for _, d := range flow.Directions {
				for _, p := range m.Classes()[class].Subject(d).Policies {
					refs[p.Ref] = true
				}
			}
		}
	}
	return keep(m.Snapshot().NetworkPolicies, func(p *cluster.NetworkPolicy) bool {
		return refs[cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: p.Object.Namespace, Name: p.Object.Name}]
	})
}

func keep[T any](list []T, wanted func(*T) bool) []T {
	var out []T
	for i := range list {
		if wanted(&list[i]) {
			out = append(out, list[i])
		}
	}
	return out
}

// attempt is one way in which somebody tries.
type attempt struct {
	flow flow.Flow
	in   layers.Circumstances
}

// under decides the flow with failures applied: by the way in that the fewest gates stop.
func (l *local) under(set []Failure) layers.Decision {
	if l.sharesNode() && slices.ContainsFunc(set, func(f Failure) bool { return f.Kind == NodeCompromised }) {
		return layers.Decision{Verdict: flow.Allowed} // root on the node is the destination itself
	}
	m := policy.Compile(Apply(l.snap, set), l.options)
	model := layers.New(m)
	var best layers.Decision
	for i, a := range l.attempts(set) {
		d := eval.Decide(m, &a.flow)
		got := model.Under(a.in).Decide(&d, l.service)
		if i == 0 || better(&got, &best) {
			best = got
		}
	}
	return best
}

func better(a, b *layers.Decision) bool {
	if x, y := len(a.Gates()), len(b.Gates()); x != y {
		return x < y
	}
	return a.Works() && !b.Works()
}

// attempts lists the ways in under failures that are about the ends (L50).
func (l *local) attempts(set []Failure) []attempt {
	first := attempt{l.flow, layers.Circumstances{As: layers.Itself}}
	holders, sources := []int{layers.Itself}, []flow.End{}
	for i := range set {
		switch f := &set[i]; f.Kind {
		case AgentDown:
			l.agentDown(f.Side, &first.in)
		case NotProgrammed:
			first.in.EgressOff = first.in.EgressOff || f.Side == AtSource
			first.in.IngressOff = first.in.IngressOff || f.Side == AtDestination
			first.in.Unprogrammed = first.in.Unprogrammed || f.Side == AtSource
		case TokenStolen:
			for _, v := range l.victims {
				if v.namespace == f.Namespace && v.owner == f.Account {
					holders = append(holders, v.pod)
				}
			}
		case NodeCompromised:
			first.in.EgressOff = true
			sources = l.on
		}
	}
	tries := []attempt{first}
	for _, end := range sources { // root on the node is the node and every pod there, with its address and its identity
		a := first
		a.in.Unprogrammed = false
		a.flow.From = end
		tries = append(tries, a)
	}
	var out []attempt
	for _, a := range tries {
		for _, a.in.As = range holders {
			out = append(out, a)
		}
	}
	return out
}

// sharesNode tells whether both ends are known to be on one node.
func (l *local) sharesNode() bool {
	node := l.node(l.flow.From)
	return node != "" && node == l.node(l.flow.To)
}

// agentDown switches the network off at every end that is on the node of a side.
func (l *local) agentDown(side Side, in *layers.Circumstances) {
	source, destination := l.node(l.flow.From), l.node(l.flow.To)
	both := source != "" && source == destination
	in.EgressOff = in.EgressOff || side == AtSource || both
	in.IngressOff = in.IngressOff || side == AtDestination || both
}

func (l *local) node(e flow.End) string {
	if e.Kind != flow.Pod {
		return ""
	}
	return l.snap.Pods[e.Index].NodeName
}
