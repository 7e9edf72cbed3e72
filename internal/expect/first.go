package expect

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/question"
)

// maxPieces bounds how many CIDRs of the outside a first test lists.
const maxPieces = 20

// First writes down the present picture as tests that hold: for each workload that not everything may reach,
// who may on which ports, and that nobody else may. r has workloads and the whole outside as parties. skipped
// names the workloads for which that would take too long a list of addresses.
func First(r *analyze.Reach) (tests []Test, skipped []string) {
	for to := range r.Parties {
		if r.Parties[to].External {
			continue
		}
		p := picture{r: r, to: to}
		if !p.look() {
			continue
		}
		more, ok := p.tests()
		if !ok {
			skipped = append(skipped, r.Parties[to].Name)
		}
		tests = append(tests, more...)
	}
	return tests, skipped
}

// picture is who reaches one party.
type picture struct {
	r       *analyze.Reach
	to      int
	sources []int // that reach it surely or perhaps
	groups  []group
}

// group is a set of sources with the same ports that are surely open.
type group struct {
	ports netset.PortSet
	from  []int
}

// look tells whether somebody may not reach the party on something.
func (p *picture) look() bool {
	limited := false
	for from := range p.r.Parties {
		row, ok := p.r.Between(from, p.to)
		if !ok {
			continue
		}
		limited = limited || !row.Allowed.Equal(netset.EveryPort()) && !p.host(from)
		if !row.Empty() {
			p.sources = append(p.sources, from)
		}
		if row.Allowed.Empty() {
			continue
		}
		i := slices.IndexFunc(p.groups, func(g group) bool { return g.ports.Equal(row.Allowed) })
		if i < 0 {
			i = len(p.groups)
			p.groups = append(p.groups, group{ports: row.Allowed})
		}
		p.groups[i].from = append(p.groups[i].from, from)
	}
	return limited
}

// host tells whether a party's pods are on the host network.
func (p *picture) host(party int) bool {
	pods := p.r.Model().Snapshot().Pods
	for i := range pods {
		if p.r.PartyOf(i) == party {
			return pods[i].HostNetwork
		}
	}
	return false
}

func (p *picture) tests() (out []Test, ok bool) {
	for _, g := range p.groups {
		from, short := p.ends(g.from)
		if !short {
			return nil, false
		}
		t := Test{Kind: Allow, From: from, To: p.destination(g.ports)}
		t.Name = fmt.Sprintf("%s reached on %s", p.r.Parties[p.to].Name, g.ports)
		out = append(out, t)
	}
	from, short := p.ends(p.sources)
	if !short {
		return nil, false
	}
	if len(from) == 0 {
		return append(out, Test{Kind: Deny, From: []End{{Text: "*/*"}, {Text: "external"}}, To: p.destination(netset.EveryPort()), Name: "nobody reaches " + p.r.Parties[p.to].Name}), true
	}
	return append(out, Test{Kind: Only, From: from, To: p.destination(netset.EveryPort()), Name: "nobody else reaches " + p.r.Parties[p.to].Name}), true
}

// ends names parties; ok is false where that takes too many CIDRs.
func (p *picture) ends(parties []int) (out []End, ok bool) {
	pieces, outside := 0, 0
	var cidrs []End
	for i := range p.r.Parties {
		if !p.r.Parties[i].External {
			continue
		}
		outside++
		if slices.Contains(parties, i) {
			pieces++
			for _, c := range p.r.Parties[i].CIDRs {
				cidrs = append(cidrs, End{Text: "external/" + c.String()})
			}
		}
	}
	for _, i := range parties {
		if !p.r.Parties[i].External {
			out = append(out, End{Text: endText(p.r.Parties[i].Name)})
		}
	}
	switch {
	case pieces > 0 && pieces == outside:
		return append(out, End{Text: "external"}), true
	case len(cidrs) > maxPieces:
		return nil, false
	}
	return append(out, cidrs...), true
}

// endText writes a workload so that it can be asked about: a kind that questions do not know is left out.
func endText(name string) string {
	if _, err := question.ParseTerm(name, false); err == nil {
		return name
	}
	parts := strings.Split(name, "/")
	return parts[0] + "/" + parts[len(parts)-1]
}

// destination writes the party with each of the ports.
func (p *picture) destination(ports netset.PortSet) []End {
	name := endText(p.r.Parties[p.to].Name)
	if ports.Equal(netset.EveryPort()) {
		return []End{{Text: name}}
	}
	var out []End
	for _, e := range ports.Entries() {
		out = append(out, End{Text: name + portText(e)})
	}
	return out
}

func portText(e netset.Entry) string {
	port := e.Range.String()
	if e.Range == netset.AllPorts || !e.Proto.HasPorts() {
		port = "*"
	}
	if e.Proto == netset.TCP {
		return ":" + port
	}
	return ":" + port + "/" + e.Proto.String()
}
