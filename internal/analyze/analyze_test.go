package analyze_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// somePorts are the numbers that random worlds use, and some beside them.
var somePorts = []uint16{1, 53, 79, 80, 81, 443, 1000, 8079, 8080, 8081, 9000, 32526, 65535}

// TestReachIsPairByPair compares what the classes give with every pair of pods, one flow at a time, by
// the evaluator and by the oracle; by workload and by namespace.
func TestReachIsPairByPair(t *testing.T) {
	compared, byOracle := 0, 0
	for end := time.Now().Add(world.Soak(t, 5*time.Second, 6)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.UnevaluatedCases(0).Draw(rt, "case")
			c.Options.NotEnforced = false
			s := c.World.Snapshot()
			m := policy.Compile(s, policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure})
			space := m.Space()
			var outside []policy.Region
			for _, w := range space.Whole() {
				outside = append(outside, space.Regions(w)...)
			}
			p := pairs{t: rt, s: s, m: m, r: analyze.New(m, space, analyze.Options{Outside: outside, ByNamespace: rapid.Bool().Draw(rt, "by namespace")})}
			if rapid.IntRange(0, 9).Draw(rt, "oracle") == 0 {
				p.oracle = &c.Options
				byOracle++
			}
			compared += p.compareAll()
		})
	}
	t.Logf("%d pairs of parties compared; %d worlds with the oracle", compared, byOracle)
	if compared == 0 || byOracle == 0 {
		t.Error("nothing was compared")
	}
}

// pairs compares the rows of one world.
type pairs struct {
	t      *rapid.T
	s      *cluster.Snapshot
	m      *policy.Model
	r      *analyze.Reach
	oracle *oracle.Options // asked instead of the evaluator where set
}

func (p *pairs) compareAll() int {
	listed := map[[2]int]bool{}
	p.r.Each(false, func(row *analyze.Row) bool {
		listed[[2]int{row.From, row.To}] = true
		return true
	})
	compared := 0
	for from := range p.r.Parties {
		for to := range p.r.Parties {
			if p.r.Parties[from].External && p.r.Parties[to].External {
				continue
			}
			compared++
			if open := p.compare(from, to); open != listed[[2]int{from, to}] {
				p.t.Fatalf("%s → %s: open is %v, and Each does not say so", p.name(from), p.name(to), open)
			}
		}
	}
	return compared
}

func (p *pairs) name(i int) string { return p.r.Parties[i].Name }

// compare tells whether anything is open, after comparing every port.
func (p *pairs) compare(from, to int) bool {
	row, ok := p.r.Between(from, to)
	flows := p.r.Flows(from, to)
	if ok != (len(flows) > 0) {
		p.t.Fatalf("%s → %s has %d flows; a row is %v", p.name(from), p.name(to), len(flows), ok)
	}
	if !ok {
		return false
	}
	for _, proto := range netset.Protos {
		for _, port := range somePorts {
			seen := p.seen(flows, proto, port)
			if want, got := expected(seen), claimed(&row, proto, port); want != got {
				p.t.Fatalf("%s → %s %v/%d: pair by pair %v (%s), classes %s", p.name(from), p.name(to), proto, port, seen, want, got)
			}
			p.witness(&row, seen, proto, port)
		}
	}
	return !row.Empty()
}

func (p *pairs) seen(flows []flow.Flow, proto netset.Proto, port uint16) map[flow.Verdict]bool {
	out := map[flow.Verdict]bool{}
	for _, f := range flows {
		if f.Proto = proto; proto != netset.Other {
			f.Port = port
		}
		if p.oracle == nil {
			out[eval.Verdict(p.m, &f)] = true
		} else if a := oracle.Ask(p.s, *p.oracle, f); !a.Skipped {
			out[a.Verdict] = true
		}
	}
	return out
}

// witness checks that each verdict that was seen has a flow that shows it, and no other has.
func (p *pairs) witness(row *analyze.Row, seen map[flow.Verdict]bool, proto netset.Proto, port uint16) {
	for _, v := range []flow.Verdict{flow.Allowed, flow.Denied, flow.Unknown, flow.Ambiguous} {
		if _, ok := p.r.Witness(row, v, proto, port); ok != seen[v] {
			p.t.Fatalf("%s → %s %v/%d: a witness for %v is %v, and seen was %v", p.name(row.From), p.name(row.To), proto, port, v, ok, seen)
		}
	}
}

func expected(seen map[flow.Verdict]bool) string {
	if len(seen) == 1 {
		for v := range seen {
			return v.String()
		}
	}
	return "partial"
}

func claimed(row *analyze.Row, proto netset.Proto, port uint16) string {
	switch {
	case row.Allowed.Contains(proto, port):
		return "allowed"
	case row.Ambiguous.Contains(proto, port):
		return "ambiguous"
	case row.Unknown.Contains(proto, port):
		return "unknown"
	case row.Partial.Contains(proto, port):
		return "partial"
	}
	return "denied"
}

// BenchmarkReach compiles and analyses a cluster. Beside the time it gives the classes and the peak of memory.
func BenchmarkReach(b *testing.B) {
	for _, n := range []struct {
		kind                      string
		workloads, pods, policies int
	}{
		{"layered", 2_000, 10_000, 2_000},
		{"spread", 20, 100, 20}, {"spread", 200, 1_000, 200}, {"spread", 2_000, 10_000, 2_000}, {"spread", 10_000, 100_000, 10_000},
		{"uniform", 20, 100, 20}, {"uniform", 200, 1_000, 200}, {"uniform", 2_000, 10_000, 2_000}, {"uniform", 10_000, 100_000, 10_000},
	} {
		b.Run(fmt.Sprintf("%s/workloads=%d/pods=%d/policies=%d", n.kind, n.workloads, n.pods, n.policies), func(b *testing.B) {
			s := bench.Spread(n.workloads, n.pods, n.policies)
			var o analyze.Options
			switch n.kind {
			case "uniform":
				s = bench.Uniform(n.workloads, n.pods, n.policies)
			case "layered":
				s = bench.WithLayers(s)
				r := question.NewResolver(policy.Compile(s, policy.Options{}), "default")
				o.Services = r.Services(r.Space(), r.Outside())
			}
			space := func(m *policy.Model) *policy.Space {
				if o.Services == nil {
					return m.Space()
				}
				return question.NewResolver(m, "default").Space()
			}
			classes := 0
			peak := bench.Peak(func() {
				m := policy.Compile(s, policy.Options{})
				analyze.New(m, space(m), o)
				classes = len(m.Classes())
			})
			b.ReportAllocs()
			for b.Loop() {
				m := policy.Compile(s, policy.Options{})
				analyze.New(m, space(m), o)
			}
			b.ReportMetric(float64(classes), "classes")
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		})
	}
}
