package analyze_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// layeredPorts are the numbers that worlds with layers use beside somePorts, and some next to them.
var layeredPorts = append([]uint16{1432, 1433, 1434, 8082, 8090, 10999, 11000, 11500, 11999, 12000}, somePorts...)

// layered is a world with layers, analysed.
type layered struct {
	s *cluster.Snapshot
	m *policy.Model
	l *layers.Model
	r *analyze.Reach
}

func optionsOf(o oracle.Options) policy.Options {
	return policy.Options{Strict: o.Strict, PodCIDRs: o.PodCIDRs, BlockMetadata: o.BlockMetadata, Azure: o.Azure, Behaviour: policy.Behaviour{NotEnforced: o.NotEnforced}}
}

func newLayered(s *cluster.Snapshot, o oracle.Options, byNamespace bool) layered {
	m := policy.Compile(s, optionsOf(o))
	r := question.NewResolver(m, "default")
	return layered{s, m, layers.Compile(m), analyze.New(m, r.Space(), analyze.Options{Outside: r.Outside(), ByNamespace: byNamespace,
		Services: r.Services(r.Space(), r.Outside())})}
}

// verdict decides a flow without any class: a service is closed on the ports that it does not serve.
func (w *layered) verdict(f *flow.Flow, service int) flow.Verdict {
	v := eval.Verdict(w.m, f)
	switch {
	case w.l == nil:
		return v
	case service >= 0 && !w.l.Serves(service, f.Proto, f.Port):
		return flow.Denied
	}
	return v.And(w.l.Verdict(f, service))
}

// TestLayeredReachIsPairByPair compares what the classes give with every pair of pods, nodes and pieces of the outside,
// one flow at a time, where layers speak.
func TestLayeredReachIsPairByPair(t *testing.T) {
	compared := 0
	for end := time.Now().Add(world.Soak(t, 4*time.Second, 6)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(0).Draw(rt, "case")
			s := c.World.Snapshot()
			s.Facts.TrustDomain = c.Options.TrustDomain
			w := newLayered(s, c.Options, rapid.Bool().Draw(rt, "by namespace"))
			compared += w.compareAll(rt)
		})
	}
	t.Logf("%d pairs of parties compared", compared)
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

func (w *layered) compareAll(rt *rapid.T) int {
	listed := map[[2]int]bool{}
	w.r.Each(false, func(row *analyze.Row) bool {
		listed[[2]int{row.From, row.To}] = true
		return true
	})
	compared := 0
	for from := range w.r.Parties {
		for to := range w.r.Parties {
			a, b := &w.r.Parties[from], &w.r.Parties[to]
			if a.External && b.External || a.Service > 0 {
				continue
			}
			compared++
			row, ok := w.r.Between(from, to)
			if open := ok && !row.Empty(); open != listed[[2]int{from, to}] {
				rt.Fatalf("%s → %s: open is %v, and Each does not say so", a.Name, b.Name, open)
			}
			if ok {
				w.compare(rt, &row, b.Service-1)
			}
		}
	}
	return compared
}

func (w *layered) compare(rt *rapid.T, row *analyze.Row, service int) {
	flows := w.r.Flows(row.From, row.To)
	for _, proto := range netset.Protos {
		for _, port := range layeredPorts {
			seen := map[flow.Verdict]bool{}
			for _, f := range flows {
				if f.Proto = proto; proto != netset.Other {
					f.Port = port
				}
				seen[w.verdict(&f, service)] = true
			}
			if want, got := expected(seen), claimed(row, proto, port); want != got {
				rt.Fatalf("%s → %s %v/%d: pair by pair %v (%s), classes %s", w.r.Parties[row.From].Name, w.r.Parties[row.To].Name, proto, port, seen, want, got)
			}
		}
	}
}

// TestLayeredDiffLaw: a pair of parties is in the diff if and only if its row is not what it was.
func TestLayeredDiffLaw(t *testing.T) {
	differ := 0
	for end := time.Now().Add(world.Soak(t, 4*time.Second, 6)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(0).Draw(rt, "case")
			was := c.World.Snapshot()
			is := changeLayers(rt, was)
			differ += compareDiff(rt, was, is, optionsOf(c.Options))
		})
	}
	t.Logf("%d pairs differ", differ)
	if differ == 0 {
		t.Error("no change changed anything")
	}
}

