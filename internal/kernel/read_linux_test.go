package kernel

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/program"
)

// TestElementThatDoesMore: an element that somebody writes anew with a limit is there, and beyond the limit it is as if it were
// not: an exception that is closed would open. nft 1.0.6 cannot do that, another program can.
func TestElementThatDoesMore(t *testing.T) {
	ns, table := oneElement(t)
	for _, everything := range []bool{true, false} {
		limited(t, ns)
		heals(t, table, everything)
	}
}

// TestOneMore: on a kernel that counts elements, one that somebody adds is seen without reading them all; on others it is
// where they are.
func TestOneMore(t *testing.T) {
	ns, table := oneElement(t)
	b := the.Next()
	others(t, ns, elementMessages(set, 0, unix.NFT_MSG_NEWSETELEM, netlink.Create, []program.Element{{First: b, Last: b}}))
	got, err := readContents(table.c, func(*object) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	heals(t, table, !got.sets[set.name].counted)
}

// the address that the set of oneElement has.
var the, set = netip.MustParseAddr("10.0.0.1"), &object{name: "s", key: program.KeyIPv4}

// oneElement applies a table with a set of one address.
func oneElement(t *testing.T) (*netns.Namespace, *Table) {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Open(ns.FD(), Features{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(table.Close(), ns.Close()); err != nil {
			t.Error(err)
		}
	})
	p := with(output(program.Rule{Match: program.Destination4, Set: set.name, Verdict: closed}),
		program.Set{Name: set.name, Key: set.key, Elements: []program.Element{{First: the, Last: the}}})
	p.Chains = append(p.Chains, program.Chain{Name: closed.Chain})
	if _, err := table.Apply(&p); err != nil {
		t.Fatal(err)
	}
	return ns, table
}

// heals wants something to be found, and nothing after that.
func heals(t *testing.T, table *Table, everything bool) {
	t.Helper()
	if found, err := table.Heal(everything); err != nil || len(found) == 0 {
		t.Errorf("everything %v: found %q, %v", everything, found, err)
	}
	if found, err := table.Heal(true); err != nil || len(found) > 0 {
		t.Errorf("after that %q, %v", found, err)
	}
}

// limited writes the only element anew, with a limit of one packet a day.
func limited(t *testing.T, ns *netns.Namespace) {
	t.Helper()
	limit, err := expr.Marshal(unix.NFPROTO_INET, &expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeDay})
	if err != nil {
		t.Fatal(err)
	}
	w := start()
	w.text(unix.NFTA_SET_ELEM_LIST_SET, set.name)
	at := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	in := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, the.AsSlice())
	w.attribute(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_EXPR, limit)
	w.close(in)
	w.close(at)
	list := elementMessages(set, 0, unix.NFT_MSG_DELSETELEM, 0, []program.Element{{First: the, Last: the}})
	others(t, ns, append(list, message(unix.NFT_MSG_NEWSETELEM, netlink.Create, w)))
}

// others commits something by another socket than the table's.
func others(t *testing.T, ns *netns.Namespace, list []netlink.Message) {
	t.Helper()
	c, err := dial(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(commit(c, list), c.Close()); err != nil {
		t.Fatal(err)
	}
}
