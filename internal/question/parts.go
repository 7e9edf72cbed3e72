package question

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
)

// group holds the flows that were decided alike.
type group struct {
	decision    decided // of the first flow
	servicePort uint16
	cells       []cell
	at          map[cellKey]int // in cells
}

// cell is a pair of ends in a family, with the ports on which it is in the group.
type cell struct {
	from, to []candidate // one each at first; partsOf joins them
	families []flow.Family
	ports    netset.PortSet
	flow     flow.Flow // the first one
}

type cellKey struct {
	from, to string
	family   flow.Family
}

// record puts the decision into the group of flows that were decided alike.
func (a *asking) record(p pair, pc piece, d *decided) {
	key := fmt.Sprint(d.Verdict, sideKey(&d.Egress), sideKey(&d.Ingress), layersKey(d.layers))
	servicePort := uint16(0)
	if t := p.to.target; t != nil && !t.Any {
		key += fmt.Sprint(t.Asked, t.Asked == t.Port)
		if t.Asked != t.Port {
			servicePort = t.Asked
		}
	}
	if d.Egress.Reason == flow.NoPolicyHere {
		key += fmt.Sprint("from", p.from.kind) // nodes and addresses are told apart in the reason
	}
	if d.Ingress.Reason == flow.NoPolicyHere {
		key += fmt.Sprint("to", p.to.kind)
	}
	at, ok := a.parts[key]
	if !ok {
		at = len(a.groups)
		a.parts[key] = at
		a.groups = append(a.groups, group{decision: *d, servicePort: servicePort, at: map[cellKey]int{}})
	}
	g := &a.groups[at]
	ck := cellKey{p.from.label, p.to.label, d.Flow.Family}
	i, ok := g.at[ck]
	if !ok {
		i = len(g.cells)
		g.at[ck] = i
		g.cells = append(g.cells, cell{from: []candidate{p.from}, to: []candidate{p.to}, families: []flow.Family{d.Flow.Family}, flow: d.Flow})
	}
	g.cells[i].ports.Add(pc.proto, pc.ports)
}

// layersKey tells apart what people would tell apart of what layers say.
func layersKey(d *layers.Decision) string {
	if d == nil {
		return ""
	}
	var b strings.Builder
	for _, s := range d.Steps {
		fmt.Fprint(&b, "|", s.Answer, s.Reason, s.Unenforced, s.Refs)
	}
	fmt.Fprint(&b, d.Audit, d.Services)
	return b.String()
}

// partsOf divides a group so that a part says no more than was decided: each of its sources, with
// each of its destinations, in each family, on each port.
func (a *asking) partsOf(g *group) []Part {
	cells := join(g.cells, func(c *cell) string { return labels(c.from) + "\x00" + labels(c.to) + "\x00" + c.ports.String() },
		func(into, c *cell) { into.families = append(into.families, c.families...) })
	cells = join(cells, func(c *cell) string { return labels(c.to) + "\x00" + c.familyKey() + c.ports.String() },
		func(into, c *cell) {
			into.from, into.families = append(into.from, c.from...), append(into.families, c.families...)
		})
	cells = join(cells, func(c *cell) string { return labels(c.from) + "\x00" + c.familyKey() + c.ports.String() },
		func(into, c *cell) {
			into.to, into.families = append(into.to, c.to...), append(into.families, c.families...)
		})
	out := make([]Part, len(cells))
	for i := range cells {
		out[i] = a.part(g, &cells[i])
	}
	return out
}

// familyKey keeps families apart, except where an outside address at one end implies its own.
func (c *cell) familyKey() string {
	if c.from[0].kind == flow.Address || c.to[0].kind == flow.Address {
		return ""
	}
	return fmt.Sprint(c.families)
}

// join merges the cells of one key into the first of them.
func join(cells []cell, key func(*cell) string, merge func(into, c *cell)) []cell {
	var out []cell
	at := map[string]int{}
	for i := range cells {
		k := key(&cells[i])
		if j, ok := at[k]; ok {
			merge(&out[j], &cells[i])
			continue
		}
		at[k] = len(out)
		out = append(out, cells[i])
	}
	return out
}

func labels(list []candidate) string {
	var b strings.Builder
	for i := range list {
		b.WriteString(list[i].label)
		b.WriteByte(0)
	}
	return b.String()
}

func (a *asking) part(g *group, c *cell) Part {
	out := Part{Ports: c.ports, Families: c.families, ServicePort: g.servicePort, Decision: g.decision.Decision, Layers: g.decision.layers}
	if c.flow != g.decision.Flow {
		d := a.decide(&c.flow)
		out.Decision, out.Layers = d.Decision, d.layers
	}
	for i := range c.from {
		out.From = append(out.From, c.from[i].label)
		if c.from[i].kind == flow.Address {
			out.FromRegions = append(out.FromRegions, c.from[i].region)
		}
	}
	for i := range c.to {
		out.To = append(out.To, c.to[i].label)
		if c.to[i].kind == flow.Address {
			out.ToRegions = append(out.ToRegions, c.to[i].region)
		}
	}
	slices.Sort(out.From)
	slices.Sort(out.To)
	slices.Sort(out.Families)
	out.Families = slices.Compact(out.Families)
	return out
}
