package question

import (
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Goal is one thing that the second end of a question stands for: a pod, or a piece of the outside, on
// the ports that policies see there.
type Goal struct {
	Pod   int // -1: the end's Regions, or the service outside that it is
	Ports netset.PortSet
}

// Goals takes the second end of a question apart: the pods behind a Service with their target ports, a
// workload's pods with the numbers of a named port, or pieces of the outside.
func (r *Resolver) Goals(t Term) (End, []Goal, error) {
	e, err := r.Resolve(t)
	if err != nil {
		return End{}, nil, err
	}
	if err := r.served(&e, t.Port); err != nil {
		return End{}, nil, err
	}
	if e.Service != nil {
		if err := r.targets(&e, t.Port); err != nil {
			return End{}, nil, err
		}
	}
	var out []Goal
	switch {
	case len(e.Targets) > 0:
		for _, target := range e.Targets {
			if target.End.Kind == flow.Pod {
				out = append(out, Goal{target.End.Index, targetPortsAsked(&target, t.Port)})
			}
		}
	case len(e.Pods) > 0:
		for _, i := range e.Pods {
			out = append(out, Goal{i, r.PortsAt(i, t.Port)})
		}
	case len(e.Regions) > 0:
		if t.Port.Name != "" {
			return End{}, nil, errorf("only pods declare named ports: ask with a number", "%s has no port named %q", e.Label, t.Port.Name)
		}
		ports := t.Port.Ports()
		if e.ExternalService > 0 {
			ports = ports.Intersect(r.layers.Service(e.ExternalService - 1).Ports)
		}
		out = append(out, Goal{-1, ports})
	}
	empty := true
	for _, g := range out {
		empty = empty && g.Ports.Empty()
	}
	switch {
	case len(out) == 0:
		return End{}, nil, errorf("ask check about it", "%s is no pod, and policies decide at pods only", e.Label)
	case empty:
		return End{}, nil, errorf("its pods "+r.declaredText(e.Pods), "%s has no port named %q", e.Label, t.Port.Name)
	}
	return e, out, nil
}

func targetPortsAsked(target *Target, p PortTerm) netset.PortSet {
	if target.Any {
		return p.Ports()
	}
	var s netset.PortSet
	s.Add(target.Proto, netset.PortRange{First: target.Port, Last: target.Port})
	return s
}

// PortsAt gives the ports asked at a pod, which resolves a name.
func (r *Resolver) PortsAt(pod int, p PortTerm) netset.PortSet {
	if p.Name == "" {
		return p.Ports()
	}
	var s netset.PortSet
	for _, c := range r.Model.Snapshot().Pods[pod].Ports {
		if c.Name == p.Name && (p.Proto == 0 || p.Proto == c.Proto) {
			s.Add(c.Proto, netset.PortRange{First: c.Port, Last: c.Port})
		}
	}
	return s
}

// Ports gives the ports of a term without a name: everything where none was given.
func (p PortTerm) Ports() netset.PortSet {
	if !p.Given {
		return netset.EveryPort()
	}
	var s netset.PortSet
	s.Add(max(p.Proto, netset.TCP), p.Range)
	return s
}
