package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestPickFindsTheOnlyAddressLeft(t *testing.T) {
	free := netip.MustParseAddr("10.1.255.254")
	asked := 0
	got, ok := Region{Prefix: netip.MustParsePrefix("10.0.0.0/15")}.Pick(func(a netip.Addr) bool { asked++; return a != free })
	if !ok || got != free {
		t.Errorf("picked %v %v after %d addresses", got, ok, asked)
	}
	if got, ok := (Region{Prefix: netip.MustParsePrefix("10.0.0.0/31")}).Pick(func(netip.Addr) bool { return true }); ok {
		t.Errorf("picked %v where none is left", got)
	}
	whole := Region{Prefix: netip.MustParsePrefix("::/0"), Except: []netip.Prefix{netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1")}}
	if got, ok := whole.Any(); ok {
		t.Errorf("picked %v where exceptions leave none", got)
	}
}

// TestManyRangesAreSearchedAsFew compares blocks and exceptions that are searched with the same ones
// taken one by one, at every end of each.
func TestManyRangesAreSearchedAsFew(t *testing.T) {
	cidrs := []string{"0.0.0.0/32", "0.0.0.1/32", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/15", "255.255.255.255/32", "128.0.0.0/1",
		"::/128", "::ffff:10.0.0.0/104", "fd00::/8", "fd00:1::/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"}
	var probes []netip.Addr
	for _, text := range cidrs {
		r := rangeOf(netip.MustParsePrefix(text))
		for _, a := range []netip.Addr{r.first, r.last, r.first.Prev(), r.last.Next()} {
			if a.IsValid() {
				probes = append(probes, a)
			}
		}
	}
	for _, whole := range []string{"0.0.0.0/0", "::/0", "10.0.0.0/8"} {
		many := newBlock(whole, cidrs, nil, Options{})
		if many.holes == nil {
			t.Fatal("the exceptions are not searched")
		}
		one := Block{CIDR: many.CIDR, Except: many.Except}
		for _, a := range probes {
			if many.Contains(a) != one.Contains(a) {
				t.Errorf("%s: searched, %v is %v", whole, a, many.Contains(a))
			}
		}
	}
	var peers []Peer
	for _, text := range cidrs {
		peers = append(peers, Peer{Kind: BlockPeer, Blocks: []Block{newBlock(text, nil, nil, Options{})}})
	}
	ix := newBlockIndex(peers)
	for _, a := range probes {
		linear := slices.ContainsFunc(peers, func(p Peer) bool { return p.Blocks[0].Contains(a) })
		if ix.contains(a) != linear {
			t.Errorf("%v is in one of the blocks: %v, searched: %v", a, linear, ix.contains(a))
		}
	}
}

// TestSelectorsOfManyValuesFindTheirPods holds the index against what the selector itself says.
func TestSelectorsOfManyValuesFindTheirPods(t *testing.T) {
	ix := labelIndex{byKey: map[string][]int{}, byValue: map[[2]string][]int{}}
	for i := range 9 {
		v := fmt.Sprint(i % 4)
		ix.all = append(ix.all, i)
		ix.byKey["k"] = append(ix.byKey["k"], i)
		ix.byValue[[2]string{"k", v}] = append(ix.byValue[[2]string{"k", v}], i)
	}
	for _, c := range []struct {
		values []string
		want   []int
	}{
		{[]string{"3", "1"}, []int{1, 3, 5, 7}},
		{[]string{"2", "none"}, []int{2, 6}},
		{[]string{"none"}, nil},
		{nil, nil},
	} {
		got := ix.candidates(Selector{{Key: "k", Operator: "In", Values: c.values}})
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}
