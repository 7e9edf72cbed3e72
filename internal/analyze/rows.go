package analyze

import (
	"encoding/binary"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// perPair stands in a row for a remote end whose decision depends on the very pair: a host, which
// may be the subject's own node (S22).
const perPair = ^uint32(0)

// rowWriter computes rows of one direction in one family.
type rowWriter struct {
	r   *Reach
	s   *space
	d   flow.Direction
	sig []int32 // by cell: which of the subject's sets hold it, as a number
	all uint32  // the decision "everything", made when first needed
	has bool
}

// relevant is what of a remote end the rules of a subject look at.
type relevant struct {
	sets   []int
	blocks bool // addresses
	named  bool // the destination's named ports
}

func (w *rowWriter) everything() []uint32 {
	row := make([]uint32, len(w.s.cells))
	id := w.r.decisions.id(Ports{Allowed: netset.EveryPort()})
	for i := range row {
		row[i] = id
	}
	return row
}

// subjectKey is equal for cells to which the same rules apply in the same way.
func (w *rowWriter) subjectKey(c *cell) string {
	class := &w.r.m.Classes()[c.class]
	s := class.Subject(w.d)
	var key []byte
	for _, list := range [][]policy.Applied{s.Admin, s.Baseline} {
		for _, p := range list {
			key = binary.AppendUvarint(key, uint64(p.Number())<<1|uint64(bit(p.Maybe)))
		}
		key = append(key, 0xff, 0xff)
	}
	for _, p := range s.Policies {
		key = binary.AppendUvarint(key, uint64(p.Number()))
	}
	key = append(key, 0xff, 0xff)
	if w.d == flow.Ingress {
		key = binary.AppendUvarint(key, uint64(w.r.m.PortsOf(c.class)))
	}
	return string(binary.AppendUvarint(key, uint64(len(class.Foreign(w.d)))))
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *rowWriter) relevantTo(c *cell) relevant {
	var out relevant
	seen := map[int]bool{}
	s := w.r.m.Classes()[c.class].Subject(w.d)
	look := func(rules []policy.Rule) {
		for i := range rules {
			for j := range rules[i].Peers {
				p := &rules[i].Peers[j]
				out.blocks = out.blocks || p.Kind != policy.PodPeer
				if set := p.Set(); p.Kind == policy.PodPeer && !seen[set] {
					seen[set] = true
					out.sets = append(out.sets, set)
				}
			}
			for j := range rules[i].Ports {
				out.named = out.named || rules[i].Ports[j].Name != ""
			}
		}
	}
	for _, p := range s.Admin {
		look(p.Rules(w.d))
	}
	for _, p := range s.Policies {
		look(p.Rules(w.d))
	}
	for _, p := range s.Baseline {
		look(p.Rules(w.d))
	}
	out.blocks = out.blocks || w.r.m.Options().BlockMetadata
	out.named = out.named && w.d == flow.Egress
	return out
}

// remoteKey is equal for remote cells that a subject's rules cannot tell apart.
type remoteKey struct {
	sig, atom, ports int32
	kind             flow.Kind
}

func (w *rowWriter) row(c *cell) []uint32 {
	rel := w.relevantTo(c)
	w.sign(rel.sets)
	row := make([]uint32, len(w.s.cells))
	memo := map[remoteKey]uint32{}
	for i := range w.s.cells {
		o := &w.s.cells[i]
		if o.host {
			row[i] = perPair
			continue
		}
		k := remoteKey{sig: w.sig[i], kind: o.kind}
		if rel.blocks {
			k.atom = int32(o.atom)
		}
		if rel.named {
			k.ports = -1
			if o.class >= 0 {
				k.ports = int32(w.r.m.PortsOf(o.class))
			}
		}
		id, ok := memo[k]
		if !ok {
			id = w.r.decisions.id(w.decide(c, 0, o, 0))
			memo[k] = id
		}
		row[i] = id
	}
	return row
}

// sign numbers, for each cell, the combination of sets that hold it.
func (w *rowWriter) sign(sets []int) {
	clear(w.sig)
	type step struct{ from, set int32 }
	next := map[step]int32{}
	count := int32(0)
	put := func(cells []int32, tag int32) {
		for _, i := range cells {
			k := step{w.sig[i], tag}
			to, ok := next[k]
			if !ok {
				count++
				to = count
				next[k] = to
			}
			w.sig[i] = to
		}
	}
	for n, set := range sets {
		put(w.s.yes[set], int32(2*n))
		put(w.s.maybe[set], int32(2*n+1))
	}
}

// decide asks one direction for one member of each cell on all protocols and ports.
func (w *rowWriter) decide(c *cell, member int, other *cell, otherMember int) Ports {
	own, remote := w.s.end(w.r, c, member), w.s.end(w.r, other, otherMember)
	// ViaService: a row is shared by many cells, so the exemption of a pod from itself must not get in.
	f := flow.Flow{From: own, To: remote, Family: w.s.family, ViaService: true}
	if w.d == flow.Ingress {
		f.From, f.To = remote, own
	}
	var cuts policy.Cuts
	dest := other.class
	if w.d == flow.Ingress {
		dest = c.class
	}
	cuts.Add(w.r.m, c.class, dest, w.d)
	var out Ports
	for _, proto := range netset.Protos {
		for _, r := range cuts.Ranges(proto, netset.AllPorts) {
			f.Proto, f.Port = proto, r.First
			out.add(eval.Side(w.r.m, &f, w.d), proto, r)
		}
	}
	return out
}
