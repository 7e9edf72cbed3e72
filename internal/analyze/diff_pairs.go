package analyze

import (
	"slices"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// pair is one pair of pods or pieces of the outside in one family, on each side that has it, and the number
// of the decision there.
type pair struct {
	flows     [2]flow.Flow
	has       [2]bool
	decisions [2]uint32
	services  [2]int // that the flow is to, or layers.ByAddress
}

// podGroup is a set of pods of one party that neither side tells apart in a family, nor by node where
// that counts; or one piece of the outside. Two members are kept, for a pair among themselves.
type podGroup struct {
	ends [][2]flow.End
	cell [2]int // or -1
	node [2]string
}

type groupsKey struct {
	party  int
	family flow.Family
	nodes  bool // divided by node too
}

// pairs lists one pair of ends of two parties for each two decisions, before and after, that some pair has.
func (d *Diff) pairs(from, to int) []pair {
	var out []pair
	seen := map[[2]uint32]bool{}
	for _, f := range flow.Families {
		for i, a := range d.groupsOf(groupsKey{from, f, d.hosts(to)}) {
			for j, b := range d.groupsOf(groupsKey{to, f, d.hosts(from)}) {
				other := 0
				if from == to && i == j {
					if other = 1; len(b.ends) < 2 {
						continue
					}
				}
				p := pair{decisions: [2]uint32{noDecision, noDecision}}
				for side := range p.has {
					if p.has[side] = a.cell[side] >= 0 && b.cell[side] >= 0; p.has[side] {
						p.flows[side] = flow.Flow{From: a.ends[0][side], To: b.ends[other][side], Family: f}
						p.services[side] = d.sides[side].family(f).cells[b.cell[side]].service
						p.decisions[side] = d.decision(side, &a, &b, &p.flows[side])
					}
				}
				if (p.has[before] || p.has[after]) && !seen[p.decisions] {
					seen[p.decisions] = true
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// nodesKey is equal for pairs of one side that are decided alike where their nodes count.
type nodesKey struct {
	side, from, to int // cells
	family         flow.Family
	fromKnown      bool
	toKnown        bool
	same           bool
}

// decision gives the number of the decision on a pair of members of two groups.
func (d *Diff) decision(side int, a, b *podGroup, f *flow.Flow) uint32 {
	r := d.sides[side]
	fam, from, to := r.family(f.Family), a.cell[side], b.cell[side]
	if out, in := fam.out[from][to], fam.in[to][from]; out != perPair && in != perPair {
		return r.joined(fam, from, to)
	}
	k := nodesKey{side, from, to, f.Family, a.node[side] != "", b.node[side] != "", a.node[side] == b.node[side]}
	id, ok := d.byNodes[k]
	if !ok {
		id = r.decisions.id(r.decide(f, fam.cells[to].service))
		d.byNodes[k] = id
	}
	return id
}

// hosts tells whether a party has hostNetwork pods, for which the other's node counts (S22).
func (d *Diff) hosts(party int) bool {
	for side, r := range d.sides {
		if at := d.at[side][party]; at >= 0 {
			for i := range r.families {
				fam := &r.families[i]
				for _, c := range r.Parties[at].cells[fam.family-1] {
					if fam.cells[c].host {
						return true
					}
				}
			}
		}
	}
	return false
}

// groupsOf divides the pods of a party, each with its twin on the other side where it has one.
func (d *Diff) groupsOf(k groupsKey) []podGroup {
	if out, ok := d.groups[k]; ok {
		return out
	}
	type groupKey struct {
		cell [2]int
		node [2]string
	}
	var out []podGroup
	at := map[groupKey]int{}
	for _, m := range d.members(k) {
		key := groupKey{cell: m.cell}
		if k.nodes {
			key.node = m.node
		}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, podGroup{cell: m.cell, node: m.node})
		}
		if len(out[i].ends) < 2 {
			out[i].ends = append(out[i].ends, m.ends)
		}
	}
	d.groups[k] = out
	return out
}

// member is a pod or a piece of the outside with its cell on each side, or -1.
type member struct {
	cell [2]int
	ends [2]flow.End
	node [2]string
}

func (d *Diff) members(k groupsKey) []member {
	var out []member
	at := map[int]int{} // by pod after
	for _, side := range []int{after, before} {
		party := d.at[side][k.party]
		fam := d.sides[side].family(k.family)
		if party < 0 || fam == nil {
			continue
		}
		for _, c := range d.sides[side].Parties[party].cells[k.family-1] {
			for n := range max(len(fam.cells[c].members), 1) {
				end := fam.end(d.sides[side], &fam.cells[c], n)
				i := d.memberOf(side, end, out, at)
				if i < 0 {
					i = len(out)
					out = append(out, member{cell: [2]int{-1, -1}})
				}
				out[i].cell[side], out[i].ends[side] = c, end
				if end.Kind == flow.Pod {
					out[i].node[side] = d.sides[side].m.Snapshot().Pods[end.Index].NodeName
					if side == after {
						at[end.Index] = i
					}
				}
			}
		}
	}
	return out
}

// memberOf finds what stands for the same pod or piece of the outside already, or gives -1.
func (d *Diff) memberOf(side int, end flow.End, list []member, at map[int]int) int {
	if side == after {
		return -1
	}
	if end.Kind == flow.Address {
		return slices.IndexFunc(list, func(m member) bool { return m.cell[after] >= 0 && m.ends[after].Addr == end.Addr })
	}
	if i, ok := at[d.twin[end.Index]]; ok && d.twin[end.Index] >= 0 {
		return i
	}
	return -1
}

func (r *Reach) family(f flow.Family) *family {
	for i := range r.families {
		if r.families[i].family == f {
			return &r.families[i]
		}
	}
	return nil
}

// decide gives every port of a flow by verdict.
func (r *Reach) decide(f *flow.Flow, service int) Ports {
	var out Ports
	g := *f
	for _, e := range r.Pieces(f, netset.EveryPort()) {
		g.Proto, g.Port = e.Proto, e.Range.First
		out.add(r.Verdict(&g, service), e.Proto, e.Range)
	}
	return out
}

func (r *Reach) classOf(e flow.End) int {
	if e.Kind != flow.Pod {
		return -1
	}
	return r.m.ClassOf(e.Index)
}
