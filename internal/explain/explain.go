// Package explain describes one policy, or the merged effect of all policies on one endpoint, as
// typed facts.
//
// It must never render text and never read input; package report turns its facts into sentences.
package explain

import (
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// The words of policies are those of package policy; the names here let a renderer speak them
// without knowing the model.
type (
	// Selector is a label selector in normal form; the zero value selects everything.
	Selector = policy.Selector
	// Block is one CIDR with its holes.
	Block = policy.Block
	// Port is one item of ports or protocols.
	Port = policy.Port
)

// Policy is what one policy says and does.
type Policy struct {
	Ref      cluster.PolicyRef
	Origin   cluster.Origin
	Tier     string // Admin, NetworkPolicy or Baseline
	Priority int    // of cluster policies
	// Subject is what it selects, in words of selectors.
	Subject Peer
	// Isolates are the directions in which it isolates its pods (NetworkPolicy), or has rules.
	Isolates []flow.Direction
	// Leaves are the directions about which it says nothing.
	Leaves        []flow.Direction
	Sides         []Side
	NotUnderstood []string
}

// Side is one direction of a policy.
type Side struct {
	Direction flow.Direction
	Rules     []Rule
	Inert     int // rules that policyTypes leaves out (S29)
}

// Rule is one rule in words of selectors.
type Rule struct {
	ID        cluster.RuleID // Peer and Port are -1: the whole rule
	Origin    cluster.Origin
	Tier      string
	Name      string
	Action    string // Accept, Deny, Pass
	EveryPeer bool   // no from or to: everyone, outside addresses included (S13)
	Peers     []Peer
	EveryPort bool // no ports: every protocol, ICMP included
	Ports     []Port
	Poisoned  bool // not understood (S43)
	// SubjectUnknown: it is not known whether the policy selects the endpoint (only in Endpoint).
	SubjectUnknown bool
	// NoSubject: the policy selects no pod of the input, so the rule decides nothing now.
	NoSubject bool
	// Covered are other rules that already allow everything this one allows; empty if it is needed
	// or if that was not worked out.
	Covered []cluster.RuleID
}

// Peer is one item of a rule, or a subject.
type Peer struct {
	Kind       string   // pods, addresses, nodes, names, or nothing (not understood)
	Namespace  string   // fixed: the policy's own
	Namespaces Selector // over namespaces; unused with Namespace
	Pods       Selector
	Blocks     []Block
	Nodes      Selector
	Names      []string
	Now        []string // workloads of the input that it selects now
	Maybe      []string // workloads that it may select: their namespace's labels are unknown
}

// OfPolicy describes a policy of the model.
func OfPolicy(m *policy.Model, p *policy.Policy) Policy {
	out := Policy{Ref: p.Ref, Origin: p.Origin.At(""), Tier: p.Tier.String(), Priority: p.Priority, NotUnderstood: p.NotUnderstood}
	out.Subject = Peer{Kind: "pods", Namespace: p.Namespace, Namespaces: p.Namespaces, Pods: p.Pods}
	sure := m.SubjectClasses(p, policy.Yes)
	all := m.SubjectClasses(p, policy.Maybe)
	out.Subject.Now, out.Subject.Maybe = workloads(m, sure), workloads(m, except(all, sure))
	var search *cover.Search
	for _, d := range flow.Directions {
		if p.Applies(d) {
			out.Isolates = append(out.Isolates, d)
		} else {
			out.Leaves = append(out.Leaves, d)
		}
		side := Side{Direction: d, Inert: p.InertRules(d)}
		for i := range p.Rules(d) {
			r := describe(m, p, d, &p.Rules(d)[i])
			r.NoSubject = len(all) == 0
			if !r.NoSubject && p.Tier == policy.NetworkPolicyTier {
				if search == nil {
					search = cover.New(m)
				}
				r.Covered = allowing(search.Ask(p, d, &p.Rules(d)[i]))
			}
			side.Rules = append(side.Rules, r)
		}
		if len(side.Rules) > 0 || side.Inert > 0 {
			out.Sides = append(out.Sides, side)
		}
	}
	return out
}

// allowing lists the rules that cover one, or nothing if one of them does not allow: then the rule has
// no effect, but not because it is not needed.
func allowing(a cover.Answer) []cluster.RuleID {
	var out []cluster.RuleID
	for _, o := range a.By {
		if o.Action != policy.Accept {
			return nil
		}
		out = append(out, o.ID)
	}
	return out
}

func except(all, without []int) []int {
	var out []int
	for _, x := range all {
		if _, found := slices.BinarySearch(without, x); !found {
			out = append(out, x)
		}
	}
	return out
}

func workloads(m *policy.Model, classes []int) []string {
	var out []string
	for _, c := range classes {
		for _, i := range m.Classes()[c].Members {
			out = append(out, m.Snapshot().Pods[i].Owner.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func describe(m *policy.Model, p *policy.Policy, d flow.Direction, r *policy.Rule) Rule {
	id := p.RuleID(d, r.Index, -1, -1)
	out := Rule{ID: id, Origin: p.RuleOrigin(id), Tier: p.Tier.String(), Name: r.Name, Action: r.Action.String(), Poisoned: r.Poisoned}
	out.EveryPeer, out.EveryPort = r.Peers == nil, r.Ports == nil
	for i := range r.Peers {
		out.Peers = append(out.Peers, describePeer(m, &r.Peers[i]))
	}
	out.Ports = r.Ports
	return out
}

func describePeer(m *policy.Model, p *policy.Peer) Peer {
	switch p.Kind {
	case policy.PodPeer:
		sure := m.SetClasses(p, policy.Yes)
		return Peer{Kind: "pods", Namespace: p.Namespace, Namespaces: p.Namespaces, Pods: p.Pods,
			Now: workloads(m, sure), Maybe: workloads(m, except(m.SetClasses(p, policy.Maybe), sure))}
	case policy.BlockPeer:
		return Peer{Kind: "addresses", Blocks: p.Blocks}
	case policy.NodePeer:
		return Peer{Kind: "nodes", Nodes: p.Nodes}
	case policy.DomainPeer:
		return Peer{Kind: "names", Names: p.Domains}
	}
	return Peer{Kind: "nothing"}
}

// Endpoint is the merged effect of all policies on pods that neither policies nor other layers tell apart.
type Endpoint struct {
	Label       string // as asked
	Pods        []string
	Labels      map[string]string
	HostNetwork bool
	Sides       []EndpointSide
	// Entries are the ways in from outside that lead to it.
	Entries []Entry
	// Layers is what is known of it beside network policies; nil where nothing is said but by these.
	Layers *Layers
}

// EndpointSide is one direction of an endpoint.
type EndpointSide struct {
	Direction flow.Direction
	// Isolating are the NetworkPolicies that select it; none means that everything is allowed that
	// no cluster policy denies.
	Isolating []PolicyAt
	// Rules are those of every tier that apply, in the order in which they are asked.
	Rules []Rule
	// Foreign are policies of other engines that may decide otherwise.
	Foreign []cluster.ForeignPolicy
}

// PolicyAt is a policy and where it is written.
type PolicyAt struct {
	Ref    cluster.PolicyRef
	Origin cluster.Origin
}

// Entry is a Service or route that leads to an endpoint from outside.
type Entry struct {
	Kind            string // service, ingress, gateway, httproute, …
	Type            string // of a Service: NodePort or LoadBalancer
	Namespace, Name string
	Origin          cluster.Origin
	Hosts           []string
}

// Endpoints describes pods, grouped by what policies and other layers can tell apart.
func (x *Explainer) Endpoints(label string, pods []int) []Endpoint {
	snap := x.m.Snapshot()
	var out []Endpoint
	at := map[alike]int{}
	for _, i := range pods {
		key := x.alike(i)
		k, ok := at[key]
		if !ok {
			k = len(out)
			at[key] = k
			e := describeEndpoint(x.m, label, i, key.class)
			e.Layers = x.layersOf(i)
			out = append(out, e)
		}
		out[k].Pods = append(out[k].Pods, snap.Pods[i].String())
	}
	return out
}

func describeEndpoint(m *policy.Model, label string, pod, class int) Endpoint {
	p := &m.Snapshot().Pods[pod]
	e := Endpoint{Label: label, Labels: p.Labels, HostNetwork: class < 0, Entries: entries(m.Snapshot(), p)}
	if class < 0 {
		return e
	}
	for _, d := range flow.Directions {
		e.Sides = append(e.Sides, endpointSide(m, &m.Classes()[class], d))
	}
	return e
}

func endpointSide(m *policy.Model, c *policy.Class, d flow.Direction) EndpointSide {
	out := EndpointSide{Direction: d}
	s := c.Subject(d)
	add := func(p *policy.Policy, maybe bool) {
		for i := range p.Rules(d) {
			r := describe(m, p, d, &p.Rules(d)[i])
			r.SubjectUnknown = maybe
			out.Rules = append(out.Rules, r)
		}
	}
	for _, p := range s.Admin {
		add(p.Policy, p.Maybe)
	}
	for _, p := range s.Policies {
		out.Isolating = append(out.Isolating, PolicyAt{p.Ref, p.Origin.At("")})
		add(p, false)
	}
	for _, p := range s.Baseline {
		if len(s.Policies) == 0 { // S42: not asked for an isolated pod
			add(p.Policy, p.Maybe)
		}
	}
	for _, i := range c.Foreign(d) {
		out.Foreign = append(out.Foreign, m.Snapshot().ForeignPolicies[i])
	}
	return out
}

// entries lists the services that are open to the outside, and the routes, that lead to a pod.
func entries(snap *cluster.Snapshot, p *cluster.Pod) []Entry {
	var out []Entry
	backs := map[string]bool{}
	for i := range snap.Services {
		s := &snap.Services[i]
		if !s.Selects(p) {
			continue
		}
		backs[s.Namespace+"/"+s.Name] = true
		if s.Type == "NodePort" || s.Type == "LoadBalancer" {
			out = append(out, Entry{Kind: "service", Type: s.Type, Namespace: s.Namespace, Name: s.Name, Origin: s.Origin})
		}
	}
	for i := range snap.Entries {
		e := &snap.Entries[i]
		if slices.ContainsFunc(e.Backends, func(b cluster.EntryBackend) bool { return backs[b.Namespace+"/"+b.Service] }) {
			out = append(out, Entry{Kind: e.Kind, Namespace: e.Namespace, Name: e.Name, Origin: e.Origin, Hosts: e.Hosts})
		}
	}
	return out
}
