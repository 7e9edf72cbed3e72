package program_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

const uplink = "eth0"

// nodeOf gives the facts of a node whose pods each have an interface of their own.
func nodeOf(s *cluster.Snapshot, name string) *program.Node {
	n := &program.Node{Name: name, Uplinks: []string{uplink}, Interface: map[int]string{}}
	for i := range s.Pods {
		if p := &s.Pods[i]; p.NodeName == name && !p.HostNetwork && !p.Template {
			n.Interface[i] = fmt.Sprintf("veth%d", i)
		}
	}
	return n
}

// experiment is one table and what it is compared with.
type experiment struct {
	s    *cluster.Snapshot
	o    oracle.Options
	n    *program.Node
	node int
	p    *program.Program
	// owners counts the ends of the cluster that have an address.
	owners map[netip.Addr]int
}

func newExperiment(s *cluster.Snapshot, o oracle.Options, node int) *experiment {
	s.Facts.TrustDomain = o.TrustDomain
	m := policy.Compile(s, policy.Options{Strict: o.Strict, PodCIDRs: o.PodCIDRs, BlockMetadata: o.BlockMetadata, Azure: o.Azure})
	e := &experiment{s: s, o: o, n: nodeOf(s, s.Nodes[node].Name), node: node, owners: map[netip.Addr]int{}}
	e.p = program.New(m, e.n)
	for i := range s.Pods {
		if p := &s.Pods[i]; !p.HostNetwork || s.NodeIndex(p.NodeName) < 0 {
			for _, a := range p.Addrs {
				e.owners[a]++
			}
		}
	}
	for i := range s.Nodes {
		for _, a := range s.Nodes[i].Addrs {
			e.owners[a]++
		}
	}
	return e
}

// isHere tells whether an end is this node, or a pod that shares its network.
func (e *experiment) isHere(end flow.End) bool {
	switch end.Kind {
	case flow.Node:
		return end.Index == e.node
	case flow.Pod:
		p := &e.s.Pods[end.Index]
		return p.HostNetwork && p.NodeName == e.n.Name
	}
	return false
}

func (e *experiment) link(end flow.End) string {
	if end.Kind == flow.Pod {
		return e.n.Interface[end.Index]
	}
	return ""
}

// packet is the first packet of a flow as this node sees it; ok is false where it does not.
func (e *experiment) packet(f *flow.Flow) (k program.Packet, ok bool) {
	from, to := e.link(f.From), e.link(f.To)
	if !f.From.Addr.IsValid() || !f.To.Addr.IsValid() || from == "" && to == "" || !e.has(f.To) || from == "" && !e.has(f.From) {
		return k, false
	}
	k = program.Packet{Hook: program.Forward, In: from, Out: to, Src: f.From.Addr, Dst: f.To.Addr, Proto: f.Proto, Port: f.Port}
	switch {
	case from == "" && e.isHere(f.From):
		if k.Hook = program.Output; slices.Contains(e.s.Nodes[e.node].Addrs, k.Dst) {
			return k, false // it never leaves the node, whatever pod says it has the address
		}
	case from == "":
		k.In = uplink
	}
	switch {
	case to == "" && e.isHere(f.To):
		k.Hook, k.Out = program.Input, ""
	case to == "":
		k.Out = uplink
	}
	return k, true
}

// has tells whether an address is an end's own: of a packet with another one the address says who is meant.
func (e *experiment) has(end flow.End) bool {
	switch end.Kind {
	case flow.Pod:
		return slices.Contains(e.s.Pods[end.Index].Addrs, end.Addr)
	case flow.Node:
		return slices.Contains(e.s.Nodes[end.Index].Addrs, end.Addr)
	}
	return e.owners[end.Addr] == 0
}

// want gives what the oracle says of the directions that this node decides.
func (e *experiment) want(f *flow.Flow) (accepted, skipped bool) {
	a := oracle.Ask(e.s, e.o, *f)
	all := oracle.AskLayers(e.s, e.o, *f, layers.ByAddress) // projections count in the network (L24)
	accepted = true
	if e.link(f.From) != "" {
		if len(e.s.Pods[f.From.Index].Addrs) == 0 { // S28 lets it pass; a node keeps it closed until its address is known
			return false, a.Skipped
		}
		accepted = a.Egress.Verdict == flow.Allowed && all.Answers[oracle.NetworkEgress] <= oracle.Allow
	}
	if e.link(f.To) != "" {
		accepted = accepted && a.Ingress.Verdict == flow.Allowed && all.Answers[oracle.NetworkIngress] <= oracle.Allow
	}
	return accepted, a.Skipped
}

