package kernel_test

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/program"
)

// faulty is a socket to the real kernel on which things go wrong.
type faulty struct {
	kernel.Conn
	fault func() fault // of the next call
	limit int          // bytes of a batch, where not 0

	batches int    // that arrived
	refused bool   // what the kernel says next
	pretend uint32 // the message that it says it has done, where not 0
}

type fault int

const (
	none          fault = iota
	unsent              // the message does not get to the kernel, and the caller knows
	sentAndLost         // it does, and the caller hears an error
	interrupted         // EINTR instead of an answer, which comes later or never
	overrun             // ENOBUFS instead of an answer: the kernel dropped it
	silent              // no answer
	dumpChanged         // every message says that a dump was interrupted
	cutShort            // a dump ends in its middle
	refusedByFull       // the kernel says that there is no space
	pretended           // it says that it did it, and did not, as some of distributions have done
	faults
)

func (f *faulty) SendMessages(list []netlink.Message) ([]netlink.Message, error) {
	size := 0
	for _, m := range list {
		size += len(m.Data) + unix.NLMSG_HDRLEN
	}
	if f.limit > 0 && size > f.limit {
		return nil, &netlink.OpError{Op: "send-messages", Err: unix.EMSGSIZE}
	}
	now := f.fault()
	switch now {
	case unsent:
		return nil, &netlink.OpError{Op: "send-messages", Err: unix.ENOBUFS}
	case refusedByFull:
		f.refused = true
		return list, nil
	case pretended:
		f.pretend = 1
		list[len(list)-2].Header.Sequence = f.pretend
		return list, nil
	}
	f.batches++
	out, err := f.Conn.SendMessages(list)
	if now == sentAndLost && err == nil {
		return nil, &netlink.OpError{Op: "send-messages", Err: unix.ENOBUFS}
	}
	return out, err
}

func (f *faulty) Send(m netlink.Message) (netlink.Message, error) {
	if f.fault() == unsent {
		return m, &netlink.OpError{Op: "send", Err: unix.ENOBUFS}
	}
	return f.Conn.Send(m)
}

