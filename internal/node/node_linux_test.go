package node_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	vishnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/node"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// machine is a network namespace that is a node; the far ends of its veths are in another one.
type machine struct {
	t      testing.TB
	ns     *netns.Namespace
	beyond *netns.Namespace
	*netlink.Handle
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{t: t, ns: netnstest.New(t), beyond: netnstest.New(t)}
	h, err := netlink.NewHandleAt(vishnetns.NsHandle(m.ns.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	m.Handle = h
	m.must(m.LinkSetUp(m.lo())) // without any address the kernel takes no router's
	return m
}

func (m *machine) lo() netlink.Link {
	m.t.Helper()
	l, err := m.LinkByName("lo")
	m.must(err)
	return l
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// add makes a link with addresses, and turns it on.
func (m *machine) add(l netlink.Link, addrs ...string) netlink.Link {
	m.t.Helper()
	m.must(m.LinkAdd(l))
	l, err := m.LinkByName(l.Attrs().Name)
	m.must(err)
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		m.must(err)
		addr.Flags = unix.IFA_F_NODAD
		m.must(m.AddrAdd(l, addr))
	}
	m.must(m.LinkSetUp(l))
	return l
}

// veth makes one whose other end is beyond, and up.
func (m *machine) veth(name string, addrs ...string) netlink.Link {
	m.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	l := m.add(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("p%x", name)[:min(15, 1+2*len(name))], PeerNamespace: netlink.NsFd(m.beyond.FD())}, addrs...)
	m.must(m.beyond.Do(func() error {
		all, err := netlink.LinkList()
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(all[len(all)-1])
	}))
	return l
}

func (m *machine) bridge(name string, addrs ...string) netlink.Link {
	m.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return m.add(&netlink.Bridge{LinkAttrs: attrs}, addrs...)
}

// route adds a route to a table; 0 is the main one.
func (m *machine) route(to string, l netlink.Link, via string, table int) {
	m.t.Helper()
	_, dst, err := net.ParseCIDR(to)
	m.must(err)
	r := &netlink.Route{Dst: dst, LinkIndex: l.Attrs().Index, Table: table, Gw: net.ParseIP(via)}
	if r.Gw == nil {
		r.Scope = netlink.SCOPE_LINK
	} else {
		r.SetFlag(netlink.FLAG_ONLINK)
	}
	m.must(m.RouteAdd(r))
}

func (m *machine) rule(change func(*netlink.Rule)) {
	m.t.Helper()
	r := netlink.NewRule()
	change(r)
	m.must(m.RuleAdd(r))
}

func (m *machine) facts() *node.Facts {
	m.t.Helper()
	f, err := node.Read(m.ns.FD())
	m.must(err)
	return f
}

// set writes a setting of the kernel.
func (m *machine) set(name, value string) {
	m.t.Helper()
	m.must(m.ns.Do(func() error { return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0) }))
}

