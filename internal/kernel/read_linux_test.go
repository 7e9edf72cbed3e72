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
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	table, err := Open(ns.FD(), Features{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(table.Close(), ns.Close()); err != nil {
			t.Error(err)
		}
	}()
	a := netip.MustParseAddr("10.0.0.1")
	p := with(output(program.Rule{Match: program.Destination4, Set: "s", Verdict: closed}), program.Set{Name: "s", Key: program.KeyIPv4, Elements: []program.Element{{First: a, Last: a}}})
	p.Chains = append(p.Chains, program.Chain{Name: closed.Chain})
	if _, err := table.Apply(&p); err != nil {
		t.Fatal(err)
	}
	for _, everything := range []bool{true, false} {
		limited(t, ns, a)
		if found, err := table.Heal(everything); err != nil || len(found) == 0 {
			t.Errorf("everything %v: found %q, %v", everything, found, err)
		}
		if found, err := table.Heal(true); err != nil || len(found) > 0 {
			t.Errorf("after that %q, %v", found, err)
		}
	}
}

// limited writes the only element of the set s anew, with a limit of one packet a day.
func limited(t *testing.T, ns *netns.Namespace, a netip.Addr) {
	t.Helper()
	c, err := dial(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	limit, err := expr.Marshal(unix.NFPROTO_INET, &expr.Limit{Type: expr.LimitTypePkts, Rate: 1, Unit: expr.LimitTimeDay})
	if err != nil {
		t.Fatal(err)
	}
	o := &object{name: "s", key: program.KeyIPv4}
	w := start()
	w.text(unix.NFTA_SET_ELEM_LIST_SET, o.name)
	at := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	in := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, a.AsSlice())
	w.attribute(unix.NLA_F_NESTED|unix.NFTA_SET_ELEM_EXPR, limit)
	w.close(in)
	w.close(at)
	list := elementMessages(o, 0, unix.NFT_MSG_DELSETELEM, 0, []program.Element{{First: a, Last: a}})
	if err := errors.Join(commit(c, append(list, message(unix.NFT_MSG_NEWSETELEM, netlink.Create, w))), c.Close()); err != nil {
		t.Fatal(err)
	}
}
