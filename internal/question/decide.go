package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

func prefixOf(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// piece is a range of ports of one protocol that a pair is asked about.
type piece struct {
	proto netset.Proto
	ports netset.PortRange
}

// decidePair decides a pair of ends, once for each family and each piece of the ports asked.
func (a *asking) decidePair(p pair) error {
	families := a.families(p)
	for _, f := range families {
		fl, ok := a.flow(p, f)
		if !ok {
			continue
		}
		pieces, err := a.pieces(p, &fl)
		if err != nil {
			return err
		}
		var verdicts []flow.Verdict
		for _, pc := range pieces {
			if a.flows++; a.flows > maxFlows {
				return errorf("ask about a smaller part", "the question stands for more than %d flows", maxFlows)
			}
			fl.Proto, fl.Port = pc.proto, pc.ports.First
			d := a.decide(&fl)
			a.record(p, f, pc, d)
			verdicts = append(verdicts, d.Verdict)
		}
		a.judge(p, f, verdicts)
	}
	return nil
}

func (a *asking) decide(fl *flow.Flow) eval.Decision {
	d := eval.Decide(a.r.Model, fl)
	if a.unfiltered {
		d.Ingress = eval.Direction{Direction: flow.Ingress, Verdict: flow.Allowed, Reason: flow.NotEnforced}
		d.Verdict = d.Egress.Verdict
	}
	return d
}

// judge turns the verdicts on the pieces into those of the pair: all of them where a port was
// asked, one for the pair where none was. The ports of a Service at one backend are one pair.
func (a *asking) judge(p pair, f flow.Family, verdicts []flow.Verdict) {
	if a.port.Given {
		for _, v := range verdicts {
			a.pairs = append(a.pairs, pairVerdict{[]flow.Verdict{v}})
		}
		return
	}
	if a.dst.Service == nil {
		a.pairs = append(a.pairs, pairVerdict{verdicts})
		return
	}
	key := fmt.Sprint(f, p.from.kind, p.from.members, p.from.region, p.to.members, p.to.region)
	at, ok := a.ofBackend[key]
	if !ok {
		at = len(a.pairs)
		a.ofBackend[key] = at
		a.pairs = append(a.pairs, pairVerdict{})
	}
	a.pairs[at].pieces = append(a.pairs[at].pieces, verdicts...)
}

// pairVerdict holds the verdicts on the pieces of a pair of ends in one family.
type pairVerdict struct{ pieces []flow.Verdict }

// verdict is allowed if some piece is, denied if every one is (S60).
func (p pairVerdict) verdict() flow.Verdict {
	switch {
	case slices.Contains(p.pieces, flow.Allowed):
		return flow.Allowed
	case !slices.ContainsFunc(p.pieces, func(v flow.Verdict) bool { return v != flow.Denied }):
		return flow.Denied
	case !slices.Contains(p.pieces, flow.Unknown):
		return flow.Ambiguous
	}
	return flow.Unknown
}

// families are those that both ends have.
func (a *asking) families(p pair) []flow.Family {
	from, to := a.endFamilies(&p.from, a.src.From), a.endFamilies(&p.to, a.dst.From)
	var out []flow.Family
	for _, f := range flow.Families {
		asked := (a.src.Family == 0 || a.src.Family == f) && (a.dst.Family == 0 || a.dst.Family == f)
		if asked && slices.Contains(from, f) && slices.Contains(to, f) {
			out = append(out, f)
		}
	}
	return out
}

func (a *asking) endFamilies(c *candidate, fixed netip.Addr) []flow.Family {
	if fixed.IsValid() {
		return []flow.Family{flow.FamilyOf(fixed)}
	}
	var addrs []netip.Addr
	snap := a.r.Model.Snapshot()
	switch c.kind {
	case flow.Address:
		return []flow.Family{flow.FamilyOf(c.region.Prefix.Addr())}
	case flow.Node:
		addrs = snap.Nodes[c.members[0]].Addrs
	case flow.Pod:
		p := &snap.Pods[c.members[0]]
		addrs = p.Addrs
		if i := snap.NodeIndex(p.NodeName); p.HostNetwork && len(addrs) == 0 && i >= 0 {
			addrs = snap.Nodes[i].Addrs
		}
	}
	if len(addrs) > 0 {
		out := make([]flow.Family, 0, len(addrs))
		for _, x := range addrs {
			out = append(out, flow.FamilyOf(x))
		}
		return out
	}
	// Nothing is known of this end: the other end's families decide if it is an address, else the cluster's.
	if a.asksOneFamily() {
		return flow.Families[:]
	}
	return a.r.Model.Families()
}

// asksOneFamily tells whether the question itself names addresses.
func (a *asking) asksOneFamily() bool {
	named := func(e *End) bool { return len(e.Regions) > 0 && !e.External || e.From.IsValid() }
	return named(&a.src) || named(&a.dst)
}

// flow builds the flow of a pair in a family; ok is false for a region in which no address is left.
func (a *asking) flow(p pair, f flow.Family) (flow.Flow, bool) {
	from, ok := a.end(&p.from, f, a.src.From, 0)
	if !ok {
		return flow.Flow{}, false
	}
	other := 0
	if len(p.from.members) > 0 && len(p.to.members) > 1 && p.from.kind == p.to.kind && p.from.members[0] == p.to.members[0] {
		other = 1 // two members of one group: one replica to another
	}
	to, ok := a.end(&p.to, f, a.dst.From, other)
	via := p.to.target != nil && (a.dst.Service == nil || !a.dst.Service.Headless)
	return flow.Flow{From: from, To: to, Family: f, ViaService: via}, ok
}

func (a *asking) end(c *candidate, f flow.Family, fixed netip.Addr, member int) (flow.End, bool) {
	snap := a.r.Model.Snapshot()
	e := flow.End{Kind: c.kind, Addr: fixed}
	switch c.kind {
	case flow.Address:
		addr, ok := c.region.Pick(func(x netip.Addr) bool { _, known := a.r.addrs[x]; return known })
		e.Addr = addr
		return e, ok
	case flow.Node:
		e.Index = c.members[0]
		if !fixed.IsValid() {
			e.Addr = addrIn(snap.Nodes[e.Index].Addrs, f)
		}
	case flow.Pod:
		e.Index = c.members[member]
		p := &snap.Pods[e.Index]
		if !fixed.IsValid() {
			e.Addr = p.Addr(f)
			if i := snap.NodeIndex(p.NodeName); p.HostNetwork && !e.Addr.IsValid() && i >= 0 {
				e.Addr = addrIn(snap.Nodes[i].Addrs, f)
			}
		}
	}
	return e, true
}

func addrIn(addrs []netip.Addr, f flow.Family) netip.Addr {
	for _, x := range addrs {
		if flow.FamilyOf(x) == f {
			return x
		}
	}
	return netip.Addr{}
}

// pieces divides the ports asked so that each piece has one answer.
func (a *asking) pieces(p pair, fl *flow.Flow) ([]piece, error) {
	if t := p.to.target; t != nil && !t.Any {
		return []piece{{t.Proto, netset.PortRange{First: t.Port, Last: t.Port}}}, nil
	}
	if a.port.Name != "" {
		return a.namedPieces(p)
	}
	cuts := a.cuts(fl)
	var out []piece
	for _, proto := range a.protos() {
		within := netset.AllPorts
		if a.port.Given {
			within = a.port.Range
		}
		for _, r := range cuts.Ranges(proto, within) {
			out = append(out, piece{proto, r})
		}
	}
	return out, nil
}

func (a *asking) protos() []netset.Proto {
	switch {
	case !a.port.Given:
		return netset.Protos[:]
	case a.port.Proto == 0:
		return []netset.Proto{netset.TCP}
	}
	return []netset.Proto{a.port.Proto}
}

func (a *asking) cuts(fl *flow.Flow) *policy.Cuts {
	c := &policy.Cuts{}
	m := a.r.Model
	for _, d := range flow.Directions {
		q, class, ok := m.NewQuery(fl, d)
		if ok {
			c.Add(m, class, q.DestClass, d)
		}
	}
	return c
}

// namedPieces resolves a named port of the question at the destination (S14).
func (a *asking) namedPieces(p pair) ([]piece, error) {
	var have []string
	var out []piece
	if p.to.kind == flow.Pod {
		for _, c := range a.r.Model.Snapshot().Pods[p.to.members[0]].Ports {
			if c.Name == a.port.Name && (a.port.Proto == 0 || a.port.Proto == c.Proto) {
				out = append(out, piece{c.Proto, netset.PortRange{First: c.Port, Last: c.Port}})
			}
			if c.Name != "" {
				have = append(have, c.Name)
			}
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	hint := "it declares no named port"
	if slices.Sort(have); len(have) > 0 {
		hint = "it declares " + strings.Join(slices.Compact(have), ", ")
	}
	if p.to.kind != flow.Pod {
		hint = "only pods declare named ports: ask with a number"
	}
	return nil, errorf(hint, "%s has no port named %q", p.to.label, a.port.Name)
}

// record puts the decision into the part of the answer where flows decided alike are.
func (a *asking) record(p pair, f flow.Family, pc piece, d eval.Decision) {
	key := fmt.Sprint(d.Verdict, sideKey(&d.Egress), sideKey(&d.Ingress))
	if a.dst.Service != nil {
		key += fmt.Sprint(p.to.target.Asked)
	}
	if d.Egress.Reason == flow.NoPolicyHere {
		key += fmt.Sprint("from", p.from.kind) // nodes and addresses are told apart in the reason
	}
	if d.Ingress.Reason == flow.NoPolicyHere {
		key += fmt.Sprint("to", p.to.kind)
	}
	at, ok := a.parts[key]
	if !ok {
		at = len(a.out.Parts)
		a.parts[key] = at
		part := Part{Decision: d}
		if p.to.target != nil && p.to.target.Asked != p.to.target.Port {
			part.ServicePort = p.to.target.Asked
		}
		a.out.Parts = append(a.out.Parts, part)
	}
	part := &a.out.Parts[at]
	part.From = append(part.From, p.from.label)
	part.To = append(part.To, p.to.label)
	if p.from.kind == flow.Address {
		part.FromRegions = append(part.FromRegions, p.from.region)
	}
	if p.to.kind == flow.Address {
		part.ToRegions = append(part.ToRegions, p.to.region)
	}
	part.Families = append(part.Families, f)
	part.Ports.Add(pc.proto, pc.ports)
}

// sideKey tells decisions apart that people would tell apart: verdict, reason and rule; not the
// port entry, so that an answer about many ports stays short.
func sideKey(d *eval.Direction) string {
	id := d.Rule
	id.Port = 0
	return fmt.Sprintf("|%d %d %v %v %d %d", d.Verdict, d.Reason, id, d.Isolating, len(d.Unknown), len(d.Tied))
}
