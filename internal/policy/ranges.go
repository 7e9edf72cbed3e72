package policy

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// ranges lists the block's addresses as disjoint ranges.
func (b *Block) ranges() []addrRange {
	if !b.CIDR.IsValid() {
		return nil
	}
	holes := make([]addrRange, 0, len(b.Except))
	for _, e := range b.Except {
		holes = append(holes, rangeOf(e))
	}
	holes = mergeAddrs(holes)
	rest := rangeOf(b.CIDR)
	var out []addrRange
	for _, h := range holes {
		if h.last.Less(rest.first) || rest.last.Less(h.first) {
			continue
		}
		if rest.first.Less(h.first) {
			out = append(out, addrRange{rest.first, h.first.Prev()})
		}
		if !h.last.Less(rest.last) {
			return out
		}
		rest.first = h.last.Next()
	}
	return append(out, rest)
}

func rangeOf(p netip.Prefix) addrRange {
	r := netipx.RangeOfPrefix(p)
	return addrRange{r.From(), r.To()}
}

// mergeAddrs sorts ranges and joins those that touch or overlap.
func mergeAddrs(rs []addrRange) []addrRange {
	slices.SortFunc(rs, func(a, b addrRange) int { return a.first.Compare(b.first) })
	var out []addrRange
	for _, r := range rs {
		n := len(out)
		if n > 0 && sameFamily(out[n-1].last, r.first) && (r.first.Compare(out[n-1].last) <= 0 || out[n-1].last.Next() == r.first) {
			if out[n-1].last.Less(r.last) {
				out[n-1].last = r.last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

func sameFamily(a, b netip.Addr) bool { return a.BitLen() == b.BitLen() }
