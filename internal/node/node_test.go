package node

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// written makes facts from words, one to a line: "link 2 eth0 vlan master=5", "addr 2 10.0.0.1", "route 254 10.0.0.0/8 via 2 3", or
// "route 254 10.0.0.5/32 dev 4". Only the main table, 254, and 7 are asked.
func written(lines ...string) *Facts {
	f := &Facts{links: map[int]link{}, held: map[netip.Addr][]int{}, neighbours: map[netip.Addr]int{}, module: true, calls: [2]bool{true, true}}
	var routes [2][]func(asked)
	for _, line := range lines {
		var w way
		var index, table, master int
		var name, kind, to, how string
		switch {
		case scan(line, "link %d %s %s master=%d", &index, &name, &kind, &master) == 4:
			f.links[index] = link{name: name, kind: strings.TrimPrefix(kind, "hardware"), master: master}
		case scan(line, "addr %d %s", &index, &to) == 2:
			a := netip.MustParseAddr(to)
			f.held[a] = append(f.held[a], index)
		case scan(line, "route %d %s %s %d", &table, &to, &how, &index) == 4:
			w.links, w.gateway = []int{index}, how == "via"
			p := netip.MustParsePrefix(to)
			family := flow.FamilyOf(p.Addr()) - 1
			routes[family] = append(routes[family], func(tables asked) { f.addRoute(tables, table, p, w) })
		default:
			panic(line)
		}
	}
	for _, family := range flow.Families {
		tables := f.addTables(family, []int{7, 254})
		for _, add := range routes[family-1] { // when all links are known
			add(tables)
		}
	}
	return f
}

func scan(line, format string, into ...any) int {
	n, _ := fmt.Sscanf(line, format, into...)
	return n
}

// small is a cluster of n1, where the pod p has 10.1.0.5, and n2.
func small() *cluster.Snapshot {
	a := netip.MustParseAddr
	return &cluster.Snapshot{
		Nodes:      []cluster.Node{{Name: "n1", Addrs: []netip.Addr{a("192.0.2.1")}}, {Name: "n2", Addrs: []netip.Addr{a("192.0.2.2")}}},
		Namespaces: []cluster.Namespace{{Name: "shop"}},
		Pods:       []cluster.Pod{{Namespace: "shop", Name: "p", NodeName: "n1", Addrs: []netip.Addr{a("10.1.0.5")}, Owner: cluster.Workload{Namespace: "shop", Kind: "pod", Name: "p"}}},
	}
}

