package failure_test

import (
	"testing"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/failure"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// BenchmarkSurvey looks at one target among 2,000 workloads, each with labels, a policy and an identity of its own.
func BenchmarkSurvey(b *testing.B) {
	s := bench.WithLayers(bench.Spread(2_000, 10_000, 2_000))
	m := policy.Compile(s, policy.Options{})
	res := question.NewResolver(m, "default")
	r := analyze.New(m, res.Space(), analyze.Options{Outside: res.Outside(), Services: res.Services(res.Space(), res.Outside())})
	var http netset.PortSet
	http.Add(netset.TCP, netset.PortRange{First: 8080, Last: 8080})
	for name, party := range map[string]int{"pods": 3, "service": len(r.Parties) - 1} {
		ports := http
		if service := r.Parties[party].Service; service > 0 {
			ports = res.Layers().Service(service - 1).Ports
		}
		b.Run(name, func(b *testing.B) {
			paths := 0
			for b.Loop() {
				survey := failure.NewFinder(m).Survey(r, []failure.Target{{Party: party, Ports: ports}})
				paths = len(survey.Findings)
			}
			b.ReportMetric(float64(paths), "paths")
		})
	}
}
