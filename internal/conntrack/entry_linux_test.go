package conntrack_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	ct "github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
)

var a1, a2, service = netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("10.96.0.1")

// labels is a table that has to do with labels, so that entries have room for them.
const labels = "table inet labels { chain c { ct label set 3; ct label set 119; }; }"

// create puts an entry into a namespace.
func create(t testing.TB, c *ct.Conn, f ct.Flow) {
	t.Helper()
	if err := c.Create(f); err != nil {
		t.Fatal(err)
	}
}

// plain is an entry that translates nothing, of a connection in both directions.
func plain(proto uint8, src, dst netip.Addr, srcPort, dstPort uint16) ct.Flow {
	f := ct.NewFlow(proto, ct.StatusSeenReply|ct.StatusAssured|ct.StatusConfirmed, src, dst, srcPort, dstPort, 600, 0)
	if proto == unix.IPPROTO_TCP {
		f.ProtoInfo.TCP = &ct.ProtoInfoTCP{State: 3} // established
	}
	return f
}

// throughVIP is one whose packets go to another address than answers come from.
func throughVIP(src netip.Addr, srcPort uint16, to netip.Addr) ct.Flow {
	f := plain(unix.IPPROTO_UDP, src, service, srcPort, 80)
	f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort = to, cutPort
	return f
}

