package report

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// pairBlock is a set of pairs: each of from with each of to.
type pairBlock struct{ from, to []int }

// pairBlocks writes pairs as few blocks: by the sources that share destinations, or the other way round.
// Where alone holds of a party, there is no connection within it, so that a block may seem to hold one.
func pairBlocks(pairs [][2]int, alone func(int) bool) []pairBlock {
	bySource, byDestination := blocksBy(pairs, 0, alone), blocksBy(pairs, 1, alone)
	if len(byDestination) < len(bySource) {
		for i := range byDestination {
			byDestination[i] = pairBlock{byDestination[i].to, byDestination[i].from}
		}
		return byDestination
	}
	return bySource
}

// mostBlocks is how many blocks are shown of pairs that have all else in common.
const mostBlocks = 20

// shownBlocks cuts a list of blocks, and counts the pairs that are not shown.
func shownBlocks(list []pairBlock) (shown []pairBlock, more int) {
	if len(list) <= mostBlocks {
		return list, 0
	}
	for _, b := range list[mostBlocks:] {
		more += len(b.from) * len(b.to)
	}
	return list[:mostBlocks], more
}

// blocksBy joins those ends on one side (0 for sources) that have the same others; they are given as from.
func blocksBy(pairs [][2]int, side int, alone func(int) bool) []pairBlock {
	others := map[int][]int{}
	var order []int
	for _, p := range pairs {
		if others[p[side]] == nil {
			order = append(order, p[side])
		}
		others[p[side]] = append(others[p[side]], p[1-side])
	}
	slices.Sort(order)
	plain, closed := map[setKey]int{}, map[setKey]int{}
	for _, end := range order {
		slices.Sort(others[end])
		plain[keyOf(others[end])]++
		closed[keyOf(withSelf(others[end], end, alone))]++
	}
	at := map[setKey]int{}
	var out []pairBlock
	for _, end := range order {
		to := others[end]
		if all := withSelf(to, end, alone); closed[keyOf(all)] > plain[keyOf(to)] {
			to = all
		}
		key := keyOf(to)
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, pairBlock{to: to})
		}
		out[i].from = append(out[i].from, end)
	}
	for i := range out {
		if b := &out[i]; len(b.from) == 1 {
			b.to = others[b.from[0]]
		}
	}
	return out
}

// withSelf adds an end to the others that it has, where it has no connection with itself.
func withSelf(others []int, end int, alone func(int) bool) []int {
	at, has := slices.BinarySearch(others, end)
	if has || !alone(end) {
		return others
	}
	return slices.Insert(slices.Clone(others), at, end)
}

// setKey stands for a sorted set.
type setKey [sha256.Size]byte

func keyOf(set []int) setKey {
	var b []byte
	for _, x := range set {
		b = binary.AppendUvarint(b, uint64(x))
	}
	return sha256.Sum256(b)
}
