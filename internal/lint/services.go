package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
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
func (r *run) selected(s *cluster.Service) []cover.End { return r.podsWhere(s.Selects) }

// podsWhere lists the pods that have a property which hangs on namespace and labels only: of those that
// no policy tells apart one, hostNetwork pods each for itself.
func (r *run) podsWhere(has func(*cluster.Pod) bool) []cover.End {
	var out []cover.End
	pods := r.Model.Snapshot().Pods
	for class := range r.Model.Classes() {
		if has(&pods[r.Model.Classes()[class].Members[0]]) {
			out = append(out, r.search().Pods(class)...)
		}
	}
	for i := range pods {
		if p := &pods[i]; p.HostNetwork && has(p) {
			for _, f := range r.Model.Families() {
				out = append(out, cover.End{End: flow.End{Kind: flow.Pod, Index: i, Addr: p.Addr(f)}, Family: f})
			}
		}
	}
	return out
}

// expectedRules are about connections that other objects of the input count on.
var expectedRules = []*Rule{
	{ID: "api-server-cut", Severity: Warning, Title: "pods that use the API server cannot reach it", check: apiServerCut},
	{ID: "metrics-cut", Severity: Warning, Title: "a port with metrics is closed to every Prometheus", check: metricsCut},
	{ID: "webhook-cut", Severity: Warning, Title: "the API server cannot reach a webhook", check: webhookCut},
}

// service gives a Service by name, or nil.
func (r *run) service(namespace, name string) *cluster.Service {
	snap := r.Model.Snapshot()
	for i := range snap.Services {
		if s := &snap.Services[i]; s.Namespace == namespace && s.Name == name {
			return s
		}
	}
	return nil
}

// webhookCut looks at what makes the API server call a Service. The API server runs on the network of
// its node or outside the cluster, so calls come from an address that no policy takes for a pod's.
func webhookCut(r *run) {
	var g gathered
	sources := r.callers()
	for _, c := range r.Model.Snapshot().Callbacks {
		for _, b := range c.Backends {
			f, ok := r.cutCallback(b, sources)
			if !ok {
				continue
			}
			f.Message = fmt.Sprintf(": the API server cannot reach %s/service/%s, port %d, whose pods let in neither nodes nor anything outside the cluster", b.Namespace, b.Service, b.Port)
			g.add(f, c.Kind+" "+c.Name)
		}
	}
	g.flush(r)
}

// callers are where calls of the API server may come from: any address that is no pod's, or the agents
// through which some clusters send them.
func (r *run) callers() []cover.End {
	out := r.search().Outside()
	for class := range r.Model.Classes() {
		if r.Model.Classes()[class].Labels["k8s-app"] == "konnectivity-agent" {
			out = append(out, r.search().Pods(class)...)
		}
	}
	return out
}

// cutCallback tells whether no call may reach any pod behind a Service's port.
func (r *run) cutCallback(b cluster.EntryBackend, sources []cover.End) (Finding, bool) {
	s := r.service(b.Namespace, b.Service)
	if s == nil {
		return Finding{}, false
	}
	var witness *flow.Flow
	for _, sp := range s.Ports {
		if sp.Port != b.Port || sp.Proto != netset.TCP {
			continue
		}
		for _, target := range r.backends(s, sp) {
			if class := r.Model.ClassOf(target.end.Index); class >= 0 && slices.ContainsFunc(r.Model.Classes()[class].Members, r.besideAPIServer) {
				return Finding{}, false
			}
			if witness = r.allClosed(sources, target); witness == nil {
				return Finding{}, false
			}
		}
	}
	if witness == nil {
		return Finding{}, false
	}
	return r.onDenial(witness, flow.Ingress, "", "The API server calls from its node's address or from outside, so the calls fail, and with them the requests that wait for an answer.",
		fmt.Sprintf("Allow ingress on tcp/%d from the API server's addresses by an ipBlock, or from everywhere.", witness.Port))
}

// allClosed gives one of the flows from some ends to a TCP port, if there are any and all of them are
// surely denied; else nil.
func (r *run) allClosed(from []cover.End, to backend) *flow.Flow {
	var witness *flow.Flow
	for _, end := range from {
		f, ok := flowBetween(end, to.end)
		if !ok {
			continue
		}
		f.Proto, f.Port = netset.TCP, to.port
		if !r.closed(&f) {
			return nil
		}
		if witness == nil {
			witness = &f
		}
	}
	return witness
}

// controlPlaneLabels mark the nodes on which an API server may run.
var controlPlaneLabels = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// besideAPIServer tells whether a pod may share its node with the API server: its own node always reaches
// it, and it always reaches that (S22).
func (r *run) besideAPIServer(pod int) bool {
	snap := r.Model.Snapshot()
	i := snap.NodeIndex(snap.Pods[pod].NodeName)
	return i >= 0 && (len(snap.Nodes) == 1 || slices.ContainsFunc(controlPlaneLabels, func(label string) bool {
		_, has := snap.Nodes[i].Labels[label]
		return has
	}))
}

// apiServerCut looks at pods whose account a role binding of the input gives rights to.
func apiServerCut(r *run) {
	servers := r.apiServers()
	if len(servers) == 0 {
		return
	}
	snap := r.Model.Snapshot()
	granted := map[[2]string]bool{}
	for _, a := range snap.Granted {
		granted[[2]string{a.Namespace, a.Name}] = true
	}
	var g gathered
	for i := range snap.Pods {
		p := &snap.Pods[i]
		if p.HostNetwork || p.NoToken || r.besideAPIServer(i) || p.Account == "default" || !granted[[2]string{p.Namespace, p.Account}] {
			continue
		}
		if f, ok := r.cutFromAPIServer(i, servers); ok {
			g.add(f, p.Owner.String())
		}
	}
	g.flush(r)
}

// apiServers gives the addresses of the API server, if the input has them.
func (r *run) apiServers() []backend {
	var out []backend
	if s := r.service("default", "kubernetes"); s != nil {
		for _, b := range s.Slices {
			for _, port := range b.Ports {
				end := cover.End{End: flow.End{Kind: flow.Address, Addr: b.Addr}, Family: flow.FamilyOf(b.Addr)}
				out = append(out, backend{end, port.Port})
			}
		}
	}
	return out
}

func (r *run) cutFromAPIServer(pod int, servers []backend) (Finding, bool) {
	p := &r.Model.Snapshot().Pods[pod]
	var witness *flow.Flow
	for _, s := range servers {
		from := cover.End{End: flow.End{Kind: flow.Pod, Index: pod, Addr: p.Addr(s.end.Family)}, Family: s.end.Family}
		if len(p.Addrs) > 0 && !from.Addr.IsValid() {
			continue
		}
		f, _ := flowBetween(from, s.end)
		f.Proto, f.Port = netset.TCP, s.port
		if r.decided(&f, flow.Egress) != flow.Denied {
			return Finding{}, false
		}
		if witness == nil {
			witness = &f
		}
	}
	if witness == nil {
		return Finding{}, false
	}
	server := netip.AddrPortFrom(witness.To.Addr, witness.Port)
	return r.onDenial(witness, flow.Egress, fmt.Sprintf(" cannot reach the API server at %s", server),
		"A role binding gives their account rights, and its token is mounted, so they count on it.",
		fmt.Sprintf("Allow egress to ipBlock %s on tcp/%d: policies see this address, not the Service's.", netip.PrefixFrom(server.Addr(), server.Addr().BitLen()), server.Port()))
}