// n1 is a cluster of two nodes with the pods p0, p1 … on n1 that have the given addresses, separated by commas.
func n1(pods ...string) *cluster.Snapshot {
	s := &cluster.Snapshot{Nodes: []cluster.Node{
		{Name: "n1", Addrs: addrs("192.0.2.1"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("fd00:1::/64")}},
		{Name: "n2", Addrs: addrs("192.0.2.2"), PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/24")}},
	}}
	s.Namespaces = []cluster.Namespace{{Name: "shop"}}
	for i, list := range pods {
		p := cluster.Pod{Namespace: "shop", Name: fmt.Sprint("p", i), NodeName: "n1", Addrs: addrs(list)}
		p.Owner = cluster.Workload{Namespace: "shop", Kind: "pod", Name: p.Name}
		s.Pods = append(s.Pods, p)
	}
	return s
}

// elsewhere adds a pod on n2.
func elsewhere(s *cluster.Snapshot, addr string) {
	s.Pods = append(s.Pods, cluster.Pod{Namespace: "shop", Name: "remote", NodeName: "n2", Addrs: addrs(addr), Owner: cluster.Workload{Namespace: "shop", Kind: "pod", Name: "remote"}})
}

func addrs(list string) (out []netip.Addr) {
	for a := range strings.SplitSeq(list, ",") {
		if a != "" {
			out = append(out, netip.MustParseAddr(a))
		}
	}
	return out
}

// told is what is wanted of Node.
type told struct {
	uplinks  string            // separated by commas
	pods     map[string]string // interfaces, by the pod's name
	warnings []string          // a part of each
}

// check compares, and sees that a program can be made of it.
func check(t testing.TB, what string, f *node.Facts, s *cluster.Snapshot, named []string, want told) {
	t.Helper()
	n, warnings := f.Node(s, "n1", named)
	pods := map[string]string{}
	for i, name := range n.Interface {
		pods[s.Pods[i].Name] = name
	}
	if got := strings.Join(n.Uplinks, ","); got != want.uplinks {
		t.Errorf("%s: uplinks %q, and they should be %q", what, got, want.uplinks)
	}
	if want.pods == nil {
		want.pods = map[string]string{}
	}
	if d := cmp.Diff(want.pods, pods); d != "" {
		t.Errorf("%s: pods (-want +got):\n%s", what, d)
	}
	same := len(warnings) == len(want.warnings)
	for i := range min(len(warnings), len(want.warnings)) {
		same = same && strings.Contains(warnings[i], want.warnings[i])
	}
	if !same {
		t.Errorf("%s: it says %q, and should say %q", what, warnings, want.warnings)
	}
	if err := program.New(policy.Compile(s, policy.Options{}), n).Check(); err != nil {
		t.Errorf("%s: no program: %v", what, err)
	}
	for _, name := range slices.Collect(maps.Values(n.Interface)) {
		if slices.Contains(n.Uplinks, name) {
			t.Errorf("%s: %s is an uplink and a pod's", what, name)
		}
	}
}

// TestRouted: a route to the address of each pod, and tunnels or routers to the others.
func TestRouted(t *testing.T) {
	m := newMachine(t)
	eth0 := m.veth("eth0", "192.0.2.1/24", "2001:db8::1/64")
	m.route("0.0.0.0/0", eth0, "192.0.2.254", 0)
	m.route("10.2.0.0/24", eth0, "192.0.2.2", 0)
	a, b := m.veth("cali0a"), m.veth("cali0b")
	m.route("10.1.0.5/32", a, "", 0)
	m.route("fd00:1::5/128", a, "", 0)
	m.route("10.1.0.6/32", b, "", 0)
	m.must(m.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: net.IPv4(10, 1, 0, 0), Mask: net.CIDRMask(24, 32)}, Type: unix.RTN_BLACKHOLE})) // as Calico has for its blocks
	s := n1("10.1.0.5,fd00:1::5", "10.1.0.6", "10.1.0.7", "10.1.0.5,10.1.0.6", "10.1.0.5,fd00:1::7", "")
	check(t, "routed", m.facts(), s, nil, told{
		uplinks: "eth0",
		pods:    map[string]string{"p0": "cali0a", "p1": "cali0b", "p4": "cali0a"},
		warnings: []string{
			"pod shop/p2: no interface leads to its address 10.1.0.7: closed until one does",
			"pod shop/p3: its addresses lead to cali0a and to cali0b: closed until they lead to one interface",
			"pod shop/p4: no interface leads to its address fd00:1::7",
		},
	})
	s.Pods[2].Terminating, s.Pods[3].HostNetwork, s.Pods[4].Template = true, true, true
	check(t, "pods that are none, or end", m.facts(), s, nil, told{uplinks: "eth0", pods: map[string]string{"p0": "cali0a", "p1": "cali0b"}})
	check(t, "named", m.facts(), s, []string{"cali0b", "eth9"}, told{uplinks: "cali0b,eth0", pods: map[string]string{"p0": "cali0a"}, warnings: []string{
		"pod shop/p1: no interface of a pod leads to its address 10.1.0.6 (cali0b does, by which others are reached): closed until one does",
		"uplink eth9: there is no interface of that name",
	}})
	s.Nodes = s.Nodes[1:]
	check(t, "another cluster", m.facts(), s, nil, told{uplinks: "eth0", warnings: []string{"node n1 is not in the input"}})
}

