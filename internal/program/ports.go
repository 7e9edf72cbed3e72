package program

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
)

// everything is what a direction allows that says nothing.
var everything = netset.EveryPort()

// decide asks about one direction between ends: network policies, and access policies that are projected into the network
// (docs/layers.md, L24). What is not surely allowed is closed: unknown and ambiguous verdicts too, because the kernel has to
// do one or the other.
func (b *builder) decide(f flow.Flow, d flow.Direction) netset.PortSet {
	var out netset.PortSet
	cuts := b.m.CutsFor(&f)
	if b.l != nil {
		b.l.AddCuts(&cuts, &f)
	}
	for _, e := range cuts.Pieces(everything) {
		f.Proto, f.Port = e.Proto, e.Range.First
		if eval.Side(b.m, &f, d) == flow.Allowed && !b.projected(&f, d) {
			out.Add(e.Proto, e.Range)
		}
	}
	return out
}

// projected tells whether a projection does not surely let a flow through in a direction.
func (b *builder) projected(f *flow.Flow, d flow.Direction) bool {
	if b.l == nil {
		return false
	}
	all := b.l.IfOpen(f, layers.ByAddress)
	return all.Steps[layers.NetworkEgress+layers.Layer(d-flow.Egress)].Answer > layers.Allow
}

// portChain is the chain that lets through what a decision allows.
func (b *builder) portChain(d netset.PortSet) string {
	key := d.String()
	if name, ok := b.portChains[key]; ok {
		return name
	}
	name := "port_" + hash(key)
	b.portChains[key] = name
	m := Map{Name: name, Key: KeyPort, Interval: true}
	c := Chain{Name: name}
	for _, e := range d.Entries() {
		if e.Proto != netset.Other {
			m.Elements = append(m.Elements, Element{Proto: e.Proto, Ports: e.Range, Verdict: Verdict{Act: Return}})
		}
	}
	if d.Contains(netset.Other, 0) {
		c.Rules = append(c.Rules, Rule{Match: Protocol, Set: portProtocols, Negated: true, Verdict: Verdict{Act: Return}})
	}
	if len(m.Elements) > 0 {
		c.Rules = append(c.Rules, Rule{Match: ProtocolAndPort, Map: name})
		b.p.Maps = append(b.p.Maps, m)
	}
	c.Rules = append(c.Rules, denied("ports "+hash(key), "allowed: "+key))
	b.p.Chains = append(b.p.Chains, c)
	return name
}

// denied logs and drops.
func denied(what, comment string) Rule {
	return Rule{Log: "sallyport " + what + " ", Verdict: Verdict{Act: Drop}, Comment: cut(comment)}
}

// hash names something by what it stands for, so that names stay when other things change. It is long enough that nobody can
// write policies whose names come out alike, which would leave the node without a table.
func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// cut makes a comment that nft prints and reads again.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
	if len(s) > MaxComment {
		s = s[:MaxComment-3] + "..."
	}
	return s
}

// listed joins names, and says how many more there are.
func listed(names []string, most int) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
