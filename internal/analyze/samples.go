package analyze

import (
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Samples gives one flow for each pair of cells of two parties, and for each case in which one end may be the other's
// own node: all others are decided like one of them. Protocol and port are not set.
func (r *Reach) Samples(from, to int) []flow.Flow {
	var out []flow.Flow
	for i := range r.families {
		fam := &r.families[i]
		for _, a := range r.Parties[from].cells[fam.family-1] {
			for _, b := range r.Parties[to].cells[fam.family-1] {
				if a != b || len(fam.cells[a].members) > 1 {
					out = append(out, r.samples(fam, a, b)...)
				}
			}
		}
	}
	return out
}

func (r *Reach) samples(fam *family, a, b int) []flow.Flow {
	ca, cb := &fam.cells[a], &fam.cells[b]
	if a == b {
		return []flow.Flow{{From: fam.end(r, ca, 0), To: fam.end(r, cb, 1), Family: fam.family}}
	}
	var out []flow.Flow
	for _, ma := range r.flavours(ca, cb) {
		for _, mb := range r.flavours(cb, ca) {
			out = append(out, flow.Flow{From: fam.end(r, ca, ma), To: fam.end(r, cb, mb), Family: fam.family})
		}
	}
	return out
}

// Pieces divides ports so that a flow gets one answer, of every layer, on each piece.
func (r *Reach) Pieces(f *flow.Flow, within netset.PortSet) []netset.Entry {
	cuts := r.m.CutsFor(f)
	if r.layers != nil {
		r.layers.AddCuts(&cuts, f)
	}
	return cuts.Pieces(within)
}