// TestFlat: pods have addresses from the node's subnet, their interfaces any names, and nothing but a route of their own tells
// them from other nodes.
func TestFlat(t *testing.T) {
	m := newMachine(t)
	m.veth("eth0", "192.0.2.1/24")
	s := n1("192.0.2.10", "192.0.2.11")
	s.Nodes[0].PodCIDRs, s.Nodes[1].PodCIDRs = nil, nil
	elsewhere(s, "192.0.2.77")
	late := "pod shop/p%d: no interface of a pod leads to its address 192.0.2.1%d (eth0 does, by which others are reached): closed until one does"
	check(t, "before the pods have interfaces", m.facts(), s, nil, told{uplinks: "eth0", warnings: []string{fmt.Sprintf(late, 0, 0), fmt.Sprintf(late, 1, 1)}})
	m.route("192.0.2.10/32", m.veth("azv8f3"), "", 0)
	check(t, "one has", m.facts(), s, nil, told{uplinks: "eth0", pods: map[string]string{"p0": "azv8f3"}, warnings: []string{fmt.Sprintf(late, 1, 1)}})
	s.Nodes[1].Addrs = addrs("192.0.2.10") // whoever says so
	s.Nodes[1].PodCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")}
	elsewhere(s, "192.0.2.10")
	check(t, "others say that they have its address", m.facts(), s, nil, told{uplinks: "eth0", pods: map[string]string{"p0": "azv8f3"}, warnings: []string{fmt.Sprintf(late, 1, 1)}})
	s.Pods = s.Pods[1:]
	check(t, "before it is known", m.facts(), s, nil, told{uplinks: "eth0", warnings: []string{fmt.Sprintf(late, 1, 1)}})
	s.Nodes[0].Addrs = append(s.Nodes[0].Addrs, netip.MustParseAddr("192.0.2.10"))
	check(t, "it is said to be the node's", m.facts(), s, nil, told{uplinks: "eth0", warnings: []string{fmt.Sprintf(late, 1, 1)}})
}

// TestBridged: the bridge is the interface of all pods on it.
func TestBridged(t *testing.T) {
	m := newMachine(t)
	eth0 := m.veth("eth0", "192.0.2.1/24")
	m.route("0.0.0.0/0", eth0, "192.0.2.254", 0)
	cni0 := m.bridge("cni0", "10.1.0.1/24", "fd00:1::1/64")
	s := n1()
	s.Nodes[0].Addrs = append(s.Nodes[0].Addrs, netip.MustParseAddr("10.1.0.1")) // whoever says so
	check(t, "no pod yet", m.facts(), s, nil, told{uplinks: "eth0"})
	s = n1("10.1.0.5,fd00:1::5", "10.1.0.6", "172.20.0.5")
	port := m.veth("veth0")
	m.must(m.LinkSetMaster(port, cni0))
	m.route("10.1.0.6/32", port, "", 0)
	want := told{uplinks: "eth0", pods: map[string]string{"p0": "cni0", "p1": "cni0"}, warnings: []string{
		"pod shop/p2: no interface of a pod leads to its address 172.20.0.5 (eth0 does, by which others are reached): closed until one does"}}
	check(t, "bridged", m.facts(), s, nil, want)

	m.set("net.bridge.bridge-nf-call-iptables", "0")
	want.warnings = append(want.warnings, "pods on the bridge cni0 reach each other over IPv4 without being filtered: set net.bridge.bridge-nf-call-iptables to 1")
	check(t, "IPv4 is not shown", m.facts(), s, nil, want)
	m.set("net.bridge.bridge-nf-call-ip6tables", "0")
	want.warnings = append(want.warnings, "pods on the bridge cni0 reach each other over IPv6 without being filtered: set net.bridge.bridge-nf-call-ip6tables to 1")
	check(t, "nor IPv6", m.facts(), s, nil, want)
	m.bridgeCalls(cni0, unix.IFLA_BR_NF_CALL_IPTABLES)
	m.bridgeCalls(cni0, unix.IFLA_BR_NF_CALL_IP6TABLES)
	want.warnings = want.warnings[:1]
	check(t, "the bridge itself shows it", m.facts(), s, nil, want)
}

