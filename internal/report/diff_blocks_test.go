package report

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPairBlocks: the blocks hold each pair once, and besides them only ends with themselves that have no
// connection within.
func TestPairBlocks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "parties")
		single := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "alone")
		want := map[[2]int]bool{}
		var pairs [][2]int
		for from := range n {
			for to := range n {
				if (from != to || !single[from]) && rapid.IntRange(0, 3).Draw(rt, "pair") > 0 {
					want[[2]int{from, to}] = true
					pairs = append(pairs, [2]int{from, to})
				}
			}
		}
		for _, b := range pairBlocks(pairs, func(i int) bool { return single[i] }) {
			for _, from := range b.from {
				for _, to := range b.to {
					pair := [2]int{from, to}
					if !want[pair] && (from != to || !single[from]) {
						rt.Fatalf("%v is in a block, and not in %v once", pair, pairs)
					}
					delete(want, pair)
				}
			}
		}
		if len(want) > 0 {
			rt.Fatalf("%v are in no block of %v", want, pairs)
		}
	})
}

// TestPairBlocksEachOther: single pods that all reach each other are one block, and those that reach one
// other are, too.
func TestPairBlocksEachOther(t *testing.T) {
	var all, star [][2]int
	for from := range 4 {
		star = append(star, [2]int{from, 4})
		for to := range 4 {
			if from != to {
				all = append(all, [2]int{from, to})
			}
		}
	}
	alone := func(int) bool { return true }
	for _, pairs := range [][][2]int{all, star} {
		if got := pairBlocks(pairs, alone); len(got) != 1 || !slices.Equal(got[0].from, []int{0, 1, 2, 3}) {
			t.Errorf("%v are the blocks %v", pairs, got)
		}
	}
}

// TestShownBlocks: what is cut is counted.
func TestShownBlocks(t *testing.T) {
	list := slices.Repeat([]pairBlock{{from: []int{1, 2}, to: []int{3}}}, mostBlocks+3)
	if shown, more := shownBlocks(list); len(shown) != mostBlocks || more != 6 {
		t.Errorf("%d blocks shown, %d pairs more", len(shown), more)
	}
}
