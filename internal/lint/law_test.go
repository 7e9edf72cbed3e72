package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// fewest is how many hundred worlds are drawn however slow the machine is, so that each sort of claim is met.
const fewest = 10

// eachWorld draws worlds for a while and gives a run over each.
func eachWorld(t *testing.T, flows int, check func(rt *rapid.T, c *world.Case, r *run)) {
	t.Helper()
	for end, n := time.Now().Add(world.Soak(t, 3*time.Second, 8)), 0; (n < fewest || time.Now().Before(end)) && !t.Failed(); n++ {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(flows).Draw(rt, "case")
			c.Options.NotEnforced = false // lint asks as if something enforced the policies
			snap := c.World.Snapshot()
			m := policy.Compile(snap, optionsOf(&c))
			check(rt, &c, &run{Input: &Input{Written: snap, Model: m}})
		})
	}
}

func optionsOf(c *world.Case) policy.Options {
	return policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure}
}

// TestSpareLaw takes away everything that is said to make no difference, each thing by itself and all of
// it at once, and compares what everybody reaches, and the oracle's answers to drawn questions.
func TestSpareLaw(t *testing.T) {
	claims := map[string]int{}
	eachWorld(t, 24, func(rt *rapid.T, c *world.Case, r *run) {
		snap, found := r.Written, r.spare()
		all := *snap
		try := func(what string, without *cluster.Snapshot) {
			claims[what]++
			if diff := firstChange(snap, without, optionsOf(c), c); diff != "" {
				rt.Fatalf("%s: %s\n%#v", what, diff, c)
			}
		}
		for i := range slices.Backward(found.rules) {
			x := &found.rules[i]
			what := "redundant rule"
			if x.overruled() {
				what = "shadowed rule"
			}
			try(what+" of "+x.policy.Tier.String(), world.WithoutRule(snap, x.policy.Ref, x.d, x.rule.Index))
			all = *world.WithoutRule(&all, x.policy.Ref, x.d, x.rule.Index)
		}
		for _, x := range found.policies {
			try("redundant policy", world.WithoutPolicy(snap, x.policy.Ref))
			all = *world.WithoutPolicy(&all, x.policy.Ref)
		}
		if len(found.rules)+len(found.policies) > 1 {
			try("all at once", &all)
		}
	})
	t.Logf("claims: %v", claims)
	for _, what := range []string{"redundant rule of NetworkPolicy", "redundant rule of Admin", "shadowed rule of NetworkPolicy", "shadowed rule of Admin",
		"shadowed rule of Baseline", "redundant policy", "all at once"} {
		if claims[what] == 0 && !testing.Short() {
			t.Errorf("nothing was claimed as %s: %v", what, claims)
		}
	}
}

// firstChange compares two Snapshots that differ in their policies only.
func firstChange(a, b *cluster.Snapshot, o policy.Options, c *world.Case) string {
	ma, mb := policy.Compile(a, o), policy.Compile(b, o)
	sa := ma.Space()
	var outside []policy.Region
	for _, whole := range sa.Whole() {
		outside = append(outside, sa.Regions(whole)...)
	}
	ra, rb := analyze.New(ma, sa, analyze.Options{Outside: outside}), analyze.New(mb, sa, analyze.Options{Outside: outside})
	for from := range ra.Parties {
		for to := range ra.Parties {
			if ra.Parties[from].External && ra.Parties[to].External {
				continue
			}
			x, _ := ra.Between(from, to)
			y, _ := rb.Between(from, to)
			if !samePorts(&x, &y) {
				return ra.Parties[from].Name + " to " + ra.Parties[to].Name + " is another"
			}
		}
	}
	for _, f := range c.Flows {
		if !possible(ma, &f) {
			continue
		}
		if x, y := oracle.Ask(a, c.Options, f), oracle.Ask(b, c.Options, f); !x.Skipped && !y.Skipped && x.Verdict != y.Verdict {
			return "the oracle says " + x.Verdict.String() + " and then " + y.Verdict.String()
		}
	}
	return ""
}

// possible leaves out flows with an address that is not known to be the pod's (S28), and those in a family
// that an end is known not to have: no finding speaks of them.
func possible(m *policy.Model, f *flow.Flow) bool {
	for _, ends := range [][2]flow.End{{f.From, f.To}, {f.To, f.From}} {
		var addrs []netip.Addr
		switch end := ends[0]; end.Kind {
		case flow.Address:
			continue
		case flow.Pod:
			if addrs = m.Snapshot().Pods[end.Index].Addrs; end.Addr.IsValid() && !slices.Contains(addrs, end.Addr) {
				return false
			}
		default:
			addrs = m.Snapshot().Nodes[end.Index].Addrs
		}
		if len(addrs) == 0 && ends[1].Kind == flow.Address {
			continue
		}
		has := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return flow.FamilyOf(a) == f.Family })
		if !has && (len(addrs) > 0 || !slices.Contains(m.Families(), f.Family)) {
			return false
		}
	}
	return true
}

