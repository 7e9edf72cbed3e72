package program

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/netset"
)

// Packet is the first packet of a connection, as a hook sees it: after translation of its destination, before that of its
// source.
type Packet struct {
	Hook     Hook
	In, Out  string // interfaces; empty where the hook has none
	Src, Dst netip.Addr
	Proto    netset.Proto
	Port     uint16 // of TCP, UDP and SCTP
	// Number is that of its protocol where Proto does not say it, Type that of an ICMPv6 message.
	Number, Type, HopLimit uint8
	// Established: it belongs to a connection that was let in. Related: it is about one without being part of it. Revoked: its
	// connection has the label. MidStream: it is TCP, of no connection that is known, and no SYN.
	Established, Related, Revoked, MidStream bool
}

// maxJumps is how deep chains may call each other; nft takes 16, and this table needs three.
const maxJumps = 8

var errDepth = errors.New("chains call each other too deep")

// Try says what the table does with a packet: whether it is accepted, and the rules that ended a chain, each as its chain and
// its words.
func (p *Program) Try(k *Packet) (accepted bool, path []string, err error) {
	t := trial{p: p, k: k}
	for i := range p.Chains {
		if c := &p.Chains[i]; c.Hook == k.Hook && c.Hook != 0 {
			act, err := t.run(c, 0)
			return err == nil && act != Drop, t.path, err
		}
	}
	return false, nil, fmt.Errorf("no chain has the hook %d", k.Hook)
}

type trial struct {
	p    *Program
	k    *Packet
	path []string
}

// run walks a chain; Return stands for its end as well.
func (t *trial) run(c *Chain, depth int) (Act, error) {
	if depth > maxJumps {
		return Drop, errDepth
	}
	for i := range c.Rules {
		v, err := t.rule(&c.Rules[i])
		if err != nil {
			return Drop, err
		}
		if v.Act == 0 {
			continue
		}
		t.path = append(t.path, c.Name+": "+c.Rules[i].String())
		if v.Act != Jump && v.Act != Goto {
			return v.Act, nil
		}
		next := t.p.chain(v.Chain)
		if next == nil {
			return Drop, fmt.Errorf("there is no chain %s", v.Chain)
		}
		act, err := t.run(next, depth+1)
		if err != nil || act != Return || v.Act == Goto {
			return act, err
		}
	}
	return Return, nil
}

func (p *Program) chain(name string) *Chain {
	i := slices.IndexFunc(p.Chains, func(c Chain) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Chains[i]
}

// rule gives the verdict of a rule; zero where it goes on.
func (t *trial) rule(r *Rule) (Verdict, error) {
	if r.Map != "" {
		i := slices.IndexFunc(t.p.Maps, func(m Map) bool { return m.Name == r.Map })
		if i < 0 {
			return Verdict{}, fmt.Errorf("there is no map %s", r.Map)
		}
		e := t.find(r.Match, t.p.Maps[i].Elements)
		if e == nil {
			return Verdict{}, nil
		}
		return e.Verdict, nil
	}
	holds, err := t.holds(r)
	if err != nil || holds == r.Negated {
		return Verdict{}, err
	}
	return r.Verdict, nil
}

func (t *trial) holds(r *Rule) (bool, error) {
	k := t.k
	switch r.Match {
	case Always, Relabel:
		return true, nil
	case Revoked:
		return k.Revoked, nil
	case Stray:
		return k.MidStream, nil
	case Established:
		return k.Established, nil
	case FromLoopback:
		return k.In == "lo", nil
	}
	i := slices.IndexFunc(t.p.Sets, func(s Set) bool { return s.Name == r.Set })
	if i < 0 {
		return false, fmt.Errorf("there is no set %s", r.Set)
	}
	if !t.can(r.Match) {
		return r.Negated, nil // what the packet has not got neither holds nor is negated
	}
	return t.find(r.Match, t.p.Sets[i].Elements) != nil, nil
}

// can tells whether the packet has what is looked up.
func (t *trial) can(m Match) bool {
	switch m {
	case Source4, InterfaceAndIP4, Destination4, TargetAndIP4:
		return t.k.Src.Is4()
	case Source6, InterfaceAndIP6, Destination6, TargetAndIP6:
		return t.k.Src.Is6()
	case ProtocolAndPort:
		return t.k.Proto.HasPorts()
	case RelatedError:
		return t.k.Related
	case NeighbourTalk:
		return t.k.Src.Is6() && t.k.protocol() == ICMPv6 && t.k.HopLimit == 255
	case ListenerTalk:
		return t.k.Src.Is6() && t.k.protocol() == ICMPv6 && t.k.Dst.IsMulticast()
	}
	return true
}

// find looks the packet up among elements.
func (t *trial) find(m Match, list []Element) *Element {
	if !t.can(m) {
		return nil
	}
	i := slices.IndexFunc(list, func(e Element) bool { return t.is(m, &e) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func (t *trial) is(m Match, e *Element) bool {
	k := t.k
	within := func(a netip.Addr) bool { return e.First.Compare(a) <= 0 && a.Compare(e.Last) <= 0 }
	switch m {
	case FromInterface:
		return e.Interface == k.In
	case ToInterface:
		return e.Interface == k.Out
	case Source4, Source6:
		return within(k.Src)
	case Destination4, Destination6:
		return within(k.Dst)
	case InterfaceAndIP4, InterfaceAndIP6:
		return e.Interface == k.In && within(k.Src)
	case TargetAndIP4, TargetAndIP6:
		return e.Interface == k.Out && within(k.Dst)
	case ProtocolAndPort:
		return e.Proto == k.Proto && e.Ports.Contains(k.Port)
	case RelatedError, Protocol:
		return e.Number == k.protocol()
	case NeighbourTalk, ListenerTalk:
		return e.Number == k.Type
	}
	return false
}

// protocol gives the number of the packet's protocol.
func (k *Packet) protocol() uint8 {
	if k.Proto.HasPorts() {
		return NumberOf(k.Proto)
	}
	return k.Number
}
