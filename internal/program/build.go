package program

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Node is what a program needs to know of the node that it is for.
type Node struct {
	Name string // pods of the Snapshot with this node name are enforced here
	// Uplinks are the interfaces by which the node reaches other nodes and the world, lo left out.
	Uplinks []string
	// Interface gives, by the index of a pod in the Snapshot, the interface of the node that leads to it. Behind a bridge
	// several pods have the same. A pod that is not in it is closed by its interface, as every one that nobody knows, and by its
	// addresses, which an uplink may lead to.
	Interface map[int]string
}

// New compiles the table of a node. It does not matter in which order the model's parts came.
func New(m *policy.Model, n *Node) *Program {
	b := &builder{m: m, n: n, node: m.Snapshot().NodeIndex(n.Name), p: &Program{}, portChains: map[string]string{}, closedChains: map[string]bool{},
		numbers: map[string]int{}, members: map[memberKey]*members{}}
	if slices.ContainsFunc(m.Snapshot().AccessPolicies, func(p cluster.AccessPolicy) bool { return p.Spec.Project.Network }) {
		b.l = layers.New(m)
	}
	b.findRemotes()
	b.findLocals()
	for i := range b.groups {
		b.group(&b.groups[i])
	}
	b.interfaces()
	b.hooks()
	b.p.sort()
	return b.p
}

type builder struct {
	m    *policy.Model
	l    *layers.Model // nil where no access policy is projected into the network
	n    *Node
	node int // its index in the Snapshot, or -1
	p    *Program

	space        *policy.Space
	remotes      []remote
	groups       []group
	portChains   map[string]string // by what they allow
	closedChains map[string]bool
	numbers      map[string]int   // what is allowed, by its words
	allowed      []netset.PortSet // by number
	members      map[memberKey]*members
	contested    []netip.Addr         // addresses that several ends have
	owners       map[netip.Addr][]int // of addresses, indices in remotes
	endpoints    [2][]endpoint        // by family
}

// endpoint is an address of a local pod.
type endpoint struct {
	addr      netip.Addr
	link      string    // empty where none leads to it: it is closed
	chain     [2]string // by direction, what the address leads to; empty: everything is allowed
	node      [2]string // the same where the other end is this node itself
	ambiguous bool      // another end of the cluster has the address: it is closed
}

// group is local pods that the same policies apply to, with the same named ports: kernel.md's endpoint class.
type group struct {
	key  string
	pods []int // indices in the Snapshot, those on this node
}

// findLocals groups the pods here. A node that is not in the Snapshot has none.
func (b *builder) findLocals() {
	if b.node < 0 {
		return
	}
	at := map[string]int{}
	for i := range b.m.Snapshot().Pods {
		p := &b.m.Snapshot().Pods[i]
		class := b.m.ClassOf(i)
		if class < 0 || p.NodeName != b.n.Name || p.Template {
			continue
		}
		key := b.groupKey(class) + b.projections(i)
		n, ok := at[key]
		if !ok {
			n = len(b.groups)
			at[key] = n
			b.groups = append(b.groups, group{key: key})
		}
		b.groups[n].pods = append(b.groups[n].pods, i)
	}
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

// group makes the chains of one group, and leads its addresses there.
func (b *builder) group(g *group) {
	var chains, nodes [2][2]string // by family and direction
	for _, d := range flow.Directions {
		word := map[flow.Direction]string{flow.Egress: "out", flow.Ingress: "in"}[d]
		t, own := b.table(g, d), b.nodeTable(g, d)
		for f, family := range flow.Families {
			chains[f][d-1] = b.chainOf(word, g, d, family, t)
			nodes[f][d-1] = b.chainOf("node_"+word, g, d, family, own)
		}
	}
	for _, pod := range g.pods {
		link := b.n.Interface[pod]
		for _, addr := range b.m.Snapshot().Pods[pod].Addrs {
			f := flow.FamilyOf(addr) - 1
			b.endpoints[f] = append(b.endpoints[f], endpoint{addr: addr, link: link, chain: chains[f], node: nodes[f], ambiguous: b.shares(addr, pod)})
		}
	}
}

// flowOf is a flow between a local pod, whose address does not matter, and another end. It comes as through a Service,
// because a pod that reaches itself without one never leaves its own network.
func (b *builder) flowOf(pod int, other flow.End, family flow.Family, d flow.Direction) flow.Flow {
	own := flow.End{Kind: flow.Pod, Index: pod}
	if d == flow.Egress {
		return flow.Flow{From: own, To: other, Family: family, ViaService: true}
	}
	return flow.Flow{From: other, To: own, Family: family, ViaService: true}
}

// interfaces makes the sets of interfaces, and of the source addresses that may come from each (S28).
func (b *builder) interfaces() {
	known, pods := Set{Name: "interfaces", Key: KeyInterface}, Set{Name: "pod_interfaces", Key: KeyInterface}
	sources := [2]Set{{Name: "sources4", Key: KeySource4}, {Name: "sources6", Key: KeySource6}}
	for _, name := range b.n.Uplinks {
		known.Elements = append(known.Elements, Element{Interface: name})
	}
	for i := range b.groups { // no other pod has a say in what is open: not one that shares the node's network, nor one elsewhere
		for _, pod := range b.groups[i].pods {
			if name := b.n.Interface[pod]; name != "" {
				known.Elements = append(known.Elements, Element{Interface: name})
				pods.Elements = append(pods.Elements, Element{Interface: name})
			}
		}
	}
	for f := range b.endpoints {
		for _, e := range b.endpoints[f] {
			if e.link == "" {
				continue
			}
			sources[f].Elements = append(sources[f].Elements, Element{Interface: e.link, First: e.addr, Last: e.addr})
		}
	}
	b.p.Sets = append(b.p.Sets, known, pods, sources[0], sources[1])
	b.p.Sets = append(b.p.Sets, constants()...)
}

func (p *Program) sort() {
	slices.SortFunc(p.Sets, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(p.Maps, func(a, b Map) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(p.Chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
	for i := range p.Sets {
		slices.SortFunc(p.Sets[i].Elements, CompareElements)
		p.Sets[i].Elements = slices.Compact(p.Sets[i].Elements)
	}
	for i := range p.Maps {
		slices.SortFunc(p.Maps[i].Elements, CompareElements)
		p.Maps[i].Elements = slices.Compact(p.Maps[i].Elements)
	}
	slices.Sort(p.Notes)
	p.Notes = slices.Compact(p.Notes)
}

// CompareElements orders elements as they are in a program: by key first.
func CompareElements(a, b Element) int {
	return cmp.Or(strings.Compare(a.Interface, b.Interface), a.First.Compare(b.First), a.Last.Compare(b.Last), cmp.Compare(a.Proto, b.Proto),
		cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Verdict.Act, b.Verdict.Act), strings.Compare(a.Verdict.Chain, b.Verdict.Chain))
}
