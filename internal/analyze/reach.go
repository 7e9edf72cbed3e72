package analyze

import (
	"slices"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Options choose what is analysed.
type Options struct {
	// Outside adds these pieces of the world outside as parties; they must be regions of the space
	// given to New.
	Outside []policy.Region
	// ByNamespace makes namespaces the parties instead of workloads.
	ByNamespace bool
	// Services makes the services outside parties too: the addresses of each, by its index in the Snapshot, as regions of
	// the space given to New (docs/layers.md).
	Services [][]policy.Region
	// Strangers, if set, makes the world outside a source of these services.
	Strangers *Strangers
	// Split, if set, divides parties: pods for which it gives different texts are parties of their own,
	// with the same name.
	Split func(pod int) string
}

// Reach is the reachability of a model, computed between cells and read by party. It is immutable.
type Reach struct {
	// Parties are workloads or namespaces in the Snapshot's order, then pieces of the outside.
	Parties []Party

	m           *policy.Model
	layers      *layers.Model // nil where they do not speak
	services    [][]policy.Region
	strangers   *Strangers
	space       *policy.Space
	outside     []policy.Region
	byNamespace bool
	split       func(pod int) string
	partyOf     []int // by pod
	families    []family
	decisions   *table
}

// family is the matrix of one address family.
type family struct {
	*space
	// out[i] and in[i] number, for cell i, the decision on each other cell; rows are shared by cells
	// to which the same applies.
	out, in [][]uint32
	upper   *upper // nil where layers do not speak
}

// New analyses a model. space must hold the regions of Options.Outside.
func New(m *policy.Model, space *policy.Space, o Options) *Reach {
	r := &Reach{m: m, layers: layers.Compile(m), services: o.Services, strangers: o.Strangers, space: space, outside: o.Outside, byNamespace: o.ByNamespace, split: o.Split, decisions: newTable()}
	r.parties()
	for _, f := range flow.Families {
		inCluster := slices.Contains(m.Families(), f)
		if !inCluster && r.strangers == nil {
			continue
		}
		fam := family{space: r.fill(f, inCluster)}
		fam.out = r.rows(fam.space, flow.Egress)
		fam.in = r.rows(fam.space, flow.Ingress)
		if r.layers != nil {
			fam.upper = newUpper(r, fam.space)
		}
		r.families = append(r.families, fam)
	}
	return r
}

// rows computes the decisions of each cell on each other cell for a direction.
func (r *Reach) rows(s *space, d flow.Direction) [][]uint32 {
	out := make([][]uint32, len(s.cells))
	shared := map[string][]uint32{}
	w := &rowWriter{r: r, s: s, d: d, sig: make([]int32, len(s.cells))}
	open := w.everything()
	for i := range s.cells {
		c := &s.cells[i]
		if c.class < 0 {
			out[i] = open
			continue
		}
		key := w.subjectKey(c)
		row, ok := shared[key]
		if !ok {
			row = w.row(c)
			shared[key] = row
		}
		out[i] = row
	}
	return out
}

// Model is what was analysed.
func (r *Reach) Model() *policy.Model { return r.m }

// Row is what one party may open to another, by verdict; ports in none of the sets are denied.
type Row struct {
	From, To int // indices in Parties
	Ports
	// Partial holds the ports that are open for some pairs of their pods or in some family only.
	Partial netset.PortSet
}

// Empty tells whether nothing is open, not even perhaps.
func (r *Row) Empty() bool { return r.Open().Empty() && r.Partial.Empty() }

// Each calls f for every pair of parties, in order, self pairs included where a party has two
// different pods; pairs between which nothing is open only if closed is set. It stops when f gives
// false. The Row is only valid during the call.
func (r *Reach) Each(closed bool, f func(*Row) bool) {
	for from := range r.Parties {
		if !r.EachFrom(from, closed, f) {
			return
		}
	}
}

// EachFrom is Each for one source; it tells whether f went through.
func (r *Reach) EachFrom(from int, closed bool, f func(*Row) bool) bool {
	for to := range r.Parties {
		if r.Unasked(from, to) || !closed && r.plainlyClosed(from, to) {
			continue
		}
		if row, ok := r.Between(from, to); ok && (closed || !row.Empty()) && !f(&row) {
			return false
		}
	}
	return true
}

// plainlyClosed spares the work of Between for the most frequent case in a large cluster: two parties of
// one cell each in one family, and nothing open.
func (r *Reach) plainlyClosed(from, to int) bool {
	closed := false
	for i := range r.families {
		fam := &r.families[i]
		as, bs := r.Parties[from].cells[fam.family-1], r.Parties[to].cells[fam.family-1]
		switch {
		case len(as) == 0 || len(bs) == 0:
			continue
		case closed || len(as) > 1 || len(bs) > 1:
			return false
		}
		out, in := fam.out[as[0]][bs[0]], fam.in[bs[0]][as[0]]
		if closed = out != perPair && in != perPair && r.decisions.closed(r.decisions.join(out, in)); !closed {
			return false
		}
	}
	return closed
}

// PartyOf gives the party that a pod belongs to.
func (r *Reach) PartyOf(pod int) int { return r.partyOf[pod] }

// Between joins all pairs of cells of two parties; ok is false where there is no pair, because the
// families differ or the party is a single pod.
func (r *Reach) Between(from, to int) (Row, bool) {
	row := Row{From: from, To: to}
	ids := r.decided(from, to)
	if len(ids) == 0 {
		return row, false
	}
	row.Ports, row.Partial = r.summary(ids)
	return row, true
}

// decided numbers the distinct decisions on the pairs of two parties.
func (r *Reach) decided(from, to int) []uint32 {
	var ids []uint32
	for i := range r.families {
		fam := &r.families[i]
		for _, a := range r.Parties[from].cells[fam.family-1] {
			for _, b := range r.Parties[to].cells[fam.family-1] {
				if a == b && len(fam.cells[a].members) < 2 {
					continue
				}
				ids = r.appendPair(ids, fam, a, b)
			}
		}
	}
	return ids
}

// Decisions lists the distinct decisions on the pairs of two parties, in no particular order; it is empty
// where there is no pair.
func (r *Reach) Decisions(from, to int) []Ports {
	var out []Ports
	for _, id := range r.decided(from, to) {
		out = append(out, r.decisions.list[id])
	}
	return out
}

// summary joins the decisions on several pairs: what they agree on, and what is open for some only.
func (r *Reach) summary(ids []uint32) (common Ports, partial netset.PortSet) {
	common = r.decisions.list[ids[0]]
	union := common.Open()
	for _, id := range ids[1:] {
		p := r.decisions.list[id]
		common = Ports{common.Allowed.Intersect(p.Allowed), common.Ambiguous.Intersect(p.Ambiguous), common.Unknown.Intersect(p.Unknown)}
		union = union.Union(p.Open())
	}
	if len(ids) == 1 {
		return common, netset.PortSet{}
	}
	return common, union.Minus(common.Open())
}

// appendPair adds the decisions on a pair of cells that are not yet in the list: one, or several where
// a host may or may not be the other's own node.
func (r *Reach) appendPair(ids []uint32, fam *family, a, b int) []uint32 {
	out, in := fam.out[a][b], fam.in[b][a]
	if out != perPair && in != perPair {
		return appendNew(ids, r.joined(fam, a, b))
	}
	ca, cb := &fam.cells[a], &fam.cells[b]
	for _, ma := range r.flavours(ca, cb) {
		for _, mb := range r.flavours(cb, ca) {
			if a != b || ma != mb {
				ids = appendNew(ids, r.decisions.id(r.ask(fam, ca, ma, cb, mb)))
			}
		}
	}
	return ids
}

// joined numbers the decision on two cells that does not depend on the very pair.
func (r *Reach) joined(fam *family, a, b int) uint32 {
	id := r.decisions.join(fam.out[a][b], fam.in[b][a])
	if fam.upper != nil && !r.decisions.closed(id) {
		id = r.decisions.join(id, fam.upper.id(a, b))
	}
	return id
}

func appendNew(ids []uint32, id uint32) []uint32 {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

// ask decides both directions for the very members.
func (r *Reach) ask(fam *family, ca *cell, ma int, cb *cell, mb int) Ports {
	out, in := Ports{Allowed: netset.EveryPort()}, Ports{Allowed: netset.EveryPort()}
	if ca.class >= 0 {
		out = (&rowWriter{r: r, s: fam.space, d: flow.Egress}).decide(ca, ma, cb, mb)
	}
	if cb.class >= 0 {
		in = (&rowWriter{r: r, s: fam.space, d: flow.Ingress}).decide(cb, mb, ca, ma)
	}
	out = out.and(in)
	if fam.upper != nil {
		out = out.and(fam.upper.of(ca, ma, cb, mb))
	}
	return out
}

// flavours gives a member of c on the node of the host other, one that is surely elsewhere, and one of which
// the node is not known, where there are such: the decision depends on it (S22).
func (r *Reach) flavours(c, other *cell) []int {
	if c.kind != flow.Pod || !other.host {
		return []int{0}
	}
	pods := r.m.Snapshot().Pods
	node := pods[other.members[0]].NodeName
	first := [3]int{-1, -1, -1}
	for i, p := range c.members {
		flavour := 1
		switch pods[p].NodeName {
		case "":
			flavour = 2
		case node:
			flavour = 0
		}
		if first[flavour] < 0 {
			first[flavour] = i
		}
	}
	return slices.DeleteFunc(first[:], func(i int) bool { return i < 0 })
}

// Witness gives a flow that shows a row's verdict for a protocol and port; ok is false where no pair of
// the row has it.
func (r *Reach) Witness(row *Row, v flow.Verdict, proto netset.Proto, port uint16) (f flow.Flow, ok bool) {
	for _, f := range r.Flows(row.From, row.To) {
		f.Proto, f.Port = proto, port
		if proto == netset.Other {
			f.Port = 0
		}
		if r.Verdict(&f, r.Parties[row.To].service()) == v {
			return f, true
		}
	}
	return flow.Flow{}, false
}

// Verdict decides a flow by every layer. service is the index of the service that it is to, or layers.ByAddress.
func (r *Reach) Verdict(f *flow.Flow, service int) flow.Verdict {
	v := eval.Verdict(r.m, f)
	if r.layers != nil && v != flow.Denied {
		v = v.And(r.aboveNetwork(f, service))
	}
	return v
}

// Decide is Verdict with its why; the second answer is nil where layers do not speak.
func (r *Reach) Decide(f *flow.Flow, service int) (eval.Decision, *layers.Decision) {
	d := eval.Decide(r.m, f)
	if r.layers == nil {
		return d, nil
	}
	l := r.layers.Decide(&d, service)
	d.Verdict = l.Verdict
	return d, &l
}

// Flows lists one flow for each pair of pods, nodes and regions of two parties in each family, without
// protocol and port. It is what Between summarises, pair by pair; for tests and witnesses.
func (r *Reach) Flows(from, to int) []flow.Flow {
	var out []flow.Flow
	for i := range r.families {
		fam := &r.families[i]
		for _, a := range r.Parties[from].cells[fam.family-1] {
			for _, b := range r.Parties[to].cells[fam.family-1] {
				out = append(out, r.flows(fam, &fam.cells[a], &fam.cells[b])...)
			}
		}
	}
	return out
}

func (r *Reach) flows(fam *family, a, b *cell) []flow.Flow {
	var out []flow.Flow
	for i := range max(len(a.members), 1) {
		for j := range max(len(b.members), 1) {
			if a == b && i == j {
				continue
			}
			out = append(out, flow.Flow{From: fam.end(r, a, i), To: fam.end(r, b, j), Family: fam.family})
		}
	}
	return out
}