// TestKinds: what a kind of interface, and what it is a part of, make of an address or a route.
func TestKinds(t *testing.T) {
	const pod = "route 254 10.1.0.5/32 dev 9"
	for _, c := range []struct {
		what, uplinks, pod string
		lines              []string
	}{
		{"hardware that the node is managed by", "eth0,eth1", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 eth1 hardware master=0", "addr 2 198.51.100.1", pod}},
		{"hardware with routes", "eth0,eth1", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 eth1 hardware master=0", "route 254 198.51.100.0/24 dev 2", pod}},
		{"hardware that IP does not use", "eth0", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 eth1 hardware master=0", "route 254 fe80::/64 dev 2", "route 254 ff00::/8 dev 2", pod}},
		{"a pod's virtual function", "eth0", "eth0_vf3", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 eth0_vf3 hardware master=0", "route 254 10.1.0.5/32 dev 2"}},
		{"the parts of a bond are none", "bond0", "veth0", []string{"link 1 eth0 hardware master=3", "addr 1 192.0.2.1", "link 2 eth1 hardware master=3", "link 3 bond0 bond master=0", "route 254 0.0.0.0/0 via 3", "addr 2 198.51.100.1", pod}},
		{"nor is what a VLAN is on", "bond0.5", "veth0", []string{"link 1 eth0 hardware master=2", "link 2 bond0 bond master=0", "link 3 bond0.5 vlan master=0", "addr 3 192.0.2.1", pod}},
		{"a VLAN in a bridge", "br5", "veth0", []string{"link 2 eth0.5 vlan master=3", "link 3 br5 bridge master=0", "route 254 0.0.0.0/0 via 2", pod}},
		{"a VRF and its parts", "eth0,eth1,mgmt", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 eth1 hardware master=3", "addr 2 198.51.100.1", "link 3 mgmt vrf master=0", pod}},
		{"WireGuard in a table of its own", "eth0,wireguard.cali", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 wireguard.cali wireguard master=0", "route 7 10.2.0.0/24 dev 2", pod}},
		{"IP in IP", "eth0,tunl0", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 tunl0 ipip master=0", "route 254 10.2.0.0/26 via 2", pod}},
		{"a VPN that takes everything in two halves", "eth0,tun0", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 tun0 tun master=0", "route 254 0.0.0.0/1 dev 2", "route 254 128.0.0.0/1 dev 2", pod}},
		{"a table that is not asked", "eth0", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 tun0 tun master=0", "route 8 0.0.0.0/0 dev 2", pod}},
		{"hardware with an address that is part of a pods' bridge", "eth0", "cni0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 2 eth1 hardware master=3", "addr 2 198.51.100.1", "link 3 cni0 bridge master=0", "route 254 10.1.0.5/32 dev 3"}},
		{"the node's address is on the veths of pods too", "eth0", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "addr 9 192.0.2.1", pod}},
		{"a pod behind routers on two veths", "eth0", "", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "link 8 veth1 veth master=0", "route 254 10.1.0.5/32 via 9", "route 254 10.1.0.5/32 via 8"}},
		{"a router on lo", "eth0", "veth0", []string{"link 1 eth0 hardware master=0", "addr 1 192.0.2.1", "route 254 192.0.2.2/32 via 5", pod}},
		{"a circle of masters", "", "veth0", []string{"link 1 a bridge master=2", "link 2 b bridge master=1", "route 254 10.9.0.0/24 dev 1", pod}},
	} {
		f := written(append(c.lines, "link 9 veth0 veth master=0")...)
		n, warnings := f.Node(small(), "n1", nil)
		if got := strings.Join(n.Uplinks, ","); got != c.uplinks || n.Interface[0] != c.pod {
			t.Errorf("%s: uplinks %q, pod %q; it should be %q and %q", c.what, got, n.Interface[0], c.uplinks, c.pod)
		}
		for _, w := range warnings {
			if !strings.HasPrefix(w, "pod ") && !strings.HasPrefix(w, "no interface") {
				t.Errorf("%s: it says %q", c.what, w)
			}
		}
	}
}

// TestOwnAddresses: which addresses of the node are worth a word.
func TestOwnAddresses(t *testing.T) {
	const way = "route 254 10.1.0.5/32 dev 9"
	for _, c := range []struct {
		what   string
		warned bool
		lines  []string
	}{
		{"on a bridge of others", true, []string{"link 9 docker0 bridge master=0", "addr 9 172.17.0.1"}},
		{"on what leads to a pod", false, []string{"link 9 shim macvlan master=0", "addr 9 172.17.0.1", way}},
		{"on a veth, of which each pod may have one", false, []string{"link 9 veth0 veth master=0", "addr 9 172.17.0.1"}},
		{"on a part of a bridge", false, []string{"link 9 tap0 tun master=8", "addr 9 172.17.0.1", "link 8 virbr0 bridge master=0"}},
		{"on a dummy, by which nothing comes", false, []string{"link 9 dummy0 dummy master=0", "addr 9 172.17.0.1"}},
	} {
		_, warnings := written(append(c.lines, "link 1 eth0 hardware master=0", "addr 1 192.0.2.1")...).Node(small(), "n1", nil)
		if got := strings.Contains(strings.Join(warnings, "\n"), "name it as an uplink"); got != c.warned {
			t.Errorf("%s: it says %q", c.what, warnings)
		}
	}
}

// TestPreferred: of routes to one prefix the least metric counts, in whatever order they are read.
func TestPreferred(t *testing.T) {
	to := netip.MustParsePrefix("10.1.0.5/32")
	for _, order := range [][]uint32{{1, 2, 3}, {2, 1, 3}, {3, 2, 1}} {
		f := written("link 1 a veth master=0", "link 2 b veth master=0", "link 3 c veth master=0")
		tables := f.addTables(flow.IPv4, []int{254})
		for _, metric := range order {
			f.addRoute(tables, 254, to, way{links: []int{int(metric)}, metric: metric})
		}
		if n, _ := f.Node(small(), "n1", nil); n.Interface[0] != "a" {
			t.Errorf("%v: %q", order, n.Interface[0])
		}
	}
}

// TestSpaces: Linux takes no interface whose name has a space in it; if it did, it would be left out like others.
func TestSpaces(t *testing.T) {
	f := written("link 9 x veth master=0", "route 254 10.1.0.5/32 dev 9")
	f.links[9] = link{name: "a b", kind: "veth"}
	if n, warnings := f.Node(small(), "n1", nil); len(n.Interface) > 0 || len(warnings) != 2 {
		t.Errorf("%v, %q", n.Interface, warnings)
	}
}

// TestModule: without the module no bridge shows anything, whatever it says of itself.
func TestModule(t *testing.T) {
	f := written("link 9 cni0 bridge master=0", "route 254 10.1.0.0/24 dev 9", "link 1 eth0 hardware master=0", "addr 1 192.0.2.1")
	f.module, f.calls, f.links[9] = false, [2]bool{}, link{name: "cni0", kind: "bridge", calls: [2]bool{true, true}}
	want := "pods on the bridge cni0 reach each other over IPv4 without being filtered: load the module br_netfilter and set net.bridge.bridge-nf-call-iptables to 1"
	if _, warnings := f.Node(small(), "n1", nil); !slices.Equal(warnings, []string{want}) {
		t.Errorf("%q", warnings)
	}
}

// TestLaws: whatever links and routes there are, and whatever others say of their addresses, the facts make a program; no interface
// is a pod's and an uplink; and of the kinds that may lead to pods one is an uplink only by a default route, an address of its own
// or a router. The order of what was read makes no difference.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var lines []string
		kinds := []string{"hardware", "veth", "bridge", "vxlan", "bond", "vrf"}
		count := rapid.IntRange(1, 6).Draw(rt, "links")
		index := rapid.IntRange(1, count+1) // one more than there are: lo
		for i := range count {
			master := 0
			if rapid.IntRange(0, 3).Draw(rt, "part") == 0 {
				master = rapid.IntRange(i+2, count+2).Draw(rt, "master") // the kernel takes no circles
			}
			lines = append(lines, fmt.Sprintf("link %d l%d %s master=%d", i+1, i+1, rapid.SampledFrom(kinds).Draw(rt, "kind"), master))
		}
		addr := rapid.Custom(func(rt *rapid.T) netip.Addr {
			return netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 7).Draw(rt, "addr"))})
		})
		for range rapid.IntRange(0, 10).Draw(rt, "routes") {
			p := netip.PrefixFrom(addr.Draw(rt, "to"), rapid.SampledFrom([]int{0, 29, 31, 32}).Draw(rt, "bits")).Masked()
			lines = append(lines, fmt.Sprintf("route %d %s %s %d", rapid.SampledFrom([]int{7, 8, 254}).Draw(rt, "table"), p, rapid.SampledFrom([]string{"via", "dev"}).Draw(rt, "how"), index.Draw(rt, "link")))
		}
		for range rapid.IntRange(0, 3).Draw(rt, "addresses") {
			if i := index.Draw(rt, "holder"); i <= count {
				lines = append(lines, fmt.Sprintf("addr %d %s", i, addr.Draw(rt, "own")))
			}
		}
		s := small()
		for i := range s.Nodes {
			s.Nodes[i].Addrs = rapid.SliceOfN(addr, 0, 2).Draw(rt, "node")
			s.Nodes[i].PodCIDRs = []netip.Prefix{netip.PrefixFrom(addr.Draw(rt, "range"), 30).Masked()}
		}
		for i := range 4 {
			p := s.Pods[0]
			p.Name, p.NodeName, p.Addrs = fmt.Sprint("q", i), fmt.Sprint("n", 1+i%2), []netip.Addr{addr.Draw(rt, "pod")}
			s.Pods = append(s.Pods, p)
		}
		f := written(lines...)
		n, warnings := f.Node(s, "n1", nil)
		if err := program.New(policy.Compile(s, policy.Options{}), n).Check(); err != nil {
			rt.Fatal(err)
		}
		for i, name := range n.Interface {
			if slices.Contains(n.Uplinks, name) || s.Pods[i].NodeName != "n1" {
				rt.Fatalf("%s of pod %d is an uplink, or the pod is not here", name, i)
			}
		}
		for i, l := range f.links {
			if slices.Contains(n.Uplinks, l.name) && l.kind == "veth" && !excused(f, i) {
				rt.Fatalf("%s is an uplink for nothing", l.name)
			}
		}
		again, said := written(rapid.Permutation(lines).Draw(rt, "order")...).Node(s, "n1", nil)
		if d := cmp.Diff(n, again) + cmp.Diff(warnings, said); d != "" {
			rt.Fatal(d)
		}
	})
}

// excused tells whether something that is more than what others say of their addresses makes an uplink of a link: a default route,
// an address of its own, or a router, on it or on a part of it.
func excused(f *Facts, index int) bool {
	for i, l := range f.links {
		if f.seen(i) == index && (l.standard || f.holds(i) || behindRouter(f, i)) {
			return true
		}
	}
	return false
}

func behindRouter(f *Facts, index int) bool {
	for _, t := range f.tables[0] {
		for _, w := range t.All() {
			if w.gateway && slices.Contains(w.links, index) {
				return true
			}
		}
	}
	return false
}