// bridgeCalls makes a bridge show what it passes to the filter, whatever the settings of the namespace are.
func (m *machine) bridgeCalls(l netlink.Link, what int) {
	m.t.Helper()
	r := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(l.Attrs().Index)
	r.AddData(message)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(unix.IFLA_INFO_DATA, nil).AddRtAttr(what, nl.Uint8Attr(1))
	r.AddData(info)
	m.must(m.ns.Do(func() error {
		_, err := r.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}

// TestBridgesOfOthers: bridges that pods are not on, or that are the way out.
func TestBridgesOfOthers(t *testing.T) {
	m := newMachine(t)
	br0 := m.bridge("br0", "192.0.2.1/24")
	port := m.veth("eth0")
	m.must(m.LinkSetMaster(port, br0))
	s := n1()
	check(t, "the node is on a bridge", m.facts(), s, nil, told{uplinks: "br0"})
	m.bridge("docker0", "172.17.0.1/16")
	docker := "interface docker0 has an address of the node, and is no uplink and no pod's: what comes or goes by it is dropped; name it as an uplink if it is one"
	check(t, "somebody else's", m.facts(), s, nil, told{uplinks: "br0", warnings: []string{docker}})
	check(t, "named", m.facts(), s, []string{"docker0"}, told{uplinks: "br0,docker0"})

	s = n1("192.0.2.10")
	check(t, "the bridge is a pod's first", m.facts(), s, nil, told{pods: map[string]string{"p0": "br0"}, warnings: []string{docker, "no interface leads to other nodes or the world: all that comes from outside is dropped; name one as an uplink"}})
	m.route("0.0.0.0/0", port, "192.0.2.254", 0) // on a part of it, where it is seen on the whole
	check(t, "unless a default route is on it", m.facts(), s, nil, told{uplinks: "br0", warnings: []string{docker,
		"pod shop/p0: no interface of a pod leads to its address 192.0.2.10 (br0 does, by which others are reached): closed until one does"}})
}

// TestNeighbours: of neighbours on a bridge what somebody wrote down counts, and not what is heard.
func TestNeighbours(t *testing.T) {
	m := newMachine(t)
	m.veth("eth0", "192.0.2.1/24")
	pods, other := m.bridge("pods0"), m.bridge("pods1")
	neighbour := func(l netlink.Link, addr string, state int) {
		t.Helper()
		m.must(m.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: state, IP: net.ParseIP(addr), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 5}}))
	}
	s := n1("10.1.0.5,fd00:1::5", "10.1.0.6", "10.1.0.7", "192.0.2.9")
	neighbour(pods, "10.1.0.5", netlink.NUD_PERMANENT)
	neighbour(pods, "fd00:1::5", netlink.NUD_PERMANENT)
	neighbour(pods, "10.1.0.6", netlink.NUD_REACHABLE)
	neighbour(pods, "10.1.0.7", netlink.NUD_PERMANENT)
	neighbour(other, "10.1.0.7", netlink.NUD_PERMANENT)
	neighbour(pods, "192.0.2.9", netlink.NUD_PERMANENT)
	neighbour(m.veth("veth0"), "10.1.0.6", netlink.NUD_PERMANENT)
	check(t, "neighbours", m.facts(), s, nil, told{uplinks: "eth0", pods: map[string]string{"p0": "pods0", "p3": "pods0"},
		warnings: []string{"pod shop/p1: no interface leads to its address 10.1.0.6", "pod shop/p2: no interface leads to its address 10.1.0.7"}})
	check(t, "on an uplink", m.facts(), s, []string{"pods0"}, told{uplinks: "eth0,pods0", warnings: []string{"shop/p0", "shop/p0", "shop/p1", "shop/p2", "shop/p3"}})
}

// TestTunnels: pods elsewhere are behind a tunnel, and nothing else leads to others.
func TestTunnels(t *testing.T) {
	m := newMachine(t)
	vxlan := func(name string, addr ...string) netlink.Link {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return m.add(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: len(name), Port: 4789, Learning: true}, addr...)
	}
	m.route("10.2.0.0/24", vxlan("flannel.1"), "10.2.0.0", 0)
	vxlan("vxlan.calico", "10.1.0.0/32")
	vxlan("unused")
	m.route("10.1.0.5/32", m.veth("veth0"), "", 0)
	check(t, "tunnels", m.facts(), n1("10.1.0.5"), nil, told{uplinks: "flannel.1,vxlan.calico", pods: map[string]string{"p0": "veth0"}})
}

