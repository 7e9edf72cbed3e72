package analyze

import "sallyport.dev/sallyport/internal/netset"

// Step is a party that can be reached from a start over others, by a shortest path.
type Step struct {
	Party int
	Via   int // the party before it on the path
	Depth int // number of connections from the start, 1 or more
	Ports netset.PortSet
	// Sure: every connection on the path is surely open for all pods of its source. Otherwise one of
	// them depends on something that is not known, or is open for some pods only.
	Sure bool
}

// Spread gives what somebody who holds a party's pods can reach step by step, opening connections from
// whatever was reached. What is surely reached comes first, by shortest sure paths; then what may be
// reached besides. Parties outside are reached, but nothing is opened from them.
func (r *Reach) Spread(start int) []Step {
	s := &spreading{r: r, depth: map[int]int{start: 0}, layers: [][]int{{start}}}
	s.run(true)
	s.run(false)
	return s.steps
}

// spreading is a search by layers: parties at the same depth.
type spreading struct {
	r      *Reach
	depth  map[int]int
	layers [][]int
	steps  []Step
}

func (s *spreading) run(sure bool) {
	for d := 0; d < len(s.layers); d++ {
		for i := 0; i < len(s.layers[d]); i++ {
			s.from(s.layers[d][i], d, sure)
		}
	}
}

func (s *spreading) from(party, d int, sure bool) {
	if s.r.Parties[party].External {
		return
	}
	s.r.EachFrom(party, false, func(row *Row) bool {
		ports := row.Allowed
		if !sure {
			ports = row.Open().Union(row.Partial)
		}
		if _, seen := s.depth[row.To]; seen || ports.Empty() {
			return true
		}
		s.depth[row.To] = d + 1
		if d+1 == len(s.layers) {
			s.layers = append(s.layers, nil)
		}
		s.layers[d+1] = append(s.layers[d+1], row.To)
		s.steps = append(s.steps, Step{Party: row.To, Via: party, Depth: d + 1, Ports: ports, Sure: sure})
		return true
	})
}

// Path gives the steps from the start to a party, in order; nil if it is not among the steps.
func Path(steps []Step, party int) []Step {
	at := map[int]Step{}
	for _, s := range steps {
		at[s.Party] = s
	}
	var path []Step
	for s, ok := at[party]; ok; s, ok = at[s.Via] {
		path = append([]Step{s}, path...)
	}
	return path
}
