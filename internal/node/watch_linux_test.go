package node_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/node"
)

// patience bounds how long a test waits for what should come at once.
const patience = 10 * time.Second

// hear waits for a word of a Watch.
func hear(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case _, ok := <-c:
		if !ok {
			t.Fatalf("%s: the watch ended", what)
		}
	case <-time.After(patience):
		t.Fatalf("%s: nothing is heard", what)
	}
}

// listen opens the socket that Watch listens to.
func (m *machine) listen() *nl.NetlinkSocket {
	m.t.Helper()
	c, err := node.Listen(m.ns.FD())
	m.must(err)
	m.t.Cleanup(c.Close)
	second := unix.NsecToTimeval(int64(time.Second))
	m.must(c.SetReceiveTimeout(&second))
	return c
}

// TestWatchHears: every sort of change is heard, in each family.
func TestWatchHears(t *testing.T) {
	m := newMachine(t)
	c := m.listen()
	w, err := node.Watch(t.Context(), m.ns.FD())
	m.must(err)
	br := m.bridge("br0", "10.1.0.1/24", "fd00::1/64")
	m.route("10.2.0.0/24", br, "", 0)
	m.route("fd00:2::/64", br, "", 0)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		m.rule(func(r *netlink.Rule) { r.Family, r.Priority, r.Table = family, 100, 7 })
	}
	m.must(m.NeighAdd(&netlink.Neigh{LinkIndex: br.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.IPv4(10, 1, 0, 5), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 5}}))
	hears(t, c, sort{unix.RTM_NEWLINK, 0}, sort{unix.RTM_NEWADDR, unix.AF_INET}, sort{unix.RTM_NEWADDR, unix.AF_INET6},
		sort{unix.RTM_NEWROUTE, unix.AF_INET}, sort{unix.RTM_NEWROUTE, unix.AF_INET6}, sort{unix.RTM_NEWRULE, unix.AF_INET}, sort{unix.RTM_NEWRULE, unix.AF_INET6},
		sort{unix.RTM_NEWNEIGH, unix.AF_INET})
	m.must(m.LinkDel(br))
	hears(t, c, sort{unix.RTM_DELLINK, 0}, sort{unix.RTM_DELADDR, unix.AF_INET}, sort{unix.RTM_DELADDR, unix.AF_INET6})
	hear(t, "all that", w)
}

// sort is the type of a message of the kernel, and the family that it is about.
type sort struct {
	kind   uint16
	family byte
}

// hears waits until messages of each sort that count were heard.
func hears(t *testing.T, c *nl.NetlinkSocket, sorts ...sort) {
	t.Helper()
	missing := map[sort]bool{}
	for _, s := range sorts {
		missing[s] = true
	}
	for end := time.Now().Add(patience); len(missing) > 0; {
		messages, _, err := c.Receive()
		if time.Now().After(end) || err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("%v, and of type and family %v nothing is heard", err, missing)
		}
		for _, x := range messages {
			if node.Counts(x) {
				delete(missing, sort{x.Header.Type, x.Data[0]})
			}
		}
	}
}

// TestWatchNeighbours: what the kernel hears of neighbours, and a bridge of its ports, is not worth a word; what somebody wrote down is.
func TestWatchNeighbours(t *testing.T) {
	m := newMachine(t)
	br, port := m.bridge("br0", "10.1.0.1/24"), m.veth("veth0")
	m.must(m.LinkSetMaster(port, br))
	c := m.listen()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 5}
	for _, state := range []int{netlink.NUD_INCOMPLETE, netlink.NUD_REACHABLE, netlink.NUD_STALE, netlink.NUD_FAILED} {
		m.must(m.NeighSet(&netlink.Neigh{LinkIndex: br.Attrs().Index, State: state, IP: net.IPv4(10, 1, 0, 5), HardwareAddr: mac}))
	}
	m.must(m.NeighSet(&netlink.Neigh{Family: unix.AF_BRIDGE, LinkIndex: port.Attrs().Index, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_MASTER, HardwareAddr: mac}))
	written := &netlink.Neigh{LinkIndex: br.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.IPv4(10, 1, 0, 6), HardwareAddr: mac}
	m.must(m.NeighAdd(written))
	m.must(m.NeighDel(written))
	m.must(m.LinkSetAlias(br, "the last change"))
	heard, worth := map[byte]int{}, 0 // by family; of those that were written down
	for last := false; !last; {
		messages, _, err := c.Receive()
		m.must(err)
		for _, x := range messages {
			neighbour := x.Header.Type == unix.RTM_NEWNEIGH || x.Header.Type == unix.RTM_DELNEIGH
			if neighbour {
				heard[x.Data[0]]++
			}
			switch counts := node.Counts(x); {
			case neighbour && counts && bytes.Contains(x.Data, []byte{10, 1, 0, 6}):
				worth++
			case neighbour == counts:
				t.Errorf("message of type %d: counts is %v", x.Header.Type, counts)
			}
			last = last || bytes.Contains(x.Data, []byte("the last change"))
		}
	}
	if worth != 2 {
		t.Errorf("of a neighbour that is written down and goes %d words count", worth)
	}
	if heard[unix.AF_INET] < 5 || heard[unix.AF_BRIDGE] == 0 {
		t.Errorf("few words of neighbours were heard, by family %v: the test is of nothing", heard)
	}
}

