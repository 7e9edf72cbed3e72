package conntrack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/netns/netnstest"
)

var (
	families = []string{"IPv4", "IPv6"}
	sides    = []string{"client", "server"}
)

// each runs a test for either end that speaks first.
func each(t *testing.T, f func(t *testing.T, first string)) {
	for _, first := range sides {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			f(t, first)
		})
	}
}

func other(side string) string { return sides[1-slices.Index(sides, side)] }

// couple is a connection that is cut, and one beside it that goes on.
type couple struct {
	name        string
	cut, beside *pair
}

// couples makes some of each protocol and family.
func (l *lab) couples(t *testing.T, protos ...string) (out []couple) {
	t.Helper()
	for _, family := range families {
		for _, proto := range protos {
			out = append(out, couple{family + " " + proto, l.connect(t, proto, family, cutPort), l.connect(t, proto, family, besidePort)})
		}
	}
	return out
}

// silent tells that nothing passes any more, whichever end speaks.
func (c *couple) silent(t *testing.T, first string) {
	t.Helper()
	c.cut.silent(t, first, c.beside)
	c.cut.silent(t, other(first), c.beside)
	if t.Failed() {
		t.Fatal(c.name)
	}
}

// only tells that all connections came to the same.
func only(t *testing.T, got []conntrack.Outcome, want conntrack.Outcome, n int) {
	t.Helper()
	if len(got) != n || slices.ContainsFunc(got, func(o conntrack.Outcome) bool { return o != want }) {
		t.Fatalf("%v, not %d times %v", got, n, want)
	}
}

// TestCut: after the cut neither end hears a byte, whichever speaks first, and the connection beside goes on.
func TestCut(t *testing.T) {
	each(t, func(t *testing.T, first string) {
		l := newLab(t)
		l.allow(t, false, cutPort, besidePort)
		list := l.couples(t, "TCP", "UDP")
		l.allow(t, false, besidePort)
		for _, c := range list {
			c.cut.passes(t, first) // a policy alone cuts nothing
		}
		only(t, l.cut(t), conntrack.Done, len(list))
		for _, c := range list {
			c.silent(t, first)
		}
	})
}

// TestCutOlder is TestCut with connections whose entries are older than the table.
func TestCutOlder(t *testing.T) {
	each(t, func(t *testing.T, first string) {
		l := newLab(t)
		l.track(t)
		list := l.couples(t, "TCP", "UDP")
		l.allow(t, false, besidePort)
		for _, c := range list {
			c.cut.passes(t, first) // nor does the table, when it comes
		}
		only(t, l.cut(t), conntrack.Replaced, len(list))
		for _, c := range list {
			c.silent(t, first)
		}
		now := l.connections(t, cutPort)
		if len(now) != len(list) || slices.ContainsFunc(now, func(c *conntrack.Connection) bool { return !c.Revoked }) {
			t.Errorf("in their place are %+v", now)
		}
	})
}

// TestCutInRetransmission: what an end tries again when the connection is cut does not arrive either.
func TestCutInRetransmission(t *testing.T) {
	each(t, func(t *testing.T, first string) {
		l := newLab(t)
		l.allow(t, false, cutPort, besidePort)
		c := couple{"TCP", l.connect(t, "TCP", "IPv4", cutPort), l.connect(t, "TCP", "IPv4", besidePort)}
		netnstest.Nft(t, l.router, "table inet wall { chain forward { type filter hook forward priority 0; tcp dport 5432 drop; tcp sport 5432 drop; }; }")
		from, _ := c.cut.side(first)
		if _, err := from.Write([]byte("held up")); err != nil {
			t.Fatal(err)
		}
		c.cut.retried(t, first)
		l.allow(t, false, besidePort)
		only(t, l.cut(t), conntrack.Done, 1)
		netnstest.Nft(t, l.router, "delete table inet wall")
		c.silent(t, first)
	})
}

// TestStray: a connection that was cut does not come back when its entry is gone, though the server may open others to the client.
func TestStray(t *testing.T) {
	each(t, func(t *testing.T, first string) {
		l := newLab(t)
		l.allow(t, false, cutPort, besidePort)
		list := l.couples(t, "TCP")
		l.allow(t, false, besidePort)
		l.cut(t)
		l.forget(t, cutPort)
		for _, c := range list {
			c.silent(t, first)
		}
		if now := l.connections(t, cutPort); len(now) > 0 {
			t.Errorf("there are entries again: %v", now)
		}
	})
}

// TestHalfClosed: nor does it when the client half-closes it, so that the kernel forgets it sooner than the server stops to try.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.allow(t, false, cutPort, besidePort)
	p, beside := l.connect(t, "TCP", "IPv4", cutPort), l.connect(t, "TCP", "IPv4", besidePort)
	l.allow(t, false, besidePort)
	l.cut(t)
	if err := l.router.Do(func() (err error) {
		for _, state := range []string{"fin_wait", "close_wait", "last_ack", "max_retrans", "unacknowledged"} { // as after long, in a second
			err = errors.Join(err, os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_"+state, []byte("1"), 0))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.server.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); len(l.connections(t, cutPort)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the kernel does not forget the connection")
		}
	}
	p.retried(t, "server")
	beside.passes(t, "server")
	empty(t, p.client)
}