// changeLayers takes away, or changes, one or a few things that layers are about.
func changeLayers(rt *rapid.T, was *cluster.Snapshot) *cluster.Snapshot {
	is := *was
	is.Identities, is.AccessPolicies, is.External = slices.Clone(was.Identities), slices.Clone(was.AccessPolicies), slices.Clone(was.External)
	for range rapid.IntRange(1, 2).Draw(rt, "changes") {
		which := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
		switch kind := rapid.IntRange(0, 4).Draw(rt, "change"); {
		case kind == 0 && len(is.Identities) > 0:
			i := which(len(is.Identities))
			is.Identities = slices.Delete(is.Identities, i, i+1)
		case kind == 1 && len(is.AccessPolicies) > 0:
			i := which(len(is.AccessPolicies))
			is.AccessPolicies = slices.Delete(is.AccessPolicies, i, i+1)
		case kind == 2 && len(is.External) > 0:
			i := which(len(is.External))
			is.External = slices.Delete(is.External, i, i+1)
		case kind == 3 && len(is.External) > 0: // other addresses
			x := &is.External[which(len(is.External))]
			spec := x.Spec.DeepCopy()
			spec.CIDRs = rapid.SampledFrom([][]string{nil, {"203.0.113.0/25"}, {"203.0.113.0/24", "8.8.8.0/24"}}).Draw(rt, "cidrs")
			x.Spec = spec
		default:
			is.Facts.TrustDomain = rapid.SampledFrom([]string{"", "example.org"}).Draw(rt, "trust domain")
		}
	}
	return &is
}

func compareDiff(rt *rapid.T, was, is *cluster.Snapshot, o policy.Options) int {
	a, b := question.NewResolver(policy.Compile(was, o), ""), question.NewResolver(policy.Compile(is, o), "")
	space, outside := question.Together(a, b)
	side := func(r *question.Resolver) *analyze.Reach {
		return analyze.New(r.Model, space, analyze.Options{Outside: outside, Services: r.Services(space, outside)})
	}
	before, after := side(a), side(b)
	d := analyze.NewDiff(before, after)
	changed := map[[2]string]bool{}
	d.Each(func(c *analyze.Change) bool {
		changed[[2]string{d.Parties[c.From].Name, d.Parties[c.To].Name}] = true
		if why := d.Why(c); why.Before == nil && why.After == nil {
			rt.Fatalf("no witness of %s → %s", d.Parties[c.From].Name, d.Parties[c.To].Name)
		}
		return true
	})
	old, now := rowTexts(before), rowTexts(after)
	for pair, text := range old {
		if other, ok := now[pair]; ok && (text != other) && !changed[pair] {
			rt.Fatalf("%v: was %s, is %s, and the diff does not say so", pair, text, other)
		} else if ok && text == other && changed[pair] && !hasPartial(text) {
			rt.Fatalf("%v: was and is %s, and the diff says it changed", pair, text)
		}
	}
	return len(changed)
}

func rowTexts(r *analyze.Reach) map[[2]string]string {
	out := map[[2]string]string{}
	r.Each(true, func(row *analyze.Row) bool {
		text := row.Allowed.String() + "|" + row.Ambiguous.String() + "|" + row.Unknown.String() + "|" + row.Partial.String()
		out[[2]string{r.Parties[row.From].Name, r.Parties[row.To].Name}] = text
		return true
	})
	return out
}

func hasPartial(text string) bool { return text[len(text)-1] != '|' }

// BenchmarkLayeredRows reads every row of 2,000 workloads, each with an identity of its own, 500 of them with an access policy.
func BenchmarkLayeredRows(b *testing.B) {
	for _, layered := range []bool{false, true} {
		b.Run(fmt.Sprintf("layers=%v", layered), func(b *testing.B) {
			s := bench.Spread(2_000, 10_000, 2_000)
			if layered {
				bench.WithLayers(s)
			}
			m := policy.Compile(s, policy.Options{})
			res := question.NewResolver(m, "default")
			rows := 0
			for b.Loop() {
				rows = 0
				r := analyze.New(m, res.Space(), analyze.Options{Services: res.Services(res.Space(), res.Outside())})
				r.Each(false, func(*analyze.Row) bool {
					rows++
					return true
				})
			}
			b.ReportMetric(float64(rows), "rows")
		})
	}
}
