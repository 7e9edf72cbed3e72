package eval_test

import (
	"fmt"
	"runtime"
	"testing"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// someFlows gives n flows between pods far apart in the Snapshot.
func someFlows(s *cluster.Snapshot, n int) []flow.Flow {
	out := make([]flow.Flow, n)
	for i := range out {
		a, b := (i*7919)%len(s.Pods), (i*104729+1)%len(s.Pods)
		out[i] = flow.Flow{Family: flow.IPv4, Proto: netset.TCP, Port: 8080,
			From: flow.End{Kind: flow.Pod, Index: a, Addr: s.Pods[a].Addrs[0]},
			To:   flow.End{Kind: flow.Pod, Index: b, Addr: s.Pods[b].Addrs[0]}}
	}
	return out
}

// TestVerdictAllocatesNothing keeps the hot path clean; the figure is exact, so it is a test.
func TestVerdictAllocatesNothing(t *testing.T) {
	s := bench.Spread(100, 1000, 100)
	m := policy.Compile(s, policy.Options{})
	flows := someFlows(s, 64)
	i := 0
	if n := testing.AllocsPerRun(1000, func() { eval.Verdict(m, &flows[i%len(flows)]); i++ }); n != 0 {
		t.Errorf("a verdict without its why allocates %v times", n)
	}
}

var sizes = []struct{ workloads, pods, policies int }{{100, 1_000, 100}, {2_000, 10_000, 2_000}, {10_000, 100_000, 10_000}}

func BenchmarkCompile(b *testing.B) {
	for _, kind := range []string{"spread", "uniform"} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/pods=%d/policies=%d", kind, n.pods, n.policies), func(b *testing.B) {
				s := generated(kind, n.workloads, n.pods, n.policies)
				runtime.GC()
				b.ReportAllocs()
				classes := 0
				for b.Loop() {
					classes = len(policy.Compile(s, policy.Options{}).Classes())
				}
				b.ReportMetric(float64(classes), "classes")
			})
		}
	}
}

func BenchmarkVerdict(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("spread/pods=%d/policies=%d", n.pods, n.policies), func(b *testing.B) {
			s := bench.Spread(n.workloads, n.pods, n.policies)
			m := policy.Compile(s, policy.Options{})
			flows := someFlows(s, 4096)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				eval.Verdict(m, &flows[i%len(flows)])
				i++
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	s := bench.Spread(2_000, 10_000, 2_000)
	m := policy.Compile(s, policy.Options{})
	flows := someFlows(s, 4096)
	i := 0
	for b.Loop() {
		eval.Decide(m, &flows[i%len(flows)])
		i++
	}
}

func generated(kind string, workloads, pods, policies int) *cluster.Snapshot {
	if kind == "uniform" {
		return bench.Uniform(workloads, pods, policies)
	}
	return bench.Spread(workloads, pods, policies)
}
