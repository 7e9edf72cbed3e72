package program_test

import (
	"fmt"
	"testing"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// BenchmarkNew compiles the table of one node with 110 pods, from a model that is there.
func BenchmarkNew(b *testing.B) {
	for _, n := range []struct{ workloads, pods, policies int }{{100, 1_000, 100}, {1_000, 10_000, 1_000}, {10_000, 10_000, 10_000}, {10_000, 100_000, 10_000}} {
		b.Run(fmt.Sprintf("spread/workloads=%d/pods=%d", n.workloads, n.pods), func(b *testing.B) {
			s := bench.OnNodes(bench.Spread(n.workloads, n.pods, n.policies), 110)
			m := policy.Compile(s, policy.Options{})
			here := nodeOf(s, s.Nodes[0].Name)
			var p *program.Program
			b.ReportAllocs()
			for b.Loop() {
				p = program.New(m, here)
			}
			rows, sets := 0, len(p.Sets)+len(p.Maps)
			for i := range p.Sets {
				rows += len(p.Sets[i].Elements)
			}
			for i := range p.Maps {
				rows += len(p.Maps[i].Elements)
			}
			b.ReportMetric(float64(rows), "elements")
			b.ReportMetric(float64(sets), "sets")
			b.ReportMetric(float64(len(p.Chains)), "chains")
		})
	}
}
