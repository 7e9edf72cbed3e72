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

// portChain makes sure of the chain that lets through what is allowed, and gives its name.
func (b *builder) portChain(number int) string {
	d, key := b.allowed[number], b.words[number]
	name := "port_" + hash(key)
	if b.e.chains[name] != nil {
		return name
	}
	var list []Element
	for _, e := range d.Entries() {
		if e.Proto != netset.Other {
			list = append(list, Element{Proto: e.Proto, Ports: e.Range, Verdict: Verdict{Act: Return}})
		}
	}
	var rules []Rule
	if d.Contains(netset.Other, 0) {
		rules = append(rules, Rule{Match: Protocol, Set: portProtocols, Negated: true, Verdict: Verdict{Act: Return}})
	}
	if len(list) > 0 {
		b.e.fill(b.e.set(object{name: name, key: KeyPort, verdicts: true, interval: true}), list)
		rules = append(rules, Rule{Match: ProtocolAndPort, Map: name})
	}
	b.e.chain(name, 0, append(rules, denied("ports "+hash(key), "allowed: "+key)))
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
