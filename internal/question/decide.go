package question

import (
	"cmp"
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

func (a *asking) decidePairs(pairs []pair) error {
	for _, p := range pairs {
		if err := a.decidePair(p); err != nil {
			return err
		}
	}
	return nil
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
			a.record(p, pc, &d)
			verdicts = append(verdicts, d.Verdict)
		}
		a.judge(p, f, verdicts)
	}
	return nil
}

func (a *asking) decide(fl *flow.Flow) decided {
	d := eval.Decide(a.r.Model, fl)
	if a.unfiltered && fl.From.Kind != flow.Pod {
		d.Ingress = eval.Direction{Direction: flow.Ingress, Verdict: flow.Allowed, Reason: flow.NotEnforced}
		d.Verdict = d.Egress.Verdict
	}
	return a.joined(d)
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
	switch {
	case fixed.IsValid():
		return []flow.Family{flow.FamilyOf(fixed)}
	case c.kind == flow.Address:
		return []flow.Family{flow.FamilyOf(c.region.Prefix.Addr())}
	}
	var out []flow.Family
	known := false
	for _, f := range flow.Families {
		n := len(a.known(c, 0, f))
		known = known || n > 0
		if c.variant < n && (c.target == nil || c.target.Family == 0 || c.target.Family == f) {
			out = append(out, f)
		}
	}
	switch {
	case known:
		return out
	case c.target != nil && c.target.Family != 0:
		return []flow.Family{c.target.Family}
	case a.asksOneFamily():
		// Nothing is known of this end: the other end's families decide if it is an address, else the cluster's.
		return flow.Families[:]
	}
	return a.r.Model.Families()
}

// known gives the addresses of a candidate's member that are asked about, in a family and in an
// order that is the same for all members.
func (a *asking) known(c *candidate, member int, f flow.Family) []netip.Addr {
	if c.kind == flow.Address {
		return nil
	}
	var out []netip.Addr
	for _, x := range a.r.addresses(flow.End{Kind: c.kind, Index: c.members[member]}) {
		if flow.FamilyOf(x) == f && (!c.within.IsValid() || c.within.Contains(x)) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(x, y netip.Addr) int { return cmp.Or(a.r.space.Atom(x)-a.r.space.Atom(y), x.Compare(y)) })
	return slices.Compact(out)
}

// asksOneFamily tells whether the question itself names addresses.
func (a *asking) asksOneFamily() bool {
	named := func(e *End) bool { return len(e.Regions) > 0 && !e.External || e.From.IsValid() }
	return named(&a.src) || named(&a.dst)
}

// flow builds the flow of a pair in a family; ok is false for a region in which no address is left.
func (a *asking) flow(p pair, f flow.Family) (flow.Flow, bool) {
	member, other := 0, 0
	if p.from.kind == p.to.kind && len(p.from.members) > 0 && p.from.members[0] == p.to.members[0] {
		// Two members of one group: one replica to another.
		other = min(1, len(p.to.members)-1)
		member = min(1, len(p.from.members)-1) - other
	}
	from, ok := a.end(&p.from, f, a.src.From, max(member, 0))
	if !ok {
		return flow.Flow{}, false
	}
	to, ok := a.end(&p.to, f, a.dst.From, other)
	return flow.Flow{From: from, To: to, Family: f, ViaService: p.to.target != nil && !a.headless()}, ok
}

func (a *asking) end(c *candidate, f flow.Family, fixed netip.Addr, member int) (flow.End, bool) {
	e := flow.End{Kind: c.kind, Addr: fixed}
	if c.kind == flow.Address {
		addr, ok := c.region.Pick(func(x netip.Addr) bool { _, known := a.r.addrs[x]; return known })
		e.Addr = addr
		return e, ok
	}
	e.Index = c.members[member]
	if list := a.known(c, member, f); !fixed.IsValid() && c.variant < len(list) {
		e.Addr = list[c.variant]
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
			if a.serves(proto, r.First) {
				out = append(out, piece{proto, r})
			}
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
	c := a.r.Model.CutsFor(fl)
	if a.r.layers != nil {
		a.r.layers.AddCuts(&c, fl)
	}
	return &c
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

// sideKey tells decisions apart that people would tell apart: verdict, reason and rule; not the
// port entry, so that an answer about many ports stays short.
func sideKey(d *eval.Direction) string {
	id := d.Rule
	id.Port = 0
	return fmt.Sprintf("|%d %d %v %v %d %d", d.Verdict, d.Reason, id, d.Isolating, len(d.Unknown), len(d.Tied))
}