// TestOracle compares tables with the oracle on random worlds (S62): every pod of a node with every end that has an address.
func TestOracle(t *testing.T) {
	for _, from := range []int{64, 1} { // the second puts every set of pods into the table
		t.Run(fmt.Sprint("shared from ", from), func(t *testing.T) {
			defer program.ShareFrom(from)()
			testOracle(t, world.UnevaluatedCases(24))
		})
	}
}

// TestProjections is TestOracle where access policies are projected into the network.
func TestProjections(t *testing.T) {
	testOracle(t, rapid.Custom(func(rt *rapid.T) world.Case {
		c := world.LayeredCases(24).Draw(rt, "layered")
		out := world.Case{World: c.World, Options: c.Options}
		for _, q := range c.Questions {
			out.Flows = append(out.Flows, q.Flow)
		}
		return out
	}))
}

func testOracle(t *testing.T, cases *rapid.Generator[world.Case]) {
	counts := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 8*time.Second, 4)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := cases.Draw(rt, "case")
			s := c.World.Snapshot()
			if len(s.Nodes) == 0 || c.Options.NotEnforced {
				return
			}
			e := newExperiment(s, c.Options, rapid.IntRange(0, len(s.Nodes)-1).Draw(rt, "node"))
			if err := e.p.Check(); err != nil {
				rt.Fatalf("%v\n%s", err, e.p.Nft())
			}
			for _, f := range slices.Concat(c.Flows, e.flows(c.Flows)) {
				e.compare(rt, &f, counts, c)
			}
		})
	}
	t.Logf("packets: %v", counts)
	for _, what := range []string{"forward accepted", "forward dropped", "input accepted", "input dropped", "output accepted", "output dropped"} {
		if counts[what] == 0 && !testing.Short() {
			t.Errorf("no packet was %s: %v", what, counts)
		}
	}
}

// flows are those between each pod here and each end with an address, on the ports of questions that were drawn.
func (e *experiment) flows(drawn []flow.Flow) []flow.Flow {
	var ends []flow.End
	for i := range e.s.Pods {
		for _, a := range e.s.Pods[i].Addrs {
			ends = append(ends, flow.End{Kind: flow.Pod, Index: i, Addr: a})
		}
	}
	for i := range e.s.Nodes {
		for _, a := range e.s.Nodes[i].Addrs {
			ends = append(ends, flow.End{Kind: flow.Node, Index: i, Addr: a})
		}
	}
	for _, f := range drawn {
		for _, end := range []flow.End{f.From, f.To} {
			if end.Kind == flow.Address {
				ends = append(ends, end)
			}
		}
	}
	var out []flow.Flow
	for i, a := range ends {
		for j, b := range ends {
			if (e.link(a) == "") == (e.link(b) == "") && (i+j)%3 > 0 || flow.FamilyOf(a.Addr) != flow.FamilyOf(b.Addr) {
				continue
			}
			d := drawn[(i+j)%len(drawn)]
			out = append(out, flow.Flow{From: a, To: b, Family: flow.FamilyOf(a.Addr), Proto: d.Proto, Port: d.Port})
		}
	}
	return out
}

// failer is a test, drawn or not.
type failer interface {
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

func (e *experiment) compare(rt failer, f *flow.Flow, counts map[string]int, c world.Case) {
	k, ok := e.packet(f)
	self := f.From.Kind == flow.Pod && f.To.Kind == flow.Pod && f.From.Index == f.To.Index
	if !ok || self && !f.ViaService {
		return
	}
	want, skipped := e.want(f)
	if skipped {
		return
	}
	got, path, err := e.p.Try(&k)
	if err != nil {
		rt.Fatal(err)
	}
	word := map[bool]string{true: " accepted", false: " dropped"}
	if e.owners[k.Src] > 1 || e.owners[k.Dst] > 1 { // nobody can tell the ends apart: less may be let through, and never more
		counts["shared"]++
		if got && !want {
			rt.Fatalf("%+v is let through at an address that several have, by %q\n%s\n%#v", k, path, e.p.Nft(), c)
		}
		return
	}
	counts[map[program.Hook]string{program.Forward: "forward", program.Input: "input", program.Output: "output"}[k.Hook]+word[got]]++
	if got != want {
		rt.Fatalf("%+v on node %s: the table says%s by %q, the oracle%s\n%v\n%s\n%#v", k, e.n.Name, word[got], path, word[want], *f, e.p.Nft(), c)
	}
}
