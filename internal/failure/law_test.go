package failure_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/failure"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// TestClaimsHold applies every set of failures that is said to open a path to the whole input, in ways of its own, and
// asks the oracle: the path is open then, and under no part of the set. Of the policies that could be deleted, and of
// the failures at both ends, none that opens a path may be missing.
func TestClaimsHold(t *testing.T) {
	claims, kinds := 0, map[failure.Kind]int{}
	for end := time.Now().Add(world.Soak(t, 10*time.Second, 2)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(6).Draw(rt, "case")
			s := c.World.Snapshot()
			s.Facts.TrustDomain = c.Options.TrustDomain
			m := policy.Compile(s, policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata,
				Azure: c.Options.Azure, Behaviour: policy.Behaviour{NotEnforced: c.Options.NotEnforced}})
			finder := failure.NewFinder(m)
			for _, q := range c.Questions {
				e := experiment{rt: rt, s: s, o: c.Options, q: q}
				p := finder.Path(&q.Flow, q.Service)
				if open := e.opens(nil); open != p.Decision.Could() {
					rt.Fatalf("%s: open is %v, the oracle says %v", e.text(), p.Decision.Could(), open)
				}
				e.check(&p)
				for _, set := range p.Opens {
					claims++
					for _, f := range set {
						kinds[f.Kind]++
					}
				}
			}
		})
	}
	t.Logf("%d claims, by kind of failure %v", claims, kinds)
	if len(kinds) < 8 && !t.Failed() {
		t.Errorf("failures of only %d kinds were in any claim: %v", len(kinds), kinds)
	}
}

// experiment is one question to the oracle under failures.
type experiment struct {
	rt *rapid.T
	s  *cluster.Snapshot
	o  oracle.Options
	q  world.Question
}

func (e *experiment) text() string {
	return fmt.Sprintf("%+v of service %d", e.q.Flow, e.q.Service)
}

func (e *experiment) check(p *failure.Path) {
	for _, set := range p.Opens {
		if slices.ContainsFunc(set, e.beyondOracle) {
			continue
		}
		if !e.opens(set) {
			e.rt.Fatalf("%s: %+v is said to open it, and does not", e.text(), set)
		}
		if len(set) == 2 && (e.opens(set[:1]) || e.opens(set[1:])) {
			e.rt.Fatalf("%s: one of %+v opens it alone", e.text(), set)
		}
	}
	if p.Cut || p.Decision.Could() {
		return
	}
	for _, f := range e.everyFailure() {
		claimed := slices.ContainsFunc(p.Opens, func(set []failure.Failure) bool { return len(set) == 1 && set[0] == f })
		if e.opens([]failure.Failure{f}) && !claimed {
			e.rt.Fatalf("%s: %+v opens it, and nobody says so", e.text(), f)
		}
	}
	e.checkPairs(p)
}

// checkPairs looks for two of the failures that were tried one by one which open the path together.
func (e *experiment) checkPairs(p *failure.Path) {
	for i := range p.Under {
		for j := range p.Under[:i] {
			a, b := p.Under[j].Failure, p.Under[i].Failure
			claimed := slices.ContainsFunc(p.Opens, func(set []failure.Failure) bool {
				return !slices.ContainsFunc(set, func(f failure.Failure) bool { return f != a && f != b })
			})
			if !claimed && !e.beyondOracle(a) && !e.beyondOracle(b) && e.opens([]failure.Failure{a, b}) {
				e.rt.Fatalf("%s: %+v and %+v open it, and nobody says so", e.text(), a, b)
			}
		}
	}
}

// beyondOracle: which services an address may stand for hangs on the namespace of the source (L30), which a stolen token
// does not change; the oracle can only be asked from the pod that it was stolen from.
func (e *experiment) beyondOracle(f failure.Failure) bool {
	q := &e.q.Flow
	return f.Kind == failure.TokenStolen && e.q.Service < 0 && q.To.Kind == flow.Address &&
		(q.From.Kind != flow.Pod || e.s.Pods[q.From.Index].Namespace != f.Namespace)
}

