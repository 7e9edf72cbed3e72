package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

func (r *Resolver) service(ns, name string) (End, error) {
	snap := r.Model.Snapshot()
	for i := range snap.Services {
		if s := &snap.Services[i]; s.Namespace == ns && s.Name == name {
			return End{Label: serviceLabel(s), Service: s}, nil
		}
	}
	return End{}, errorf(r.didYouMean(ns, "service", name), "no service %q in namespace %q", name, ns)
}

func (r *Resolver) entry(ns string, t Term) (End, error) {
	snap := r.Model.Snapshot()
	kind, name := t.Kind, t.Name
	e := End{Label: ns + "/" + kind + "/" + name}
	if t.Port.Given {
		return End{}, errorf("leave the port out: its backends say which ports they are", "%s takes no port", e.Label)
	}
	found := false
	var broken []string
	for i := range snap.Entries {
		en := &snap.Entries[i]
		direct := en.Kind == kind && en.Namespace == ns && en.Name == name
		if !direct && !(kind == "gateway" && slices.Contains(en.Parents, ns+"/"+name)) {
			continue
		}
		found = true
		for _, b := range en.Backends {
			if why := r.entryBackend(&e, en.Kind, b); why != "" {
				broken = append(broken, why)
			}
		}
	}
	if !found {
		return End{}, errorf(r.didYouMean(ns, kind, name), "no %s %q in namespace %q", kind, name, ns)
	}
	if len(e.Targets) == 0 {
		return End{}, errorf(strings.Join(broken, "; "), "%s leads to no backend in the input", e.Label)
	}
	for _, why := range broken {
		e.Notes = append(e.Notes, "one backend of "+e.Label+" leads nowhere: "+why)
	}
	e.Notes = append(e.Notes, e.Label+" is served by its controller's pods: they are the source that policies see")
	return e, nil
}

// entryBackend adds what a backend of an entry leads to, or says why it leads nowhere.
func (r *Resolver) entryBackend(e *End, kind string, b cluster.EntryBackend) string {
	svc, err := r.service(b.Namespace, b.Service)
	if err != nil {
		return fmt.Sprintf("service %s/%s is not in the input", b.Namespace, b.Service)
	}
	if b.PortName == "" && b.Port == 0 {
		return fmt.Sprintf("no port of service %s/%s is named", b.Namespace, b.Service)
	}
	p := PortTerm{Given: true, Name: b.PortName}
	if kind == "udproute" {
		p.Proto = netset.UDP
	}
	if b.PortName == "" {
		p.Range = netset.PortRange{First: b.Port, Last: b.Port}
	}
	if err := r.targets(&svc, p); err != nil {
		return err.Error()
	}
	for _, t := range svc.Targets {
		if t.Any { // one port was asked
			t.Any, t.Proto, t.Port, t.Asked = false, max(p.Proto, netset.TCP), b.Port, b.Port
		}
		e.Targets = append(e.Targets, t)
	}
	e.Notes = append(e.Notes, svc.Notes...)
	return ""
}

// targets finds what a service's port leads to; without a port, what each of its ports leads to (S24).
func (r *Resolver) targets(e *End, p PortTerm) error {
	s := e.Service
	if s.Type == "ExternalName" {
		return errorf("ask an address, or external", "%s is an alias of %s outside the cluster, whose addresses are not known", e.Label, s.ExternalName)
	}
	pods := r.backends(s)
	if len(pods) == 0 && (s.Selector != nil || len(s.Slices) == 0) {
		return errorf(fmt.Sprintf("its selector is %s", selectorText(s.Selector)), "%s has no backend in the input", e.Label)
	}
	if s.Headless && p.Name == "" {
		r.headlessTargets(e, pods)
		return nil
	}
	ports, err := servicePorts(e, p)
	if err != nil {
		return err
	}
	var leadNowhere []cluster.ServicePort
	for _, sp := range ports {
		before := len(e.Targets)
		if r.addTargets(e, sp, pods); len(e.Targets) == before {
			leadNowhere = append(leadNowhere, sp)
		}
	}
	if len(e.Targets) == 0 {
		return errorf("the backends "+r.declaredText(pods), "%s: no backend has the target port of %s", e.Label, portsText(leadNowhere))
	}
	if len(leadNowhere) > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("%s: no backend has the target port of %s", e.Label, portsText(leadNowhere)))
	}
	slices.SortStableFunc(e.Targets, func(a, b Target) int { return int(a.Port) - int(b.Port) })
	return nil
}

