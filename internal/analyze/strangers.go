package analyze

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/policy"
)

// Strangers is the world outside as a source of the services there: for each service in the pieces that its firewall
// tells apart (docs/layers.md, L32), whatever policies divide.
type Strangers struct {
	of map[string][]stranger // by the name of the service
}

// stranger is one such piece, of one family.
type stranger struct {
	name   string
	family flow.Family
	cidrs  []netip.Prefix
}

// NewStrangers divides the world outside for the services of some models; where several have a service of one name, wherever one
// of its firewalls does, so that what is compared has the same pieces. Addresses for which apart, if it is set, gives
// different texts are kept apart too; it must give one text for all of a region. Without a service there are none: nil.
func NewStrangers(outside []policy.Region, apart func(netip.Addr) string, models ...*layers.Model) *Strangers {
	admitted := map[string][]*netipx.IPSet{}
	var inside []map[netip.Addr]bool
	for _, l := range models {
		if l == nil {
			continue
		}
		inside = append(inside, l.Inside())
		for i, set := range l.Admitted() {
			name := l.Service(i).String()
			admitted[name] = append(admitted[name], set)
		}
	}
	if len(admitted) == 0 {
		return nil
	}
	out := &Strangers{of: map[string][]stranger{}}
	d := newDividing(outside, apart)
	d.known = inside
	known := map[string][]stranger{} // many services have one firewall
	for name, sets := range admitted {
		key := ""
		for _, set := range sets {
			key += fmt.Sprint(set.Ranges())
		}
		list, ok := known[key]
		if !ok {
			list = d.divided(sets)
			known[key] = list
		}
		out.of[name] = list
	}
	return out
}

// dividing holds what lies outside, by family.
type dividing struct {
	outside, inside map[flow.Family]*netipx.IPSet
	pieces          map[flow.Family][]*netipx.IPSet // of outside, kept apart anyway
	known           []map[netip.Addr]bool           // addresses in each cluster
}

func newDividing(outside []policy.Region, apart func(netip.Addr) string) *dividing {
	d := &dividing{outside: map[flow.Family]*netipx.IPSet{}, inside: map[flow.Family]*netipx.IPSet{}, pieces: map[flow.Family][]*netipx.IPSet{}}
	for _, whole := range (&policy.Space{}).Whole() {
		f := flow.FamilyOf(whole.Addr())
		var all netipx.IPSetBuilder
		var order []string
		parts := map[string]*netipx.IPSetBuilder{}
		for _, region := range outside {
			a, ok := region.Any()
			if !ok || flow.FamilyOf(a) != f {
				continue
			}
			key := ""
			if apart != nil {
				key = apart(a)
			}
			if parts[key] == nil {
				parts[key] = &netipx.IPSetBuilder{}
				order = append(order, key)
			}
			for _, c := range region.CIDRs() {
				all.AddPrefix(c)
				parts[key].AddPrefix(c)
			}
		}
		d.outside[f] = built(&all)
		var rest netipx.IPSetBuilder
		rest.AddPrefix(whole)
		rest.RemoveSet(d.outside[f])
		d.inside[f] = built(&rest)
		for _, key := range order {
			d.pieces[f] = append(d.pieces[f], built(parts[key]))
		}
	}
	return d
}

// built gives the set; only invalid prefixes give an error, and regions and compiled rules have none.
func built(b *netipx.IPSetBuilder) *netipx.IPSet {
	s, _ := b.IPSet()
	return s
}

// divided divides the outside by sets of addresses.
func (d *dividing) divided(sets []*netipx.IPSet) []stranger {
	var out []stranger
	for _, f := range flow.Families {
		pieces := d.pieces[f]
		for _, set := range sets {
			pieces = split(pieces, set)
		}
		for _, p := range pieces {
			if p = d.withoutKnown(p); len(p.Ranges()) > 0 {
				out = append(out, stranger{name: d.name(f, p), family: f, cidrs: p.Prefixes()})
			}
		}
	}
	return out
}

