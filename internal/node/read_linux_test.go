package node_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/node"
)

// TestReadInOne: what is read is what was there at one moment. A route comes first and goes last, and one of the other family
// lasts for less, so that it is never there alone; a reading that hears of no change in between would find it so.
func TestReadInOne(t *testing.T) {
	m := newMachine(t)
	l := m.veth("veth0")
	route := func(to string) *netlink.Route {
		_, dst, err := net.ParseCIDR(to)
		m.must(err)
		return &netlink.Route{Dst: dst, LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK}
	}
	outer, inner := route("10.1.0.5/32"), route("fd00:1::5/128")
	s := n1("10.1.0.5", "fd00:1::5")
	alone, both := 0, 0
	for i := range 2000 {
		done := make(chan error)
		go func() {
			time.Sleep(time.Duration(i%40) * 10 * time.Microsecond) // somewhere in the reading
			var err error
			for _, do := range []func() error{
				func() error { return m.RouteAdd(outer) }, func() error { return m.RouteAdd(inner) },
				func() error { return m.RouteDel(inner) }, func() error { return m.RouteDel(outer) },
			} {
				if err == nil {
					err = do()
				}
			}
			done <- err
		}()
		n, _ := m.facts().Node(s, "n1", nil)
		m.must(<-done)
		switch _, first := n.Interface[0]; {
		case n.Interface[1] != "" && !first:
			alone++
		case n.Interface[1] != "":
			both++
		}
	}
	if alone > 0 {
		t.Errorf("%d of 2,000 readings are of no moment (%d are of the middle)", alone, both)
	}
}

// TestReadFails: a namespace that is none is said to be none.
func TestReadFails(t *testing.T) {
	if _, err := node.Read(-2); err == nil {
		t.Error("it is read")
	}
}

// large makes a node with pods and routes to others, as where each block of a cluster's addresses has a route.
func large(t testing.TB, pods, routes int) *machine {
	m := newMachine(t)
	eth0 := m.veth("eth0", "192.0.2.1/24")
	m.route("0.0.0.0/0", eth0, "192.0.2.254", 0)
	for i := range pods {
		m.route(fmt.Sprintf("10.1.0.%d/32", i), m.veth(fmt.Sprint("veth", i)), "", 0)
	}
	for i := range routes {
		m.route(fmt.Sprintf("10.%d.%d.0/26", 128+i>>8, i&255), eth0, "192.0.2.2", 0)
	}
	return m
}

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct{ pods, routes int }{{0, 0}, {110, 0}, {110, 5000}} {
		b.Run(fmt.Sprintf("pods=%d/routes=%d", c.pods, c.routes), func(b *testing.B) {
			m := large(b, c.pods, c.routes)
			b.ReportAllocs()
			for b.Loop() {
				m.facts()
			}
		})
	}
}

func BenchmarkNode(b *testing.B) {
	m := large(b, 110, 5000)
	f := m.facts()
	for _, pods := range []int{110, 10_000} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			s := n1()
			s.Pods = bench.Spread(pods, pods, 0).Pods
			for i := range s.Pods {
				if s.Pods[i].NodeName = "n2"; i < 110 {
					s.Pods[i].NodeName, s.Pods[i].Addrs = "n1", addrs(fmt.Sprintf("10.1.0.%d", i))
				}
			}
			if n, _ := f.Node(s, "n1", nil); len(n.Interface) != 110 {
				b.Fatalf("%d pods have an interface", len(n.Interface))
			}
			b.ReportAllocs()
			for b.Loop() {
				f.Node(s, "n1", nil)
			}
		})
	}
}
