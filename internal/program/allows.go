package program

import (
	"net/netip"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Side is one end's say about a connection: that of a pod here.
type Side struct {
	Pod       int // its index in the Snapshot
	Direction flow.Direction
	Allowed   bool
	Closed    bool // whatever policies say: another end has the address too, or no interface leads to the pod
}

// Allows says what the table does with the first packet of a connection, as the filter of the node sees it: of each end that is
// a pod here. Nothing is said of other ends. own tells which addresses are the node's: what has one of those comes from the node or
// to it, whatever pod says that it has the address too.
func (l *Live) Allows(from, to netip.Addr, proto netset.Proto, port uint16, own func(netip.Addr) bool) []Side {
	var out []Side
	for _, d := range flow.Directions {
		near, far := from, to
		if d == flow.Ingress {
			near, far = to, from
		}
		if near.IsLoopback() || own(near) && !(near.Is6() && near.IsLinkLocalUnicast()) { // of those each link has its own
			continue
		}
		for _, pod := range l.b.localAt[near] {
			if l.b.closedTo(pod, near) {
				out = append(out, Side{Pod: pod, Direction: d, Closed: true})
				continue
			}
			out = append(out, Side{Pod: pod, Direction: d, Allowed: l.b.allows(pod, near, far, d, own(far)).Contains(proto, port)})
		}
	}
	return out
}

// closedTo tells whether a pod here is closed at one of its addresses.
func (b *builder) closedTo(pod int, near netip.Addr) bool {
	return b.locals[pod].link == "" || len(b.owners[near]) > 1
}

// allows gives what a direction of a pod here lets through, from or to an address. node: it is the node's own.
func (b *builder) allows(pod int, near, far netip.Addr, d flow.Direction, node bool) netset.PortSet {
	o := b.locals[pod]
	f := flow.FamilyOf(near) - 1
	if node {
		n := o.g.nodes[d-1][f]
		allowed, ok := n.told[far]
		if !ok {
			allowed = n.segments[0].allowed
		}
		return b.allowed[allowed]
	}
	t := o.g.tables[d-1]
	switch list := b.owners[far]; len(list) {
	case 0:
		return b.allowed[at(t.segments[f], far)]
	case 1:
		return b.allowed[t.remotes[list[0].remote]]
	default:
		return b.allowed[t.of(b, list)]
	}
}

// End gives the end of the cluster that has an address, or the address itself where none has, or several have.
func (l *Live) End(a netip.Addr) flow.End {
	if list := l.b.owners[a]; len(list) == 1 {
		return list[0].end
	}
	return flow.End{Kind: flow.Address, Addr: a}
}
