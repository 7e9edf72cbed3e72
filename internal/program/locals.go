package program

import (
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// The sets of interfaces, and of the source addresses that may come from each (S28).
const (
	interfaces    = "interfaces"
	podInterfaces = "pod_interfaces"
)

var sources = [2]string{"sources4", "sources6"}

// group is local pods that the same policies apply to, with the same named ports: kernel.md's endpoint class.
type group struct {
	key, hash string
	pods      []int // indices in the Snapshot, those on this node
	tables    [2]*table
	nodes     [2][2]*nodeFace // by direction and family
	// renamed: pods came or went since the comments that name them were written.
	renamed bool
}

// nodeFace is what is allowed between a group and this node itself.
type nodeFace struct {
	asked
	told map[netip.Addr]int // what is allowed, by address, where it is not what is allowed for all others
}

// local is a pod here, and the elements that are there for it.
type local struct {
	g        *group
	link     string
	elements []reason
}

// reason is an element and the set or map that it is in.
type reason struct {
	set     string
	key     Key
	element Element
}

// isLocal tells whether a pod is enforced here. A node that is not in the Snapshot has none.
func (b *builder) isLocal(pod int) bool {
	p := &b.m.Snapshot().Pods[pod]
	return b.node >= 0 && b.m.ClassOf(pod) >= 0 && p.NodeName == b.n.Name && !p.Template
}

// join puts a pod into the group that it belongs to, and leads its addresses there.
func (b *builder) join(pod int) {
	if !b.isLocal(pod) {
		return
	}
	key := b.groupKey(b.m.ClassOf(pod)) + b.projections(pod)
	g := b.groups[key]
	if g == nil {
		g = &group{key: key, hash: hash(key), pods: []int{pod}}
		b.groups[key] = g
		b.enter(g)
	} else {
		g.pods = append(g.pods, pod)
	}
	g.renamed = true
	b.locals[pod] = &local{g: g, link: b.n.Interface[pod]}
	for _, addr := range b.m.Snapshot().Pods[pod].Addrs {
		b.localAt[addr] = append(b.localAt[addr], pod)
	}
	b.refreshPod(pod)
}

// leave takes a pod out of its group; a group without pods is gone.
func (b *builder) leave(pod int) {
	l := b.locals[pod]
	if l == nil {
		return
	}
	b.reasons(l, nil)
	for _, addr := range b.m.Snapshot().Pods[pod].Addrs {
		b.localAt[addr] = slices.DeleteFunc(b.localAt[addr], func(i int) bool { return i == pod })
		if len(b.localAt[addr]) == 0 {
			delete(b.localAt, addr)
		}
	}
	delete(b.locals, pod)
	g := l.g
	g.renamed = true
	if g.pods = slices.DeleteFunc(g.pods, func(i int) bool { return i == pod }); len(g.pods) == 0 {
		b.exit(g)
	}
}

// enter makes the tables of a new group.
func (b *builder) enter(g *group) {
	for _, d := range flow.Directions {
		word := map[flow.Direction]string{flow.Egress: "out", flow.Ingress: "in"}[d]
		t := b.newTable(g, d)
		g.tables[d-1] = t
		for f, family := range flow.Families {
			t.faces[f] = b.newFace(t, word, family)
			g.nodes[d-1][f] = b.newNodeFace(g, "node_"+word, d, family)
		}
		b.tables = append(b.tables, t)
	}
}

// exit lets go of them.
func (b *builder) exit(g *group) {
	delete(b.groups, g.key)
	b.tables = slices.DeleteFunc(b.tables, func(t *table) bool { return t.g == g })
	for _, d := range flow.Directions {
		for f := range flow.Families {
			g.tables[d-1].faces[f].drop(b)
			g.nodes[d-1][f].rename(b, "")
		}
	}
}

// newNodeFace asks about this node itself. A packet may carry an address of the node that is in no Snapshot, such as a
// bridge's: it is the node's all the same. Only a metadata address stays what it is (S27), where something on the node serves it.
func (b *builder) newNodeFace(g *group, word string, d flow.Direction, family flow.Family) *nodeFace {
	own := flow.End{Kind: flow.Node, Index: b.node}
	ask := func(end flow.End) int { return b.number(b.decide(b.flowOf(g.pods[0], end, family, d), d)) }
	first := firstOf(family)
	rest := ask(own)
	f := &nodeFace{asked: asked{name: word + familyNo[family-1] + "_" + g.hash, g: g, d: d, family: family,
		segments: []segment{{first, lastOf(netip.PrefixFrom(first, 0)), rest}}}}
	f.told = map[netip.Addr]int{}
	asked := map[netip.Addr]bool{}
	var list []Element
	tell := func(end flow.End) {
		if flow.FamilyOf(end.Addr) != family || asked[end.Addr] {
			return
		}
		asked[end.Addr] = true
		if n := ask(end); n != rest {
			f.told[end.Addr] = n
			list = append(list, f.element(b, end.Addr, n))
		}
	}
	for _, own.Addr = range b.m.Snapshot().Nodes[b.node].Addrs {
		tell(own)
	}
	for _, m := range b.m.MetadataPorts() {
		tell(flow.End{Kind: flow.Address, Addr: m.Addr()})
	}
	if len(list) > 0 || b.e.sets[f.name] != nil {
		b.e.fill(b.e.set(f.exact()), list)
	}
	f.write(b, len(list) > 0, nil)
	return f
}

// refresh brings what leads to a pod here up to who has one of its addresses now.
func (b *builder) refresh(addr netip.Addr) {
	for _, pod := range b.localAt[addr] {
		b.refreshPod(pod)
	}
}

// refreshGroup does the same where the names of a group's chains are others now.
func (b *builder) refreshGroup(g *group) {
	for _, pod := range g.pods {
		if b.locals[pod] != nil { // the first one is not there yet when its group's chains are made
			b.refreshPod(pod)
		}
	}
}

// refreshPod makes the elements that lead to a pod, and what may come from it.
func (b *builder) refreshPod(pod int) {
	l := b.locals[pod]
	var list []reason
	if l.link != "" { // otherwise it is closed by its interface
		list = append(list, reason{interfaces, KeyInterface, Element{Interface: l.link}}, reason{podInterfaces, KeyInterface, Element{Interface: l.link}})
	}
	for _, addr := range b.m.Snapshot().Pods[pod].Addrs {
		if l.link != "" {
			f := flow.FamilyOf(addr) - 1
			list = append(list, reason{sources[f], [2]Key{KeySource4, KeySource6}[f], Element{Interface: l.link, First: addr, Last: addr}})
		}
		list = b.leads(list, l, addr)
	}
	b.reasons(l, list)
}

// leads adds what leads an address of a pod to the chains of its group.
func (b *builder) leads(list []reason, l *local, addr netip.Addr) []reason {
	f := flow.FamilyOf(addr) - 1
	for _, d := range flow.Directions {
		to, node := l.g.tables[d-1].faces[f].chain, l.g.nodes[d-1][f].chain
		switch {
		case len(b.owners[addr]) > 1: // first, so that one address has one verdict
			to = b.closed("shared", addr.String(), d, "another end has the address "+addr.String())
			node = to
		case l.link == "":
			to = b.closed("unreached", "unreached", d, "a pod here that no interface of its own is known to lead to")
			node = to
		}
		if to != "" {
			list = append(list, reason{d.String() + familyNo[f], addrKey[f], Element{First: addr, Last: addr, Verdict: Verdict{Jump, to}}})
		}
		if node != "" && (d == flow.Egress || !b.own(addr)) {
			list = append(list, reason{"node_" + d.String() + familyNo[f], addrKey[f], Element{First: addr, Last: addr, Verdict: Verdict{Jump, node}}})
		}
	}
	return list
}

// own tells whether what the node sends to an address stays on it, whatever pod says that it has the address too: no pod may cut
// the node off from itself.
func (b *builder) own(addr netip.Addr) bool {
	return addr.IsLoopback() || slices.Contains(b.m.Snapshot().Nodes[b.node].Addrs, addr)
}

// reasons replaces the elements that are there for a pod.
func (b *builder) reasons(l *local, list []reason) {
	if slices.Equal(l.elements, list) {
		return
	}
	for _, r := range list { // first, so that nothing looks unused in between
		b.e.count(b.e.set(object{name: r.set, key: r.key, verdicts: r.element.Verdict.Act != 0}), r.element, 1)
	}
	for _, r := range l.elements {
		b.e.count(b.e.sets[r.set], r.element, -1)
	}
	l.elements = list
}

// projections names what of projected access policies counts for a pod: those that name it, and its account.
func (b *builder) projections(pod int) string {
	if b.l == nil {
		return ""
	}
	key := "account" + b.account(pod) + "\n"
	for _, i := range b.l.Naming(pod) {
		key += "access " + b.m.Snapshot().AccessPolicies[i].String() + "\n"
	}
	return key
}

// groupKey names everything by which the model may tell pods apart as subjects.
func (b *builder) groupKey(class int) string {
	var key strings.Builder
	c := &b.m.Classes()[class]
	if len(b.m.Snapshot().Unreadable) > 0 || b.m.Options().Strict {
		key.WriteString(c.Namespace + "\n") // of which policies may be missing, or other engines' count
		for _, d := range flow.Directions {
			for _, i := range c.Foreign(d) {
				f := &b.m.Snapshot().ForeignPolicies[i]
				key.WriteString("foreign " + f.Kind + " " + f.Namespace + "/" + f.Name + "\n")
			}
		}
	}
	for _, d := range flow.Directions {
		s := c.Subject(d)
		key.WriteString(d.String() + "\n")
		for _, list := range [][]policy.Applied{s.Admin, s.Baseline} {
			for _, p := range list {
				key.WriteString(p.Ref.String())
				if p.Maybe {
					key.WriteString(" maybe")
				}
				key.WriteByte('\n')
			}
		}
		for _, p := range s.Policies {
			key.WriteString(p.Ref.String() + "\n")
		}
	}
	for _, p := range c.Ports {
		key.WriteString("port " + p.Name + " " + p.Proto.String() + " " + portText(p.Port) + "\n")
	}
	return key.String()
}

// rename writes the comments anew that name the pods of a group.
func (b *builder) rename(g *group) {
	g.renamed = false
	for _, d := range flow.Directions {
		for f := range flow.Families {
			g.tables[d-1].faces[f].render(b)
			n := g.nodes[d-1][f]
			n.write(b, len(n.told) > 0, nil)
		}
		if name := closedName(d.String(), g.key, d); b.e.chains[name] != nil {
			b.e.chain(name, 0, []Rule{denied(d.String()+" "+g.hash, b.comment(g, d))})
		}
	}
}
