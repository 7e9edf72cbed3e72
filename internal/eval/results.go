package eval

import (
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// offers is a set of what policies of equal priority do with a flow under one assignment of the
// unknown matches.
type offers uint8

const (
	nothing offers = 0
	accepts offers = 1
	denies  offers = 2
	passes  offers = 4
)

func offerOf(a policy.Action) offers {
	switch a {
	case policy.Accept:
		return accepts
	case policy.Deny:
		return denies
	}
	return passes
}

// results is a set of offers: one bit for each of the eight values, standing for all assignments
// at once. The walk over it is exact because assignments are independent.
type results uint8

func only(o offers) results { return 1 << o }

// combine joins two policies of a group: each outcome of one with each of the other.
func (r results) combine(o results) results {
	if r == only(nothing) {
		return o
	}
	var out results
	for a := offers(0); a < 8; a++ {
		if r&only(a) == 0 {
			continue
		}
		for b := offers(0); b < 8; b++ {
			if o&only(b) != 0 {
				out |= only(a | b)
			}
		}
	}
	return out
}

// goesOn tells whether some outcome leads to the next tier.
func (r results) goesOn() bool {
	const final = results(1)<<accepts | results(1)<<denies | results(1)<<(accepts|denies)
	return r&^final != 0
}

// then replaces each outcome that goes on by what the next tier makes of it.
func (r results) then(next results) results {
	var out results
	for a := offers(0); a < 8; a++ {
		switch {
		case r&only(a) == 0:
		case a == nothing || a&passes != 0:
			out |= only(a &^ passes).combine(next)
		default:
			out |= only(a)
		}
	}
	return out
}

// verdict reads the final results (no outcome goes on).
func (r results) verdict() flow.Verdict {
	switch r {
	case only(accepts):
		return flow.Allowed
	case only(denies):
		return flow.Denied
	case only(accepts | denies):
		return flow.Ambiguous
	}
	return flow.Unknown
}
