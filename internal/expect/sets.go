package expect

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// set is what an end stands for. All ends that are written alike share one.
type set struct {
	pods    map[int]netset.PortSet // with the ports asked there; every port where none was given
	regions []policy.Region
	service int // the service outside that it is, by index in the Snapshot plus one
	// anyPort: no port was given, so that one open port is a connection.
	anyPort bool
	ports   netset.PortSet // asked at regions
	unknown []string       // namespaces whose labels would have to be known
}

// prefixes lists the CIDRs and addresses that tests name, so that the outside is divided by them.
func prefixes(tests []Test) []netip.Prefix {
	var out []netip.Prefix
	for i := range tests {
		for _, list := range [][]End{tests[i].From, tests[i].To} {
			for _, e := range list {
				if e.Term.Prefix.IsValid() {
					out = append(out, e.Term.Prefix)
				}
			}
		}
	}
	return out
}

// resolver finds what ends stand for.
type resolver struct {
	*question.Resolver
	known map[endKey]*set
}

// endKey tells ends apart that do not stand for the same.
type endKey struct {
	text       string // of a term
	selected   bool
	namespace  string // of a selection, as the next two
	namespaces string
	pods       string
	port       question.PortTerm
	source     bool
}

func keyOf(e *End, source bool) endKey {
	if e.Select == nil {
		return endKey{text: e.Text, port: e.Port, source: source}
	}
	return endKey{selected: true, namespace: e.Select.Namespace, namespaces: e.Select.Namespaces.Key(), pods: e.Select.Pods.Key(), port: e.Port, source: source}
}

// sets gives what a list of ends stands for, each once.
func (r *resolver) sets(ends []End, source bool) ([]*set, error) {
	var out []*set
	seen := map[*set]bool{}
	for i := range ends {
		key := keyOf(&ends[i], source)
		s := r.known[key]
		if s == nil {
			var err error
			if s, err = r.set(&ends[i], source); err != nil {
				return nil, err
			}
			r.known[key] = s
		}
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out, nil
}

func (r *resolver) set(e *End, source bool) (*set, error) {
	s := &set{pods: map[int]netset.PortSet{}, anyPort: !e.Port.Given, ports: e.Port.Ports()}
	switch {
	case e.Select != nil:
		return s, r.selected(s, e)
	case e.pattern():
		return s, r.named(s, e)
	}
	return s, r.plain(s, e, source)
}

func (r *resolver) selected(s *set, e *End) error {
	snap := r.Model.Snapshot()
	var unsure []string
	for i := range snap.Pods {
		p := &snap.Pods[i]
		if e.Select.Pods.Match(p.Labels, true) != policy.Yes {
			continue
		}
		switch r.inNamespace(e.Select, p.Namespace) {
		case policy.Yes:
			r.put(s, i, e)
		case policy.Maybe:
			unsure = append(unsure, p.Namespace)
		}
	}
	slices.Sort(unsure)
	s.unknown = slices.Compact(unsure)
	if len(s.pods) == 0 && len(unsure) == 0 {
		return fmt.Errorf("no pod matches %s", e.Text)
	}
	return declared(s, e)
}

func (r *resolver) inNamespace(sel *Select, name string) policy.Match {
	if sel.Namespace != "" {
		if matches(sel.Namespace, name) {
			return policy.Yes
		}
		return policy.No
	}
	ns := r.Model.Snapshot().NamespaceByName(name)
	return sel.Namespaces.Match(ns.Labels, !ns.Assumed)
}

// put adds a pod, with the ports that are asked there.
func (r *resolver) put(s *set, pod int, e *End) {
	ports := r.PortsAt(pod, e.Port)
	if !ports.Empty() { // it declares the named port
		s.pods[pod] = s.pods[pod].Union(ports)
	}
}

// named adds what a name with wildcards matches.
func (r *resolver) named(s *set, e *End) error {
	snap := r.Model.Snapshot()
	t := &e.Term
	found := false
	for i := range snap.Pods {
		p := &snap.Pods[i]
		namespace := t.Namespace
		if namespace == "" {
			namespace = r.Namespace
		}
		if matches(namespace, p.Namespace) && nameMatches(t, p) {
			found = true
			r.put(s, i, e)
		}
	}
	if !found {
		return fmt.Errorf("nothing is called %s", e.Text)
	}
	return declared(s, e)
}

func nameMatches(t *question.Term, p *cluster.Pod) bool {
	if t.Kind == "pod" {
		return !p.Template && matches(t.Name, p.Name)
	}
	return (t.Kind == "" || t.Kind == p.Owner.Kind) && matches(t.Name, p.Owner.Name)
}

// declared refuses a named port that nothing declares.
func declared(s *set, e *End) error {
	if len(s.pods) == 0 && e.Port.Name != "" {
		return fmt.Errorf("none of the pods of %s declares the port %q", e.Text, e.Port.Name)
	}
	return nil
}

func (r *resolver) plain(s *set, e *End, source bool) error {
	t := e.Term
	if t.From.IsValid() {
		return fmt.Errorf("%s: a test is about pods with all their addresses (leave out @ADDRESS, or ask check)", e.Text)
	}
	if source {
		end, err := r.Resolve(t)
		if err != nil {
			return err
		}
		if end.Service != nil || len(end.Targets) > 0 || end.ExternalService > 0 {
			return fmt.Errorf("%s opens no connections (name its pods)", e.Text)
		}
		for _, i := range end.Pods {
			if !e.Outside {
				s.pods[i] = netset.EveryPort()
			}
		}
		s.regions = end.Regions
	} else {
		t.Port = e.Port
		end, goals, err := r.Goals(t)
		if err != nil {
			return err
		}
		for _, g := range goals {
			if g.Pod >= 0 && !e.Outside {
				s.pods[g.Pod] = s.pods[g.Pod].Union(g.Ports)
			}
		}
		s.regions, s.service = end.Regions, end.ExternalService
		if s.service > 0 {
			s.ports = goals[0].Ports
		}
	}
	if len(s.pods) == 0 && len(s.regions) == 0 {
		return errors.New(e.Text + " is no pod and nothing outside (a test is about those; ask check about it)")
	}
	return nil
}

// has tells whether an address outside is in the set.
func (s *set) has(a netip.Addr) bool {
	return slices.ContainsFunc(s.regions, func(r policy.Region) bool { return r.Contains(a) })
}

// sign adds to each pod of the set a mark that tells it from pods for which another port is asked.
func (s *set) sign(marks []strings.Builder, number int) {
	for pod, ports := range s.pods {
		fmt.Fprintf(&marks[pod], "%d %s;", number, ports)
	}
}
