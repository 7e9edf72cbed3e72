package kernel_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// TestDifferencesComeToTheSame: whatever came before, the kernel has what was applied last, to the last element.
func TestDifferencesComeToTheSame(t *testing.T) {
	for _, owner := range []bool{false, true} {
		t.Run(fmt.Sprint("owner ", owner), func(t *testing.T) {
			ns := netnstest.New(t)
			table := open(t, ns, kernel.Features{Owner: owner})
			whole, parts := 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				p := draw(rt)
				if c := apply(rt, table, p); c.Everything {
					whole++
				} else if c.Words != "" {
					parts++
				}
				same(rt, ns, p)
			})
			if whole != 1 || parts < 10 {
				t.Errorf("%d times everything was written, and %d times a difference", whole, parts)
			}
		})
	}
}

func open(t testing.TB, ns *netns.Namespace, f kernel.Features) *kernel.Table {
	t.Helper()
	table, err := kernel.Open(ns.FD(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func apply(t rapid.TB, table *kernel.Table, p *program.Program) kernel.Change {
	t.Helper()
	c, err := table.Apply(p)
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, p.Nft())
	}
	return c
}

// same reads the whole table and compares it with a program.
func same(t rapid.TB, ns *netns.Namespace, p *program.Program) {
	t.Helper()
	got, foreign, err := kernel.Read(ns.FD())
	if err != nil || len(foreign) > 0 || got == nil {
		t.Fatal(got, foreign, err)
	}
	if !equal(p, got) { // cmp is slow where there is much to compare
		t.Fatal(cmp.Diff(p, got, compareAddr))
	}
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// large makes a program with a set of so many addresses.
func large(elements int) *program.Program {
	p := &program.Program{Sets: []program.Set{{Name: "many", Key: program.KeyIPv4}}}
	addr := netip.MustParseAddr("10.0.0.0")
	for range elements {
		p.Sets[0].Elements = append(p.Sets[0].Elements, program.Element{First: addr, Last: addr})
		addr = addr.Next()
	}
	p.Chains = []program.Chain{{Name: "forward", Hook: program.Forward, Rules: []program.Rule{{Match: program.Source4, Set: "many", Verdict: program.Verdict{Act: program.Drop}, Comment: "many"}}}}
	return p
}

// TestSizes: the kernel stores every element, however many are sent at once, as a table and as a difference.
func TestSizes(t *testing.T) {
	for _, n := range []int{1, 1_000, 6_000, 300_000} {
		p := large(n)
		ns := netnstest.New(t)
		apply(t, open(t, ns, kernel.Features{}), p)
		if n < 100_000 { // the kernel takes eight seconds to dump a set of 300,000, and does so once below
			same(t, ns, p)
		}

		ns = netnstest.New(t)
		table := open(t, ns, kernel.Features{})
		apply(t, table, large(0))
		apply(t, table, p)
		same(t, ns, p)
		if c := apply(t, table, large(0)); c.Everything {
			t.Errorf("%d elements less: not by a difference", n)
		}
		same(t, ns, large(0))
	}
}

// draw makes the table of a node of a random world.
func draw(rt *rapid.T) *program.Program {
	for {
		c := world.Cases(1).Draw(rt, "case")
		s := c.World.Snapshot()
		if len(s.Nodes) == 0 || c.Options.NotEnforced {
			continue
		}
		m := policy.Compile(s, policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure})
		return program.New(m, nodeOf(s, s.Nodes[0].Name))
	}
}

// nodeOf gives the facts of a node whose pods each have an interface of their own.
func nodeOf(s *cluster.Snapshot, name string) *program.Node {
	n := &program.Node{Name: name, Uplinks: []string{"eth0"}, Interface: map[int]string{}}
	for i := range s.Pods {
		if p := &s.Pods[i]; p.NodeName == name && !p.HostNetwork && !p.Template {
			n.Interface[i] = fmt.Sprintf("veth%d", i)
		}
	}
	return n
}

// TestChangeFollows: what a Live says changed leads the kernel to what the Live has, in whatever steps.
func TestChangeFollows(t *testing.T) {
	ns := netnstest.New(t)
	table := open(t, ns, kernel.Features{})
	whole, parts := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		s := world.Cases(1).Draw(rt, "from").World.Snapshot()
		if len(s.Nodes) == 0 {
			return
		}
		l := program.NewLive(policy.NewLive(s, policy.Options{}), nodeOf(s, s.Nodes[0].Name))
		p, _ := l.Take()
		apply(rt, table, p)
		for range 3 {
			other := world.Cases(1).Draw(rt, "next").World.Snapshot()
			next := *s
			next.Pods, next.NetworkPolicies = other.Pods, other.NetworkPolicies
			c := cluster.Compare(s, &next)
			for _, gone := range c.GonePods {
				l.RemovePod(gone)
			}
			for _, p := range c.Pods {
				l.SetPod(*p)
			}
			for _, gone := range c.GonePolicies {
				l.RemoveNetworkPolicy(gone.Object.Namespace, gone.Object.Name)
			}
			for _, np := range c.Policies {
				l.SetNetworkPolicy(*np)
			}
			s = &next
			l.SetNode(nodeOf(l.Model().Snapshot(), l.Node()))
			p, d := l.Take()
			change, err := table.Change(p, d)
			switch {
			case err != nil:
				rt.Fatal(err)
			case change.Everything:
				whole++
			case change.Words != "":
				parts++
			}
			same(rt, ns, p)
		}
	})
	if whole > 0 || parts < 50 {
		t.Errorf("%d times everything was written, and %d times a difference", whole, parts)
	}
}
