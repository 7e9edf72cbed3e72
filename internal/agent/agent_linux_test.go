package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/agent"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/source/manifest"
)

func TestMain(m *testing.M) {
	if manifests := os.Getenv(child); manifests != "" {
		runChild(manifests)
		return
	}
	netnstest.Main(m)
}

// lab is a node with pods, each a namespace, and the world outside behind its uplink.
type lab struct {
	t       *testing.T
	node    *netns.Namespace
	pods    map[string]netnstest.End // by name
	world   netnstest.End
	updates chan cluster.Update
	applied chan *cluster.Snapshot
	stop    func() error
	log     *strings.Builder
	unowned bool // the kernel lets others change the table, as before Linux 6.9
}

// newLab makes the pods a, b and c.
func newLab(t *testing.T) *lab {
	t.Helper()
	t.Parallel()
	node, ends := netnstest.Routed(t, "uplink", "veth-a", "veth-b", "veth-c")
	return &lab{t: t, node: node, world: ends[0], pods: map[string]netnstest.End{"a": ends[1], "b": ends[2], "c": ends[3]},
		updates: make(chan cluster.Update), applied: make(chan *cluster.Snapshot, 100), log: &strings.Builder{}}
}

// start runs an agent.
func (l *lab) start() {
	l.t.Helper()
	f, err := kernel.SelfTest()
	if err != nil && kernel.OlderThanMinimum() {
		l.t.Skip(err)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	f.Owner = f.Owner && !l.unowned
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.Config{Node: "n1", Uplinks: []string{"uplink"}, Namespace: l.node.FD(), Features: f, Updates: l.updates,
			Log: slog.New(slog.NewTextHandler(l.log, nil)), Applied: func(s *cluster.Snapshot) { l.applied <- s }})
	}()
	l.stop = func() error {
		cancel()
		l.stop = func() error { return nil }
		return <-done
	}
	l.t.Cleanup(func() {
		if err := l.stop(); err != nil {
			l.t.Error(err)
		}
		if l.t.Failed() {
			l.t.Log(l.log.String())
		}
	})
}

// tell gives the agent manifests: the node, the pods that are named with all their addresses, and policies.
func (l *lab) tell(pods []string, policies ...string) {
	l.t.Helper()
	s := l.snapshot(pods, policies...)
	l.updates <- cluster.Update{Snapshot: s}
	for got := range l.applied {
		if got == s {
			return
		}
	}
}

func (l *lab) snapshot(pods []string, policies ...string) *cluster.Snapshot {
	l.t.Helper()
	s, err := manifest.Read(manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(l.manifests(pods, policies...))})
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) manifests(pods []string, policies ...string) string {
	var w strings.Builder
	fmt.Fprintf(&w, "{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: %s}]}}\n", l.world.IP4.Prev())
	for _, name := range pods {
		e := l.pods[name]
		fmt.Fprintf(&w, "---\n{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop, labels: {app: %s}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}, "+
			"status: {podIP: %s, podIPs: [{ip: %s}, {ip: '%s'}]}}\n", name, name[:1], e.IP4, e.IP4, e.IP6)
	}
	for _, p := range policies {
		w.WriteString("---\n" + p + "\n")
	}
	return w.String()
}

// only is a policy that lets one pod reach another on some TCP and UDP ports, and nobody else; extra is more of its metadata.
func only(to, from, extra string, ports ...int) string {
	var list []string
	for _, p := range ports {
		list = append(list, fmt.Sprintf("{port: %d}, {port: %d, protocol: UDP}", p, p))
	}
	return fmt.Sprintf("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: shop%s}, spec: {podSelector: {matchLabels: {app: %s}}, "+
		"ingress: [{from: [{podSelector: {matchLabels: {app: %s}}}], ports: [%s]}]}}", to, extra, to, from, strings.Join(list, ", "))
}

// serve answers everything that comes to a port of an end with the same, TCP and UDP.
func serve(t *testing.T, e netnstest.End, port int) {
	t.Helper()
	for _, family := range []string{"4", "6"} {
		var l net.Listener
		var u net.PacketConn
		err := e.Do(func() (err error) {
			if l, err = net.Listen("tcp"+family, fmt.Sprintf(":%d", port)); err != nil {
				return err
			}
			u, err = net.ListenPacket("udp"+family, fmt.Sprintf(":%d", port))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close(); _ = u.Close() })
		go answerTCP(l)
		go answerUDP(u)
	}
}

func answerTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
	}
}

func answerUDP(u net.PacketConn) {
	b := make([]byte, 100)
	for {
		n, from, err := u.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = u.WriteTo(b[:n], from)
	}
}

