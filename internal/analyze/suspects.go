package analyze

import "sallyport.dev/sallyport/internal/flow"

// suspects finds the pairs of parties between which something may have changed, without looking at the
// others: rows of decisions are shared by many cells, so each two rows are compared once.
type suspects struct {
	d        *Diff
	families []familySuspects
	odd      []bool // by party: its pods are not the same on both sides, so that everything is suspect
	equal    []uint32
	mark     []bool
	list     []int
	sameIDs  map[[2]uint32]bool // of decisions before and after
}

// familySuspects are those of one family that both sides have.
type familySuspects struct {
	family flow.Family
	sides  [2]*family
	twin   []int32    // by cell before: the cell after with the same members, or -1
	in     []*rowPair // of rows in
	byOut  []*rowPair // of rows out, by cell before; nil where the cell has no twin
}

// rowPair is a row before and one after, for the cells that have both.
type rowPair struct {
	differs []uint64 // bits, by cell before
	cells   []int32  // before
}

// noDecision is the number of a decision that the other side does not have.
const noDecision = ^uint32(0)

func newSuspects(d *Diff) *suspects {
	s := &suspects{d: d, odd: make([]bool, len(d.Parties)), mark: make([]bool, len(d.Parties)), sameIDs: map[[2]uint32]bool{}}
	s.translate()
	was, is := d.sides[before], d.sides[after]
	for party := range d.Parties {
		s.odd[party] = d.at[before][party] < 0 || d.at[after][party] < 0
	}
	for _, f := range flow.Families {
		fs := familySuspects{family: f, sides: [2]*family{was.family(f), is.family(f)}}
		if fs.sides[before] == nil || fs.sides[after] == nil {
			if fs.sides[before] != nil || fs.sides[after] != nil {
				for party := range s.odd {
					s.odd[party] = true
				}
			}
			continue
		}
		s.match(&fs)
		_, fs.byOut = s.rowPairs(&fs, fs.sides[before].out, fs.sides[after].out)
		fs.in, _ = s.rowPairs(&fs, fs.sides[before].in, fs.sides[after].in)
		s.families = append(s.families, fs)
	}
	return s
}

// translate gives, for each decision after, the number of the equal one before, or noDecision.
func (s *suspects) translate() {
	list, ids := s.d.sides[after].decisions.list, s.d.sides[before].decisions.ids
	s.equal = make([]uint32, len(list))
	for i := range list {
		id, ok := ids[list[i].key()]
		if !ok {
			id = noDecision
		}
		s.equal[i] = id
	}
}

// match finds the twins of cells. A party whose cells do not all have one is odd.
func (s *suspects) match(fs *familySuspects) {
	was, is := fs.sides[before], fs.sides[after]
	fs.twin = make([]int32, len(was.cells))
	for i := range fs.twin {
		fs.twin[i] = -1
	}
	for party := range s.d.Parties {
		if s.odd[party] {
			continue
		}
		old := s.d.sides[before].Parties[s.d.at[before][party]].cells[fs.family-1]
		now := s.d.sides[after].Parties[s.d.at[after][party]].cells[fs.family-1]
		if len(old) != len(now) {
			s.odd[party] = true
			continue
		}
		for i := range old {
			if !s.sameMembers(&was.cells[old[i]], &is.cells[now[i]]) {
				s.odd[party] = true
				break
			}
			fs.twin[old[i]] = int32(now[i])
		}
	}
}

func (s *suspects) sameMembers(was, is *cell) bool {
	if len(was.members) != len(is.members) || was.region.Prefix != is.region.Prefix {
		return false
	}
	for i, m := range was.members {
		if s.d.twin[m] != is.members[i] {
			return false
		}
	}
	return true
}

// rowPairs compares each two rows that some cell has before and after.
func (s *suspects) rowPairs(fs *familySuspects, was, is [][]uint32) (list []*rowPair, byCell []*rowPair) {
	at := map[[2]*uint32]*rowPair{}
	byCell = make([]*rowPair, len(was))
	for i, j := range fs.twin {
		if j < 0 {
			continue
		}
		key := [2]*uint32{&was[i][0], &is[j][0]}
		p, ok := at[key]
		if !ok {
			p = &rowPair{differs: s.differences(fs, was[i], is[j])}
			at[key] = p
			list = append(list, p)
		}
		p.cells = append(p.cells, int32(i))
		byCell[i] = p
	}
	return list, byCell
}

// differences marks the cells on which two rows decide differently, or may: where the decision depends on
// the very pair.
func (s *suspects) differences(fs *familySuspects, was, is []uint32) []uint64 {
	bits := make([]uint64, (len(was)+63)/64)
	for i, j := range fs.twin {
		if j >= 0 && (was[i] == perPair || is[j] == perPair || s.equal[is[j]] != was[i]) {
			bits[i/64] |= 1 << (i % 64)
		}
	}
	return bits
}

// of lists the parties to which something may have changed from a party, ascending. It is valid until
// the next call.
func (s *suspects) of(from int) []int {
	for to := range s.mark {
		s.mark[to] = s.odd[from] || s.odd[to]
	}
	s.mark[from] = true // how many pods a party has decides whether there is a pair
	for i := range s.families {
		if !s.odd[from] {
			s.markFamily(&s.families[i], from)
			s.markLayers(&s.families[i], from)
		}
	}
	s.list = s.list[:0]
	for to, suspect := range s.mark {
		if suspect {
			s.list = append(s.list, to)
		}
	}
	return s.list
}

func (s *suspects) markFamily(fs *familySuspects, from int) {
	owner := func(cell int) int { return s.d.partyBefore[fs.sides[before].cells[cell].owner] }
	for _, c := range s.d.sides[before].Parties[s.d.at[before][from]].cells[fs.family-1] {
		for i, word := range fs.byOut[c].differs {
			for bit := 0; word != 0; bit, word = bit+1, word>>1 {
				if word&1 != 0 {
					s.mark[owner(i*64+bit)] = true
				}
			}
		}
		for _, p := range fs.in {
			if p.differs[c/64]&(1<<(c%64)) == 0 {
				continue
			}
			for _, to := range p.cells {
				s.mark[owner(int(to))] = true
			}
		}
	}
}

// markLayers marks the parties to which the layers above the network say something else.
func (s *suspects) markLayers(fs *familySuspects, from int) {
	was, is := fs.sides[before], fs.sides[after]
	if was.upper == nil && is.upper == nil {
		return
	}
	external := s.d.Parties[from].External
	for _, c := range s.d.sides[before].Parties[s.d.at[before][from]].cells[fs.family-1] {
		for i, j := range fs.twin {
			to := s.d.partyBefore[was.cells[i].owner]
			if j < 0 || s.mark[to] || external && s.d.unasked(from, to) {
				continue
			}
			if !s.same(s.upperID(before, was, c, i), s.upperID(after, is, int(fs.twin[c]), int(j))) {
				s.mark[to] = true
			}
		}
	}
}

func (s *suspects) upperID(side int, fam *family, a, b int) uint32 {
	if fam.upper == nil {
		return s.d.sides[side].decisions.everything()
	}
	return fam.upper.id(a, b)
}

// same compares decisions of both sides.
func (s *suspects) same(was, is uint32) bool {
	key := [2]uint32{was, is}
	same, ok := s.sameIDs[key]
	if !ok {
		same = s.d.sides[before].decisions.list[was].key() == s.d.sides[after].decisions.list[is].key()
		s.sameIDs[key] = same
	}
	return same
}