func samePorts(x, y *analyze.Row) bool {
	return x.Allowed.Equal(y.Allowed) && x.Unknown.Equal(y.Unknown) && x.Ambiguous.Equal(y.Ambiguous) && x.Partial.Equal(y.Partial)
}

// TestRefusalLaw asks every pod of every pair that a rule is said to be refused for, on every port.
func TestRefusalLaw(t *testing.T) {
	claims := map[bool]int{}
	for tries := 0; tries < 10 && (claims[true] == 0 || claims[false] == 0) && !t.Failed(); tries++ { // one of the two is rare
		refusals(t, claims)
	}
	t.Logf("with ports elsewhere, without: %v", claims)
	if claims[true] == 0 || claims[false] == 0 {
		t.Errorf("too few claims: %v", claims)
	}
}

func refusals(t *testing.T, claims map[bool]int) {
	eachWorld(t, 1, func(rt *rapid.T, c *world.Case, r *run) {
		for _, x := range r.refusals() {
			claims[x.elsewhere]++
			if len(x.pairs) == 0 || x.asked.Empty() || x.elsewhere && x.other.Empty() {
				rt.Fatalf("a claim about nothing: %+v", x)
			}
			for _, p := range x.pairs {
				members := r.Model.Classes()
				for _, a := range members[p.subject].Members {
					for _, b := range members[p.peer].Members {
						checkRefused(rt, c, r, &x, a, b)
					}
				}
			}
		}
	})
}

func checkRefused(rt *rapid.T, c *world.Case, r *run, x *refusal, a, b int) {
	if a == b {
		return
	}
	pods := r.Model.Snapshot().Pods
	open, common := false, false // whether there is a family in which both have addresses
	for _, family := range flow.Families {
		from, to := flow.End{Kind: flow.Pod, Index: a, Addr: pods[a].Addr(family)}, flow.End{Kind: flow.Pod, Index: b, Addr: pods[b].Addr(family)}
		if lacks(&pods[a], family) || lacks(&pods[b], family) || !slices.Contains(r.Model.Families(), family) {
			continue
		}
		common = true
		if x.d == flow.Ingress {
			from, to = to, from
		}
		for _, proto := range netset.Protos {
			for _, port := range []uint16{1, 2, 53, 54, 79, 80, 81, 82, 443, 444, 8080, 8081, 32526, 32527, 65535} {
				f := flow.Flow{From: from, To: to, Family: family, Proto: proto, Port: port}
				if proto == netset.Other {
					f.Port = 0
				}
				other := eval.Side(r.Model, &f, x.otherEnd())
				open = open || other == flow.Allowed
				if x.elsewhere && eval.Verdict(r.Model, &f) != flow.Denied {
					rt.Fatalf("%s %s: there is a port in common: %+v\n%#v", x.policy.Ref, x.path(), f, c)
				}
				if r.itemMatch(x, &f) == policy.No {
					continue
				}
				if other != flow.Denied {
					rt.Fatalf("%s %s: the other end says %v to %+v\n%#v", x.policy.Ref, x.path(), other, f, c)
				}
				if got := oracle.Ask(r.Written, c.Options, f); !got.Skipped && got.Verdict != flow.Denied {
					rt.Fatalf("%s %s: the oracle says %v to %+v\n%#v", x.policy.Ref, x.path(), got.Verdict, f, c)
				}
			}
		}
	}
	if x.elsewhere && common && !open {
		rt.Fatalf("%s %s: nothing is open at the other end\n%#v", x.policy.Ref, x.path(), c)
	}
}

// lacks tells whether a pod is known not to have an address in a family.
func lacks(p *cluster.Pod, f flow.Family) bool { return len(p.Addrs) > 0 && !p.Addr(f).IsValid() }

// TestMetadataLaw asks for every pod that a rule is said to let out to a metadata address.
func TestMetadataLaw(t *testing.T) {
	claims := 0
	eachWorld(t, 1, func(rt *rapid.T, c *world.Case, r *run) {
		order, found, _ := r.leaks()
		for _, l := range order {
			for _, class := range found[l] {
				for _, pod := range r.Model.Classes()[class].Members {
					if claims++; !lacks(&r.Written.Pods[pod], flow.FamilyOf(l.addr)) && !letOut(r, c, pod, l) {
						rt.Fatalf("%s %s does not let pod %d out to %s\n%#v", l.rule.Policy, l.rule.Path(), pod, l.addr, c)
					}
				}
			}
		}
	})
	if claims == 0 {
		t.Error("nothing was claimed")
	}
}