// How long to wait for what should come, on a machine that is busy, and for what should not.
const (
	long  = 10 * time.Second
	short = 300 * time.Millisecond
)

// connect opens a connection that has to work.
func connect(t *testing.T, from netnstest.End, network string, to netip.Addr, port int) net.Conn {
	t.Helper()
	c := dial(t, from, network, to, port, long)
	if c == nil {
		t.Fatalf("%s port %d does not answer by %s", to, port, network)
	}
	return c
}

// dial opens a connection; nil where nothing answers in time.
func dial(t *testing.T, from netnstest.End, network string, to netip.Addr, port int, wait time.Duration) net.Conn {
	t.Helper()
	var c net.Conn
	err := from.Do(func() (err error) {
		c, err = net.DialTimeout(network, netip.AddrPortFrom(to, uint16(port)).String(), wait)
		return err
	})
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = c.Close() })
	if !talks(c, wait) {
		return nil
	}
	return c
}

// talks tells whether what is said into a connection comes back in time.
func talks(c net.Conn, wait time.Duration) bool {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return false
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err == nil
}

// over waits until a connection carries nothing any more.
func over(t *testing.T, c net.Conn) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); talks(c, short); {
		if time.Now().After(end) {
			t.Fatalf("the connection to %s goes on", c.RemoteAddr())
		}
	}
}

// expect asks whether an end reaches a port of a pod, by both protocols and families.
func (l *lab) expect(what string, from, to netnstest.End, port int, want bool) {
	l.t.Helper()
	wait := map[bool]time.Duration{true: long, false: short}[want]
	var all sync.WaitGroup
	for _, network := range []string{"tcp", "udp"} {
		for _, a := range []netip.Addr{to.IP4, to.IP6} {
			all.Go(func() {
				if got := dial(l.t, from, network, a, port, wait) != nil; got != want {
					l.t.Errorf("%s: %s to %s port %d: %v", what, network, a, port, got)
				}
			})
		}
	}
	all.Wait()
}

// TestEnforces: nothing happens before the first Snapshot, then what the policies say holds, also after they change, while the source
// is broken, and after the agent has ended.
func TestEnforces(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	serve(t, a, 80)
	l.start()
	l.expect("before anything was said", b, a, 80, true)
	all := []string{"a", "b", "c"}
	l.tell(all)
	l.expect("no policy", b, a, 80, true)
	l.expect("no policy, from outside", l.world, a, 80, true)
	l.tell(all, only("a", "b", "", 80))
	l.expect("allowed", b, a, 80, true)
	l.expect("another pod", c, a, 80, false)
	l.expect("from outside", l.world, a, 80, false)
	l.updates <- cluster.Update{Err: errors.New("line 3: what is this")}
	l.expect("the source is broken", c, a, 80, false)
	l.tell(all, only("a", "c", "", 80))
	l.expect("the other pod now", c, a, 80, true)
	l.expect("and not the first", b, a, 80, false)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.expect("no agent any more", b, a, 80, false)
	l.expect("no agent any more", c, a, 80, true)
}

// TestNewPodIsClosed: a pod of which nobody has said anything reaches nothing and is not reached.
func TestNewPodIsClosed(t *testing.T) {
	l := newLab(t)
	a, c := l.pods["a"], l.pods["c"]
	serve(t, a, 80)
	serve(t, c, 80)
	l.start()
	l.tell([]string{"a", "b"})
	l.expect("from a pod that nobody knows", c, a, 80, false)
	l.expect("to it", a, c, 80, false)
	l.expect("from outside to it", l.world, c, 80, false)
	l.tell([]string{"a", "b", "c"})
	l.expect("known", c, a, 80, true)
	l.expect("known", a, c, 80, true)
}

// TestCut: connections that a change does not allow any more are over within a second, whoever speaks first; the others go on.
func TestCut(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	serve(t, a, 80)
	l.start()
	all := []string{"a", "b", "c"}
	l.tell(all)
	var cut, stay []net.Conn
	for _, network := range []string{"tcp", "udp"} {
		for _, addr := range []netip.Addr{a.IP4, a.IP6} {
			cut, stay = append(cut, connect(t, b, network, addr, 80)), append(stay, connect(t, c, network, addr, 80))
		}
	}
	begun := time.Now()
	l.tell(all, only("a", "c", "", 80))
	if d := time.Since(begun); d > time.Second {
		t.Errorf("it took %v", d)
	}
	for i := range cut {
		if talks(cut[i], short) {
			t.Errorf("connection %d goes on: %v", i, cut[i].RemoteAddr())
		}
		if !talks(stay[i], long) {
			t.Errorf("connection %d, which is allowed, is cut: %v", i, stay[i].RemoteAddr())
		}
	}
	l.tell(all)
	for i := range cut {
		if _, udp := cut[i].(*net.UDPConn); udp && !talks(cut[i], long) {
			t.Errorf("allowed again, and the same UDP flow does not work: %v", cut[i].RemoteAddr())
		}
		if !talks(stay[i], long) {
			t.Errorf("connection %d is over: %v", i, stay[i].RemoteAddr())
		}
	}
}