// everyFailure lists what could fail alone: each policy, each label, each service, both ends.
func (e *experiment) everyFailure() []failure.Failure {
	out := []failure.Failure{}
	deleted := func(kind, namespace, name string) {
		out = append(out, failure.Failure{Kind: failure.PolicyDeleted, Policy: cluster.PolicyRef{Kind: kind, Namespace: namespace, Name: name}})
	}
	for _, p := range e.s.NetworkPolicies {
		deleted("NetworkPolicy", p.Object.Namespace, p.Object.Name)
	}
	for _, p := range e.s.ClusterPolicies {
		deleted(p.Kind, "", p.Object.Name)
	}
	for _, p := range e.s.AccessPolicies {
		deleted("AccessPolicy", p.Namespace, p.Name)
	}
	for _, n := range e.s.Namespaces {
		for key := range n.Labels {
			if key != cluster.MetadataNameLabel && !n.Assumed {
				out = append(out, failure.Failure{Kind: failure.LabelGone, Namespace: n.Name, Label: key})
			}
		}
	}
	if e.q.Flow.From.Kind == flow.Pod {
		out = append(out, failure.Failure{Kind: failure.NodeCompromised})
	}
	for _, end := range []flow.End{e.q.Flow.From, e.q.Flow.To} {
		if end.Kind != flow.Pod || e.s.Pods[end.Index].HostNetwork {
			continue
		}
		side := failure.AtSource
		if end == e.q.Flow.To {
			side = failure.AtDestination
		}
		out = append(out, failure.Failure{Kind: failure.AgentDown, Side: side}, failure.Failure{Kind: failure.NotProgrammed, Side: side})
	}
	return out
}

// opens tells whether the path is not denied under a set of failures.
func (e *experiment) opens(set []failure.Failure) bool {
	s := e.s
	sources := []flow.End{e.q.Flow.From}
	var holders []int // pods whose identity is held beside the source's own
	egressOff, ingressOff, unprogrammed := false, false, false
	for _, f := range set {
		switch f.Kind {
		case failure.PolicyDeleted:
			s = without(s, f.Policy)
		case failure.LabelGone:
			s = unlabelled(s, f.Namespace, f.Label)
		case failure.FirewallOpened, failure.PasswordLogin:
			s = changed(s, f)
		case failure.AgentDown:
			both := e.node(e.q.Flow.From) != "" && e.node(e.q.Flow.From) == e.node(e.q.Flow.To)
			egressOff, ingressOff = egressOff || both || f.Side == failure.AtSource, ingressOff || both || f.Side == failure.AtDestination
		case failure.NotProgrammed:
			egressOff, ingressOff = egressOff || f.Side == failure.AtSource, ingressOff || f.Side == failure.AtDestination
			unprogrammed = unprogrammed || f.Side == failure.AtSource
		case failure.TokenStolen:
			for i, p := range e.s.Pods {
				if p.Namespace == f.Namespace && p.Account == f.Account {
					holders = append(holders, i)
				}
			}
		case failure.NodeCompromised:
			node := e.node(e.q.Flow.From)
			if node != "" && node == e.node(e.q.Flow.To) {
				return true
			}
			egressOff = true
			for i, p := range e.s.Pods {
				if addr := p.Addr(e.q.Flow.Family); node != "" && p.NodeName == node && addr.IsValid() == e.q.Flow.From.Addr.IsValid() {
					sources = append(sources, flow.End{Kind: flow.Pod, Index: i, Addr: addr})
				}
			}
			sources = append(sources, e.nodeItself(node)...)
		}
	}
	for k, from := range sources {
		if e.through(s, from, egressOff, ingressOff, unprogrammed && k == 0, holders) {
			return true
		}
	}
	return false
}

// through tells whether no layer denies one way in.
func (e *experiment) through(s *cluster.Snapshot, from flow.End, egressOff, ingressOff, unprogrammed bool, holders []int) bool {
	f := e.q.Flow
	f.From = from
	a := e.ask(s, f, egressOff, ingressOff)
	if unprogrammed {
		strict := *s
		strict.Identities = slices.DeleteFunc(slices.Clone(s.Identities), func(w cluster.WorkloadIdentity) bool {
			return len(w.NotUnderstood) == 0 && *w.Spec.Require.NetworkEnforced // what is not understood may require nothing (L4)
		})
		b := e.ask(&strict, f, egressOff, ingressOff)
		if len(strict.Identities)+len(strict.AccessPolicies)+len(strict.External) > 0 {
			copy(a[oracle.IdentityIssued:], b[oracle.IdentityIssued:])
		}
	}
	network := !slices.Contains(a[:oracle.IdentityIssued], oracle.Deny)
	if network && !slices.Contains(a[oracle.IdentityIssued:], oracle.Deny) {
		return true
	}
	for _, pod := range holders {
		held := e.q.Flow
		held.From = flow.End{Kind: flow.Pod, Index: pod, Addr: e.s.Pods[pod].Addr(held.Family)}
		b := e.ask(s, held, false, false)
		if network && !slices.Contains(b[oracle.IdentityIssued:], oracle.Deny) {
			return true
		}
	}
	return false
}