// TestWatchGathers: many changes are few words, however fast they are heard, and the last one is among what was said.
func TestWatchGathers(t *testing.T) {
	m := newMachine(t)
	w, err := node.Watch(t.Context(), m.ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	start, done := time.Now(), make(chan int)
	stop := make(chan struct{})
	go func() {
		words := 0
		for {
			select {
			case <-w:
				words++
			case <-stop:
				done <- words
				return
			}
		}
	}()
	br := m.bridge("br0")
	for range 1000 {
		m.must(m.LinkSetDown(br))
		m.must(m.LinkSetUp(br))
	}
	close(stop)
	words := <-done
	if most := int(time.Since(start)/node.Gap) + 2; words == 0 || words > most {
		t.Errorf("%d words of 2,000 changes, and %d are the most", words, most)
	}
	m.must(m.LinkSetDown(br))
	hear(t, "the last change", w)
}

// broken is a socket on which things go wrong, one after the other.
type broken struct {
	mu      sync.Mutex
	errs    []error
	timeout time.Duration
	closed  chan struct{}
	once    sync.Once
}

func (b *broken) Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.errs) > 0 {
		err := b.errs[0]
		b.errs = b.errs[1:]
		return nil, nil, err
	}
	if b.timeout > 0 {
		return nil, nil, unix.EAGAIN
	}
	<-b.closed
	return nil, nil, os.ErrClosed
}

func (b *broken) SetReceiveTimeout(tv *unix.Timeval) error {
	b.timeout = time.Duration(tv.Nano())
	return nil
}

func (b *broken) Close() { b.once.Do(func() { close(b.closed) }) }

// TestWatchMisses: where words were lost it says that something changed, and goes on; where the socket breaks it ends.
func TestWatchMisses(t *testing.T) {
	for _, c := range []struct {
		errs  []error
		words int
		ends  bool
	}{
		{[]error{unix.EINTR, unix.EAGAIN}, 0, false},
		{[]error{unix.ENOBUFS}, 1, false},
		{[]error{unix.EINTR, unix.ENOBUFS, unix.EINTR}, 1, false},
		{[]error{errors.New("broken")}, 0, true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		b := &broken{errs: c.errs, closed: make(chan struct{})}
		w := node.Tell(ctx, b)
		for range c.words {
			hear(t, "a loss", w)
		}
		if !c.ends {
			cancel()
		}
		select {
		case _, more := <-w:
			if more {
				t.Errorf("%v: it says more than %d words", c.errs, c.words)
			}
		case <-time.After(patience):
			t.Errorf("%v: it does not end", c.errs)
		}
		<-b.closed
		cancel()
	}
}

// TestWatchOverrun: a real socket that is too small for what happens.
func TestWatchOverrun(t *testing.T) {
	m := newMachine(t)
	br := m.bridge("br0")
	c := m.listen()
	m.must(c.SetReceiveBufferSize(4096, false))
	for range 100 {
		m.must(m.LinkSetDown(br))
		m.must(m.LinkSetUp(br))
	}
	w := node.Tell(t.Context(), c)
	hear(t, "an overrun", w)
	for quiet := false; !quiet; { // what was left in the socket
		select {
		case <-w:
		case <-time.After(200 * time.Millisecond):
			quiet = true
		}
	}
	m.must(m.LinkSetDown(br))
	hear(t, "after an overrun", w)
}

// watching counts the goroutines that watch, and the files that the process has open.
func (m *machine) watching() (goroutines, files int) {
	m.t.Helper()
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	list, err := os.ReadDir("/proc/self/fd")
	m.must(err)
	return bytes.Count(stacks, []byte("internal/node.tell(")), len(list)
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("it is not so that %s", what)
		}
	}
}

// TestWatchEnds: when the context ends nothing of it is left: no goroutine, and no file descriptor.
func TestWatchEnds(t *testing.T) {
	m := newMachine(t)
	until(t, "other tests have ended", func() bool { n, _ := m.watching(); return n == 0 })
	w, err := node.Watch(t.Context(), m.ns.FD()) // so that what the runtime opens once is open
	m.must(err)
	_, before := m.watching()
	ctx, cancel := context.WithCancel(t.Context())
	var all []<-chan struct{}
	for range 50 {
		w, err := node.Watch(ctx, m.ns.FD())
		m.must(err)
		all = append(all, w)
	}
	until(t, "they run", func() bool { n, files := m.watching(); return n == 51 && files == before+50 })
	m.bridge("br0")
	cancel()
	for _, c := range all {
		for range c { // a last word may be in it
		}
	}
	until(t, "nothing is left of them", func() bool { n, files := m.watching(); return n == 1 && files == before })
	hear(t, "another watch goes on", w)
	if _, err := node.Watch(ctx, -2); err == nil {
		t.Error("a namespace that is none is watched")
	}
}
