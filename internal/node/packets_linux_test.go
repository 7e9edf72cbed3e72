package node_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/program"
)

// attach connects a new namespace to the machine, by a veth with a name that may be part of a bridge.
func (m *machine) attach(name string, master netlink.Link, gateway, addrs []string) *netns.Namespace {
	m.t.Helper()
	far := netnstest.New(m.t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	var near []string
	if master != nil {
		attrs.MasterIndex = master.Attrs().Index
	} else {
		near = []string{gateway[0] + "/24", gateway[1] + "/64"}
	}
	m.add(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(far.FD())}, near...)
	m.must(far.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, text := range addrs {
			a, err := netlink.ParseAddr(text)
			m.must(err)
			a.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(l, a); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		for _, via := range gateway {
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(via)}); err != nil {
				return err
			}
		}
		return nil
	}))
	return far
}

// end is where datagrams come from and go to.
type end struct {
	ns   *netns.Namespace
	addr [2]string // by family
	c    [2]*net.UDPConn
}

func (m *machine) end(ns *netns.Namespace, v4, v6 string) *end {
	m.t.Helper()
	e := &end{ns: ns, addr: [2]string{v4, v6}}
	for i, a := range e.addr {
		m.must(ns.Do(func() (err error) {
			e.c[i], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(a), 9)))
			return err
		}))
		m.t.Cleanup(func() { _ = e.c[i].Close() })
	}
	return e
}

// send sends a text to another end.
func (e *end) send(t *testing.T, to *end, family flow.Family, text string) {
	t.Helper()
	if _, err := e.c[family-1].WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(netip.MustParseAddr(to.addr[family-1]), 9)); err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
}

// hears gives the next text that arrives.
func (e *end) hears(t *testing.T, family flow.Family, wait time.Duration) string {
	t.Helper()
	c := e.c[family-1]
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, _, err := c.ReadFromUDPAddrPort(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// only makes a table that drops what is forwarded unless it comes in by one interface and goes out by another.
func only(in, out string) *program.Program {
	links := func(name, link string) program.Set {
		return program.Set{Name: name, Key: program.KeyInterface, Elements: []program.Element{{Interface: link}}}
	}
	drop := program.Verdict{Act: program.Drop}
	return &program.Program{
		Sets: []program.Set{links("in", in), links("out", out)},
		Chains: []program.Chain{{Name: "forward", Hook: program.Forward, Rules: []program.Rule{
			{Match: program.FromInterface, Set: "in", Negated: true, Verdict: drop}, {Match: program.ToInterface, Set: "out", Negated: true, Verdict: drop}}}},
	}
}

// TestInterfacesOfPackets: of what a bridge passes between its ports the filter sees the bridge as the interface that it comes in by
// and as the one that it goes out by, as of what is routed from or to a port; never a port. Where no setting shows it to the
// filter, it passes whatever the table says.
func TestInterfacesOfPackets(t *testing.T) {
	m := newMachine(t)
	m.set("net.ipv4.ip_forward", "1")
	m.set("net.ipv6.conf.all.forwarding", "1")
	br := m.bridge("br0", "10.1.0.1/24", "fd00:1::1/64")
	onBridge := []string{"10.1.0.1", "fd00:1::1"}
	a := m.end(m.attach("port_a", br, onBridge, []string{"10.1.0.5/24", "fd00:1::5/64"}), "10.1.0.5", "fd00:1::5")
	b := m.end(m.attach("port_b", br, onBridge, []string{"10.1.0.6/24", "fd00:1::6/64"}), "10.1.0.6", "fd00:1::6")
	world := m.end(m.attach("up", nil, []string{"192.0.2.1", "2001:db8::1"}, []string{"192.0.2.2/24", "2001:db8::2/64"}), "192.0.2.2", "2001:db8::2")
	table, err := kernel.Open(m.ns.FD(), kernel.Features{})
	m.must(err)
	t.Cleanup(func() { _ = table.Close() })
	load := func(p *program.Program) {
		t.Helper()
		_, err := table.Apply(p)
		m.must(err)
	}
	// passes sends something under a table, and something more when all may pass: what comes first tells whether both arrive.
	passes := func(from, to *end, family flow.Family, p *program.Program) bool {
		t.Helper()
		load(&program.Program{})
		for first, n := "", 0; first == "" && n < 100; n++ { // until neighbours have found each other
			from.send(t, to, family, "hello")
			first = to.hears(t, family, 100*time.Millisecond)
		}
		load(p)
		from.send(t, to, family, "under the table")
		load(&program.Program{})
		from.send(t, to, family, "after it")
		for range 200 {
			switch text := to.hears(t, family, patience); text {
			case "hello":
			case "under the table":
				if last := to.hears(t, family, patience); last != "after it" {
					t.Fatalf("then it hears %q", last)
				}
				return true
			case "after it":
				return false
			default:
				t.Fatalf("it hears %q", text)
			}
		}
		t.Fatal("hellos do not end")
		return false
	}
	names := []string{"br0", "port_a", "port_b", "up"}
	for _, family := range flow.Families {
		for _, c := range []struct {
			from, to *end
			in, out  string
		}{{a, b, "br0", "br0"}, {a, world, "br0", "up"}, {world, a, "up", "br0"}} {
			for _, in := range names {
				for _, out := range names {
					if got := passes(c.from, c.to, family, only(in, out)); got != (in == c.in && out == c.out) {
						t.Errorf("from %s to %s: comes in by %s and goes out by %s: %v", c.from.addr[family-1], c.to.addr[family-1], in, out, got)
					}
				}
			}
		}
	}
	m.set("net.bridge.bridge-nf-call-iptables", "0")
	m.set("net.bridge.bridge-nf-call-ip6tables", "0")
	for _, shown := range []bool{false, true} {
		for _, family := range flow.Families {
			if got := passes(a, b, family, only("up", "up")); got == shown {
				t.Errorf("%v: the bridge shows it %v, and it passes: %v", family, shown, got)
			}
		}
		m.bridgeCalls(br, unix.IFLA_BR_NF_CALL_IPTABLES)
		m.bridgeCalls(br, unix.IFLA_BR_NF_CALL_IP6TABLES)
	}
}
