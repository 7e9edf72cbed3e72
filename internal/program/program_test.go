package program_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
	"sallyport.dev/sallyport/internal/source/manifest"
)

// TestOrder: the order of the input makes no difference (S61), byte for byte.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := world.Cases(1).Draw(rt, "case")
		if s := c.World.Snapshot(); len(s.Nodes) == 0 {
			return
		}
		first := newExperiment(c.World.Snapshot(), c.Options, 0).p.Nft()
		seed := rapid.Uint64().Draw(rt, "seed")
		shuffled := world.Shuffle(c.World, seed).Snapshot()
		if again := newExperiment(shuffled, c.Options, 0).p.Nft(); again != first {
			rt.Fatalf("%s\nnot\n%s", again, first)
		}
	})
}

// TestGrowth: sets, maps and chains grow with the pods of the node, and neither with pods elsewhere nor with policies about them.
func TestGrowth(t *testing.T) {
	small, large := counts(bench.Spread(100, 100, 100)), counts(bench.Spread(3_000, 3_000, 3_000))
	if large.objects > small.objects*5/4 {
		t.Errorf("a cluster of thirty times the size takes %d sets, maps and chains instead of %d", large.objects, small.objects)
	}
	if large.elements < small.elements {
		t.Errorf("it has %d elements instead of %d: the comparison is of nothing", large.elements, small.elements)
	}
}

type size struct{ objects, elements int }

// counts makes the table of a node that has the first hundred pods.
func counts(s *snapshot) size {
	bench.OnNodes(s, 100)
	for i := range s.Pods {
		if s.Pods[i].NodeName = "elsewhere"; i < 100 {
			s.Pods[i].NodeName = s.Nodes[0].Name
		}
	}
	p := program.New(policy.Compile(s, policy.Options{}), nodeOf(s, s.Nodes[0].Name))
	out := size{objects: len(p.Sets) + len(p.Maps) + len(p.Chains)}
	for i := range p.Maps {
		out.elements += len(p.Maps[i].Elements)
	}
	for i := range p.Sets {
		out.elements += len(p.Sets[i].Elements)
	}
	return out
}