func (f *faulty) ReceiveIter() iter.Seq2[netlink.Message, error] {
	now := f.fault()
	bad := map[fault]error{interrupted: unix.EINTR, overrun: unix.ENOBUFS, silent: os.ErrDeadlineExceeded}[now]
	if f.refused {
		f.refused, bad = false, unix.ENOSPC
	}
	if bad != nil {
		return func(yield func(netlink.Message, error) bool) {
			yield(netlink.Message{}, &netlink.OpError{Op: "receive", Err: bad})
		}
	}
	if f.pretend != 0 {
		done := netlink.Message{Header: netlink.Header{Type: netlink.Error, Sequence: f.pretend}, Data: make([]byte, 4)}
		f.pretend = 0
		return func(yield func(netlink.Message, error) bool) { yield(done, nil) }
	}
	return func(yield func(netlink.Message, error) bool) {
		n := 0
		for m, err := range f.Conn.ReceiveIter() {
			if now == dumpChanged {
				m.Header.Flags |= netlink.DumpInterrupted
			}
			if n++; now == cutShort && n > 2 {
				yield(netlink.Message{}, &netlink.OpError{Op: "receive", Err: unix.EINTR})
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// TestFaults: whatever goes wrong on the way, the kernel has one of the programs as a whole, the new one where Apply said so, and
// once nothing goes wrong any more the next Apply brings it there.
func TestFaults(t *testing.T) {
	for _, owner := range []bool{false, true} {
		t.Run(fmt.Sprint("owner ", owner), func(t *testing.T) {
			ns := netnstest.New(t)
			failed, worked := 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				var next fault
				when, times := 0, 0 // after so many calls, and how often
				plan := func() fault {
					if when--; when > 0 || when <= -times {
						return none
					}
					return next
				}
				table, err := kernel.OpenWith(func() (kernel.Conn, error) {
					c, err := kernel.Dial(ns.FD())
					return &faulty{Conn: c, fault: plan}, err
				}, kernel.Features{Owner: owner})
				if err != nil {
					rt.Fatal(err)
				}
				defer func() { _ = table.Close() }() // it may have lost its socket
				before := read(rt, ns)
				for range rapid.IntRange(1, 4).Draw(rt, "changes") {
					p := draw(rt)
					next, when = fault(rapid.IntRange(1, int(faults)-1).Draw(rt, "fault")), rapid.IntRange(1, 40).Draw(rt, "call")
					times = rapid.SampledFrom([]int{1, 1, 2, 5, 100}).Draw(rt, "times")
					_, err := table.Apply(p)
					now := read(rt, ns)
					switch {
					case err == nil && !equal(now, p):
						rt.Fatalf("Apply said that it worked: %s", cmp.Diff(p, now, compareAddr))
					case err != nil && !equal(inForce(now), inForce(before)) && !equal(inForce(now), inForce(p)):
						rt.Fatalf("after %v the kernel has neither: %s", err, cmp.Diff(p, now, compareAddr))
					}
					if before = now; err == nil {
						worked++
					} else {
						failed++
					}
					when, times = rapid.IntRange(1, 40).Draw(rt, "call"), rapid.IntRange(0, 5).Draw(rt, "times")
					if rapid.Bool().Draw(rt, "heal") {
						if found, err := table.Heal(rapid.Bool().Draw(rt, "everything")); err == nil && len(found) > 0 {
							rt.Fatalf("healed what nobody changed: %q", found)
						}
						if healed := read(rt, ns); !equal(inForce(healed), inForce(now)) {
							rt.Fatalf("Heal changed a table that nobody else did")
						}
					}
				}
				times = 0
				last := draw(rt)
				apply(rt, table, last)
				same(rt, ns, last)
			})
			if failed < 10 || worked < 10 {
				t.Errorf("%d changes failed and %d worked: too few to tell", failed, worked)
			}
		})
	}
}

// read gives what the kernel has, by a socket on which nothing goes wrong.
func read(t rapid.TB, ns *netns.Namespace) *program.Program {
	t.Helper()
	p, foreign, err := kernel.Read(ns.FD())
	if err != nil || len(foreign) > 0 {
		t.Fatal(err, foreign)
	}
	return p
}

// inForce leaves out the chains and sets that nothing leads to: what is removed after a change may stay where removing it fails.
func inForce(p *program.Program) *program.Program {
	if p == nil {
		return nil
	}
	sets, chains := map[string]bool{}, map[string]bool{}
	var visit func(c *program.Chain)
	follow := func(v program.Verdict) {
		for i := range p.Chains {
			if c := &p.Chains[i]; c.Name == v.Chain && !chains[c.Name] {
				visit(c)
			}
		}
	}
	visit = func(c *program.Chain) {
		chains[c.Name] = true
		for _, r := range c.Rules {
			sets[r.Set], sets[r.Map] = true, true
			follow(r.Verdict)
			for i := range p.Maps {
				if p.Maps[i].Name != r.Map {
					continue
				}
				for _, e := range p.Maps[i].Elements {
					follow(e.Verdict)
				}
			}
		}
	}
	for i := range p.Chains {
		if p.Chains[i].Hook != 0 {
			visit(&p.Chains[i])
		}
	}
	return &program.Program{
		Sets:   slices.DeleteFunc(slices.Clone(p.Sets), func(s program.Set) bool { return !sets[s.Name] }),
		Maps:   slices.DeleteFunc(slices.Clone(p.Maps), func(m program.Map) bool { return !sets[m.Name] }),
		Chains: slices.DeleteFunc(slices.Clone(p.Chains), func(c program.Chain) bool { return !chains[c.Name] }),
	}
}

// equal compares what a kernel can have of programs: of notes it knows nothing.
func equal(a, b *program.Program) bool {
	if a == nil || b == nil {
		return a == b
	}
	sets := func(x, y program.Set) bool {
		return x.Name == y.Name && x.Key == y.Key && slices.Equal(x.Elements, y.Elements)
	}
	maps := func(x, y program.Map) bool {
		return x.Name == y.Name && x.Key == y.Key && x.Interval == y.Interval && slices.Equal(x.Elements, y.Elements)
	}
	chains := func(x, y program.Chain) bool {
		return x.Name == y.Name && x.Hook == y.Hook && slices.Equal(x.Rules, y.Rules)
	}
	return slices.EqualFunc(a.Sets, b.Sets, sets) && slices.EqualFunc(a.Maps, b.Maps, maps) && slices.EqualFunc(a.Chains, b.Chains, chains)
}

// TestPretended: that a kernel did nothing is seen even where nothing was added that could be looked up.
func TestPretended(t *testing.T) {
	ns, next := netnstest.New(t), none
	table, err := kernel.OpenWith(func() (kernel.Conn, error) {
		c, err := kernel.Dial(ns.FD())
		return &faulty{Conn: c, fault: func() fault {
			now := next
			next = none
			return now
		}}, err
	}, kernel.Features{})
	if err != nil {
		t.Fatal(err)
	}
	p := sample()
	p.Chains = append(p.Chains, program.Chain{Name: "unused"})
	apply(t, table, p)
	next = pretended
	if c := apply(t, table, sample()); c.Instead == nil {
		t.Error("it was not seen")
	}
	same(t, ns, sample())
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

// TestSmallBuffer: a table that does not fit into one message is built in parts, of which the last alone changes anything, and
// nothing stays of one that cannot be finished. A difference that does not fit is refused, and the table stays.
func TestSmallBuffer(t *testing.T) {
	big := large(40_000)
	ns := netnstest.New(t)
	stop, f := 0, &faulty{limit: 400_000}
	f.fault = func() fault {
		if stop > 0 && f.batches >= stop {
			return unsent
		}
		return none
	}
	table, err := kernel.OpenWith(func() (kernel.Conn, error) {
		var err error
		f.Conn, err = kernel.Dial(ns.FD())
		return f, err
	}, kernel.Features{Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Apply(big); err != nil || f.batches < 3 {
		t.Fatalf("%v after %d parts", err, f.batches)
	}
	same(t, ns, big)
	small := large(3)
	apply(t, table, small)
	if _, err := table.Apply(big); !errors.Is(err, kernel.ErrTooLarge) {
		t.Errorf("a difference that is too large: %v", err)
	}
	same(t, ns, small)
	if c := apply(t, table, large(200)); c.Everything {
		t.Error("it was thought that there is room for what was refused")
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := kernel.Uninstall(ns.FD()); err != nil {
		t.Fatal(err)
	}
	if table, err = kernel.OpenWith(func() (kernel.Conn, error) { f.Conn, err = kernel.Dial(ns.FD()); return f, err }, kernel.Features{Owner: true}); err != nil {
		t.Fatal(err)
	}
	f.batches, stop = 0, 3 // two parts arrive, and nothing after them
	if _, err := table.Apply(big); err == nil {
		t.Error("it worked, though parts got lost")
	}
	if p := read(t, ns); p != nil && len(p.Chains) > 0 {
		for _, c := range p.Chains {
			if c.Hook != 0 {
				t.Errorf("chain %s is asked about packets, though the table was not finished", c.Name)
			}
		}
	}
	stop = 0
	apply(t, table, small)
	same(t, ns, small)
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

// busy is a socket whose kernel somebody else changes in the middle of a question of several messages.
type busy struct {
	kernel.Conn
	before int    // the message in front of which it happens
	change func() // nil once it has happened
}

func (b *busy) Send(m netlink.Message) (netlink.Message, error) {
	if int(m.Header.Type)&0xff == b.before && b.change != nil {
		change := b.change
		b.change = nil
		change()
	}
	return b.Conn.Send(m)
}

// TestChangedWhileRead: what is made or goes while the table is read is no error: it is read once more, and healed.
func TestChangedWhileRead(t *testing.T) {
	netnstest.NeedNft(t)
	for _, c := range []struct {
		before       int
		script, want string
	}{
		{unix.NFT_MSG_GETRULE, "add chain inet sallyport other; add rule inet sallyport other accept", "chain other is not ours"},
		{unix.NFT_MSG_GETSETELEM, "flush chain inet sallyport forward; delete map inet sallyport net", "set net is gone"},
		{unix.NFT_MSG_GETSETELEM, "delete table inet sallyport", "the last look failed"},
	} {
		ns, p, b := netnstest.New(t), sample(), &busy{before: c.before}
		table, err := kernel.OpenWith(func() (kernel.Conn, error) {
			var err error
			b.Conn, err = kernel.Dial(ns.FD())
			return b, err
		}, kernel.Features{})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, table, p)
		b.change = func() { nft(t, ns, c.script, "-f", "-") }
		found, err := table.Heal(true)
		if err != nil { // once it is gone nothing can be asked any more, and the next one writes it
			found, err = table.Heal(false)
		}
		if err != nil || !strings.Contains(strings.Join(found, "; "), c.want) {
			t.Errorf("%s: found %q, %v; it should be %q", c.script, found, err, c.want)
		}
		same(t, ns, p)
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		if found, err := table.Heal(true); err != nil || len(found) > 0 {
			t.Errorf("once it is closed it still heals: %q, %v", found, err)
		}
	}
}
