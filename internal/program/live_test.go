package program_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// TestLive: whatever came before, and whenever it was taken, a Live has what New makes of the same, and what it says changed leads there.
func TestLive(t *testing.T) {
	for _, from := range []int{64, 3, 1} { // 3: sets become shared and cease to be while pods come and go
		t.Run(fmt.Sprint("shared from ", from), func(t *testing.T) {
			defer program.ShareFrom(from)()
			rapid.Check(t, testLive)
		})
	}
}

// links gives a pod's interface by its name. Some pods have none yet.
func links(p *cluster.Pod) string {
	if p.HostNetwork || p.Template || p.Name == "p3" {
		return ""
	}
	return "veth-" + p.Name
}

func testLive(rt *rapid.T) {
	w, o := drawWorld(rt)
	from, to := w.Snapshot(), *w.Snapshot()
	if len(from.Nodes) == 0 || o.NotEnforced {
		return
	}
	other, _ := drawWorld(rt)
	to.Pods, to.NetworkPolicies = other.Snapshot().Pods, other.Snapshot().NetworkPolicies
	moreAddrs(rt, from)
	moreAddrs(rt, &to)
	opts := policy.Options{Strict: o.Strict, PodCIDRs: o.PodCIDRs, BlockMetadata: o.BlockMetadata, Azure: o.Azure}
	node := from.Nodes[0].Name
	l := program.NewLive(policy.NewLive(from, opts), nodeWith(from, node))
	seen := program.Program{}
	check := func(when string) {
		p, d := l.Take()
		next := applied(rt, &seen, p, d)
		if diff := cmp.Diff(p.Nft(), next.Nft()); diff != "" {
			rt.Fatalf("%s: what changed does not lead to what is there: %s", when, diff)
		}
		seen = *next
	}
	for _, s := range rapid.Permutation(steps(from, &to)).Draw(rt, "steps") {
		s.do(l)
		if rapid.IntRange(0, 3).Draw(rt, "the node") == 0 {
			l.SetNode(anotherNode(rt, l))
		}
		if rapid.Bool().Draw(rt, "take") {
			check(s.what)
		}
	}
	l.SetNode(nodeWith(l.Model().Snapshot(), node))
	check("at the end")
	m := policy.Compile(&to, opts)
	want := program.New(m, nodeWith(&to, node))
	if diff := cmp.Diff(want.Nft(), seen.Nft()); diff != "" {
		rt.Fatalf("it is not what New makes: %s", diff)
	}
	p, _ := l.Take()
	if diff := cmp.Diff(want.Notes, p.Notes); diff != "" {
		rt.Fatalf("the notes are not those that New makes: %s", diff)
	}
	sameAllowed(rt, l, program.NewLive(policy.NewLive(&to, opts), nodeWith(&to, node)))
}

// drawWorld draws worlds of all kinds: where projected access policies count, and where something could not be read.
func drawWorld(t *rapid.T) (world.World, oracle.Options) {
	if rapid.IntRange(0, 3).Draw(t, "layers") == 0 {
		c := world.LayeredCases(1).Draw(t, "world")
		return c.World, c.Options
	}
	c := world.UnevaluatedCases(1).Draw(t, "world")
	return c.World, c.Options
}

// someAddrs are addresses that pods, nodes and others have, and strange ones.
var someAddrs = []string{"10.0.0.1", "10.0.1.1", "10.0.0.5", "10.1.0.1", "10.1.0.2", "fd00::a00:1", "fd00::a01:1", "169.254.169.254", "203.0.113.9", "127.0.0.1", "::1",
	"0.0.0.0", "255.255.255.255", "fe80::1"}

// moreAddrs gives some pods more addresses, of which others may have the same.
func moreAddrs(t *rapid.T, s *cluster.Snapshot) {
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Template || rapid.IntRange(0, 2).Draw(t, "more addresses") > 0 {
			continue
		}
		for _, text := range rapid.SliceOfN(rapid.SampledFrom(someAddrs), 1, 3).Draw(t, "addresses") {
			if a := netip.MustParseAddr(text); !slices.Contains(p.Addrs, a) {
				p.Addrs = append(p.Addrs, a)
			}
		}
	}
}

