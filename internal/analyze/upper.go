package analyze

import (
	"fmt"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// upper decides what the layers above the network say between cells of one family. It is kept apart from the rows of
// policies, which few rows of many cells share: identities are as many as workloads.
type upper struct {
	r            *Reach
	s            *space
	source, dest []int32 // by cell: cells with one number get and give the same answers
	dests        []upperDest
	ids          [][]uint32 // by numbers of source and destination, plus one
}

// upperDest is what is the same for all sources at cells with one number.
type upperDest struct {
	pieces []netset.Entry // ranges of ports on which layers answer the same
	// plain: nothing is asked there, so that everything passes.
	plain bool
	bySig map[uint64]uint32 // decisions by the verdicts on the pieces
}

func newUpper(r *Reach, s *space) *upper {
	u := &upper{r: r, s: s, source: make([]int32, len(s.cells)), dest: make([]int32, len(s.cells))}
	sources, dests := map[string]int32{}, map[string]int32{}
	for i := range s.cells {
		c := &s.cells[i]
		namespace := ""
		if c.kind == flow.Pod { // services of a namespace are for its pods
			namespace = r.m.Snapshot().Pods[c.members[0]].Namespace
		}
		u.source[i] = number(sources, fmt.Sprint(c.kind, c.source, c.host, namespace))
		key := fmt.Sprint(c.kind, c.target, c.host, c.service)
		if c.kind == flow.Address {
			key += fmt.Sprint(" ", c.atom)
		}
		if u.dest[i] = number(dests, key); int(u.dest[i]) == len(u.dests) {
			u.dests = append(u.dests, u.about(c))
		}
	}
	u.ids = make([][]uint32, len(sources))
	return u
}

func number(at map[string]int32, key string) int32 {
	n, ok := at[key]
	if !ok {
		n = int32(len(at))
		at[key] = n
	}
	return n
}

// about prepares a destination.
func (u *upper) about(c *cell) upperDest {
	var cuts policy.Cuts
	f := flow.Flow{To: u.s.end(u.r, c, 0)}
	u.r.layers.AddCuts(&cuts, &f)
	out := upperDest{bySig: map[uint64]uint32{}, plain: c.kind == flow.Pod && !u.r.layers.Asks(c.members[0])}
	for _, proto := range netset.Protos {
		for _, r := range cuts.Ranges(proto, netset.AllPorts) {
			out.pieces = append(out.pieces, netset.Entry{Proto: proto, Range: r})
		}
	}
	return out
}

// id numbers the decision from one cell to another, where it does not depend on the very members.
func (u *upper) id(a, b int) uint32 {
	d := &u.dests[u.dest[b]]
	if d.plain {
		return u.r.decisions.everything()
	}
	if u.s.cells[a].kind == flow.Address && u.s.cells[b].service != layers.ByAddress {
		return u.decide(a, b, d) // each service is asked by few strangers, and tells them apart
	}
	row := u.ids[u.source[a]]
	if row == nil {
		row = make([]uint32, len(u.dests))
		u.ids[u.source[a]] = row
	}
	at := u.dest[b]
	if row[at] == 0 {
		row[at] = u.decide(a, b, d) + 1
	}
	return row[at] - 1
}

// maxSigned is how many pieces a signature has room for.
const maxSigned = 32

func (u *upper) decide(a, b int, d *upperDest) uint32 {
	ca, cb := &u.s.cells[a], &u.s.cells[b]
	verdicts := u.verdicts(ca, 0, cb, 0, d)
	if len(verdicts) > maxSigned {
		return u.r.decisions.id(d.ports(verdicts))
	}
	sig := uint64(0)
	for i, v := range verdicts {
		sig |= uint64(v-1) << (2 * i)
	}
	id, ok := d.bySig[sig]
	if !ok {
		id = u.r.decisions.id(d.ports(verdicts))
		d.bySig[sig] = id
	}
	return id
}

// of decides for the very members.
func (u *upper) of(ca *cell, ma int, cb *cell, mb int) Ports {
	d := u.about(cb)
	return d.ports(u.verdicts(ca, ma, cb, mb, &d))
}

func (u *upper) verdicts(ca *cell, ma int, cb *cell, mb int, d *upperDest) []flow.Verdict {
	// ViaService: the answer is shared by many cells, so the exemption of a pod from itself must not get in.
	f := flow.Flow{From: u.s.end(u.r, ca, ma), To: u.s.end(u.r, cb, mb), Family: u.s.family, ViaService: true}
	var room [maxSigned]flow.Verdict
	out := room[:0]
	for _, p := range d.pieces {
		f.Proto, f.Port = p.Proto, p.Range.First
		out = append(out, u.r.aboveNetwork(&f, cb.service))
	}
	return out
}

func (d *upperDest) ports(verdicts []flow.Verdict) Ports {
	var out Ports
	for i, v := range verdicts {
		out.add(v, d.pieces[i].Proto, d.pieces[i].Range)
	}
	return out
}

// aboveNetwork is what the layers above the network say; a service is closed on the ports that it does not serve.
func (r *Reach) aboveNetwork(f *flow.Flow, service int) flow.Verdict {
	if service != layers.ByAddress && !r.layers.Serves(service, f.Proto, f.Port) {
		return flow.Denied
	}
	return r.layers.Verdict(f, service)
}