// TestOlderThanTheTable: connections of which nobody has told the kernel before are decided like new ones, and cut like others.
func TestOlderThanTheTable(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	serve(t, a, 80)
	stay, cut := connect(t, b, "tcp", a.IP4, 80), connect(t, c, "tcp", a.IP4, 80)
	l.start()
	all := []string{"a", "b", "c"}
	l.tell(all)
	if !talks(stay, long) || !talks(cut, long) {
		t.Error("no policy denies them, and they are over")
	}
	l.tell(all, only("a", "b", "", 80))
	if !talks(stay, long) || talks(cut, short) {
		t.Error("one is allowed and the other is not")
	}
}

// TestKeep: who wrote the policy may let established connections go on; new ones are denied.
func TestKeep(t *testing.T) {
	l := newLab(t)
	a, b := l.pods["a"], l.pods["b"]
	serve(t, a, 80)
	l.start()
	all := []string{"a", "b", "c"}
	keep := ", annotations: {sallyport.dev/established: keep}"
	l.tell(all, only("a", "b", keep, 80))
	conn := connect(t, b, "tcp", a.IP4, 80)
	l.tell(all, only("a", "c", keep, 80))
	if !talks(conn, long) {
		t.Error("the policy keeps established connections, and this one was cut")
	}
	l.expect("a new one", b, a, 80, false)
	l.tell(all, only("a", "c", "", 80))
	if talks(conn, short) {
		t.Error("the policy keeps nothing any more, and the connection goes on")
	}
}

// TestRestart: connections that are allowed go through the end of an agent and the start of the next, and what changed in between is done.
func TestRestart(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	serve(t, a, 80)
	l.start()
	all := []string{"a", "b", "c"}
	l.tell(all)
	stay, cut := connect(t, c, "tcp", a.IP4, 80), connect(t, b, "tcp", a.IP4, 80)
	for i := range 3 {
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		if !talks(stay, long) || i == 0 && !talks(cut, long) {
			t.Error("the end of the agent cut a connection")
		}
		l.start()
		l.tell(all, only("a", "c", "", 80))
		if !talks(stay, long) {
			t.Error("the start of an agent cut a connection")
		}
		if talks(cut, short) {
			t.Error("a policy came while there was no agent, and a connection that it denies goes on")
		}
	}
}

// TestAddressOfAnother: a pod that gets the address of one that is gone does not get its connections, then or later, although policies
// allow the same to it.
func TestAddressOfAnother(t *testing.T) {
	l := newLab(t)
	a, b := l.pods["a"], l.pods["b"]
	serve(t, a, 80)
	l.start()
	l.tell([]string{"a", "b"}, only("a", "b", "", 80))
	old := []net.Conn{connect(t, b, "tcp", a.IP4, 80), connect(t, b, "tcp", a.IP6, 80)}
	l.pods["aa"] = a // another pod with the same labels, address and interface
	l.tell([]string{"aa", "b"}, only("a", "b", "", 80))
	for _, network := range []string{"tcp", "udp"} {
		connect(t, b, network, a.IP4, 80)
	}
	l.tell([]string{"aa", "b"}, only("a", "b", "", 80, 81))
	l.tell([]string{"aa", "b"})
	for _, c := range old {
		if talks(c, 3*short) { // TCP tries again
			t.Errorf("the connection to %s goes on with another pod", c.RemoteAddr())
		}
	}
}

// TestClaimed: who says that a pod has another's address closes both, and when he says so no more the connections of the other go on.
func TestClaimed(t *testing.T) {
	l := newLab(t)
	a, b := l.pods["a"], l.pods["b"]
	serve(t, a, 80)
	l.start()
	keep := only("a", "c", ", annotations: {sallyport.dev/established: keep}", 80)
	l.tell([]string{"a", "b"})
	conn := connect(t, b, "tcp", a.IP4, 80)
	l.tell([]string{"a", "b"}, keep)
	if !talks(conn, long) {
		t.Error("the policy keeps established connections, and this one was cut")
	}
	l.pods["a2"] = netnstest.End{IP4: a.IP4, IP6: a.IP6}
	l.tell([]string{"a", "a2", "b"}, keep)
	over(t, conn)
	l.tell([]string{"a", "b"}, keep)
	if !talks(conn, long) {
		t.Error("only one pod has the address, and the connection is over")
	}
}

