package kernel_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// table is what one of 1,000 nodes holds: 110 pods here, 100,000 in the cluster, each of 10,000 workloads with its own policy.
func table() *program.Program {
	s := bench.OnNodes(bench.Spread(10_000, 100_000, 10_000), 110)
	return program.New(policy.Compile(s, policy.Options{}), nodeOf(s, s.Nodes[0].Name))
}

func size(p *program.Program) (n int) {
	for i := range p.Sets {
		n += len(p.Sets[i].Elements)
	}
	for i := range p.Maps {
		n += len(p.Maps[i].Elements)
	}
	return n
}

// BenchmarkStart writes a whole table where none is, reads it back in part, and in the other case where an older one is.
func BenchmarkStart(b *testing.B) {
	p := table()
	f := features(b)
	for _, there := range []bool{false, true} {
		b.Run(map[bool]string{false: "empty", true: "over another"}[there], func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				ns := netnstest.New(b)
				if there {
					t := open(b, ns, f)
					apply(b, t, p)
					if err := t.Close(); err != nil {
						b.Fatal(err)
					}
				}
				t := open(b, ns, f)
				b.StartTimer()
				apply(b, t, p)
			}
			b.ReportMetric(float64(size(p)), "elements")
		})
	}
}

// BenchmarkElement changes what one pod's event changes, in a large table: an element of each of two maps and of a set, back and forth.
func BenchmarkElement(b *testing.B) {
	p := table()
	t := open(b, netnstest.New(b), features(b))
	apply(b, t, p)
	less := without(p, 1, "ingress4", "egress4", "sources4")
	for n := 0; b.Loop(); n++ {
		apply(b, t, []*program.Program{less, p}[n%2])
	}
}

// BenchmarkRows changes 10,000 elements of a large table at once, as a policy's event may.
func BenchmarkRows(b *testing.B) {
	p := table()
	t := open(b, netnstest.New(b), features(b))
	apply(b, t, p)
	largest := slices.MaxFunc(p.Sets, func(a, b program.Set) int { return len(a.Elements) - len(b.Elements) })
	if len(largest.Elements) < 20_000 {
		b.Fatalf("the largest set has %d elements", len(largest.Elements))
	}
	less := without(p, 10_000, largest.Name)
	for n := 0; b.Loop(); n++ {
		apply(b, t, []*program.Program{less, p}[n%2])
	}
}

// BenchmarkLook looks at a large table after somebody committed something else, and at all of it.
func BenchmarkLook(b *testing.B) {
	p := table()
	for _, everything := range []bool{false, true} {
		b.Run(map[bool]string{false: "structure", true: "everything"}[everything], func(b *testing.B) {
			ns := netnstest.New(b)
			t := open(b, ns, kernel.Features{})
			apply(b, t, p)
			for b.Loop() {
				b.StopTimer()
				nft(b, ns, "add table ip other; delete table ip other", "-f", "-")
				b.StartTimer()
				if found, err := t.Heal(everything); err != nil || len(found) > 0 {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// without makes a program that lacks some elements of some sets and maps, and shares the rest.
func without(p *program.Program, elements int, names ...string) *program.Program {
	q := *p
	q.Maps, q.Sets = slices.Clone(p.Maps), slices.Clone(p.Sets)
	for i := range q.Maps {
		if slices.Contains(names, q.Maps[i].Name) {
			q.Maps[i].Elements = slices.Clone(q.Maps[i].Elements[elements:])
		}
	}
	for i := range q.Sets {
		if slices.Contains(names, q.Sets[i].Name) {
			q.Sets[i].Elements = slices.Clone(q.Sets[i].Elements[elements:])
		}
	}
	return &q
}

// BenchmarkEvent is one event in a cluster of 100,000 pods with 10,000 policies, from what a source says to what the kernel has and
// was read back: the model, the program, the commit.
func BenchmarkEvent(b *testing.B) {
	s := bench.OnNodes(bench.Spread(10_000, 100_000, 10_000), 110)
	here := s.Nodes[0].Name
	l := program.NewLive(policy.NewLive(s, policy.Options{}), nodeOf(s, here))
	t := open(b, netnstest.New(b), features(b))
	p, _ := l.Take()
	apply(b, t, p)
	another := func(n int, node string) cluster.Pod {
		p := s.Pods[(n*97)%len(s.Pods)]
		p.Name, p.NodeName, p.Addrs = "another", node, []netip.Addr{netip.AddrFrom4([4]byte{172, 16, byte(n >> 8), byte(n)})}
		return p
	}
	for _, c := range []struct {
		what  string
		event func(n int)
	}{
		{"a pod elsewhere", func(n int) {
			if p := another(n/2, "elsewhere"); n%2 == 0 {
				l.SetPod(p)
			} else {
				l.RemovePod(&p)
			}
		}},
		{"a pod here", func(n int) {
			if p := another(n/2, here); n%2 == 0 {
				l.SetPod(p)
				at := nodeOf(s, here)
				at.Interface[len(s.Pods)] = "veth-another" // where it is now
				l.SetNode(at)
			} else {
				l.RemovePod(&p)
			}
		}},
		{"a policy", func(n int) {
			if np := s.NetworkPolicies[(n/2)%1_000]; n%2 == 0 {
				l.RemoveNetworkPolicy(np.Object.Namespace, np.Object.Name)
			} else {
				l.SetNetworkPolicy(np)
			}
		}},
	} {
		b.Run(c.what, func(b *testing.B) {
			var all []time.Duration
			for n := 0; b.Loop(); n++ {
				begun := time.Now()
				c.event(n)
				p, d := l.Take()
				if _, err := t.Change(p, d); err != nil {
					b.Fatal(err)
				}
				all = append(all, time.Since(begun))
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "µs-p50")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "µs-p99")
		})
	}
}
