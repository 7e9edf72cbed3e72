package kernel_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// BenchmarkPath is what packets cost on their way through a node, in CPU time of the whole process with the kernel's work for it:
// without a filter, with connection tracking alone, and with the tables of clusters of several sizes. Each case has a node of its own
// between two ends; they take turns, and medians are compared with connection tracking alone, which is there wherever kube-proxy is.
func BenchmarkPath(b *testing.B) {
	f := features(b)
	paths := []*path{newPath(b, "no filter", f, 0), newPath(b, "conntrack", f, -1)}
	for _, policies := range []int{1, 100, 10_000} {
		paths = append(paths, newPath(b, fmt.Sprintf("policies=%d", policies), f, policies))
	}
	for _, c := range []struct {
		what string
		run  func(p *path) int // how many operations it was
	}{{"established", (*path).established}, {"connect", (*path).connects}} {
		b.Run(c.what, func(b *testing.B) {
			costs := make([][]float64, len(paths))
			for b.Loop() {
				for i, p := range paths {
					begun := cpu(b)
					n := c.run(p)
					costs[i] = append(costs[i], float64(cpu(b)-begun)/float64(n))
				}
			}
			var base float64
			for i, p := range paths {
				slices.Sort(costs[i])
				m := costs[i][len(costs[i])/2]
				if i == 1 {
					base = m
				}
				b.Logf("%-16s %8.0f ns  (%.0f to %.0f)", p.name, m, costs[i][len(costs[i])/4], costs[i][len(costs[i])*3/4])
			}
			for i, p := range paths {
				b.ReportMetric(costs[i][len(costs[i])/2]/base, strings.ReplaceAll(p.name, " ", "-")+"/conntrack")
			}
		})
	}
}

func cpu(t testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// path is two ends and the node between them.
type path struct {
	name     string
	t        testing.TB
	from, to netnstest.End
	port     uint16
	udp      int // a socket whose connection is established
	listener int
}

// newPath makes one. policies: 0 is no filter at all, -1 tracks connections and does nothing else.
func newPath(t testing.TB, name string, f kernel.Features, policies int) *path {
	node, ends := netnstest.Routed(t, "eth0", "veth0", "veth1")
	p := &path{name: name, t: t, from: ends[1], to: ends[2], port: 8080} // the number of the port that policies there call http
	var table *program.Program
	if policies > 0 {
		table = p.filter(policies)
	}
	if policies != 0 {
		netnstest.Nft(t, node, "add table inet t\nadd chain inet t forward { type filter hook forward priority 0; }\nadd rule inet t forward ct state established accept")
	}
	p.open() // with connections followed, so that the one that is made here is established for the table as well
	if table != nil {
		apply(t, open(t, node, f), table)
		netnstest.Nft(t, node, "delete table inet t")
	}
	return p
}

// filter makes the table of a node of a cluster of at least a thousand workloads, so many of which have a policy of their own, and in
// which one pod here may reach another one by TCP.
func (p *path) filter(policies int) *program.Program {
	s := bench.OnNodes(bench.Spread(max(policies, 1_000), max(policies, 1_000), policies), 110)
	here := s.Nodes[0].Name
	n := &program.Node{Name: here, Uplinks: []string{"eth0"}, Interface: map[int]string{}}
	for i := range s.Pods {
		if a := s.Pods[i].Addrs[0]; a == p.from.IP4 || a == p.to.IP4 { // those are for the two that are there
			s.Pods[i].Addrs = []netip.Addr{netip.AddrFrom4([4]byte{172, 31, 0, byte(i)})}
		}
		if s.Pods[i].NodeName == here {
			n.Interface[i] = fmt.Sprintf("veth%d", 100+i)
		}
	}
	l := program.NewLive(policy.NewLive(s, policy.Options{}), n)
	i, j := p.pair(l, s, n)
	for k, at := range map[int]netnstest.End{i: p.from, j: p.to} {
		pod := s.Pods[k]
		pod.NodeName, pod.Addrs = here, []netip.Addr{at.IP4}
		l.SetPod(pod)
		n.Interface[k] = at.Link
	}
	l.SetNode(n)
	table, _ := l.Take()
	return table
}

// pair finds two pods of which one may reach the other. The first one may be anywhere.
func (p *path) pair(l *program.Live, s *cluster.Snapshot, n *program.Node) (from, to int) {
	for j := range s.Pods {
		for i := 0; s.Pods[j].NodeName == n.Name && i < len(s.Pods); i += max(1, len(s.Pods)/1_000-1) {
			if i != j && may(l, s, i, j, p.port, n) {
				return i, j
			}
		}
	}
	p.t.Fatalf("%s: no pod may reach another", p.name)
	return 0, 0
}

// may tells whether one pod may reach another here, once the first one is here too.
func may(l *program.Live, s *cluster.Snapshot, i, j int, port uint16, n *program.Node) bool {
	none := func(netip.Addr) bool { return false }
	denied := func(s program.Side) bool { return !s.Allowed }
	if slices.ContainsFunc(l.Allows(s.Pods[i].Addrs[0], s.Pods[j].Addrs[0], netset.TCP, port, none), denied) {
		return false
	}
	pod := s.Pods[i]
	pod.NodeName = n.Name
	l.SetPod(pod)
	here := *n
	here.Interface = maps.Clone(n.Interface)
	here.Interface[i] = "veth0"
	l.SetNode(&here)
	ok := !slices.ContainsFunc(l.Allows(s.Pods[i].Addrs[0], s.Pods[j].Addrs[0], netset.TCP, port, none), denied)
	l.SetPod(s.Pods[i])
	l.SetNode(n)
	return ok
}

func (p *path) open() {
	fail := func(err error) {
		if err != nil {
			p.t.Fatalf("%s: %v", p.name, err)
		}
	}
	var server net.PacketConn
	fail(p.to.Do(func() (err error) {
		if server, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", p.port)); err != nil {
			return err
		}
		l, err := net.Listen("tcp4", fmt.Sprintf(":%d", p.port))
		if err != nil {
			return err
		}
		p.t.Cleanup(func() { _ = l.Close(); _ = server.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
		return nil
	}))
	fail(p.from.Do(func() (err error) {
		if p.udp, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
			return err
		}
		if err := unix.Connect(p.udp, p.address()); err != nil {
			return err
		}
		_, err = unix.Write(p.udp, []byte("x"))
		return err
	}))
	p.t.Cleanup(func() { _ = unix.Close(p.udp) })
	buffer := make([]byte, 10)
	_, peer, err := server.ReadFrom(buffer)
	fail(err)
	_, err = server.WriteTo(buffer[:1], peer)
	fail(err)
	_, err = unix.Read(p.udp, buffer)
	fail(err)
}

func (p *path) address() unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: p.to.IP4.As4(), Port: int(p.port)}
}

// established sends datagrams of a connection that is known, both ways seen. Nobody reads them: where they go after the node costs
// the same for all.
func (p *path) established() int {
	const n = 20_000
	for range n {
		if _, err := unix.Write(p.udp, []byte("x")); err != nil {
			p.t.Fatal(err)
		}
	}
	return n
}

// connects opens and closes TCP connections.
func (p *path) connects() int {
	const n = 1_000
	p.do(n, func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(s, p.address()); err != nil {
			return err
		}
		if _, err := unix.Read(s, make([]byte, 1)); err != nil { // until the other end has closed, which then keeps the port
			return err
		}
		return unix.Close(s)
	})
	return n
}

func (p *path) do(n int, f func() error) {
	err := p.from.Do(func() error {
		for range n {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}
