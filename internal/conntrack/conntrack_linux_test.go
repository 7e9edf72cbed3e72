package conntrack_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	ct "github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
	"sallyport.dev/sallyport/internal/source/manifest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// The ports of the server that a connection is cut to, and that one beside it goes on to.
const (
	cutPort    = 5432
	besidePort = 9187
)

// lab is a node with two pods, whose table allows what its policies say.
type lab struct {
	router         *netns.Namespace
	client, server netnstest.End
	table          *kernel.Table
	s              *conntrack.Socket
}

// able tells what the kernel lacks.
var able = sync.OnceValue(func() error {
	_, err := kernel.SelfTest()
	return err
})

func newLab(t testing.TB) *lab {
	t.Helper()
	if err := able(); err != nil {
		if kernel.OlderThanMinimum() {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	router, ends := netnstest.Routed(t, "client", "server")
	l := &lab{router: router, client: ends[0], server: ends[1]}
	var err error
	if l.table, err = kernel.Open(router.FD(), kernel.Features{}); err != nil {
		t.Fatal(err)
	}
	l.s = open(t, router)
	t.Cleanup(func() {
		if err := l.table.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func open(t testing.TB, ns *netns.Namespace) *conntrack.Socket {
	t.Helper()
	s, err := conntrack.Open(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// objects are the node and its pods. Nothing isolates the client, and only the server's ingress is: what the server opens passes.
const objects = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {nodeName: n1, containers: [{name: c}]}
status: {phase: Running, podIPs: [{ip: 10.0.1.2}, {ip: "fd00:1::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec: {nodeName: n1, containers: [{name: c}]}
status: {phase: Running, podIPs: [{ip: 10.0.2.2}, {ip: "fd00:2::2"}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [%s]
`

// allow makes the table for a policy that allows so many ports of the server.
func (l *lab) allow(t testing.TB, unseen bool, ports ...int) {
	t.Helper()
	var list []string
	for _, p := range ports {
		list = append(list, fmt.Sprintf("{port: %d}, {port: %d, protocol: UDP}", p, p))
	}
	s, err := manifest.Read(manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(fmt.Sprintf(objects, strings.Join(list, ", ")))})
	if err != nil {
		t.Fatal(err)
	}
	n := &program.Node{Name: "n1", Interface: map[int]string{}, Unseen: unseen}
	for i := range s.Pods {
		n.Interface[i] = s.Pods[i].Name
	}
	if _, err := l.table.Apply(program.New(policy.Compile(s, policy.Options{}), n)); err != nil {
		t.Fatal(err)
	}
}

// track lets the kernel follow connections before there is a table.
func (l *lab) track(t testing.TB) {
	netnstest.Nft(t, l.router, "table inet older { chain forward { type filter hook forward priority 0; ct state established accept; }; }")
}

// addr gives the address of an end in a family.
func addr(e netnstest.End, family string) netip.Addr {
	if family == "IPv4" {
		return e.IP4
	}
	return e.IP6
}

// pair is the two ends of a connection.
type pair struct{ client, server net.Conn }

// side gives an end, and the other one.
func (p *pair) side(name string) (from, to net.Conn) {
	if name == "client" {
		return p.client, p.server
	}
	return p.server, p.client
}

// connect makes a connection to a port of the server. The ports of UDP are the same at both ends, as of programs that have always the
// same ones.
func (l *lab) connect(t testing.TB, proto, family string, port int) *pair {
	t.Helper()
	p := &pair{}
	local, remote := netip.AddrPortFrom(addr(l.client, family), uint16(port)), netip.AddrPortFrom(addr(l.server, family), uint16(port))
	var err error
	if proto == "UDP" {
		p.server = udp(t, l.server, remote, local)
		p.client = udp(t, l.client, local, remote)
	} else {
		p.client, p.server, err = tcp(l.client, remote, listen(t, l.server, remote))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.client.Close(), p.server.Close() })
	p.passes(t, "client")
	p.passes(t, "server")
	return p
}

func udp(t testing.TB, e netnstest.End, local, remote netip.AddrPort) (c net.Conn) {
	t.Helper()
	err := e.Do(func() (err error) {
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(local), net.UDPAddrFromAddrPort(remote))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listen(t testing.TB, e netnstest.End, at netip.AddrPort) (l *net.TCPListener) {
	t.Helper()
	err := e.Do(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func tcp(from netnstest.End, to netip.AddrPort, l *net.TCPListener) (client, server net.Conn, err error) {
	err = from.Do(func() (err error) {
		client, err = net.DialTimeout("tcp", to.String(), patience)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	_ = l.SetDeadline(time.Now().Add(patience))
	server, err = l.Accept()
	return client, server, err
}

// patience is how long something may take that has to come.
const patience = 10 * time.Second

// passes tells that what one end says the other hears.
func (p *pair) passes(t testing.TB, from string) {
	t.Helper()
	a, b := p.side(from)
	if _, err := a.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	_ = b.SetReadDeadline(time.Now().Add(patience))
	if n, err := b.Read(make([]byte, 100)); n == 0 || err != nil {
		t.Fatalf("what the %s said did not arrive: %v", from, err)
	}
}

// silent tells that what one end says, again and again, does not get to the other, while a connection beside goes on.
func (p *pair) silent(t testing.TB, from string, beside *pair) {
	t.Helper()
	a, b := p.side(from)
	for range 3 {
		if _, err := a.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
	}
	p.retried(t, from)
	beside.passes(t, "client")
	beside.passes(t, "server")
	empty(t, a)
	empty(t, b)
}

// retried waits until TCP at one end has sent something in vain for a second time; nothing tries again with UDP.
func (p *pair) retried(t testing.TB, from string) {
	t.Helper()
	a, _ := p.side(from)
	c, ok := a.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	before := uint32(0)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var info *unix.TCPInfo
		if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
		if before == 0 {
			before = info.Total_retrans + 1
		}
		if info.Total_retrans > before {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("TCP of the %s does not try again: what it says gets through", from)
		}
	}
}

// empty tells that an end has heard nothing.
func empty(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	b := make([]byte, 100)
	if n, err := c.Read(b); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v heard %q, %v", c.LocalAddr(), b[:n], err)
	}
}

// cut revokes the connections to the port, and gives what became of them.
func (l *lab) cut(t testing.TB) (out []conntrack.Outcome) {
	t.Helper()
	for _, c := range l.connections(t, cutPort) {
		o, err := l.s.Revoke(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

func (l *lab) restore(t testing.TB) (out []conntrack.Outcome) {
	t.Helper()
	for _, c := range l.connections(t, cutPort) {
		if !c.Revoked {
			t.Fatalf("%s is not revoked", c)
		}
		o, err := l.s.Restore(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// connections lists those to a port of the server.
func (l *lab) connections(t testing.TB, port uint16) (out []*conntrack.Connection) {
	t.Helper()
	err := conntrack.Each(l.router.FD(), func(c *conntrack.Connection) error {
		if c.Port == port && (c.Dst == l.server.IP4 || c.Dst == l.server.IP6) {
			out = append(out, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// entries counts what the kernel follows.
func (l *lab) entries(t testing.TB) (n int) {
	t.Helper()
	if err := conntrack.Each(l.router.FD(), func(*conntrack.Connection) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// library opens somebody else's program of the same purpose, as a second opinion.
func library(t testing.TB, ns *netns.Namespace) *ct.Conn {
	t.Helper()
	c, err := ct.Dial(&netlink.Config{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// flows lists the entries to a port, as the library reads them.
func flows(t testing.TB, c *ct.Conn, port uint16) (out []ct.Flow) {
	t.Helper()
	list, err := c.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.TupleReply.Proto.SourcePort == port {
			out = append(out, f)
		}
	}
	return out
}

// forget deletes the entries of connections to a port.
func (l *lab) forget(t testing.TB, port uint16) {
	t.Helper()
	c := library(t, l.router)
	list := flows(t, c, port)
	for _, f := range list {
		if err := c.Delete(f); err != nil {
			t.Fatal(err)
		}
	}
	if len(list) == 0 {
		t.Fatalf("there is no entry for port %d", port)
	}
}