func all(t testing.TB, ns *netns.Namespace) (out []*conntrack.Connection) {
	t.Helper()
	if err := conntrack.Each(ns.FD(), func(c *conntrack.Connection) error { out = append(out, c); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEach: what a connection is named by, whatever its protocol and family.
func TestEach(t *testing.T) {
	ns := netnstest.New(t)
	c := library(t, ns)
	v6 := netip.MustParseAddr("fd00:1::2")
	ping := ct.NewFlow(unix.IPPROTO_ICMP, ct.StatusConfirmed, a1, a2, 0, 0, 60, 0)
	ping.TupleOrig.Proto.ICMPv4, ping.TupleOrig.Proto.ICMPType, ping.TupleOrig.Proto.ICMPID = true, 8, 77
	ping.TupleReply.Proto.ICMPv4, ping.TupleReply.Proto.ICMPType, ping.TupleReply.Proto.ICMPID = true, 0, 77
	zoned := plain(unix.IPPROTO_UDP, a1, a2, 1, 53)
	zoned.Zone = 7
	unanswered := ct.NewFlow(unix.IPPROTO_UDP, ct.StatusConfirmed, v6, netip.MustParseAddr("fd00:2::2"), 1000, 514, 60, 0)
	for _, f := range []ct.Flow{plain(unix.IPPROTO_TCP, a1, a2, 40000, 443), throughVIP(a1, 40001, a2), ping, zoned, unanswered,
		plain(unix.IPPROTO_GRE, a1, a2, 5, 6), plain(unix.IPPROTO_SCTP, a1, a2, 7, 38412)} {
		create(t, c, f)
	}
	var got []string
	for _, c := range all(t, ns) {
		line := c.String()
		if c.Zone != 0 {
			line += " zone"
		}
		if c.Replied {
			line += " replied"
		}
		got = append(got, line)
		if c.Revoked {
			t.Errorf("%s is revoked", c)
		}
	}
	slices.Sort(got)
	want := []string{
		"the connection from 10.0.1.2 to 10.0.2.2, protocol 1, port 0",
		"the connection from 10.0.1.2 to 10.0.2.2, protocol 132, port 38412 replied",
		"the connection from 10.0.1.2 to 10.0.2.2, protocol 17, port 53 zone replied",
		"the connection from 10.0.1.2 to 10.0.2.2, protocol 17, port 5432 replied",
		"the connection from 10.0.1.2 to 10.0.2.2, protocol 47, port 0 replied",
		"the connection from 10.0.1.2 to 10.0.2.2, protocol 6, port 443 replied",
		"the connection from fd00:1::2 to fd00:2::2, protocol 17, port 514",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	stop, n := errors.New("enough"), 0
	if err := conntrack.Each(ns.FD(), func(*conntrack.Connection) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("stopped after %d: %v", n, err)
	}
}

// TestEverySort: whatever its protocol and zone, an entry is found again, with room for labels and without.
func TestEverySort(t *testing.T) {
	for _, room := range []bool{true, false} {
		ns := netnstest.New(t)
		c, s := library(t, ns), open(t, ns)
		if room {
			netnstest.Nft(t, ns, labels)
		}
		ping := ct.NewFlow(unix.IPPROTO_ICMP, ct.StatusConfirmed, a1, a2, 0, 0, 60, 0)
		ping.TupleOrig.Proto.ICMPv4, ping.TupleOrig.Proto.ICMPType, ping.TupleOrig.Proto.ICMPID = true, 8, 77
		ping.TupleReply.Proto.ICMPv4, ping.TupleReply.Proto.ICMPType, ping.TupleReply.Proto.ICMPID = true, 0, 77
		zoned := plain(unix.IPPROTO_UDP, a1, a2, 1, 53)
		zoned.Zone = 7
		for _, f := range []ct.Flow{ping, zoned, plain(unix.IPPROTO_UDP, a1, a2, 1, 53), plain(unix.IPPROTO_SCTP, a1, a2, 7, 38412), plain(unix.IPPROTO_GRE, a1, a2, 5, 5)} {
			create(t, c, f)
		}
		want := conntrack.Done
		if !room {
			netnstest.Nft(t, ns, labels)
			want = conntrack.Replaced
		}
		list := all(t, ns)
		for i, one := range list {
			if out, err := s.Revoke(one); err != nil || out != want {
				t.Errorf("%s: %v, %v", one, out, err)
			}
			n := 0
			for _, now := range all(t, ns) {
				if now.Revoked {
					n++
				}
			}
			if n != i+1 {
				t.Errorf("after %s %d connections are revoked, and not %d", one, n, i+1)
			}
		}
		if now := all(t, ns); len(now) != len(list) {
			t.Errorf("of %d connections there are %d", len(list), len(now))
		}
	}
}

// TestOtherLabels: the other labels of a connection stay as they are, and so does everything else about it.
func TestOtherLabels(t *testing.T) {
	ns := netnstest.New(t)
	netnstest.Nft(t, ns, labels)
	c, s := library(t, ns), open(t, ns)
	f := plain(unix.IPPROTO_TCP, a1, a2, 40000, cutPort)
	f.Mark = 12
	f.Labels = bytes.Repeat([]byte{0xa5}, 16)
	f.LabelsMask = bytes.Repeat([]byte{0xff}, 16)
	create(t, c, f)
	before := flows(t, c, cutPort)[0]
	one := all(t, ns)[0]
	if one.Revoked != (before.Labels[14]&0x80 != 0) {
		t.Errorf("%s: %v, labels %x", one, one.Revoked, before.Labels)
	}
	for _, step := range []struct {
		change func(*conntrack.Connection) (conntrack.Outcome, error)
		last   byte // of the last long integer, the one of the bit
		set    bool
	}{{s.Restore, 0x25, false}, {s.Revoke, 0xa5, true}, {s.Revoke, 0xa5, true}, {s.Restore, 0x25, false}, {s.Restore, 0x25, false}} {
		if out, err := step.change(one); err != nil || out != conntrack.Done {
			t.Fatal(out, err)
		}
		after := flows(t, c, cutPort)[0]
		want := bytes.Repeat([]byte{0xa5}, 16)
		want[14] = step.last
		if !bytes.Equal(after.Labels, want) || after.Mark != 12 || after.ID != before.ID || after.Status != before.Status {
			t.Errorf("labels %x, mark %d, status %v", after.Labels, after.Mark, after.Status)
		}
		if one = all(t, ns)[0]; one.Revoked != step.set {
			t.Errorf("revoked: %v", one.Revoked)
		}
	}
}

// TestGone: a connection that has ended is no error, and what has come into its place stays as it is, whichever direction is the same.
func TestGone(t *testing.T) {
	v := throughVIP(a1, 4000, a2)
	direct := plain(unix.IPPROTO_UDP, a1, a2, 4000, cutPort)           // answers are the same as with v
	elsewhere := throughVIP(a1, 4000, netip.MustParseAddr("10.0.2.3")) // packets are
	for _, room := range []bool{true, false} {
		for _, in := range [][]ct.Flow{nil, {direct}, {elsewhere}} {
			ns := netnstest.New(t)
			c, s := library(t, ns), open(t, ns)
			if room {
				netnstest.Nft(t, ns, labels)
			}
			create(t, c, v)
			one := all(t, ns)[0]
			if err := c.Delete(v); err != nil {
				t.Fatal(err)
			}
			for _, f := range in {
				create(t, c, f)
			}
			for _, change := range []func(*conntrack.Connection) (conntrack.Outcome, error){s.Revoke, s.Restore} {
				if out, err := change(one); err != nil || out != conntrack.Gone {
					t.Errorf("%v, %v", out, err)
				}
			}
			if list := all(t, ns); len(list) != len(in) || len(list) > 0 && list[0].Revoked {
				t.Errorf("%+v", list)
			}
		}
	}
}

// TestNoRoom: where no table has to do with labels, there is no place for one even in a new entry.
func TestNoRoom(t *testing.T) {
	ns := netnstest.New(t)
	c, s := library(t, ns), open(t, ns)
	create(t, c, plain(unix.IPPROTO_TCP, a1, a2, 40000, cutPort))
	if out, err := s.Revoke(all(t, ns)[0]); err != nil || out != conntrack.Deleted {
		t.Errorf("%v, %v", out, err)
	}
	if list := all(t, ns); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// faulty is a socket to the real kernel on which things go wrong.
type faulty struct {
	conntrack.Conn
	before func(netlink.Message)    // is called before each message that is sent
	read   func(n int) (int, error) // what becomes of a datagram
	closed *int
}

func (f *faulty) SendMessages(list []netlink.Message) ([]netlink.Message, error) {
	for _, m := range list {
		if f.before != nil {
			f.before(m)
		}
	}
	return f.Conn.SendMessages(list)
}

func (f *faulty) ReadDatagram(b []byte) (int, error) {
	n, err := f.Conn.ReadDatagram(b)
	if err == nil && f.read != nil {
		return f.read(n)
	}
	return n, err
}

func (f *faulty) Close() error {
	if f.closed != nil {
		*f.closed++
	}
	return f.Conn.Close()
}

// TestFasterPacket: where a packet brings a connection back between the entry that had no room for labels and the one in its place, what
// the packet made is cut.
func TestFasterPacket(t *testing.T) {
	ns := netnstest.New(t)
	c := library(t, ns)
	create(t, c, plain(unix.IPPROTO_TCP, a1, a2, 40000, cutPort))
	netnstest.Nft(t, ns, labels)
	raced := 0
	s, err := conntrack.OpenWith(func() (conntrack.Conn, error) {
		real, err := conntrack.Dial(ns.FD())
		return &faulty{Conn: real, before: func(m netlink.Message) {
			if m.Header.Flags&netlink.Excl != 0 {
				raced++
				create(t, c, plain(unix.IPPROTO_TCP, a2, a1, cutPort, 40000)) // the answer comes first
			}
		}}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Revoke(all(t, ns)[0]); err != nil || out != conntrack.Replaced || raced != 1 {
		t.Errorf("%v, %v after %d races", out, err, raced)
	}
	if list := all(t, ns); len(list) != 1 || !list[0].Revoked || list[0].Src != a2 {
		t.Errorf("%+v", list)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestFaults: what goes wrong with the socket is an error, never an answer to something else, and the next change has another socket.
func TestFaults(t *testing.T) {
	for name, read := range map[string]func(n int) (int, error){
		"overrun":     func(int) (int, error) { return 0, unix.ENOBUFS },
		"interrupted": func(int) (int, error) { return 0, unix.EINTR },
		"silent":      func(int) (int, error) { return 0, os.ErrDeadlineExceeded },
		"cut off":     func(n int) (int, error) { return n - 1, nil },
		"too short":   func(int) (int, error) { return 3, nil },
	} {
		ns := netnstest.New(t)
		netnstest.Nft(t, ns, labels)
		create(t, library(t, ns), plain(unix.IPPROTO_TCP, a1, a2, 40000, cutPort))
		one := all(t, ns)[0]
		opened, closed := 0, 0
		fault := read
		s, err := conntrack.OpenWith(func() (conntrack.Conn, error) {
			opened++
			real, err := conntrack.Dial(ns.FD())
			return &faulty{Conn: real, closed: &closed, read: fault}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range []func(*conntrack.Connection) (conntrack.Outcome, error){s.Revoke, s.Restore} {
			if out, err := change(one); err == nil || out != 0 {
				t.Errorf("%s: %v, %v", name, out, err)
			}
		}
		fault = nil
		if out, err := s.Revoke(one); err != nil || out != conntrack.Done || opened != 3 || closed != 2 {
			t.Errorf("%s: after that %v, %v with %d sockets, of which %d are closed", name, out, err, opened, closed)
		}
		if err := s.Close(); err != nil || closed != 3 {
			t.Error(err, closed)
		}
		real, err := conntrack.Dial(ns.FD())
		if err != nil {
			t.Fatal(err)
		}
		if err := conntrack.DumpWith(&faulty{Conn: real, read: read}, func(*conntrack.Connection) error { return nil }); err == nil {
			t.Errorf("%s: what is read in part is taken for everything", name)
		}
		if err := real.Close(); err != nil {
			t.Error(err)
		}
	}
}

// fill makes so many connections in a namespace.
func fill(t testing.TB, ns *netns.Namespace, n int) {
	t.Helper()
	c := library(t, ns)
	for i := range n {
		src := netip.AddrFrom4([4]byte{10, 1, byte(i >> 14), 1})
		create(t, c, plain(unix.IPPROTO_TCP, src, a2, uint16(1024+i%(1<<14)), cutPort))
	}
}

// visit reads everything, and gives the most memory that was in use meanwhile over what was before.
func visit(t testing.TB, ns *netns.Namespace, want int) (most uint64) {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, n := m.HeapAlloc, 0
	err := conntrack.Each(ns.FD(), func(*conntrack.Connection) error {
		if n++; n%1000 == 0 {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc-min(before, m.HeapAlloc))
		}
		return nil
	})
	if err != nil || n != want {
		t.Fatalf("%d connections, %v", n, err)
	}
	return most
}

// TestBounded: what the kernel says is not held as a whole.
func TestBounded(t *testing.T) {
	ns := netnstest.New(t)
	fill(t, ns, 30_000)
	if most := visit(t, ns, 30_000); most > 16<<20 {
		t.Errorf("it took %d MB", most>>20)
	}
}

// BenchmarkEach reads 200,000 connections.
func BenchmarkEach(b *testing.B) {
	ns := netnstest.New(b)
	fill(b, ns, 200_000)
	most := visit(b, ns, 200_000)
	b.ReportAllocs()
	for b.Loop() {
		visited := 0
		if err := conntrack.Each(ns.FD(), func(*conntrack.Connection) error { visited++; return nil }); err != nil || visited != 200_000 {
			b.Fatal(visited, err)
		}
	}
	b.ReportMetric(float64(most)/1e6, "MB-most")
}

// BenchmarkRevoke cuts and restores connections among 20,000, with room for labels, and cuts those without.
func BenchmarkRevoke(b *testing.B) {
	const n = 20_000
	for _, kind := range []string{"revoke", "restore", "replace"} {
		b.Run(kind, func(b *testing.B) {
			var took time.Duration
			changed := 0
			for b.Loop() {
				ns := netnstest.New(b)
				if kind != "replace" {
					netnstest.Nft(b, ns, labels)
				}
				fill(b, ns, n)
				netnstest.Nft(b, ns, labels)
				list, s := all(b, ns), open(b, ns)
				change := s.Revoke
				if kind == "restore" {
					for _, c := range list {
						if _, err := s.Revoke(c); err != nil {
							b.Fatal(err)
						}
					}
					change = s.Restore
				}
				begin := time.Now()
				for _, c := range list {
					if _, err := change(c); err != nil {
						b.Fatal(err)
					}
				}
				took, changed = took+time.Since(begin), changed+len(list)
			}
			b.ReportMetric(float64(took.Microseconds())/float64(changed), "µs/connection")
		})
	}
}