func servicePorts(e *End, p PortTerm) ([]cluster.ServicePort, error) {
	s := e.Service
	if !p.Given {
		return s.Ports, nil
	}
	var out []cluster.ServicePort
	for _, sp := range s.Ports {
		named := p.Name != "" && sp.Name == p.Name && (p.Proto == 0 || p.Proto == sp.Proto)
		numbered := p.Name == "" && p.Range.Contains(sp.Port) && (p.Proto == sp.Proto || p.Proto == 0 && sp.Proto == netset.TCP)
		if named || numbered {
			out = append(out, sp)
		}
	}
	if len(out) == 0 {
		return nil, errorf("its ports are "+portsText(s.Ports), "%s has no such port", e.Label)
	}
	return out, nil
}

// headlessTargets are the backends of a Service that is only a name for them: whatever port is
// asked is the pods' own.
func (r *Resolver) headlessTargets(e *End, pods []int) {
	e.Notes = append(e.Notes, e.Label+" is headless: clients reach the pods' own ports, targetPort has no effect")
	for _, i := range pods {
		e.Targets = append(e.Targets, Target{End: flow.End{Kind: flow.Pod, Index: i}, Any: true})
	}
	if e.Service.Selector != nil {
		return
	}
	for _, b := range e.Service.Slices {
		e.Targets = append(e.Targets, Target{End: r.backendEnd(e.Service, b), Any: true})
	}
}

// backendEnd finds what an EndpointSlice's address stands for: a pod, a node, or something outside.
func (r *Resolver) backendEnd(s *cluster.Service, b cluster.Backend) flow.End {
	snap := r.Model.Snapshot()
	known, ok := r.addrs[b.Addr]
	if ok && known.Kind == flow.Pod {
		return known
	}
	if i := snap.PodIndex(s.Namespace, b.Pod); b.Pod != "" && i >= 0 && snap.Pods[i].HostNetwork {
		return flow.End{Kind: flow.Pod, Index: i, Addr: b.Addr}
	}
	if ok {
		return known
	}
	return flow.End{Kind: flow.Address, Addr: b.Addr}
}

// declaredText lists the named ports of the backends.
func (r *Resolver) declaredText(pods []int) string {
	var names []string
	for _, i := range pods {
		for _, c := range r.Model.Snapshot().Pods[i].Ports {
			if c.Name != "" {
				names = append(names, fmt.Sprintf("%s (%d/%s)", c.Name, c.Port, c.Proto))
			}
		}
	}
	if slices.Sort(names); len(names) == 0 {
		return "declare no named port"
	}
	return "declare " + strings.Join(slices.Compact(names), ", ")
}

// backends are the pods that the service's selector selects.
func (r *Resolver) backends(s *cluster.Service) []int {
	var out []int
	snap := r.Model.Snapshot()
	for i := range snap.Pods {
		if s.Selects(&snap.Pods[i]) {
			out = append(out, i)
		}
	}
	return out
}

func (r *Resolver) addTargets(e *End, sp cluster.ServicePort, pods []int) {
	snap := r.Model.Snapshot()
	t := Target{Proto: sp.Proto, Asked: sp.Port, Family: onlyFamily(e.Service.ClusterIPs)}
	for _, i := range pods {
		t.End = flow.End{Kind: flow.Pod, Index: i}
		for _, t.Port = range sp.TargetPorts(&snap.Pods[i]) {
			e.Targets = append(e.Targets, t)
		}
	}
	if e.Service.Selector != nil {
		return
	}
	for _, b := range e.Service.Slices {
		t.End = r.backendEnd(e.Service, b)
		for _, bp := range b.Ports {
			if bp.Proto == sp.Proto && bp.Name == sp.Name {
				t.Port = bp.Port
				e.Targets = append(e.Targets, t)
			}
		}
	}
}

// onlyFamily gives the family of a Service's own addresses, or 0 if it has both or none is known: a
// single-stack Service leads to no other address of its backends.
func onlyFamily(addrs []netip.Addr) flow.Family {
	var out flow.Family
	for i, a := range addrs {
		if f := flow.FamilyOf(a); i == 0 || f == out {
			out = f
		} else {
			return 0
		}
	}
	return out
}

func portsText(ports []cluster.ServicePort) string {
	var out []string
	for _, p := range ports {
		text := fmt.Sprintf("%d/%s", p.Port, p.Proto)
		if p.Name != "" {
			text += " (" + p.Name + ")"
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func selectorText(sel map[string]string) string {
	if len(sel) == 0 {
		return "empty"
	}
	var out []string
	for k, v := range sel {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