// letOut tells whether evaluator and oracle say that a rule lets a pod out to a metadata address.
func letOut(r *run, c *world.Case, pod int, l leak) bool {
	f := flow.Flow{Family: flow.FamilyOf(l.addr), Proto: netset.TCP, To: flow.End{Kind: flow.Address, Addr: l.addr}}
	f.From = flow.End{Kind: flow.Pod, Index: pod, Addr: r.Written.Pods[pod].Addr(f.Family)}
	for _, f.Port = range []uint16{80, policy.AzureWirePorts[1]} {
		got, want := eval.Decide(r.Model, &f), oracle.Ask(r.Written, c.Options, f)
		got.Egress.Rule.Port, want.Egress.Rule.Port = -1, -1
		if got.Verdict == flow.Allowed && got.Egress.Rule == l.rule && (want.Skipped || want.Verdict == flow.Allowed && want.Egress.Rule == l.rule) {
			return true
		}
	}
	return false
}

// TestDNSLaw makes a pod of each world the resolver, and asks for every pod that is said to be cut off.
func TestDNSLaw(t *testing.T) {
	cut := map[flow.Direction]int{}
	kept := 0
	eachWorld(t, 1, func(rt *rapid.T, c *world.Case, _ *run) {
		if len(c.World.Pods) == 0 || c.World.Pods[0].Spec.HostNetwork {
			return
		}
		resolver := &c.World.Pods[0]
		was := resolver.Namespace
		resolver.Namespace, resolver.Labels = dnsNamespaces[0], map[string]string{"k8s-app": "kube-dns", "app": "x"}
		for i := range c.World.NetworkPolicies {
			if p := &c.World.NetworkPolicies[i].Object; i%2 == 0 && p.Namespace == was {
				p.Namespace = dnsNamespaces[0]
			}
		}
		snap := c.World.Snapshot()
		r := &run{Input: &Input{Written: snap, Model: policy.Compile(snap, optionsOf(c))}}
		x := r.resolver()
		if x == nil {
			rt.Fatalf("no resolver was found\n%#v", c)
		}
		for class := range r.Model.Classes() {
			for _, proto := range []netset.Proto{netset.UDP, netset.TCP} {
				_, d, is := r.cutFrom(x, class, proto)
				if !is {
					kept++
					continue
				}
				cut[d]++
				for _, pod := range r.Model.Classes()[class].Members {
					asksNobody(rt, c, r, pod, x, proto)
				}
			}
		}
	})
	if cut[flow.Egress] == 0 || cut[flow.Ingress] == 0 || kept == 0 {
		t.Errorf("too little was claimed: %v cut, %d not", cut, kept)
	}
}

func asksNobody(rt *rapid.T, c *world.Case, r *run, pod int, x *resolver, proto netset.Proto) {
	pods := r.Written.Pods
	for server := range x.pods {
		for _, family := range r.Model.Families() {
			if pod == server || lacks(&pods[pod], family) || lacks(&pods[server], family) {
				continue
			}
			f := flow.Flow{From: flow.End{Kind: flow.Pod, Index: pod, Addr: pods[pod].Addr(family)},
				To: flow.End{Kind: flow.Pod, Index: server, Addr: pods[server].Addr(family)}, Family: family, Proto: proto, Port: dnsPort}
			want := oracle.Ask(r.Written, c.Options, f)
			if got := eval.Verdict(r.Model, &f); got != flow.Denied || !want.Skipped && want.Verdict != flow.Denied {
				rt.Fatalf("pod %d asks %d on %v: %v, the oracle says %v\n%#v", pod, server, proto, got, want.Verdict, c)
			}
		}
	}
}

