package program_test

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// TestNodeWithoutPods: no pod is on a node that is not in the input, above all none that is on no node yet.
func TestNodeWithoutPods(t *testing.T) {
	e := example(t)
	for i := range e.s.Pods {
		e.s.Pods[i].NodeName = ""
	}
	for _, name := range []string{"", "n9"} {
		e.n.Name = name
		p := program.New(policy.Compile(e.s, policy.Options{}), e.n)
		k := program.Packet{Hook: program.Forward, In: uplink, Out: "veth0", Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("10.1.0.6"), Proto: netset.TCP, Port: 80}
		if got, path, err := p.Try(&k); got || err != nil {
			t.Errorf("node %q: let through by %q, %v", name, path, err)
		}
	}
}

// TestOwnAddressOfTheNode: a pod that says it has the node's address, or the loopback's, does not cut the node off from itself.
func TestOwnAddressOfTheNode(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "127.0.0.1"} {
		e, a := example(t), netip.MustParseAddr(addr)
		i := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "db" })
		e.s.Pods[i].Addrs = []netip.Addr{a}
		e.s.ClusterPolicies = nil
		p := program.New(policy.Compile(e.s, policy.Options{}), e.n)
		k := program.Packet{Hook: program.Output, Out: "lo", Src: a, Dst: a, Proto: netset.TCP, Port: 6443}
		if got, path, err := p.Try(&k); !got || err != nil {
			t.Errorf("%s: dropped by %q, %v", addr, path, err)
		}
		k = program.Packet{Hook: program.Input, In: e.n.Interface[i], Src: a, Dst: netip.MustParseAddr("192.0.2.1"), Proto: netset.TCP, Port: 6443}
		if got, path, err := p.Try(&k); addr == "192.0.2.1" && (got || err != nil) {
			t.Errorf("%s: from the pod it is let through by %q, %v", addr, path, err)
		}
	}
}

// TestOwnConnectionsOfTheNode: such a pod does not have the node's own connections cut either.
func TestOwnConnectionsOfTheNode(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "127.0.0.1"} {
		e, a, b := example(t), netip.MustParseAddr(addr), netip.MustParseAddr("192.0.2.1")
		i := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "db" })
		e.s.Pods[i].Addrs = []netip.Addr{a}
		l := program.NewLive(policy.NewLive(e.s, policy.Options{}), e.n)
		own := func(x netip.Addr) bool { return x == b }
		world := netip.MustParseAddr("203.0.113.9")
		for _, ends := range [][2]netip.Addr{{a, a}, {a, b}, {b, a}, {a, world}, {world, a}} {
			if sides := l.Allows(ends[0], ends[1], netset.TCP, 6443, own); len(sides) > 0 {
				t.Errorf("from %s to %s: %+v", ends[0], ends[1], sides)
			}
		}
	}
}

// TestNotesAreSafe: a note says no name as it is that could mislead who reads it.
func TestNotesAreSafe(t *testing.T) {
	e := example(t)
	i := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "db" })
	e.s.Pods[i].Name, e.s.Pods[i].Addrs = "db\n\u202e", []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	notes := program.New(policy.Compile(e.s, policy.Options{}), e.n).Notes
	if len(notes) != 1 || !strings.Contains(notes[0], `db\n\u202e`) {
		t.Errorf("%q", notes)
	}
}

// TestMetadataOnTheNode: a metadata address that something on the node serves is one all the same (S27).
func TestMetadataOnTheNode(t *testing.T) {
	e := example(t)
	for _, block := range []bool{false, true} {
		p := program.New(policy.Compile(e.s, policy.Options{BlockMetadata: block}), e.n)
		web := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "web" })
		k := program.Packet{Hook: program.Input, In: e.n.Interface[web], Src: netip.MustParseAddr("10.1.0.5"), Dst: netip.MustParseAddr("169.254.169.254"), Proto: netset.TCP, Port: 80}
		if got, path, err := p.Try(&k); got == block || err != nil {
			t.Errorf("blocked %v: accepted %v by %q, %v", block, got, path, err)
		}
	}
}

// TestInterfacesOfOthers: facts about pods that are not here, or share the node's network, open nothing.
func TestInterfacesOfOthers(t *testing.T) {
	e := example(t)
	for i := range e.s.Pods {
		switch e.n.Interface[i] {
		case "":
			e.n.Interface[i] = "veth99"
		default:
			e.n.Interface[i] = ""
		}
	}
	p := program.New(policy.Compile(e.s, policy.Options{}), e.n)
	if text := p.Nft(); strings.Contains(text, `""`) || strings.Contains(text, "veth99") {
		t.Error(text)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

// TestPodBehindAnUplink: a pod here whose interface is not known is closed by its address, wherever it comes or goes by: an uplink
// is no way around its policies.
func TestPodBehindAnUplink(t *testing.T) {
	e := example(t)
	i := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "free" })
	a, world := e.s.Pods[i].Addrs[0], netip.MustParseAddr("203.0.113.9")
	for _, known := range []bool{true, false} {
		if !known {
			delete(e.n.Interface, i)
		}
		p := program.New(policy.Compile(e.s, policy.Options{}), e.n)
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		at := cmp.Or(e.n.Interface[i], uplink)
		for _, k := range []program.Packet{
			{Hook: program.Forward, In: uplink, Out: at, Src: world, Dst: a},
			{Hook: program.Forward, In: at, Out: uplink, Src: a, Dst: world},
			{Hook: program.Input, In: at, Src: a, Dst: netip.MustParseAddr("192.0.2.1")},
			{Hook: program.Output, Out: at, Src: netip.MustParseAddr("192.0.2.1"), Dst: a},
		} {
			k.Proto, k.Port = netset.TCP, 80
			if got, path, err := p.Try(&k); got != known || err != nil {
				t.Errorf("its interface is known %v: %+v: accepted %v by %q, %v", known, k, got, path, err)
			}
		}
	}
	j := slices.IndexFunc(e.s.Pods, func(p pod) bool { return p.Name == "web" })
	e.s.Pods[j].Addrs = e.s.Pods[i].Addrs
	if err := program.New(policy.Compile(e.s, policy.Options{}), e.n).Check(); err != nil {
		t.Errorf("a pod whose interface is known has the address too: %v", err)
	}
}

// TestNamesThatNftMisreads: what would be read as something else is refused, and not printed.
func TestNamesThatNftMisreads(t *testing.T) {
	for _, name := range []string{"veth*", `a"b`, "a b", "sixteen_letters_", "a\nb"} {
		e := example(t)
		e.n.Uplinks = []string{name}
		if err := program.New(policy.Compile(e.s, policy.Options{}), e.n).Check(); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	e := example(t)
	e.s.Pods[0].Addrs = []netip.Addr{netip.MustParseAddr("fe80::1%x, 1::")}
	if err := program.New(policy.Compile(e.s, policy.Options{}), e.n).Check(); err == nil {
		t.Error("an address with a zone is taken")
	}
}
