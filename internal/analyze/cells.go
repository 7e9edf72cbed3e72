// Package analyze computes what reaches what, for whole clusters: reachability between the ends that
// policies tell apart, with exact ports and a witness for everything it claims.
//
// It is pure. It must never compare pods pair by pair, and never render.
package analyze

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/policy"
)

// cell is a set of ends that no policy tells apart, in one family.
type cell struct {
	kind    flow.Kind
	class   int // of pods; -1 for hosts and regions
	host    bool
	members []int // pods, or for a node's own end its index
	region  policy.Region
	atom    int // of the address; -1 where it is not known
	// source and target number what layers know of a pod (layers.Model); 0 where they do not speak.
	source, target int
	service        int // index of the service outside whose address it is, or layers.ByAddress
	owner          int // index of the party that it belongs to
}

// Party is what people call one end: a workload, a namespace, or a piece of the world outside.
type Party struct {
	Name      string // shop/deployment/web, shop, or external/CIDR with " (rest)" where pieces of it stand apart
	Namespace string // empty for the outside and for what belongs to no namespace
	External  bool
	Service   int // index in the Snapshot of a service outside, plus one; 0 for anything else
	// Stranger: it is a source of services outside, and asked about for nothing else.
	Stranger bool
	// CIDRs are the disjoint pieces of an external party.
	CIDRs []netip.Prefix

	cells [2][]int // by family
	asks  []int    // services of which a piece of the outside is a source, as Service numbers them, ascending
}

// space is the cells of one family.
type space struct {
	family flow.Family
	cells  []cell
	// inSet lists, for each distinct pair of selectors, the cells that match surely or perhaps.
	yes, maybe [][]int32
}

func (r *Reach) parties() {
	byName := map[string]int{}
	snap := r.m.Snapshot()
	r.partyOf = make([]int, len(snap.Pods))
	for i := range snap.Pods {
		name := snap.Pods[i].Owner.String()
		if r.byNamespace {
			name = snap.Pods[i].Namespace
		}
		key := name
		if r.split != nil {
			key += "\x00" + r.split(i)
		}
		at, ok := byName[key]
		if !ok {
			at = len(r.Parties)
			byName[key] = at
			r.Parties = append(r.Parties, Party{Name: name, Namespace: snap.Pods[i].Namespace})
		}
		r.partyOf[i] = at
	}
}

// fill makes the cells of a family. One that the cluster does not use has services and strangers only.
func (r *Reach) fill(f flow.Family, inCluster bool) *space {
	s := &space{family: f}
	if inCluster {
		r.addPods(s)
		r.addOutside(s)
	}
	r.addServices(s)
	r.addStrangers(s)
	r.fillSets(s)
	return s
}

// addPods makes a cell for each set of pods that nothing tells apart.
func (r *Reach) addPods(s *space) {
	snap := r.m.Snapshot()
	seen := map[string]int{}
	for i := range snap.Pods {
		p := &snap.Pods[i]
		addr, ok := addrOf(snap, p, s.family)
		if !ok {
			continue
		}
		c := cell{kind: flow.Pod, class: r.m.ClassOf(i), host: p.HostNetwork, atom: -1, owner: r.partyOf[i], service: layers.ByAddress}
		if r.layers != nil {
			c.source, c.target = r.layers.Source(i), r.layers.Target(i)
		}
		if addr.IsValid() {
			c.atom = r.space.Atom(addr)
		}
		key := fmt.Sprintf("%d %d %d", c.owner, c.class, c.atom)
		if r.layers != nil {
			key += fmt.Sprintf(" %d %d", c.source, c.target)
		}
		if c.host {
			key += " " + p.NodeName
		}
		at, ok := seen[key]
		if !ok {
			at = len(s.cells)
			seen[key] = at
			s.add(r, c)
		}
		s.cells[at].members = append(s.cells[at].members, i)
	}
}

