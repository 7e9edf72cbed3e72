package lint_test

import (
	"fmt"
	"testing"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/lint"
	"sallyport.dev/sallyport/internal/policy"
)

func BenchmarkRun(b *testing.B) {
	for _, n := range []struct{ workloads, pods, policies int }{{100, 1_000, 100}, {2_000, 10_000, 2_000}, {2_000, 10_000, 10_000}, {10_000, 100_000, 10_000}} {
		b.Run(fmt.Sprintf("spread/workloads=%d/policies=%d", n.workloads, n.policies), func(b *testing.B) {
			s := bench.Spread(n.workloads, n.pods, n.policies)
			m := policy.Compile(s, policy.Options{})
			found := 0
			for b.Loop() {
				found = len(lint.Run(&lint.Input{Written: s, Model: m}))
			}
			b.ReportMetric(float64(found), "findings")
		})
	}
}

// BenchmarkLayers lints the same with identities, access policies and services outside.
func BenchmarkLayers(b *testing.B) {
	for _, n := range []struct{ workloads, pods, policies int }{{100, 1_000, 100}, {2_000, 10_000, 2_000}} {
		b.Run(fmt.Sprintf("spread/workloads=%d/policies=%d", n.workloads, n.policies), func(b *testing.B) {
			s := bench.WithLayers(bench.Spread(n.workloads, n.pods, n.policies))
			m := policy.Compile(s, policy.Options{})
			found := 0
			for b.Loop() {
				found = len(lint.Run(&lint.Input{Written: s, Model: m}))
			}
			b.ReportMetric(float64(found), "findings")
		})
	}
}
