package lint

import (
	"iter"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// crowd is pods that nothing tells apart: no rule by their labels or addresses, and no layer by what is issued to
// them, as what they appear outside, or which policies name them.
type crowd struct {
	pods []int // at least one; the first stands for all
}

// crowds gives the pods on which policies can act, as sources and as targets alike.
func (r *run) crowds() []crowd {
	if r.facts.crowds != nil {
		return r.facts.crowds
	}
	type key struct {
		class, source, target int
		atoms                 string
	}
	at := map[key]int{}
	space, l := r.Model.Space(), r.layers()
	for i := range r.Model.Snapshot().Pods {
		class := r.Model.ClassOf(i)
		if class < 0 {
			continue
		}
		k := key{class, l.Source(i), l.Target(i), string(space.AppendAtoms(nil, r.Model.Snapshot().Pods[i].Addrs))}
		n, ok := at[k]
		if !ok {
			n = len(r.facts.crowds)
			at[k] = n
			r.facts.crowds = append(r.facts.crowds, crowd{})
		}
		r.facts.crowds[n].pods = append(r.facts.crowds[n].pods, i)
	}
	return r.facts.crowds
}

// endsOf gives a pod with each address, or, where none is known, in each family.
func (r *run) endsOf(pod int) []cover.End {
	var out []cover.End
	addrs := r.Model.Snapshot().Pods[pod].Addrs
	for _, family := range r.Model.Families() {
		end := flow.End{Kind: flow.Pod, Index: pod, Addr: r.Model.Snapshot().Pods[pod].Addr(family)}
		if end.Addr.IsValid() || len(addrs) == 0 {
			out = append(out, cover.End{End: end, Family: family})
		}
	}
	return out
}

// owners names the workloads of pods.
func (r *run) owners(pods []int) []string {
	var out []string
	for _, i := range pods {
		out = append(out, r.Model.Snapshot().Pods[i].Owner.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// passage is what becomes of one flow.
type passage struct {
	network flow.Verdict // what network policies surely say, see decided
	layers.Decision
}

func (r *run) passage(f *flow.Flow, service int) passage {
	return passage{r.decided(f, flow.Egress).And(r.decided(f, flow.Ingress)), r.layers().IfOpen(f, service)}
}

// arrives tells whether the flow surely gets as far as where identity counts: through policies, projections and the
// firewall outside.
func (p *passage) arrives() bool {
	return p.network == flow.Allowed && !slices.ContainsFunc(p.Steps[:layers.IdentityIssued], func(s layers.Step) bool { return s.Answer > layers.Allow })
}

// stops tells whether it surely does not.
func (p *passage) stops() bool {
	return p.network == flow.Denied || slices.ContainsFunc(p.Steps[:layers.IdentityIssued], func(s layers.Step) bool { return s.Answer == layers.Deny })
}

// needsIdentity tells whether identity stops it.
func (p *passage) needsIdentity() bool {
	return slices.ContainsFunc(p.Steps[layers.IdentityIssued:], func(s layers.Step) bool { return s.Answer == layers.Deny })
}

// goal is where flows end.
type goal struct {
	cover.End
	service int // index in the Snapshot, or layers.ByAddress for a pod
	ports   netset.PortSet
}

// passages gives what becomes of the flows from a pod to goals: each that is decided otherwise once.
func (r *run) passages(pod int, goals []goal) iter.Seq2[*flow.Flow, *passage] {
	return func(yield func(*flow.Flow, *passage) bool) {
		for i := range goals {
			for _, from := range r.endsOf(pod) {
				f, ok := flowBetween(from, goals[i].End)
				if ok && !r.eachPiece(&f, &goals[i], yield) {
					return
				}
			}
		}
	}
}

// eachPiece gives, where no more may be asked, one passage of which nothing is known: it neither arrives nor is stopped.
func (r *run) eachPiece(f *flow.Flow, g *goal, yield func(*flow.Flow, *passage) bool) bool {
	if r.exhausted() {
		return yield(f, &passage{network: flow.Unknown})
	}
	cuts := r.Model.CutsFor(f)
	r.layers().AddCuts(&cuts, f)
	for _, e := range cuts.Pieces(g.ports) {
		f.Proto, f.Port = e.Proto, e.Range.First
		if p := r.passage(f, g.service); !yield(f, &p) {
			return false
		}
	}
	return true
}

// anyOf tells whether one of the flows from a pod to goals is as asked.
func (r *run) anyOf(pod int, goals []goal, is func(*passage) bool) bool {
	for _, p := range r.passages(pod, goals) {
		if is(p) {
			return true
		}
	}
	return false
}

// servicesSpace divides addresses by policies and by services alike. It takes all of both to make, so it is made once.
func (r *run) servicesSpace() *policy.Space {
	if r.facts.space == nil {
		r.facts.space = r.Model.Space(r.layers().Prefixes()...)
	}
	return r.facts.space
}

// serviceGoals are an address of each region that a service may have.
func (r *run) serviceGoals(i int) []goal {
	x := r.layers().Service(i)
	var out []goal
	space := r.servicesSpace()
	add := func(a netip.Addr) {
		out = append(out, goal{cover.End{End: flow.End{Kind: flow.Address, Addr: a}, Family: flow.FamilyOf(a)}, i, x.Ports})
	}
	for _, p := range x.Public {
		for _, region := range space.Regions(p) {
			if a, ok := region.Any(); ok {
				add(a)
			}
		}
	}
	if len(x.Public) == 0 {
		for _, e := range r.search().Outside() {
			add(e.Addr)
		}
	}
	for _, a := range x.Private {
		add(a)
	}
	return out
}

// targetGoals are the pods, one of each crowd, and ports that an AccessPolicy names and that these pods declare; with first
// only those that no policy before it in the Snapshot names.
func (r *run) targetGoals(index int, first bool) []goal {
	var out []goal
	for _, c := range r.crowds() {
		pod := c.pods[0]
		naming := r.layers().Naming(pod)
		if !slices.Contains(naming, index) || first && naming[0] != index {
			continue
		}
		named, _ := r.layers().PortsAt(index, pod)
		var ports netset.PortSet
		for _, p := range r.Model.Snapshot().Pods[pod].Ports {
			if named.Contains(p.Proto, p.Port) {
				ports.Add(p.Proto, netset.PortRange{First: p.Port, Last: p.Port})
			}
		}
		for _, e := range r.endsOf(pod) {
			out = append(out, goal{e, layers.ByAddress, ports})
		}
	}
	return out
}