// anotherNode is one whose interfaces are others: pods have none, or one of another name, or share it.
func anotherNode(t *rapid.T, l *program.Live) *program.Node {
	n := nodeWith(l.Model().Snapshot(), l.Node())
	n.Uplinks = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{uplink, "eth1", "veth-p1"}), 0, 3, rapid.ID).Draw(t, "uplinks")
	n.Unseen = rapid.Bool().Draw(t, "unseen")
	for _, i := range slices.Sorted(maps.Keys(n.Interface)) {
		if link := rapid.SampledFrom([]string{"", "as it is", "bridge"}).Draw(t, "link"); link == "" {
			delete(n.Interface, i)
		} else if link == "bridge" {
			n.Interface[i] = link
		}
	}
	return n
}

// sameAllowed compares what two of them allow between addresses that somebody has, and others.
func sameAllowed(t *rapid.T, got, want *program.Live) {
	addrs := map[netip.Addr]bool{netip.MustParseAddr("192.0.2.1"): true, netip.MustParseAddr("2001:db8::1"): true}
	for _, p := range want.Model().Snapshot().Pods {
		for _, a := range p.Addrs {
			addrs[a] = true
		}
	}
	for _, n := range want.Model().Snapshot().Nodes {
		for _, a := range n.Addrs {
			addrs[a] = true
		}
	}
	own := func(a netip.Addr) bool { return a.IsLoopback() }
	words := func(l *program.Live, from, to netip.Addr, port uint16) []string {
		var out []string
		for _, s := range l.Allows(from, to, netset.TCP, port, own) {
			out = append(out, fmt.Sprint(&l.Model().Snapshot().Pods[s.Pod], s.Direction, s.Allowed))
		}
		slices.Sort(out)
		return out
	}
	for from := range addrs {
		for to := range addrs {
			for _, port := range []uint16{80, 8080} {
				if from.Is4() != to.Is4() {
					continue
				}
				if x, y := words(got, from, to, port), words(want, from, to, port); !slices.Equal(x, y) {
					t.Fatalf("from %s to %s port %d: %v and not %v", from, to, port, x, y)
				}
			}
		}
	}
}

func nodeWith(s *cluster.Snapshot, name string) *program.Node {
	n := &program.Node{Name: name, Uplinks: []string{uplink}, Interface: map[int]string{}}
	for i := range s.Pods {
		if link := links(&s.Pods[i]); link != "" {
			n.Interface[i] = link
		}
	}
	return n
}

// applied does to a copy of a program what a Delta says.
func applied(t *rapid.T, old, next *program.Program, d *program.Delta) *program.Program {
	out := &program.Program{}
	after := func(name string, list []program.Element) []program.Element {
		list = slices.Clone(list)
		for i := range d.Elements {
			if d.Elements[i].Set != name {
				continue
			}
			for _, x := range d.Elements[i].Gone {
				at := slices.Index(list, x)
				if at < 0 {
					t.Fatalf("%s: %+v goes and was not there", name, x)
				}
				list = slices.Delete(list, at, at+1)
			}
			for _, x := range d.Elements[i].Come {
				if slices.Contains(list, x) {
					t.Fatalf("%s: %+v comes and was there", name, x)
				}
				list = append(list, x)
			}
		}
		slices.SortFunc(list, program.CompareElements)
		return list
	}
	kept := func(name string, made, gone []string, had bool) bool {
		if slices.Contains(made, name) == had || slices.Contains(gone, name) && !had {
			t.Fatalf("%s was there: %v; it is among those made: %v", name, had, slices.Contains(made, name))
		}
		return !slices.Contains(gone, name)
	}
	for i := range next.Sets {
		s := next.Sets[i]
		k := slices.IndexFunc(old.Sets, func(o program.Set) bool { return o.Name == s.Name })
		if kept(s.Name, d.NewSets, d.GoneSets, k >= 0); k >= 0 {
			s.Elements = after(s.Name, old.Sets[k].Elements)
		} else {
			s.Elements = after(s.Name, nil)
		}
		out.Sets = append(out.Sets, s)
	}
	for i := range next.Maps {
		s := next.Maps[i]
		k := slices.IndexFunc(old.Maps, func(o program.Map) bool { return o.Name == s.Name })
		if kept(s.Name, d.NewSets, d.GoneSets, k >= 0); k >= 0 {
			s.Elements = after(s.Name, old.Maps[k].Elements)
		} else {
			s.Elements = after(s.Name, nil)
		}
		out.Maps = append(out.Maps, s)
	}
	for i := range next.Chains {
		c := next.Chains[i]
		k := slices.IndexFunc(old.Chains, func(o program.Chain) bool { return o.Name == c.Name })
		kept(c.Name, d.NewChains, d.GoneChains, k >= 0)
		if !slices.Contains(d.Rules, c.Name) {
			if k < 0 {
				t.Fatalf("chain %s is new, and its rules are not among those to write", c.Name)
			}
			c.Rules = old.Chains[k].Rules
		}
		out.Chains = append(out.Chains, c)
	}
	gone := len(old.Sets) + len(old.Maps) + len(d.NewSets) - len(d.GoneSets) - len(next.Sets) - len(next.Maps)
	if gone != 0 || len(old.Chains)+len(d.NewChains)-len(d.GoneChains) != len(next.Chains) {
		t.Fatalf("%d sets go unnoticed, and chains: %q, %q", gone, d.GoneChains, d.NewChains)
	}
	return out
}

