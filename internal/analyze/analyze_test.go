package analyze_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// budget is how long random comparison goes on; SALLYPORT_SOAK overrides it.
func budget(t *testing.T) time.Duration {
	if text := os.Getenv("SALLYPORT_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d / 6
	}
	if testing.Short() {
		return time.Second
	}
	return 5 * time.Second
}

// somePorts are the numbers that random worlds use, and some beside them.
var somePorts = []uint16{1, 53, 79, 80, 81, 443, 1000, 8079, 8080, 8081, 9000, 32526, 65535}

// TestReachIsPairByPair compares what the classes give with every pair of pods, one flow at a time.
func TestReachIsPairByPair(t *testing.T) {
	compared := 0
	for end := time.Now().Add(budget(t)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(0).Draw(rt, "case")
			s := c.World.Snapshot()
			m := policy.Compile(s, policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure})
			space := m.Space()
			var outside []policy.Region
			for _, w := range space.Whole() {
				outside = append(outside, space.Regions(w)...)
			}
			r := analyze.New(m, space, analyze.Options{Outside: outside})
			for from := range r.Parties {
				for to := range r.Parties {
					compared += comparePair(rt, s, m, r, from, to)
				}
			}
		})
	}
	t.Logf("%d pairs of parties compared", compared)
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

func comparePair(t *rapid.T, s *cluster.Snapshot, m *policy.Model, r *analyze.Reach, from, to int) int {
	row, ok := r.Between(from, to)
	if r.Parties[from].External && r.Parties[to].External {
		return 0
	}
	flows := r.Flows(from, to)
	if !ok {
		if len(flows) > 0 {
			t.Fatalf("%s → %s has flows and no row", r.Parties[from].Name, r.Parties[to].Name)
		}
		return 0
	}
	for _, proto := range netset.Protos {
		for _, port := range somePorts {
			seen := map[flow.Verdict]bool{}
			for _, f := range flows {
				f.Proto, f.Port = proto, port
				if proto == netset.Other {
					f.Port = 0
				}
				seen[eval.Verdict(m, &f)] = true
			}
			if want, got := expected(seen), claimed(&row, proto, port); want != got {
				t.Fatalf("%s → %s %v/%d: pair by pair %v (%s), classes %s", r.Parties[from].Name, r.Parties[to].Name, proto, port, seen, want, got)
			}
		}
	}
	return 1
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

func BenchmarkReach(b *testing.B) {
	for _, n := range []struct {
		kind                      string
		workloads, pods, policies int
	}{{"spread", 100, 1_000, 100}, {"spread", 1_000, 5_000, 1_000}, {"spread", 2_000, 10_000, 2_000}, {"uniform", 10_000, 100_000, 10_000}} {
		b.Run(fmt.Sprintf("%s/pods=%d/policies=%d", n.kind, n.pods, n.policies), func(b *testing.B) {
			s := bench.Spread(n.workloads, n.pods, n.policies)
			if n.kind == "uniform" {
				s = bench.Uniform(n.workloads, n.pods, n.policies)
			}
			b.ReportAllocs()
			for b.Loop() {
				m := policy.Compile(s, policy.Options{})
				analyze.New(m, m.Space(), analyze.Options{})
			}
		})
	}
}
