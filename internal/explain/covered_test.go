package explain_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// TestRemovalLaw takes away each rule that is said to make no difference, and asks every flow again.
func TestRemovalLaw(t *testing.T) {
	claims := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 4*time.Second, 4)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(8).Draw(rt, "case")
			if rapid.Bool().Draw(rt, "pods alike") {
				makeAlike(&c.World)
			}
			snap := c.World.Snapshot()
			o := policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs}
			o.Behaviour.BlocksMatchOutsideOnly = rapid.IntRange(0, 3).Draw(rt, "blocks match outside only") == 3
			m := policy.Compile(snap, o)
			for _, p := range m.Policies() {
				facts := explain.OfPolicy(m, p)
				for _, side := range facts.Sides {
					for _, r := range side.Rules {
						claim := claimOf(&r)
						if claim == "" {
							continue
						}
						claims[claim]++
						without := policy.Compile(world.WithoutRule(snap, p.Ref, side.Direction, r.ID.Rule), o)
						if f, ok := difference(m, without, c.Flows); ok {
							rt.Fatalf("%s %s is said to be %s (%v), and without it %+v is %v, not %v\n%#v", r.ID.Policy, r.ID.Path(), claim, r.Covered,
								f, eval.Verdict(without, &f), eval.Verdict(m, &f), c)
						}
					}
				}
			}
		})
	}
	t.Logf("claims: %v", claims)
	for _, what := range []string{"covered", "without subject"} {
		if claims[what] == 0 {
			t.Errorf("no rule was said to be %s: %v", what, claims)
		}
	}
}

// makeAlike leaves nothing but addresses and nodes to tell the pods apart, so that many pods stand
// behind one class.
func makeAlike(w *world.World) {
	for i := range w.Pods {
		w.Pods[i].Namespace, w.Pods[i].Labels = w.Pods[0].Namespace, w.Pods[0].Labels
		w.Pods[i].Spec.Containers = w.Pods[0].Spec.Containers
	}
}

func claimOf(r *explain.Rule) string {
	switch {
	case len(r.Covered) > 0:
		return "covered"
	case r.NoSubject:
		return "without subject"
	}
	return ""
}

// difference gives a flow that two models of the same pods and nodes decide differently.
func difference(a, b *policy.Model, drawn []flow.Flow) (flow.Flow, bool) {
	ends := everyEnd(a.Snapshot(), drawn)
	for _, from := range ends {
		for _, to := range ends {
			for _, f := range flow.Families {
				g := flow.Flow{From: from.in(f), To: to.in(f), Family: f, ViaService: true}
				if !from.has(a, f, to.end) || !to.has(a, f, from.end) {
					continue
				}
				for _, g.Proto = range netset.Protos {
					for _, g.Port = range []uint16{1, 53, 80, 81, 443, 8080, 65535} {
						if eval.Verdict(a, &g) != eval.Verdict(b, &g) {
							return g, true
						}
					}
				}
			}
		}
	}
	return flow.Flow{}, false
}

// anEnd is an end of a flow with every address that it has.
type anEnd struct {
	end   flow.End
	addrs []netip.Addr
}

func everyEnd(s *cluster.Snapshot, drawn []flow.Flow) []anEnd {
	var out []anEnd
	for i := range s.Pods {
		out = append(out, anEnd{flow.End{Kind: flow.Pod, Index: i}, s.Pods[i].Addrs})
	}
	for i := range s.Nodes {
		out = append(out, anEnd{flow.End{Kind: flow.Node, Index: i}, s.Nodes[i].Addrs})
	}
	outside := []string{"203.0.113.9", "10.0.0.9", "10.0.1.77", "8.8.8.8", "fd00::a00:9", "2001:db8::8"}
	for _, text := range outside {
		a := netip.MustParseAddr(text)
		out = append(out, anEnd{flow.End{Kind: flow.Address, Addr: a}, []netip.Addr{a}})
	}
	for _, f := range drawn {
		for _, e := range []flow.End{f.From, f.To} {
			if e.Kind == flow.Address {
				out = append(out, anEnd{e, []netip.Addr{e.Addr}})
			}
		}
	}
	return out
}

func (e anEnd) in(f flow.Family) flow.End {
	out := e.end
	out.Addr = netip.Addr{}
	for _, a := range e.addrs {
		if flow.FamilyOf(a) == f {
			out.Addr = a
		}
	}
	return out
}

// has tells whether the end can talk in a family. One without any address can in those of the
// cluster, and in that of an address at the other end.
func (e anEnd) has(m *policy.Model, f flow.Family, other flow.End) bool {
	if len(e.addrs) > 0 {
		return e.in(f).Addr.IsValid()
	}
	return slices.Contains(m.Families(), f) || other.Kind == flow.Address
}
