package analyze

import (
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
)

// Target is what somebody wants to reach: a party on some ports.
type Target struct {
	Party int
	Ports netset.PortSet
}

// Access is what one party may open to a target.
type Access struct {
	From, To int
	// Verdict is allowed where every pod of From surely may, on each of Ports; partial where some may; else
	// ambiguous or unknown. Denied ones are not listed.
	Verdict string
	Ports   netset.PortSet
	// Decision is that of one flow which shows the verdict (for partial, one that is allowed, if any is).
	Decision eval.Decision
	Layers   *layers.Decision // nil where they do not speak
}

// WhoCan lists who may open connections to the targets, in the order of targets and Parties.
func (r *Reach) WhoCan(targets []Target) []Access {
	var out []Access
	for _, t := range targets {
		for from := range r.Parties {
			if r.Unasked(from, t.Party) {
				continue
			}
			if row, ok := r.Between(from, t.Party); ok {
				out = append(out, r.access(&row, t.Ports)...)
			}
		}
	}
	return out
}

func (r *Reach) access(row *Row, asked netset.PortSet) []Access {
	var out []Access
	for _, c := range []struct {
		verdict string
		ports   netset.PortSet
		shown   []flow.Verdict
	}{
		{"allowed", row.Allowed, []flow.Verdict{flow.Allowed}},
		{"partial", row.Partial, []flow.Verdict{flow.Allowed, flow.Ambiguous, flow.Unknown}},
		{"ambiguous", row.Ambiguous, []flow.Verdict{flow.Ambiguous}},
		{"unknown", row.Unknown, []flow.Verdict{flow.Unknown}},
	} {
		ports := c.ports.Intersect(asked)
		if ports.Empty() {
			continue
		}
		a := Access{From: row.From, To: row.To, Verdict: c.verdict, Ports: ports}
		e := ports.Entries()[0]
		for _, v := range c.shown {
			if f, ok := r.Witness(row, v, e.Proto, e.Range.First); ok {
				a.Decision, a.Layers = r.Decide(&f, r.Parties[row.To].service())
				break
			}
		}
		out = append(out, a)
	}
	return out
}