// step is one thing that happens. It is printed where a test fails.
type step struct {
	what string
	do   func(*program.Live)
}

func (s step) String() string { return s.what }

// steps lead from one Snapshot's pods and policies to another's, in any order, with repetitions and detours.
func steps(from, to *cluster.Snapshot) []step {
	var out []step
	add := func(what string, do func(*program.Live)) { out = append(out, step{what, do}) }
	set := func(l *program.Live, p cluster.Pod) {
		l.SetPod(p)
		l.SetNode(nodeWith(l.Model().Snapshot(), l.Node()))
	}
	for i := range from.Pods {
		p := &from.Pods[i]
		if !slices.ContainsFunc(to.Pods, func(q cluster.Pod) bool {
			return q.Namespace == p.Namespace && q.Name == p.Name && q.Template == p.Template && q.Replica == p.Replica
		}) {
			add("remove "+p.String(), func(l *program.Live) { l.RemovePod(p) })
		}
	}
	for i := range to.Pods {
		p := to.Pods[i]
		add("set "+p.String(), func(l *program.Live) { set(l, p) })
		other := p
		other.Labels = map[string]string{"passing": "by"}
		add("change and set back "+p.String(), func(l *program.Live) { set(l, other); set(l, p) })
		add("remove and set "+p.String(), func(l *program.Live) { l.RemovePod(&p); set(l, p) })
		moved := p
		moved.NodeName, moved.Account, moved.Addrs = "n2", "another", append(slices.Clone(p.Addrs), netip.MustParseAddr("10.0.0.5"))
		add("move and move back "+p.String(), func(l *program.Live) { set(l, moved); set(l, p) })
		host := p
		host.HostNetwork, host.Owner.Name = !p.HostNetwork, "another"
		add("share the node's network and do not "+p.String(), func(l *program.Live) { set(l, host); set(l, p) })
	}
	for i := range from.NetworkPolicies {
		o := from.NetworkPolicies[i].Object
		if !slices.ContainsFunc(to.NetworkPolicies, func(q cluster.NetworkPolicy) bool {
			return q.Object.Namespace == o.Namespace && q.Object.Name == o.Name
		}) {
			add("remove "+o.Name, func(l *program.Live) { l.RemoveNetworkPolicy(o.Namespace, o.Name) })
		}
	}
	for i := range to.NetworkPolicies {
		np := to.NetworkPolicies[i]
		add("set "+np.Object.Name, func(l *program.Live) { l.SetNetworkPolicy(np) })
		add("remove and set "+np.Object.Name, func(l *program.Live) {
			l.RemoveNetworkPolicy(np.Object.Namespace, np.Object.Name)
			l.SetNetworkPolicy(np)
		})
	}
	return out
}

// TestAnotherStandsForThem: what is allowed for pods that are alike is asked about one of them, which may be gone meanwhile.
func TestAnotherStandsForThem(t *testing.T) {
	e := example(t)
	l := program.NewLive(policy.NewLive(e.s, policy.Options{}), e.n)
	web := e.s.Pods[slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "web" })]
	web.NodeName, web.Name, web.Addrs = "n2", "web-2", []netip.Addr{netip.MustParseAddr("10.2.0.77")}
	third := web
	third.Name, third.Addrs = "web-3", []netip.Addr{netip.MustParseAddr("10.2.0.78")}
	at := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "db" })
	db := e.s.Pods[at]
	l.RemovePod(&db)
	l.SetPod(web)
	l.SetPod(third)
	l.RemovePod(&third) // it was asked about last
	l.SetPod(db)
	l.SetNode(nodeOf(l.Model().Snapshot(), "n1"))
	p, _ := l.Take()
	e.s.Pods = append(e.s.Pods, web)
	want := program.New(policy.Compile(e.s, policy.Options{}), e.n)
	for _, port := range []uint16{5432, 80} {
		k := program.Packet{Hook: program.Forward, In: uplink, Out: e.n.Interface[at], Src: web.Addrs[0], Dst: db.Addrs[0], Proto: netset.TCP, Port: port}
		got, path, err := p.Try(&k)
		if expected, _, _ := want.Try(&k); got != expected || err != nil {
			t.Errorf("port %d: %v by %q, %v", port, got, path, err)
		}
	}
}

