package objects

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/internal/cluster"
)

// serviceNameLabel joins an EndpointSlice to its service.
const serviceNameLabel = "kubernetes.io/service-name"

// services makes the Services; those without a selector get the backends of their EndpointSlices.
func (a *assembly) services() {
	backends := a.backends()
	for _, it := range a.svcs {
		o := it.slim.(*serviceObject)
		s := a.service(it, &o.Spec)
		if s == nil {
			a.b.report(it)
			continue
		}
		s.Labels = o.Metadata.Labels
		if s.Selector == nil {
			s.Slices = backends[[2]string{s.Namespace, s.Name}]
		}
		a.s.Services = append(a.s.Services, *s)
	}
}

// service reads one Service, or gives nil and leaves its problems in the item.
func (a *assembly) service(it *item, spec *serviceSpec) *cluster.Service {
	s := &cluster.Service{
		Origin: it.origin, Namespace: it.key.namespace, Name: it.key.name,
		Type: cmp.Or(spec.Type, "ClusterIP"), ExternalName: spec.ExternalName,
		LocalTraffic: spec.ExternalTrafficPolicy == "Local",
	}
	if len(spec.Selector) > 0 {
		s.Selector = spec.Selector
	}
	ips := spec.ClusterIPs
	if len(ips) == 0 && spec.ClusterIP != "" {
		ips = []string{spec.ClusterIP}
	}
	for i, ip := range ips {
		if ip == "None" {
			s.Headless = true
			continue
		}
		if ip == "" {
			continue
		}
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			it.problems = append(it.problems, badValue(indexPath("spec.clusterIPs", i), ip, "an address"))
			continue
		}
		s.ClusterIPs = append(s.ClusterIPs, addr.Unmap())
	}
	for i := range spec.Ports {
		port, problems := readServicePort(indexPath("spec.ports", i), &spec.Ports[i])
		it.problems = append(it.problems, problems...)
		s.Ports = append(s.Ports, port)
	}
	if len(it.problems) > 0 {
		return nil
	}
	return s
}

func readServicePort(path string, p *servicePort) (cluster.ServicePort, []problem) {
	var problems []problem
	proto, err := protocol(p.Protocol)
	if err != nil {
		problems = append(problems, badValue(path+".protocol", p.Protocol, "TCP, UDP or SCTP"))
	}
	number := func(field string, n int32, least int32) uint16 {
		if n < least || n > 65535 {
			problems = append(problems, problem{path: path, text: fmt.Sprintf("%s.%s %d is not between %d and 65535", path, field, n, least)})
			return 0
		}
		return uint16(n)
	}
	out := cluster.ServicePort{Name: p.Name, Proto: proto, Port: number("port", p.Port, 1), NodePort: number("nodePort", p.NodePort, 0)}
	switch t := p.TargetPort; {
	case t == nil, t.Type == intstr.Int && t.IntVal == 0, t.Type == intstr.String && t.StrVal == "":
		out.Target = out.Port
	case t.Type == intstr.String:
		out.TargetName = t.StrVal
	default:
		out.Target = number("targetPort", t.IntVal, 1)
	}
	return out, problems
}

// backends reads the EndpointSlices, by namespace and name of their service.
func (a *assembly) backends() map[[2]string][]cluster.Backend {
	out := map[[2]string][]cluster.Backend{}
	for _, it := range a.slices {
		o := it.slim.(*sliceObject)
		service := o.Metadata.Labels[serviceNameLabel]
		if service == "" || o.AddressType == "FQDN" {
			continue
		}
		list, problems := readSlice(o)
		if it.problems = problems; len(problems) > 0 {
			a.b.report(it)
			continue
		}
		k := [2]string{it.key.namespace, service}
		out[k] = append(out[k], list...)
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(x, y cluster.Backend) int {
			return cmp.Or(x.Addr.Compare(y.Addr), strings.Compare(x.Pod, y.Pod))
		})
	}
	return out
}

func readSlice(o *sliceObject) ([]cluster.Backend, []problem) {
	var ports []cluster.ContainerPort
	var problems []problem
	for i, p := range o.Ports {
		path := indexPath("ports", i)
		proto, err := protocol(p.Protocol)
		switch {
		case err != nil:
			problems = append(problems, badValue(path+".protocol", p.Protocol, "TCP, UDP or SCTP"))
		case p.Port == nil: // no port given: it leads nowhere in particular
		case *p.Port < 1 || *p.Port > 65535:
			problems = append(problems, problem{path: path, text: fmt.Sprintf("%s.port %d is not between 1 and 65535", path, *p.Port)})
		default:
			ports = append(ports, cluster.ContainerPort{Name: p.Name, Proto: proto, Port: uint16(*p.Port)})
		}
	}
	var out []cluster.Backend
	for i, e := range o.Endpoints {
		pod := ""
		if e.TargetRef.Kind == "Pod" {
			pod = e.TargetRef.Name
		}
		for j, s := range e.Addresses {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				problems = append(problems, badValue(indexPath(indexPath("endpoints", i)+".addresses", j), s, "an address"))
				continue
			}
			out = append(out, cluster.Backend{Addr: addr.Unmap(), Pod: pod, Ports: ports})
		}
	}
	return out, problems
}