// TestRouters: a veth or bridge is an uplink if a router is behind it that leads to others.
func TestRouters(t *testing.T) {
	s := n1("10.1.0.5")
	elsewhere(s, "10.7.0.5")
	for _, c := range []struct {
		what, to, via string
		uplink        bool
	}{
		{"another node", "192.0.2.2/32", "10.9.0.1", true},
		{"a network of nodes", "192.0.2.0/24", "10.9.0.1", true},
		{"their pods", "10.2.0.0/24", "10.9.0.1", true},
		{"a pod elsewhere", "10.7.0.0/16", "10.9.0.1", true},
		{"another node, by one of two routers", "192.0.2.2/32", "10.9.0.1,10.9.0.2", true},
		{"this node's pods", "10.1.0.0/24", "10.9.0.1", false},
		{"somewhere else", "10.8.0.0/16", "10.9.0.1", false},
		{"a node on the link itself", "192.0.2.2/32", "", false},
		{"nodes on the link itself", "192.0.2.0/24", "", false},
		{"by a router that a local pod is", "10.2.0.0/24", "10.1.0.5", false},
	} {
		m := newMachine(t)
		veth, pod := m.veth("to_router"), m.veth("to_pod")
		m.route("10.1.0.5/32", pod, "", 0)
		l := veth
		if c.via == "10.1.0.5" {
			l = pod
		}
		if one, other, several := strings.Cut(c.via, ","); several {
			_, dst, err := net.ParseCIDR(c.to)
			m.must(err)
			hop := func(via string) *netlink.NexthopInfo {
				return &netlink.NexthopInfo{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(via), Flags: unix.RTNH_F_ONLINK}
			}
			m.must(m.RouteAdd(&netlink.Route{Dst: dst, MultiPath: []*netlink.NexthopInfo{hop(one), hop(other)}}))
		} else {
			m.route(c.to, l, c.via, 0)
		}
		want := told{pods: map[string]string{"p0": "to_pod"}, uplinks: "to_router"}
		if !c.uplink {
			want.uplinks, want.warnings = "", []string{"no interface leads to other nodes or the world"}
		}
		check(t, c.what, m.facts(), s, nil, want)
	}
}

// TestTables: interfaces have tables of their own, as AWS' have, and only those count that rules point to.
func TestTables(t *testing.T) {
	m := newMachine(t)
	eth0, eth1 := m.veth("eth0", "192.0.2.1/24"), m.veth("eth1")
	m.route("0.0.0.0/0", eth0, "192.0.2.254", 0)
	m.route("0.0.0.0/0", eth1, "192.0.2.254", 2)
	m.route("192.0.2.10/32", m.veth("eni8f"), "", 0)
	branch, vlan := m.veth("vlan.eth.1"), m.veth("vlan77")
	m.route("0.0.0.0/0", branch, "192.0.2.254", 1001)
	m.route("192.0.2.11/32", vlan, "", 1001)
	junk := m.veth("junk")
	m.route("0.0.0.0/0", junk, "192.0.2.254", 9)
	m.route("192.0.2.12/32", junk, "", 9)
	m.route("192.0.2.0/24", junk, "", 3)
	_, src, _ := net.ParseCIDR("192.0.2.10/32")
	for i := range 3 { // one for each of many pods
		m.rule(func(r *netlink.Rule) { r.Priority, r.Table, r.Src = 1536+i, 2, src })
	}
	m.rule(func(r *netlink.Rule) { r.Priority, r.Table, r.IifName = 10, 1001, "vlan77" })
	m.rule(func(r *netlink.Rule) { r.Priority, r.Table = 5, 3 }) // its network is the main table's too, and is asked for first
	s := n1("192.0.2.10", "192.0.2.11", "192.0.2.12")
	s.Nodes[0].PodCIDRs = nil
	check(t, "tables", m.facts(), s, nil, told{uplinks: "eth0,eth1,vlan.eth.1", pods: map[string]string{"p0": "eni8f", "p1": "vlan77", "p2": "junk"}})
	m.rule(func(r *netlink.Rule) { r.Family, r.Priority, r.Table = netlink.FAMILY_V6, 10, 9 })
	check(t, "rules of the other family", m.facts(), s, nil, told{uplinks: "eth0,eth1,vlan.eth.1", pods: map[string]string{"p0": "eni8f", "p1": "vlan77", "p2": "junk"}})
}

