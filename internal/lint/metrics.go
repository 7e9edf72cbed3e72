package lint

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// scrapers are the programs that collect metrics in the way of Prometheus, by the names that people
// give them in labels.
var (
	scrapers     = []string{"prometheus", "prometheus-server", "prometheus-agent", "vmagent", "grafana-agent", "alloy", "opentelemetry-collector"}
	nameLabels   = []string{"app.kubernetes.io/name", "app", "k8s-app", "name"}
	pullsMetrics = func(labels map[string]string) bool {
		return slices.ContainsFunc(nameLabels, func(key string) bool { return slices.Contains(scrapers, labels[key]) })
	}
)

// target is a port that somebody wants metrics from, and the workload whose it is.
type target struct {
	backend
	owner cluster.Workload
}

func metricsCut(r *run) {
	from := r.scrapers()
	if len(from) == 0 {
		return
	}
	var g gathered
	for _, t := range r.scraped() {
		if pullsMetrics(r.Model.Snapshot().Pods[t.end.Index].Labels) {
			continue // it need not ask itself through the network
		}
		if f, ok := r.cutFromScrapers(t.backend, from); ok {
			g.add(f, t.owner.String())
		}
	}
	g.flush(r)
}

// scrapers lists the pods of the input that collect metrics, of those that no policy tells apart one.
func (r *run) scrapers() []cover.End {
	return r.podsWhere(func(p *cluster.Pod) bool { return pullsMetrics(p.Labels) })
}

// scraped lists the ports that somebody wants metrics from.
func (r *run) scraped() []target {
	var out []target
	seen := map[target]bool{}
	add := func(t target) {
		if t.port != 0 && !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	snap := r.Model.Snapshot()
	asking := map[target]bool{} // by any pod of a class: its ends are the same
	for i := range snap.Pods {
		p := &snap.Pods[i]
		key := target{backend{port: askedPort(p)}, p.Owner}
		key.end.Index = r.Model.ClassOf(i)
		if !p.Scraped || p.HostNetwork || asking[key] {
			continue
		}
		asking[key] = true
		for _, end := range r.search().Pods(key.end.Index) {
			add(target{backend{end, key.port}, p.Owner})
		}
	}
	for i := range snap.Monitors {
		r.monitored(&snap.Monitors[i], func(end cover.End, port uint16) { add(target{backend{end, port}, snap.Pods[end.Index].Owner}) })
	}
	return out
}

// askedPort gives the port that a pod's annotations ask for: the only one that it declares, if they name
// none; 0 if that does not tell.
func askedPort(p *cluster.Pod) uint16 {
	if p.ScrapePort == 0 && len(p.Ports) == 1 && p.Ports[0].Proto == netset.TCP {
		return p.Ports[0].Port
	}
	return p.ScrapePort
}

// monitored calls add for each pod and port that a monitor asks metrics of.
func (r *run) monitored(m *cluster.Monitor, add func(cover.End, uint16)) {
	selector := policy.NewSelector(m.Selector)
	in := func(namespace string) bool { return m.EveryNamespace || slices.Contains(m.Namespaces, namespace) }
	snap := r.Model.Snapshot()
	if m.Kind == "PodMonitor" {
		for _, end := range r.podsWhere(func(p *cluster.Pod) bool { return in(p.Namespace) && selector.Match(p.Labels, true) == policy.Yes }) {
			for _, port := range m.Ports {
				add(end, numberAt(&snap.Pods[end.Index], port.Name, port))
			}
		}
		return
	}
	for i := range snap.Services {
		s := &snap.Services[i]
		if !in(s.Namespace) || selector.Match(s.Labels, true) != policy.Yes {
			continue
		}
		for _, port := range m.Ports {
			r.monitoredService(s, port, add)
		}
	}
}

func (r *run) monitoredService(s *cluster.Service, port cluster.MonitorPort, add func(cover.End, uint16)) {
	for _, sp := range s.Ports {
		if port.Name != "" && sp.Name == port.Name && sp.Proto == netset.TCP {
			for _, b := range r.backends(s, sp) {
				add(b.end, b.port)
			}
		}
	}
	if port.Name == "" {
		for _, end := range r.selected(s) {
			add(end, numberAt(&r.Model.Snapshot().Pods[end.Index], port.TargetName, port))
		}
	}
}

// numberAt gives the number of a monitor's port at a pod: by name, where there is one, or 0.
func numberAt(p *cluster.Pod, name string, port cluster.MonitorPort) uint16 {
	if name == "" {
		name = port.TargetName
	}
	if name == "" {
		return port.Target
	}
	for _, c := range p.Ports {
		if c.Name == name && c.Proto == netset.TCP {
			return c.Port
		}
	}
	return 0
}

// cutFromScrapers tells whether a port is surely closed to all that collect metrics.
func (r *run) cutFromScrapers(to backend, from []cover.End) (Finding, bool) {
	witness := r.allClosed(from, to)
	if witness == nil {
		return Finding{}, false
	}
	source := r.Model.Snapshot().Pods[witness.From.Index].Owner
	d := flow.Ingress
	reason, fix := "It is asked for metrics there, so they will be missing.", fmt.Sprintf("Allow ingress from it on tcp/%d.", to.port)
	if r.decided(witness, flow.Ingress) != flow.Denied {
		d, fix = flow.Egress, fmt.Sprintf("Allow its egress to there on tcp/%d.", to.port)
	}
	return r.onDenial(witness, d, fmt.Sprintf(" cannot be asked for metrics on tcp/%d by any Prometheus of the input, such as %s", to.port, source), reason, fix)
}