// TestUnseen: where nothing followed connections before the table, those that its policies allow go on, whichever end is the first to
// be heard, and the others do not. Once that time is over, none is let in that nobody knows.
func TestUnseen(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if n := l.entries(t); n != 0 {
		t.Fatalf("the kernel follows %d connections already", n)
	}
	list := l.couples(t, "TCP")
	idle := l.connect(t, "TCP", "IPv4", besidePort+1)
	l.allow(t, true, besidePort, besidePort+1)
	for _, c := range list {
		c.beside.passes(t, "server")
		c.beside.passes(t, "client")
		c.cut.silent(t, "client", c.beside)
	}
	l.allow(t, false, besidePort, besidePort+1)
	for _, c := range list {
		c.beside.passes(t, "client") // it is known now
		idle.silent(t, "client", c.beside)
	}
}

// TestRestore: what was cut by mistake, or is allowed again, goes on.
func TestRestore(t *testing.T) {
	each(t, func(t *testing.T, first string) {
		for _, older := range []bool{false, true} {
			l := newLab(t)
			if older {
				l.track(t)
			} else {
				l.allow(t, false, cutPort, besidePort)
			}
			list := l.couples(t, "TCP", "UDP")
			l.allow(t, false, besidePort)
			l.cut(t)
			for _, c := range list {
				c.cut.silent(t, first, c.beside)
			}
			l.allow(t, false, cutPort, besidePort)
			only(t, l.restore(t), conntrack.Done, len(list))
			for _, c := range list {
				c.cut.resumes(t, first)
			}
			for _, c := range l.connections(t, cutPort) {
				if c.Revoked {
					t.Errorf("%s is still revoked", c)
				}
			}
		}
	})
}

// TestForget: what was cut is over when its entry is forgotten, for TCP; of others the next packet is a new connection's. What was not cut
// stays.
func TestForget(t *testing.T) {
	each(t, func(t *testing.T, first string) {
		l := newLab(t)
		l.allow(t, false, cutPort, besidePort)
		list := l.couples(t, "TCP", "UDP")
		all := l.connections(t, cutPort)
		for _, c := range all {
			if err := l.s.Forget(c); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(l.connections(t, cutPort)); n != len(all) {
			t.Errorf("%d of %d connections are left, and none was cut", n, len(all))
		}
		l.cut(t)
		for range 2 { // the second time there is none
			for _, c := range all {
				if err := l.s.Forget(c); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := len(l.connections(t, cutPort)); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		for _, c := range list {
			if from, _ := c.cut.side(first); from.RemoteAddr().Network() == "tcp" {
				c.silent(t, first)
			} else {
				c.cut.passes(t, "client")
			}
		}
	})
}

// resumes tells that a connection goes on, and that what TCP said in vain arrives.
func (p *pair) resumes(t testing.TB, first string) {
	t.Helper()
	if _, to := p.side(first); to.RemoteAddr().Network() == "tcp" {
		_ = to.SetReadDeadline(time.Now().Add(patience))
		if n, err := io.ReadFull(to, make([]byte, 3)); err != nil {
			t.Fatalf("%d bytes arrived: %v", n, err)
		}
	}
	p.passes(t, "client")
	p.passes(t, "server")
}

// translation is what a node does with packets to a Service: another destination, and its own address as their source.
const translation = `table inet nat {
	chain to { type nat hook prerouting priority dstnat; ip daddr 10.96.0.1 udp dport 80 dnat ip to 10.0.2.2:5432; ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.0.2.2:5432; }
	chain from { type nat hook postrouting priority srcnat; ct status dnat masquerade; }
}`

// TestTranslated: a connection through a Service is named by its backend and by the pod itself, and cut and restored as such.
func TestTranslated(t *testing.T) {
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprint("older ", older), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			netnstest.Nft(t, l.router, translation)
			if !older {
				l.allow(t, false, cutPort, besidePort)
			}
			var list []couple
			for _, proto := range []string{"TCP", "UDP"} {
				list = append(list, couple{proto, l.throughService(t, proto), l.connect(t, proto, "IPv4", besidePort)})
			}
			l.allow(t, false, besidePort)
			for _, c := range l.connections(t, cutPort) {
				if c.Src != l.client.IP4 || c.Dst != l.server.IP4 || c.Revoked || !c.Replied {
					t.Fatalf("%+v", c)
				}
			}
			cut, restored := conntrack.Done, conntrack.Done
			if older {
				cut, restored = conntrack.Replaced, conntrack.Deleted
			}
			only(t, l.cut(t), cut, len(list))
			for _, c := range list {
				c.silent(t, "client")
			}
			l.allow(t, false, cutPort, besidePort)
			only(t, l.restore(t), restored, len(list))
			for _, c := range list {
				if c.name == "UDP" || !older { // TCP whose translation is lost is over
					c.cut.passes(t, "client")
				}
			}
		})
	}
}

// throughService makes a connection to the port by way of a Service's address.
func (l *lab) throughService(t testing.TB, proto string) *pair {
	t.Helper()
	p := &pair{}
	service, backend := netip.MustParseAddrPort("10.96.0.1:80"), netip.AddrPortFrom(l.server.IP4, cutPort)
	if proto == "TCP" {
		var err error
		if p.client, p.server, err = tcp(l.client, service, listen(t, l.server, backend)); err != nil {
			t.Fatal(err)
		}
	} else {
		p.client = udp(t, l.client, netip.AddrPortFrom(l.client.IP4, 4000), service)
		p.server = udp(t, l.server, backend, netip.AddrPortFrom(l.server.IP4.Prev(), 4000)) // what the router makes of the client
	}
	t.Cleanup(func() { _, _ = p.client.Close(), p.server.Close() })
	p.passes(t, "client")
	p.passes(t, "server")
	return p
}