// TestNodesAddress: a pod of which is said that it has the node's own address has no connection of the node cut.
func TestNodesAddress(t *testing.T) {
	l := newLab(t)
	serve(t, l.world, 80)
	l.start()
	l.tell([]string{"a", "b"})
	conn := connect(t, netnstest.End{Namespace: l.node}, "tcp", l.world.IP4, 80)
	l.pods["c"] = netnstest.End{IP4: l.world.IP4.Prev(), IP6: l.pods["c"].IP6}
	for range 2 {
		for _, pods := range [][]string{{"a", "b", "c"}, {"a", "b"}} {
			l.tell(pods, only("c", "b", "", 80))
			if !talks(conn, long) {
				t.Fatalf("it is over with the pods %s", pods)
			}
		}
	}
}

// TestSpoofed: what comes from a pod with another's address goes nowhere.
func TestSpoofed(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	serve(t, a, 80)
	l.start()
	l.tell([]string{"a", "b", "c"}, only("a", "b", "", 80))
	before := counted(t, a)
	err := c.Do(func() error { // c says that it is b
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return unix.Sendto(s, udpPacket(b.IP4, a.IP4, 80), 0, &unix.SockaddrInet4{Addr: a.IP4.As4()})
	})
	if err != nil {
		t.Fatal(err)
	}
	l.expect("the pod itself", b, a, 80, true) // by then the other packet would have come
	if n := counted(t, a) - before; n != 2 {   // of both families, one of each
		t.Errorf("%d datagrams came and not 2", n)
	}
}

// counted gives how many datagrams of UDP came to an end, over IPv4 and IPv6.
func counted(t *testing.T, e netnstest.End) (n int) {
	t.Helper()
	err := e.Do(func() error {
		for _, name := range []string{"/proc/thread-self/net/snmp", "/proc/thread-self/net/snmp6"} {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for _, line := range strings.Split(string(b), "\n") {
				var in int
				if k, _ := fmt.Sscanf(line, "Udp: %d", &in); k == 1 {
					n += in
				}
				if k, _ := fmt.Sscanf(line, "Udp6InDatagrams %d", &in); k == 1 {
					n += in
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// udpPacket is a datagram with its IPv4 header, whose checksum the kernel writes.
func udpPacket(from, to netip.Addr, port byte) []byte {
	src, dst := from.As4(), to.As4()
	p := []byte{0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0, 0, src[0], src[1], src[2], src[3], dst[0], dst[1], dst[2], dst[3]}
	return append(p, 0x30, 0x39, 0, port, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o')
}

// TestHealed: what somebody else does to the table is undone.
func TestHealed(t *testing.T) {
	l := newLab(t)
	a, c := l.pods["a"], l.pods["c"]
	serve(t, a, 80)
	l.start()
	l.tell([]string{"a", "b", "c"}, only("a", "b", "", 80))
	netnstest.Nft(t, l.node, "flush ruleset")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if p, _, err := kernel.Read(l.node.FD()); err == nil && p != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the table is gone, and nobody writes it again")
		}
	}
	l.expect("after a flush", c, a, 80, false)
}

// TestOpenedMeanwhile: a connection that nobody decided, since somebody had removed the table, ends when that is undone.
func TestOpenedMeanwhile(t *testing.T) {
	l := newLab(t)
	l.unowned = true
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	serve(t, a, 80)
	netnstest.Nft(t, l.node, "add table inet other; add chain inet other forward { type filter hook forward priority 0; }; add rule inet other forward ct state invalid drop")
	connect(t, b, "udp", a.IP4, 80) // the kernel follows connections, as with kube-proxy
	l.start()
	l.tell([]string{"a", "b", "c"}, only("a", "b", "", 80))
	stay := connect(t, b, "tcp", a.IP4, 80)
	var conn net.Conn
	for n := 0; conn == nil; n++ {
		if n == 50 {
			t.Fatal("the table is always written again before a connection begins")
		}
		netnstest.Nft(t, l.node, "delete table inet sallyport")
		conn = dial(t, c, "tcp", a.IP4, 80, short)
	}
	over(t, conn)
	if !talks(stay, long) {
		t.Error("a connection that is allowed was cut")
	}
}