// BenchmarkLive is one event in a cluster of 100,000 pods with 10,000 policies, until what changed is known.
func BenchmarkLive(b *testing.B) {
	s := bench.OnNodes(bench.Spread(10_000, 100_000, 10_000), 110)
	here := s.Nodes[0].Name
	l := program.NewLive(policy.NewLive(s, policy.Options{}), nodeOf(s, here))
	l.Take()
	for _, c := range []struct{ kind, node string }{{"a replica elsewhere", "elsewhere"}, {"a workload elsewhere", "elsewhere"}, {"a replica here", here}, {"a workload here", here}} {
		b.Run(c.kind, func(b *testing.B) {
			var all []time.Duration
			with := nodeOf(s, here)
			with.Interface[len(s.Pods)] = "veth-another" // where it will be
			for n := 0; b.Loop(); n++ {
				p := s.Pods[n%len(s.Pods)]
				if c.kind == "a replica here" {
					p = s.Pods[n%100]
				}
				p.Name, p.NodeName, p.Addrs = "another", c.node, []netip.Addr{netip.AddrFrom4([4]byte{172, 16, byte(n >> 8), byte(n)})}
				if strings.HasPrefix(c.kind, "a workload") {
					p.Labels = maps.Clone(p.Labels)
					p.Labels["pod-template-hash"] = fmt.Sprint(n)
				}
				start := time.Now()
				l.SetPod(p)
				l.SetNode(with)
				l.Take()
				all = append(all, time.Since(start))
				start = time.Now()
				l.RemovePod(&p)
				l.Take()
				all = append(all, time.Since(start))
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "µs-p99")
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs-p50")
		})
	}
	b.Run("a policy", func(b *testing.B) {
		var all []time.Duration
		for n := 0; b.Loop(); n++ {
			np := s.NetworkPolicies[n%1000]
			start := time.Now()
			l.RemoveNetworkPolicy(np.Object.Namespace, np.Object.Name)
			l.Take()
			all = append(all, time.Since(start))
			start = time.Now()
			l.SetNetworkPolicy(np)
			l.Take()
			all = append(all, time.Since(start))
		}
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "µs-p99")
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs-p50")
	})
}

// TestAllows: what is said of a connection is what the table does with its first packet.
func TestAllows(t *testing.T) {
	compared := map[bool]int{}
	rapid.Check(t, func(rt *rapid.T) {
		c := world.UnevaluatedCases(24).Draw(rt, "case")
		s := c.World.Snapshot()
		if len(s.Nodes) == 0 || c.Options.NotEnforced {
			return
		}
		e := newExperiment(s, c.Options, 0)
		opts := policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure}
		l := program.NewLive(policy.NewLive(s, opts), e.n)
		own := func(a netip.Addr) bool { return slices.Contains(s.Nodes[0].Addrs, a) }
		for _, f := range slices.Concat(c.Flows, e.flows(c.Flows)) {
			k, ok := e.packet(&f)
			if !ok || !e.has(f.From) { // what comes with another's address is dropped by where it comes from
				continue
			}
			if own(k.Src) && k.In != "" || own(k.Dst) && k.Out != "" { // no node takes that from a link, or sends it there
				continue
			}
			want, path, err := e.p.Try(&k)
			if err != nil {
				rt.Fatal(err)
			}
			allowed := true
			for _, side := range l.Allows(k.Src, k.Dst, k.Proto, k.Port, own) {
				allowed = allowed && side.Allowed
			}
			if compared[want]++; allowed != want {
				rt.Fatalf("%+v: allowed %v, and the table: %v by %q", k, allowed, want, path)
			}
		}
	})
	if compared[true] < 100 || compared[false] < 100 {
		t.Errorf("too little was compared: %v", compared)
	}
}