// example is a small cluster whose table is in testdata, to read and to see what a change does to it.
func example(t *testing.T) *experiment {
	t.Helper()
	s, err := manifest.Read(manifest.Options{Files: []string{filepath.Join("testdata", "example.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	return newExperiment(s, options{}, s.NodeIndex("n1"))
}

func TestExample(t *testing.T) {
	path := filepath.Join("testdata", "example.nft")
	got := example(t).p.Nft()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table is:\n%s\nUPDATE=1 go test ./internal/program -run TestExample writes it; read the change", got)
	}
}

// TestPackets tries packets that say more than a flow does.
func TestPackets(t *testing.T) {
	e := example(t)
	web, db, elsewhere := netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.1.0.6"), netip.MustParseAddr("10.3.0.5")
	at := func(addr netip.Addr) string {
		for i := range e.s.Pods {
			if link := e.n.Interface[i]; link != "" && slices.Contains(e.s.Pods[i].Addrs, addr) {
				return link
			}
		}
		return uplink
	}
	packet := func(from, to netip.Addr, port uint16, change func(*program.Packet)) program.Packet {
		k := program.Packet{Hook: program.Forward, In: at(from), Out: at(to), Src: from, Dst: to, Proto: netset.TCP, Port: port}
		if change != nil {
			change(&k)
		}
		return k
	}
	icmp6 := func(at netip.Addr, from, to string, kind, hops uint8) program.Packet {
		return packet(at, db, 0, func(k *program.Packet) {
			k.Src, k.Dst, k.Proto = netip.MustParseAddr(from), netip.MustParseAddr(to), netset.Other
			k.Number, k.Type, k.HopLimit = program.ICMPv6, kind, hops
		})
	}
	midStream := func(k *program.Packet) { k.MidStream = true }
	for _, c := range []struct {
		what   string
		packet program.Packet
		want   bool
		by     string // the last rule on its way
	}{
		{"allowed by label and port", packet(web, db, 5432, nil), true, ""},
		{"another port", packet(web, db, 5433, nil), false, "log prefix"},
		{"another pod", packet(elsewhere, db, 5432, nil), false, "log prefix"},
		{"a pod inside an allowed block keeps its own row", packet(netip.MustParseAddr("10.2.0.6"), db, 9187, nil), true, ""},
		{"an address inside the block", packet(netip.MustParseAddr("10.2.0.77"), db, 9187, nil), true, ""},
		{"and on the port of pods", packet(netip.MustParseAddr("10.2.0.77"), db, 5432, nil), false, "log prefix"},
		{"no port, no match", packet(web, db, 0, func(k *program.Packet) { k.Proto = netset.Other }), false, "log prefix"},
		{"an answer", packet(db, elsewhere, 40000, func(k *program.Packet) { k.Established = true }), true, "ct state established"},
		{"one that was cut", packet(db, elsewhere, 40000, func(k *program.Packet) { k.Established, k.Revoked = true, true }), false, "sallyport revoked"},
		{"an error about it", packet(elsewhere, db, 0, func(k *program.Packet) {
			k.Proto, k.Number, k.Related, k.Revoked = netset.Other, program.ICMP, true, true
		}), false, "sallyport revoked"},
		{"to the node", packet(db, netip.MustParseAddr("192.0.2.1"), 10250, func(k *program.Packet) {
			k.Hook, k.Out, k.Established, k.Revoked = program.Input, "", true, true
		}), false, "sallyport revoked"},
		{"from the node", packet(netip.MustParseAddr("192.0.2.1"), db, 8080, func(k *program.Packet) {
			k.Hook, k.In, k.Established, k.Revoked = program.Output, "", true, true
		}), false, "sallyport revoked"},
		{"of no connection that is known, from a pod", packet(web, db, 5432, midStream), false, "sallyport stray"},
		{"to a pod", packet(netip.MustParseAddr("203.0.113.9"), web, 80, midStream), false, "sallyport stray"},
		{"from a pod to the node", packet(web, netip.MustParseAddr("192.0.2.1"), 10250, func(k *program.Packet) {
			k.Hook, k.Out, k.MidStream = program.Input, "", true
		}), false, "sallyport stray"},
		{"from the node to a pod", packet(netip.MustParseAddr("192.0.2.1"), web, 8080, func(k *program.Packet) {
			k.Hook, k.In, k.MidStream = program.Output, "", true
		}), false, "sallyport stray"},
		{"of others, through the node", packet(netip.MustParseAddr("203.0.113.9"), elsewhere, 80, midStream), true, ""},
		{"from the node to others", packet(netip.MustParseAddr("192.0.2.1"), elsewhere, 80, func(k *program.Packet) {
			k.Hook, k.In, k.MidStream = program.Output, "", true
		}), true, ""},
		{"an error that belongs to it", packet(elsewhere, db, 0, func(k *program.Packet) { k.Proto, k.Number, k.Related = netset.Other, program.ICMP, true }), true, "ct state related"},
		{"an interface that nobody knows", packet(web, db, 5432, func(k *program.Packet) { k.In = "veth99" }), false, "interface"},
		{"to one that nobody knows", packet(web, db, 5432, func(k *program.Packet) { k.Out = "veth99" }), false, "interface"},
		{"another pod's address", packet(web, db, 5432, func(k *program.Packet) { k.In = at(db) }), false, "source"},
		{"an address of nobody", packet(web, db, 5432, func(k *program.Packet) { k.Src = netip.MustParseAddr("10.9.9.9") }), false, "source"},
		{"the node itself reaches its pods", packet(netip.MustParseAddr("192.0.2.1"), db, 8080, func(k *program.Packet) { k.Hook, k.In = program.Output, "" }), true, ""},
		{"by a bridge's address too", packet(netip.MustParseAddr("10.1.0.1"), db, 8080, func(k *program.Packet) { k.Hook, k.In = program.Output, "" }), true, ""},
		{"another node does not", packet(netip.MustParseAddr("192.0.2.2"), db, 8080, nil), false, "log prefix"},
		{"a pod reaches its node", packet(db, netip.MustParseAddr("192.0.2.1"), 10250, func(k *program.Packet) { k.Hook, k.Out = program.Input, "" }), true, ""},
		{"a pod that is closed for egress does not reach others", packet(db, web, 80, nil), false, "log prefix"},
		{"through its own Service back to itself", packet(db, db, 5432, nil), false, "log prefix"},
		{"an address of a pod that nobody knows yet", packet(web, netip.MustParseAddr("10.1.0.99"), 80, func(k *program.Packet) { k.Out = at(db) }), false, "target"},
		{"a helper's connection is no error", packet(elsewhere, db, 40000, func(k *program.Packet) { k.Related = true }), false, "log prefix"},
		{"a neighbour is sought", icmp6(web, "fe80::1", "ff02::1:ff00:6", 135, 255), true, "neighbour_messages"},
		{"but not from beyond the link", icmp6(web, "fd00::5", "fd00::6", 135, 254), false, "log prefix"},
		{"a listener's report", icmp6(web, "fe80::1", "ff02::16", 143, 1), true, "listener_messages"},
		{"but not to a single address", icmp6(web, "fd00::5", "fd00::6", 143, 1), false, "log prefix"},
		{"packet too big about no connection", icmp6(web, "fd00::5", "fd00::6", 2, 64), false, "log prefix"},
		{"what a router says, from a pod", packet(web, db, 0, func(k *program.Packet) {
			k.Src, k.Dst, k.Proto = netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fd00::6"), netset.Other
		}), false, "source"},
		{"loopback", program.Packet{Hook: program.Input, In: "lo", Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr("127.0.0.1"), Proto: netset.TCP, Port: 1}, true, "lo"},
	} {
		got, path, err := e.p.Try(&c.packet)
		last := ""
		if len(path) > 0 {
			last = path[len(path)-1]
		}
		if err != nil || got != c.want || !strings.Contains(last, c.by) {
			t.Errorf("%s: %v by %q (%v)", c.what, got, path, err)
		}
	}
}

// TestUnseen: where the kernel has only begun to follow connections, one in its midst is decided like a new one, but not one that
// was cut.
func TestUnseen(t *testing.T) {
	e := example(t)
	e.n.Unseen = true
	p := program.New(policy.Compile(e.s, policy.Options{}), e.n)
	link := func(name string) string {
		return e.n.Interface[slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == name })]
	}
	for _, c := range []struct {
		port    uint16
		revoked bool
		want    bool
	}{{5432, false, true}, {5433, false, false}, {5432, true, false}} {
		k := program.Packet{Hook: program.Forward, In: link("web"), Out: link("db"), Src: netip.MustParseAddr("10.1.0.5"), Dst: netip.MustParseAddr("10.1.0.6"),
			Proto: netset.TCP, Port: c.port, MidStream: true, Revoked: c.revoked}
		if got, path, err := p.Try(&k); got != c.want || err != nil {
			t.Errorf("%+v: %v by %q, %v", c, got, path, err)
		}
	}
}

// TestSharedAddress: what two ends have is closed, and said.
func TestSharedAddress(t *testing.T) {
	e := example(t)
	i := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "web" })
	j := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "free" })
	e.s.Pods[j].Addrs = e.s.Pods[i].Addrs
	p := program.New(policy.Compile(e.s, policy.Options{}), e.n)
	if len(p.Notes) != 4 || !strings.Contains(p.Notes[0], "10.1.0.5 of pod shop/free is closed: another pod or node has the address too") {
		t.Errorf("notes: %q", p.Notes)
	}
	k := program.Packet{Hook: program.Forward, In: uplink, Out: e.n.Interface[j], Src: netip.MustParseAddr("203.0.113.9"), Dst: e.s.Pods[i].Addrs[0], Proto: netset.TCP, Port: 80}
	if got, path, _ := p.Try(&k); got {
		t.Errorf("let through by %q", path)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

func TestCheckFinds(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	ranges := func(list ...program.Element) *program.Program {
		return &program.Program{Maps: []program.Map{{Name: "m", Key: program.KeyIPv4, Interval: true, Elements: list}}}
	}
	elements := func(key program.Key, list ...program.Element) *program.Program {
		return &program.Program{Sets: []program.Set{{Name: "s", Key: key, Elements: list}}}
	}
	ports := func(proto netset.Proto, first, last uint16) program.Element {
		return program.Element{Proto: proto, Ports: netset.PortRange{First: first, Last: last}}
	}
	chain := func(rules ...program.Rule) *program.Program {
		return &program.Program{Chains: []program.Chain{{Name: "c", Rules: rules}}}
	}
	for _, c := range []struct {
		what string
		p    *program.Program
	}{
		{"overlap", ranges(program.Element{First: a("10.0.0.0"), Last: a("10.0.0.9")}, program.Element{First: a("10.0.0.9"), Last: a("10.0.0.20")})},
		{"not in order", elements(program.KeyIPv4, program.Element{First: a("10.0.0.2"), Last: a("10.0.0.2")}, program.Element{First: a("10.0.0.1"), Last: a("10.0.0.1")})},
		{"not in order", elements(program.KeyPort, ports(netset.TCP, 80, 80), ports(netset.UDP, 53, 53), ports(netset.TCP, 80, 80))},
		{"not in order", elements(program.KeyProtocol, program.Element{Number: 6}, program.Element{Number: 1})},
		{"overlap", elements(program.KeyInterface, program.Element{Interface: "eth0"}, program.Element{Interface: "eth0"})},
		{"ought not to be", elements(program.KeyPort, ports(netset.TCP, 80, 90))},
		{"cannot name", elements(program.KeyInterface, program.Element{})},
		{"cannot name", elements(program.KeySource4, program.Element{First: a("10.0.0.1"), Last: a("10.0.0.1")})},
		{"ends before it begins", ranges(program.Element{First: a("10.0.0.9"), Last: a("10.0.0.0")})},
		{"no set x", chain(program.Rule{Match: program.Source4, Set: "x"})},
		{"no chain x", chain(program.Rule{Verdict: program.Verdict{Act: program.Jump, Chain: "x"}})},
		{"too deep", chain(program.Rule{Verdict: program.Verdict{Act: program.Jump, Chain: "c"}})},
		{"comment", chain(program.Rule{Comment: strings.Repeat("x", program.MaxComment+1)})},
		{"no name of its own", &program.Program{Sets: []program.Set{{Name: "m"}, {Name: "m"}}}},
	} {
		if err := c.p.Check(); err == nil || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// TestFamilies: a rule that speaks of one family leaves the other closed (S16).
func TestFamilies(t *testing.T) {
	e := example(t)
	for _, family := range flow.Families {
		dst, src := "10.1.0.6", "10.2.0.77"
		if family == flow.IPv6 {
			dst, src = "fd00::6", "fd00:2::77"
		}
		k := program.Packet{Hook: program.Forward, In: uplink, Out: "veth0", Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: netset.TCP, Port: 9187}
		for i := range e.s.Pods {
			if slices.Contains(e.s.Pods[i].Addrs, k.Dst) {
				k.Out = e.n.Interface[i]
			}
		}
		if got, path, err := e.p.Try(&k); err != nil || got != (family == flow.IPv4) {
			t.Errorf("%v: %v by %q %v", family, got, path, err)
		}
	}
	if fmt.Sprint(e.p.Notes) != "[]" {
		t.Error(e.p.Notes)
	}
}