// TestProbeLaw gives the pods of each world probes, and asks for each of them from its own node, or from
// every node where it is not known which that is. Without a rule that was not understood none is cut.
func TestProbeLaw(t *testing.T) {
	count := map[string]int{}
	eachWorld(t, 1, func(rt *rapid.T, c *world.Case, r *run) {
		pods := r.Written.Pods
		for i := range pods {
			pods[i].Probed = [][]uint16{{80}, {53, 8080}, nil}[i%3]
		}
		claimed := map[probed]bool{}
		r.cutProbes(func(f *flow.Flow) {
			claimed[probed{r.Model.ClassOf(f.To.Index), pods[f.To.Index].Owner, f.Port}] = true
		})
		understood := !slices.ContainsFunc(c.World.ClusterPolicies, func(p world.ClusterPolicy) bool { return p.FromServer })
		if understood && len(claimed) > 0 {
			rt.Fatalf("everything was understood, and %v are cut\n%#v", claimed, c)
		}
		for i := range pods {
			for _, port := range pods[i].Probed {
				said := claimed[probed{r.Model.ClassOf(i), pods[i].Owner, port}]
				asked, denied := askNodes(rt, c, r, i, port)
				switch {
				case said && denied < asked:
					rt.Fatalf("%v on %d is said to be cut, and %d of %d flows are denied\n%#v", &pods[i], port, denied, asked, c)
				case !said && asked > 0 && denied == asked:
					rt.Fatalf("%v on %d is cut, and nothing says so\n%#v", &pods[i], port, c)
				}
				count[fmt.Sprintf("understood %v, template %v, cut %v", understood, pods[i].Template, said)]++
			}
		}
	})
	t.Logf("seen: %v", count)
	for _, what := range []string{"understood true, template false, cut false", "understood false, template false, cut true", "understood false, template true, cut true"} {
		if count[what] == 0 {
			t.Errorf("too little was seen: %v", count)
		}
	}
}

// askNodes asks for a pod's probe from each node that may be its own, with each of its addresses, and
// compares evaluator and oracle.
func askNodes(rt *rapid.T, c *world.Case, r *run, pod int, port uint16) (asked, denied int) {
	p := &r.Written.Pods[pod]
	families := r.Model.Families()
	if len(p.Addrs) > 0 {
		families = []flow.Family{flow.FamilyOf(p.Addrs[0])}
	}
	for i := range r.Written.Nodes {
		if n := &r.Written.Nodes[i]; p.NodeName == "" || p.NodeName == n.Name {
			for _, family := range families {
				for _, a := range append([]netip.Addr{{}}, n.Addrs...) {
					f := flow.Flow{From: flow.End{Kind: flow.Node, Index: i, Addr: a}, Family: family, Proto: netset.TCP, Port: port,
						To: flow.End{Kind: flow.Pod, Index: pod, Addr: p.Addr(family)}}
					if a.IsValid() && flow.FamilyOf(a) != family {
						continue
					}
					asked++
					got, want := eval.Verdict(r.Model, &f), oracle.Ask(r.Written, c.Options, f)
					if !want.Skipped && got != want.Verdict {
						rt.Fatalf("%+v: %v, the oracle says %v\n%#v", f, got, want.Verdict, c)
					}
					if got == flow.Denied {
						denied++
					}
				}
			}
		}
	}
	return asked, denied
}

// TestPassages asks the oracle about every flow that the rules about identity look at.
func TestPassages(t *testing.T) {
	counts := map[string]int{}
	eachLayeredWorld(t, identityRules[0], func(rt *rapid.T, r *run, strict oracle.Options, text string) {
		snap := r.Written
		var goals []goal
		for i := range snap.External {
			goals = append(goals, r.serviceGoals(i)...)
		}
		for i := range snap.AccessPolicies {
			goals = append(goals, r.targetGoals(i, false)...)
		}
		for _, crowd := range r.crowds() {
			for _, g := range goals {
				for f, p := range r.passages(crowd.pods[0], []goal{g}) {
					comparePassage(rt, counts, oracle.AskLayers(snap, strict, *f, g.service), p, fmt.Sprintf("%v service %d\n%s", *f, g.service, text))
				}
			}
		}
	})
	t.Logf("passages: %v", counts)
	for _, what := range []string{"arrives", "stops", "identity"} {
		if counts[what] == 0 && !testing.Short() {
			t.Errorf("nothing was claimed as %s: %v", what, counts)
		}
	}
}

func comparePassage(rt *rapid.T, counts map[string]int, want oracle.Layers, p *passage, text string) {
	if want.Skipped {
		return
	}
	has := func(list []oracle.Opinion, any ...oracle.Opinion) bool {
		return slices.ContainsFunc(list, func(o oracle.Opinion) bool { return slices.Contains(any, o) })
	}
	before, identity := want.Answers[:oracle.IdentityIssued], want.Answers[oracle.IdentityIssued:]
	if p.arrives() {
		counts["arrives"]++
		if has(before, oracle.Deny, oracle.Unknown) {
			rt.Fatalf("arrives, and the oracle says %v: %s", want.Answers, text)
		}
	}
	if p.stops() {
		counts["stops"]++
		if !has(before, oracle.Deny) {
			rt.Fatalf("stops, and the oracle says %v: %s", want.Answers, text)
		}
	}
	if p.needsIdentity() {
		counts["identity"]++
	}
	if p.needsIdentity() != has(identity, oracle.Deny) {
		rt.Fatalf("needs identity: %v, and the oracle says %v: %s", p.needsIdentity(), want.Answers, text)
	}
}