// withoutKnown takes out single addresses that all clusters know as their own: a rule for a node is not about anybody outside.
// Those in larger blocks stay, as in other pieces of the outside.
func (d *dividing) withoutKnown(s *netipx.IPSet) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range s.Prefixes() {
		out := func(m map[netip.Addr]bool) bool { return !m[p.Addr()] }
		if !p.IsSingleIP() || slices.ContainsFunc(d.known, out) {
			b.AddPrefix(p)
		}
	}
	return built(&b)
}

func split(pieces []*netipx.IPSet, by *netipx.IPSet) []*netipx.IPSet {
	var out []*netipx.IPSet
	for _, p := range pieces {
		var in, not netipx.IPSetBuilder
		in.AddSet(p)
		in.Intersect(by)
		not.AddSet(p)
		not.RemoveSet(by)
		for _, b := range []*netipx.IPSetBuilder{&in, &not} {
			if s := built(b); len(s.Ranges()) > 0 {
				out = append(out, s)
			}
		}
	}
	return out
}

// name lists a piece's CIDRs, or what it leaves out where that is shorter.
func (d *dividing) name(f flow.Family, piece *netipx.IPSet) string {
	var b netipx.IPSetBuilder
	b.AddSet(d.outside[f])
	b.RemoveSet(piece)
	in, not := d.short(f, piece), d.short(f, built(&b))
	whole := (&policy.Space{}).Whole()[f-flow.Families[0]]
	switch {
	case len(not) == 0:
		return "external/" + whole.String()
	case len(not) < len(in):
		return "external/" + whole.String() + " except " + few(not)
	}
	return "external/" + few(in)
}

// short gives the prefixes of a set, without the holes for what is not outside where that makes them fewer.
func (d *dividing) short(f flow.Family, s *netipx.IPSet) []netip.Prefix {
	var b netipx.IPSetBuilder
	b.AddSet(s)
	b.AddSet(d.inside[f])
	exact := s.Prefixes()
	rough := slices.DeleteFunc(built(&b).Prefixes(), d.inside[f].ContainsPrefix)
	if len(rough) < len(exact) {
		return rough
	}
	return exact
}

// few lists prefixes; a long list is cut.
func few(list []netip.Prefix) string {
	const most = 4
	var out []string
	for _, p := range list[:min(len(list), most)] {
		out = append(out, p.String())
	}
	text := strings.Join(out, ",")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// addStrangers makes a party for each piece of the outside that a service is asked from, unless a piece that is a party already
// is the same.
func (r *Reach) addStrangers(s *space) {
	if r.strangers == nil {
		return
	}
	known := map[string]int{}
	for i := range r.Parties {
		if p := &r.Parties[i]; p.External && p.Service == 0 {
			known[fmt.Sprint(p.CIDRs)] = i
		}
	}
	for i := range r.Parties {
		service := r.Parties[i].Service
		if service == 0 || len(r.Parties[i].cells[s.family-1]) == 0 {
			continue
		}
		for _, x := range r.strangers.of[r.Parties[i].Name] {
			if x.family != s.family {
				continue
			}
			key := fmt.Sprint(x.cidrs)
			party, ok := known[key]
			if !ok {
				party = len(r.Parties)
				known[key] = party
				r.Parties = append(r.Parties, Party{Name: x.name, External: true, Stranger: true, CIDRs: x.cidrs})
				s.add(r, cell{kind: flow.Address, class: -1, region: policy.Region{Prefix: x.cidrs[0]}, atom: r.space.Atom(x.cidrs[0].Addr()), owner: party, service: layers.ByAddress})
			}
			r.Parties[party].asks = append(r.Parties[party].asks, service)
		}
	}
}

// Unasked tells of a pair that says nothing: it begins at a service outside, or both ends are outside and one is not a service that
// the other is a source of. Strangers are sources of services only.
func (r *Reach) Unasked(from, to int) bool {
	a, b := &r.Parties[from], &r.Parties[to]
	switch {
	case a.Service > 0 || b.Stranger:
		return true
	case a.External && b.Service > 0:
		_, asks := slices.BinarySearch(a.asks, b.Service)
		return !asks
	}
	return a.External && b.External || a.Stranger
}

// key is the same for the same party of two analyses.
func (p *Party) key() string {
	if p.Stranger {
		return p.Name + "\x00" + fmt.Sprint(p.CIDRs) // the name may be cut
	}
	return p.Name
}