// ask gives the oracle's answers, with the network off where it is.
func (e *experiment) ask(s *cluster.Snapshot, f flow.Flow, egressOff, ingressOff bool) [6]oracle.Opinion {
	a := oracle.AskLayers(s, e.o, f, e.q.Service)
	if a.Skipped {
		e.rt.Skip("the oracle does not answer this one")
	}
	if egressOff {
		a.Answers[oracle.NetworkEgress] = oracle.None
	}
	if ingressOff {
		a.Answers[oracle.NetworkIngress] = oracle.None
	}
	return a.Answers
}

// nodeItself gives a node as a source, by each of its addresses where the source's is known.
func (e *experiment) nodeItself(name string) []flow.End {
	var out []flow.End
	for i, n := range e.s.Nodes {
		if name == "" || n.Name != name {
			continue
		}
		if !e.q.Flow.From.Addr.IsValid() {
			out = append(out, flow.End{Kind: flow.Node, Index: i})
		}
		for _, a := range n.Addrs {
			if e.q.Flow.From.Addr.IsValid() && flow.FamilyOf(a) == e.q.Flow.Family {
				out = append(out, flow.End{Kind: flow.Node, Index: i, Addr: a})
			}
		}
	}
	return out
}

func (e *experiment) node(end flow.End) string {
	if end.Kind != flow.Pod {
		return ""
	}
	return e.s.Pods[end.Index].NodeName
}

func without(s *cluster.Snapshot, ref cluster.PolicyRef) *cluster.Snapshot {
	out := *s
	out.NetworkPolicies = slices.DeleteFunc(slices.Clone(s.NetworkPolicies), func(p cluster.NetworkPolicy) bool {
		return ref == cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: p.Object.Namespace, Name: p.Object.Name}
	})
	out.ClusterPolicies = slices.DeleteFunc(slices.Clone(s.ClusterPolicies), func(p cluster.ClusterPolicy) bool {
		return ref == cluster.PolicyRef{Kind: p.Kind, Name: p.Object.Name}
	})
	out.AccessPolicies = slices.DeleteFunc(slices.Clone(s.AccessPolicies), func(p cluster.AccessPolicy) bool {
		return ref == cluster.PolicyRef{Kind: "AccessPolicy", Namespace: p.Namespace, Name: p.Name}
	})
	return &out
}

func unlabelled(s *cluster.Snapshot, namespace, label string) *cluster.Snapshot {
	out := *s
	out.Namespaces = nil
	for _, n := range s.Namespaces {
		if n.Name == namespace {
			n.Labels = maps.Clone(n.Labels)
			delete(n.Labels, label)
		}
		out.Namespaces = append(out.Namespaces, n)
	}
	return &out
}

// changed opens a service's firewall, or makes it take passwords.
func changed(s *cluster.Snapshot, f failure.Failure) *cluster.Snapshot {
	out := *s
	out.External = slices.Clone(s.External)
	x := &out.External[f.Service-1]
	spec := x.Spec.DeepCopy()
	if f.Kind == failure.PasswordLogin {
		spec.Authentication.Mode = v1alpha1.IdentityOrPassword
	} else {
		endpoints := spec.Firewall.PrivateEndpoints
		spec.Firewall = &v1alpha1.ExternalFirewall{PublicNetworkAccess: v1alpha1.PublicEnabled, PrivateEndpoints: endpoints, AllowAzureServices: true,
			IPRules: []v1alpha1.IPRule{{First: "0.0.0.0", Last: "255.255.255.255"}, {First: "::", Last: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}}}
	}
	x.Spec = spec
	return &out
}