func (s *space) add(r *Reach, c cell) {
	party := &r.Parties[c.owner]
	party.cells[s.family-1] = append(party.cells[s.family-1], len(s.cells))
	s.cells = append(s.cells, c)
}

// addrOf gives a pod's address in a family; ok is false where the pod is known not to have one.
func addrOf(snap *cluster.Snapshot, p *cluster.Pod, f flow.Family) (netip.Addr, bool) {
	a := p.Addr(f)
	addrs := p.Addrs
	if i := snap.NodeIndex(p.NodeName); p.HostNetwork && len(addrs) == 0 && i >= 0 {
		addrs = snap.Nodes[i].Addrs
		for _, x := range addrs {
			if flow.FamilyOf(x) == f {
				a = x
				break
			}
		}
	}
	return a, a.IsValid() || len(addrs) == 0
}

// addOutside makes a party for each piece of the world outside.
func (r *Reach) addOutside(s *space) {
	for _, region := range r.outside {
		if flow.FamilyOf(region.Prefix.Addr()) != s.family {
			continue
		}
		a, ok := region.Any()
		if !ok {
			continue
		}
		r.Parties = append(r.Parties, Party{Name: "external/" + region.Prefix.String() + r.rest(region), External: true, CIDRs: region.CIDRs()})
		s.add(r, cell{kind: flow.Address, class: -1, region: region, atom: r.space.Atom(a), owner: len(r.Parties) - 1, service: layers.ByAddress})
	}
}

// addServices makes a cell for each piece of a service's addresses; its party is made once for all families.
func (r *Reach) addServices(s *space) {
	for index, regions := range r.services {
		owner := slices.IndexFunc(r.Parties, func(p Party) bool { return p.Service == index+1 })
		if owner < 0 {
			owner = len(r.Parties)
			about := &r.m.Snapshot().External[index]
			r.Parties = append(r.Parties, Party{Name: about.String(), Namespace: about.Namespace, External: true, Service: index + 1})
		}
		for _, region := range regions {
			a, ok := region.Any()
			if !ok || flow.FamilyOf(region.Prefix.Addr()) != s.family {
				continue
			}
			r.Parties[owner].CIDRs = append(r.Parties[owner].CIDRs, region.CIDRs()...)
			s.add(r, cell{kind: flow.Address, class: -1, region: region, atom: r.space.Atom(a), owner: owner, service: index})
		}
	}
}

// service is the index of the service outside that the party is, or layers.ByAddress.
func (p *Party) service() int { return p.Service - 1 }

// rest marks a piece from which other parties are cut out.
func (r *Reach) rest(region policy.Region) string {
	for _, o := range r.outside {
		if slices.Contains(region.Except, o.Prefix) {
			return " (rest)"
		}
	}
	return ""
}

func (r *Reach) fillSets(s *space) {
	byClass := map[int][]int32{}
	for i := range s.cells {
		if c := &s.cells[i]; c.class >= 0 {
			byClass[c.class] = append(byClass[c.class], int32(i))
		}
	}
	s.yes, s.maybe = make([][]int32, r.m.Sets()), make([][]int32, r.m.Sets())
	for class := range r.m.Classes() {
		for _, set := range r.m.SetsOf(class, policy.Yes) {
			s.yes[set] = append(s.yes[set], byClass[class]...)
		}
		for _, set := range r.m.SetsOf(class, policy.Maybe) {
			s.maybe[set] = append(s.maybe[set], byClass[class]...)
		}
	}
}

// end gives the flow end of a cell's member.
func (s *space) end(r *Reach, c *cell, member int) flow.End {
	snap := r.m.Snapshot()
	if c.kind == flow.Address {
		a, _ := c.region.Any()
		return flow.End{Kind: flow.Address, Addr: a}
	}
	i := c.members[member]
	a, _ := addrOf(snap, &snap.Pods[i], s.family)
	return flow.End{Kind: flow.Pod, Index: i, Addr: a}
}
