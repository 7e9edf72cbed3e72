package lint

import (
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
)

// backend is a pod behind a Service's port, and the number that the port has there.
type backend struct {
	end  cover.End
	port uint16
}

// backends lists what a port of a Service leads to at the pods that it selects: of pods that no policy
// tells apart, one. hostNetwork pods stand each for itself.
func (r *run) backends(s *cluster.Service, sp cluster.ServicePort) []backend {
	var out []backend
	for _, pod := range r.selected(s) {
		for _, port := range sp.TargetPorts(&r.Model.Snapshot().Pods[pod.Index]) {
			out = append(out, backend{pod, port})
		}
	}
	return out
}

// selected lists the pods that a Service selects, as backends does.
func (r *run) selected(s *cluster.Service) []cover.End {
	var out []cover.End
	pods := r.Model.Snapshot().Pods
	for class := range r.Model.Classes() {
		if first := r.Model.Classes()[class].Members[0]; s.Selects(&pods[first]) {
			out = append(out, r.search().Pods(class)...)
		}
	}
	for i := range pods {
		if p := &pods[i]; p.HostNetwork && s.Selects(p) {
			for _, f := range r.Model.Families() {
				out = append(out, cover.End{End: flow.End{Kind: flow.Pod, Index: i, Addr: p.Addr(f)}, Family: f})
			}
		}
	}
	return out
}
