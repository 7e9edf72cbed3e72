package node

import (
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
)

// outwardKinds are the kinds of interface that lead out of a node: hardware, what is made of it, and tunnels. All others may
// lead to pods: veth, bridge, tun, and what nobody has thought of.
var outwardKinds = []string{"", "bond", "team", "vlan", "macsec", "ipoib", "hsr", "vrf", "vxlan", "geneve", "bareudp", "wireguard", "ipip",
	"sit", "ip6tnl", "gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan", "vti", "vti6", "xfrm", "ppp"}

// outward finds the uplinks that no pod can take away:
//   - those that the user names, or a default route leads to;
//   - of kinds that lead outward, those that IP uses at all, whoever is there: cut off from the interface that it is managed by, a
//     node is lost. A single address behind hardware is no sign of that: a pod's virtual function may be there;
//   - those that have the node's own address in the cluster, unless they lead to pods: bridges are left for later, and of others
//     a route to just the address of a pod here says so.
func (q *question) outward(named []string) {
	for _, name := range named {
		if !q.f.has(name) {
			q.warn("uplink %s: there is no interface of that name", names.Safe(name))
		}
	}
	for i, l := range q.f.links {
		uses := slices.Contains(outwardKinds, l.kind) && q.f.seen(i) == i && (l.beyond || q.f.holds(i))
		if uses || l.standard || slices.Contains(named, l.name) {
			q.uplink(i)
		}
	}
	exact := map[int]bool{}
	for i := range q.s.Pods {
		if p := &q.s.Pods[i]; q.local(p) {
			for _, a := range p.Addrs {
				if at, just := q.f.leads(a); just {
					exact[at] = true
				}
			}
		}
	}
	for _, i := range q.own() {
		if q.f.links[i].kind != "bridge" && !exact[i] {
			q.uplink(i)
		}
	}
}

// own lists the links that have the node's own addresses in the cluster; one from its pods' range is a bridge's or a pod's gateway.
func (q *question) own() []int {
	var out []int
	if q.node < 0 {
		return nil
	}
	for _, a := range q.s.Nodes[q.node].Addrs {
		if !q.ranged(a) {
			for _, i := range q.f.held[a] {
				out = append(out, q.f.seen(i))
			}
		}
	}
	return out
}

// ranged tells whether an address is from the range of the node's pods.
func (q *question) ranged(a netip.Addr) bool {
	return q.node >= 0 && slices.ContainsFunc(q.s.Nodes[q.node].PodCIDRs, func(p netip.Prefix) bool { return p.Contains(a) })
}

// uplink takes for one what packets of a link are seen on.
func (q *question) uplink(i int) {
	if i = q.f.seen(i); q.f.links[i] == (link{}) {
		return // lo
	}
	q.uplinks[i] = true
	if master := q.f.links[i].master; q.f.links[master].kind == "vrf" {
		q.uplinks[master] = true
	}
}

// routed finds, among links that lead to no pod here, the rest of the uplinks: bridges that have the node's own address, and
// links to a router that other nodes, their pods' ranges or pods elsewhere are behind. An address that is on a link itself is no
// sign: whoever may say what addresses a node or pod has could name one that a pod here is about to get.
func (q *question) routed() {
	take := func(i int) {
		if !q.towards[q.f.seen(i)] {
			q.uplink(i)
		}
	}
	for _, i := range q.own() {
		take(i)
	}
	if !q.hasRouters() {
		return
	}
	for p := range q.elsewhere {
		for _, t := range q.f.tables[flow.FamilyOf(p.Addr())-1] {
			if _, w, ok := t.LookupPrefixLPM(p); ok && w.gateway {
				for _, i := range w.links {
					take(i)
				}
			}
		}
	}
}

// hasRouters tells whether a link that is no uplink leads to a router. Mostly none does, and nobody needs to be looked up.
func (q *question) hasRouters() bool {
	for _, tables := range q.f.tables {
		for _, t := range tables {
			for _, w := range t.All() {
				if w.gateway && slices.ContainsFunc(w.links, func(i int) bool { return !q.uplinks[q.f.seen(i)] }) {
					return true
				}
			}
		}
	}
	return false
}

// elsewhere visits the addresses of other nodes, their pods' ranges, and the addresses of pods that are not here.
func (q *question) elsewhere(yield func(netip.Prefix) bool) {
	one := func(a netip.Addr) bool { return yield(netip.PrefixFrom(a, a.BitLen())) }
	for i := range q.s.Nodes {
		if n := &q.s.Nodes[i]; i != q.node && !(all(n.Addrs, one) && all(n.PodCIDRs, yield)) {
			return
		}
	}
	for i := range q.s.Pods {
		if p := &q.s.Pods[i]; !q.local(p) && !all(p.Addrs, one) {
			return
		}
	}
}

func all[T any](list []T, f func(T) bool) bool {
	return !slices.ContainsFunc(list, func(x T) bool { return !f(x) })
}

// holds tells whether a link has an address of the node.
func (f *Facts) holds(index int) bool {
	for _, list := range f.held {
		if slices.Contains(list, index) {
			return true
		}
	}
	return false
}
