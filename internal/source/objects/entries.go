package objects

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
)

// ingress reads an Ingress as a way in.
func (a *assembly) ingress(it *item, o *ingressObject) {
	e := newEntry(it)
	if class := o.Spec.IngressClassName; class != "" {
		e.Parents = []string{class}
	}
	if o.Spec.DefaultBackend != nil {
		a.ingressBackend(it, &e, "spec.defaultBackend", o.Spec.DefaultBackend)
	}
	for i := range o.Spec.Rules {
		r := &o.Spec.Rules[i]
		if r.Host != "" {
			e.Hosts = append(e.Hosts, r.Host)
		}
		if r.HTTP == nil {
			continue
		}
		for j := range r.HTTP.Paths {
			path := indexPath(indexPath("spec.rules", i)+".http.paths", j) + ".backend"
			a.ingressBackend(it, &e, path, &r.HTTP.Paths[j].Backend)
		}
	}
	a.addEntry(it, e)
}

func (a *assembly) ingressBackend(it *item, e *cluster.EntryPoint, path string, b *ingressBackend) {
	if b.Service == nil || b.Service.Name == "" {
		return // a bucket or another resource, which no policy sees
	}
	port := b.Service.Port
	if port.Number < 0 || port.Number > 65535 || port.Number == 0 && port.Name == "" {
		it.problems = append(it.problems, problem{path: path, text: path + ".service.port needs a number between 1 and 65535 or a name"})
		return
	}
	out := cluster.EntryBackend{Namespace: e.Namespace, Service: b.Service.Name, Port: uint16(port.Number)}
	if port.Number == 0 {
		out.PortName = port.Name
	}
	e.Backends = append(e.Backends, out)
}

// route reads a Gateway API route as a way in.
func (a *assembly) route(it *item, o *routeObject) {
	e := newEntry(it)
	e.Hosts = o.Spec.Hostnames
	for _, ref := range o.Spec.ParentRefs {
		parent := cmp.Or(ref.Namespace, e.Namespace) + "/" + ref.Name
		if ref.Kind != "" && ref.Kind != "Gateway" {
			parent = strings.ToLower(ref.Kind) + " " + parent
		}
		e.Parents = append(e.Parents, parent)
	}
	for i := range o.Spec.Rules {
		for j, ref := range o.Spec.Rules[i].BackendRefs {
			toService := (ref.Kind == "" || ref.Kind == "Service") && (ref.Group == nil || *ref.Group == "")
			if !toService || ref.Name == "" {
				continue
			}
			if ref.Port < 0 || ref.Port > 65535 {
				path := indexPath(indexPath("spec.rules", i)+".backendRefs", j)
				it.problems = append(it.problems, problem{path: path, text: fmt.Sprintf("%s.port %d is not between 1 and 65535", path, ref.Port)})
				continue
			}
			namespace := cmp.Or(ref.Namespace, e.Namespace)
			a.use(namespace)
			e.Backends = append(e.Backends, cluster.EntryBackend{Namespace: namespace, Service: ref.Name, Port: uint16(ref.Port)})
		}
	}
	a.addEntry(it, e)
}

func newEntry(it *item) cluster.EntryPoint {
	return cluster.EntryPoint{Origin: it.origin, Kind: strings.ToLower(it.key.kind), Namespace: it.key.namespace, Name: it.key.name}
}

// addEntry keeps the lists sorted and free of repetitions: many paths of an Ingress lead to one port.
func (a *assembly) addEntry(it *item, e cluster.EntryPoint) {
	if len(it.problems) > 0 {
		a.b.report(it)
		return
	}
	e.Hosts, e.Parents = sortedSet(e.Hosts), sortedSet(e.Parents)
	compare := func(x, y cluster.EntryBackend) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Service, y.Service),
			int(x.Port)-int(y.Port), strings.Compare(x.PortName, y.PortName))
	}
	slices.SortFunc(e.Backends, compare)
	e.Backends = slices.Compact(e.Backends)
	a.s.Entries = append(a.s.Entries, e)
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// foreign notes a policy of Calico or Cilium, and the directions it may decide.
func (a *assembly) foreign(it *item, o *foreignObject) {
	f := cluster.ForeignPolicy{Origin: it.origin, Group: it.key.group, Kind: it.key.kind, Namespace: it.key.namespace, Name: it.key.name}
	specs := o.Specs
	if o.Spec != nil {
		specs = append(slices.Clone(specs), *o.Spec)
	}
	for i := range specs {
		in, out := foreignDirections(it.key.group, &specs[i])
		f.Ingress, f.Egress = f.Ingress || in, f.Egress || out
	}
	if len(specs) == 0 && it.key.group != groupCilium {
		f.Ingress = true // Calico's default for a policy that says nothing
	}
	a.s.ForeignPolicies = append(a.s.ForeignPolicies, f)
}

// foreignDirections follows each engine's own default: Cilium goes by the sections that are there;
// Calico by types, and without them by the rules, an empty policy being about ingress.
func foreignDirections(group string, s *foreignSpec) (ingress, egress bool) {
	if group == groupCilium {
		return s.Ingress != nil || s.IngressDeny != nil, s.Egress != nil || s.EgressDeny != nil
	}
	if len(s.Types) > 0 {
		return slices.Contains(s.Types, "Ingress"), slices.Contains(s.Types, "Egress")
	}
	return len(s.Ingress) > 0 || len(s.Egress) == 0, len(s.Egress) > 0
}