// TestRoutes: several routes to one prefix, several hops, and routes that lead nowhere.
func TestRoutes(t *testing.T) {
	m := newMachine(t)
	eth0, eth1, a, b := m.veth("eth0"), m.veth("eth1"), m.veth("veth_a"), m.veth("veth_b")
	hop := func(l netlink.Link, via string) *netlink.NexthopInfo {
		return &netlink.NexthopInfo{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(via), Flags: unix.RTNH_F_ONLINK}
	}
	add := func(to string, metric int, l netlink.Link, kind int, hops ...*netlink.NexthopInfo) {
		t.Helper()
		_, dst, err := net.ParseCIDR(to)
		m.must(err)
		r := &netlink.Route{Dst: dst, Priority: metric, Type: kind, MultiPath: hops}
		if l != nil {
			r.LinkIndex, r.Scope = l.Attrs().Index, netlink.SCOPE_LINK
		}
		m.must(m.RouteAppend(r))
	}
	add("0.0.0.0/1", 0, nil, unix.RTN_UNICAST, hop(eth0, "192.0.2.254"), hop(eth1, "192.0.2.254"))
	add("10.1.0.5/32", 100, a, unix.RTN_UNICAST)
	add("10.1.0.5/32", 50, b, unix.RTN_UNICAST)
	add("10.1.0.5/32", 200, a, unix.RTN_UNICAST)
	add("fd00:1::5/128", 100, b, unix.RTN_UNICAST)
	add("10.1.0.6/32", 0, nil, unix.RTN_UNICAST, hop(a, "192.0.2.254"), hop(b, "192.0.2.254"))
	add("10.1.0.7/32", 0, nil, unix.RTN_UNREACHABLE)
	add("10.1.0.8/32", 0, nil, unix.RTN_THROW)
	add("10.1.0.8/31", 10, a, unix.RTN_UNICAST)
	add("10.1.0.10/32", 0, m.lo(), unix.RTN_UNICAST)
	m.must(m.RouteAdd(&netlink.Route{Dst: netlink.NewIPNet(net.IPv4(10, 1, 0, 11)), Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, LinkIndex: a.Attrs().Index, Table: unix.RT_TABLE_MAIN}))
	lost := "no interface leads to its address "
	check(t, "routes", m.facts(), n1("10.1.0.5,fd00:1::5", "10.1.0.6", "10.1.0.7", "10.1.0.8", "10.1.0.10", "10.1.0.11"), nil, told{uplinks: "eth0,eth1",
		pods: map[string]string{"p0": "veth_b", "p3": "veth_a"}, warnings: []string{lost + "10.1.0.6", lost + "10.1.0.7", lost + "10.1.0.10", lost + "10.1.0.11"}})
}

// TestHostileNames: an interface that nft cannot name is left out, and all others stay.
func TestHostileNames(t *testing.T) {
	m := newMachine(t)
	s := n1("10.1.0.5", "10.1.0.6", "10.1.0.7", "10.1.0.8", "10.1.0.9")
	for i, name := range []string{`a"b`, "veth*", "\xff\xfe", "fifteen_letters", "a\b"} {
		m.route(fmt.Sprintf("10.1.0.%d/32", 5+i), m.veth(name), "", 0)
	}
	m.route("0.0.0.0/0", m.veth("eth\x1b[2J"), "192.0.2.254", 0)
	m.route("::/0", m.veth("eth0"), "fe80::1", 0)
	cannot := "nft cannot name the interface %s that leads to it: closed until it has another name"
	check(t, "hostile", m.facts(), s, nil, told{uplinks: "eth0", pods: map[string]string{"p3": "fifteen_letters"}, warnings: []string{
		`nft cannot name the interface eth\x1b[2J, which leads to others: what comes or goes by it is dropped`,
		"shop/p0: " + fmt.Sprintf(cannot, `a"b`), "shop/p1: " + fmt.Sprintf(cannot, "veth*"), "shop/p2: " + fmt.Sprintf(cannot, `\xff\xfe`), "shop/p4: " + fmt.Sprintf(cannot, `a\b`),
	}})
}

// TestIPVS: kube-proxy's interface tells of it.
func TestIPVS(t *testing.T) {
	m := newMachine(t)
	m.veth("eth0", "192.0.2.1/24")
	m.bridge("kube-ipvs0", "10.96.0.1/32")
	check(t, "IPVS", m.facts(), n1(), nil, told{uplinks: "eth0", warnings: []string{"kube-proxy uses IPVS"}})
}
