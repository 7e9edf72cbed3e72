package analyze

import (
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Ports divides all protocols and ports by verdict; what is in none of the sets is denied.
type Ports struct {
	Allowed, Ambiguous, Unknown netset.PortSet
}

// Open is everything that is not surely denied.
func (p Ports) Open() netset.PortSet { return p.Allowed.Union(p.Ambiguous).Union(p.Unknown) }

func (p *Ports) add(v flow.Verdict, proto netset.Proto, r netset.PortRange) {
	switch v {
	case flow.Allowed:
		p.Allowed.Add(proto, r)
	case flow.Ambiguous:
		p.Ambiguous.Add(proto, r)
	case flow.Unknown:
		p.Unknown.Add(proto, r)
	}
}

// and joins two directions port by port (S18), the way flow.Verdict.And joins verdicts.
func (p Ports) and(o Ports) Ports {
	open := p.Open().Intersect(o.Open())
	out := Ports{Allowed: p.Allowed.Intersect(o.Allowed)}
	out.Unknown = p.Unknown.Union(o.Unknown).Intersect(open)
	out.Ambiguous = open.Minus(out.Allowed).Minus(out.Unknown)
	return out
}

func (p Ports) key() string {
	return p.Allowed.String() + "|" + p.Ambiguous.String() + "|" + p.Unknown.String()
}

// table numbers distinct Ports, so that a matrix holds small numbers.
type table struct {
	list []Ports
	ids  map[string]uint32
	// and holds the joins already made, plus one: rows by the first number, for the small numbers
	// that nearly all pairs have; many holds the rest.
	and  [][]uint32
	many map[uint64]uint32
	open uint32 // see everything
}

// small bounds the numbers whose joins are kept in a table.
const small = 2048

func newTable() *table { return &table{ids: map[string]uint32{}, many: map[uint64]uint32{}} }

// everything gives the number of the decision that lets everything through.
func (t *table) everything() uint32 {
	if t.open == 0 {
		t.open = t.id(Ports{Allowed: netset.EveryPort()}) + 1
	}
	return t.open - 1
}

// id gives the number of a decision.
func (t *table) id(p Ports) uint32 {
	k := p.key()
	id, ok := t.ids[k]
	if !ok {
		id = uint32(len(t.list))
		t.ids[k] = id
		t.list = append(t.list, p)
	}
	return id
}

func (t *table) join(a, b uint32) uint32 {
	if a < small && b < small {
		for int(a) >= len(t.and) {
			t.and = append(t.and, nil)
		}
		if t.and[a] == nil {
			t.and[a] = make([]uint32, small)
		}
		if t.and[a][b] == 0 {
			t.and[a][b] = t.id(t.list[a].and(t.list[b])) + 1
		}
		return t.and[a][b] - 1
	}
	k := uint64(a)<<32 | uint64(b)
	id, ok := t.many[k]
	if !ok {
		id = t.id(t.list[a].and(t.list[b]))
		t.many[k] = id
	}
	return id
}

// closed tells whether nothing is open under a decision, not even perhaps.
func (t *table) closed(id uint32) bool {
	p := &t.list[id]
	return p.Allowed.Empty() && p.Ambiguous.Empty() && p.Unknown.Empty()
}
