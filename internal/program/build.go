package program

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/names"
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
	// Unseen: the kernel has begun to follow connections here just now, so that some may be under way of which it knows nothing. They
	// are decided like new ones. Otherwise one that it does not know was cut, or is long forgotten, and cannot go on.
	Unseen bool
}

// New compiles the table of a node. It does not matter in which order the model's parts came.
func New(m *policy.Model, n *Node) *Program {
	b := build(m, n)
	b.finish()
	return b.program()
}

// builder makes a table of a model, and follows it while pods come and go.
type builder struct {
	m    *policy.Model
	l    *layers.Model // nil where no access policy is projected into the network
	n    *Node
	node int // its index in the Snapshot, or -1
	e    editor

	space     *policy.Space
	remotes   []remote
	remoteAt  map[string]int // by key
	empty     int            // remotes without addresses
	owners    map[netip.Addr][]owner
	contested map[netip.Addr]bool // addresses that several ends have
	members   map[memberKey]*members
	texts     map[int32]string // of sets

	numbers map[string]int   // what is allowed, by its words
	allowed []netset.PortSet // by number
	words   []string         // by number
	first   int              // how many there were in the beginning
	tables  []*table
	groups  map[string]*group // by key
	locals  map[int]*local    // by pod
	localAt map[netip.Addr][]int
	room    []byte // for keys
}

// build makes the whole table.
func build(m *policy.Model, n *Node) *builder {
	s := m.Snapshot()
	b := &builder{m: m, n: n, node: s.NodeIndex(n.Name), e: newEditor(), space: m.Space(), remoteAt: map[string]int{}, owners: map[netip.Addr][]owner{},
		contested: map[netip.Addr]bool{}, members: map[memberKey]*members{}, texts: map[int32]string{}, numbers: map[string]int{}, groups: map[string]*group{},
		locals: map[int]*local{}, localAt: map[netip.Addr][]int{}}
	if slices.ContainsFunc(s.AccessPolicies, func(p cluster.AccessPolicy) bool { return p.Spec.Project.Network }) {
		b.l = layers.New(m)
	}
	b.constants()
	for i := range s.Nodes {
		for _, addr := range s.Nodes[i].Addrs {
			b.addEnd(flow.End{Kind: flow.Node, Index: i, Addr: addr})
		}
	}
	for i := range s.Pods {
		for _, end := range b.ends(i) {
			b.addEnd(end)
		}
	}
	for i := range s.Pods { // after all ends: each group asks about all of them once
		b.join(i)
	}
	b.first = len(b.allowed)
	return b
}

// constants makes the sets that are there always.
func (b *builder) constants() {
	for _, s := range constants() {
		b.e.fill(b.e.keep(object{name: s.Name, key: s.Key}), s.Elements)
	}
	b.e.keep(object{name: podInterfaces, key: KeyInterface})
	b.e.keep(object{name: sources[0], key: KeySource4})
	b.e.keep(object{name: sources[1], key: KeySource6})
	known := b.e.keep(object{name: interfaces, key: KeyInterface})
	for _, name := range b.n.Uplinks {
		b.e.count(known, Element{Interface: name}, 1)
	}
}

// finish writes what hangs on everything else.
func (b *builder) finish() {
	for _, g := range b.groups {
		if g.renamed {
			b.rename(g)
		}
	}
	b.hooks()
	b.e.sweep()
}

// program gives the table as it is.
func (b *builder) program() *Program {
	p := b.e.program()
	for pod := range b.locals {
		o := &b.m.Snapshot().Pods[pod]
		for _, addr := range o.Addrs {
			if len(b.owners[addr]) > 1 && b.locals[pod].link != "" {
				p.Notes = append(p.Notes, fmt.Sprintf("%s of pod %s/%s is closed: another pod or node has the address too", addr, names.Safe(o.Namespace), names.Safe(o.Name)))
			}
		}
	}
	slices.Sort(p.Notes)
	p.Notes = slices.Compact(p.Notes)
	return p
}

// account names the service account of a pod where projections ask for it.
func (b *builder) account(pod int) string {
	if b.l == nil {
		return ""
	}
	p := &b.m.Snapshot().Pods[pod]
	return fmt.Sprintf(" %s/%s ", p.Namespace, p.Account)
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
