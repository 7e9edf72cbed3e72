package node

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"sallyport.dev/sallyport/internal/flow"
)

// Facts are the interfaces, addresses and routes of one network namespace at one moment.
type Facts struct {
	links      map[int]link          // by index; lo is none of them
	held       map[netip.Addr][]int  // the node's own addresses, by the links that have them; link-local ones are left out
	local      map[netip.Addr]bool   // all of the node's own addresses
	tables     [2][]*bart.Table[way] // by family: those that rules point to, in the order in which the kernel asks them
	neighbours map[netip.Addr]int    // written down for good on a bridge: its index, or 0 where several say that they have the address
	module     bool                  // br_netfilter is there, without which no bridge shows anything to the filter
	calls      [2]bool               // by family: bridges show what they pass to the filter, whatever each says of itself
}

// Owns tells whether what comes to an address comes to the node itself. Nobody forwards to link-local addresses of IPv6, so those are
// the node's as far as it sees them; of IPv4 some are forwarded, such as the address of metadata.
func (f *Facts) Owns(a netip.Addr) bool { return f.local[a] || a.Is6() && a.IsLinkLocalUnicast() }

// link is an interface.
type link struct {
	name     string
	kind     string  // as the kernel names it; empty for hardware
	master   int     // the index of the one that it is a part of, or 0
	calls    [2]bool // of a bridge, by family: it shows what it passes to the filter
	standard bool    // a default route leads to it
	beyond   bool    // a route leads to more than a single address on it
}

// way is where a route leads: nowhere where it has no links, to several where it has several hops.
type way struct {
	links   []int
	gateway bool   // by a router's address: what lies behind is not on the link itself
	metric  uint32 // of routes to one prefix the least counts
}

// defaultBits: routes to so large a part of all addresses are default routes, such as the two halves by which a VPN takes
// everything, or 2000::/3.
const defaultBits = 3

// asked are the tables of a family that its rules point to, by number. All others lead nowhere.
type asked map[int]*bart.Table[way]

// addTables adds the tables of a family, in the order of its rules, in which one may be several times.
func (f *Facts) addTables(family flow.Family, tables []int) asked {
	out := asked{}
	for _, id := range tables {
		if out[id] == nil {
			out[id] = &bart.Table[way]{}
			f.tables[family-1] = append(f.tables[family-1], out[id])
		}
	}
	return out
}

// addRoute keeps a way to a prefix in a table.
func (f *Facts) addRoute(tables asked, id int, to netip.Prefix, w way) {
	t := tables[id]
	if t == nil {
		return
	}
	f.mark(to, w)
	old, there := t.Get(to)
	switch {
	case !there || w.metric < old.metric:
		t.Insert(to, w)
	case w.metric == old.metric:
		t.Insert(to, way{slices.Concat(old.links, w.links), old.gateway || w.gateway, old.metric})
	}
}

// mark notes at the links of a route what it says of them. A route that another one is preferred to counts: packets may come
// that way.
func (f *Facts) mark(to netip.Prefix, w way) {
	if a := to.Addr(); a.IsLinkLocalUnicast() || a.IsMulticast() {
		return
	}
	for _, i := range w.links {
		if l, ok := f.links[i]; ok {
			l.standard = l.standard || to.Bits() <= defaultBits
			l.beyond = l.beyond || w.gateway || !to.IsSingleIP()
			f.links[i] = l
		}
	}
}

// way finds where a packet to an address goes, and by a route to which prefix: of all tables the longest, of equal ones the first
// table's. By which rule a table is asked hangs on packets that nobody has seen yet; but a route to just that address leads to it,
// in whatever table it is.
func (f *Facts) way(a netip.Addr) (to netip.Prefix, out way) {
	for _, t := range f.tables[flow.FamilyOf(a)-1] {
		if p, w, ok := t.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen())); ok && (!to.IsValid() || p.Bits() > to.Bits()) {
			to, out = p, w
		}
	}
	return to, out
}

// seen gives the link that packets of a link are seen on: the bridge or bond that it is a part of. A VRF is beside its parts:
// what comes in is seen on it, and what goes out on them.
func (f *Facts) seen(index int) int {
	for range f.links {
		master := f.links[index].master
		if _, ok := f.links[master]; !ok || f.links[master].kind == "vrf" {
			break
		}
		index = master
	}
	return index
}

// leads gives the one link that packets to an address are seen on, or 0, and whether the route is to just that address.
func (f *Facts) leads(a netip.Addr) (index int, exact bool) {
	to, w := f.way(a)
	for _, i := range w.links {
		i = f.seen(i)
		if _, ok := f.links[i]; !ok || index != 0 && index != i {
			return 0, false
		}
		index = i
	}
	return index, to.IsSingleIP()
}
