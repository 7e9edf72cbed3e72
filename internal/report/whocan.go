package report

import (
	"fmt"
	"io"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/names"
)

// WhoCanOptions choose how who-can is printed.
type WhoCanOptions struct {
	To    string // as resolved
	Asked string // the port as asked
	Notes []string
	// Outside: what is asked about lies outside the cluster itself.
	Outside bool
}

// WhoCan prints who may open connections to something, grouped by the rules that let them.
func WhoCan(w io.Writer, r *analyze.Reach, list []analyze.Access, o WhoCanOptions) error {
	var b page
	b.line("%s  %s", names.Safe(o.To), names.Safe(o.Asked))
	b.line("%s", accessSummary(r, list, o.Outside))
	for _, g := range accessGroups(r, list) {
		b.accessGroup(r, g)
	}
	return b.flush(w, o.Notes)
}

// accessSummary counts who can and who may.
func accessSummary(r *analyze.Reach, list []analyze.Access, toOutside bool) string {
	can, may, external := map[int]bool{}, map[int]bool{}, false
	for _, a := range list {
		switch {
		case r.Parties[a.From].External:
			external = true
		case a.Verdict == "allowed" || a.Verdict == "partial":
			can[a.From] = true
		default:
			may[a.From] = true
		}
	}
	for party := range can {
		delete(may, party)
	}
	text := plural(len(can), "workload", "workloads") + " can open a connection"
	if len(may) > 0 {
		text += fmt.Sprintf(", %d more may: it depends on what is not known", len(may))
	}
	switch {
	case external:
		text += "; outside is listed too"
	case !toOutside:
		text += "; nothing outside can"
	}
	return text
}

// accessGroup is a set of accesses with the same verdict, destination, ports and rules.
type accessGroup struct {
	from  []int
	first *analyze.Access
}

func accessGroups(r *analyze.Reach, list []analyze.Access) []*accessGroup {
	at := map[string]*accessGroup{}
	var out []*accessGroup
	for i := range list {
		a := &list[i]
		d := &a.Decision
		key := fmt.Sprint(a.Verdict, a.To, a.Ports, d.Egress.Reason, d.Egress.Rule, d.Ingress.Reason, d.Ingress.Rule, r.Parties[a.From].External)
		if a.Layers != nil {
			key += fmt.Sprint(a.Layers.Steps, a.Layers.Services, a.Layers.Audit)
		}
		g, ok := at[key]
		if !ok {
			g = &accessGroup{first: a}
			at[key] = g
			out = append(out, g)
		}
		g.from = append(g.from, a.From)
	}
	return out
}

func (b *page) accessGroup(r *analyze.Reach, g *accessGroup) {
	b.line("")
	b.line("  %s", strings.ReplaceAll(partiesWords(r.Parties, g.from, "\n"), "\n", "\n  "))
	text := "on " + g.first.Ports.String()
	if g.first.Verdict != flow.Allowed.String() {
		text += " (" + g.first.Verdict + ")"
	}
	b.line("    → %s  %s", names.Safe(r.Parties[g.first.To].Name), text)
	d := &g.first.Decision
	if g.first.Layers == nil && d.Verdict != flow.Allowed {
		b.line("    check says why")
		return
	}
	if g.first.Layers == nil {
		b.line("    egress   %s", reasonWords(&d.Egress, d.Flow.From.Kind))
		b.line("    ingress  %s", reasonWords(&d.Ingress, d.Flow.To.Kind))
		return
	}
	if text := shownWords(r, g.first); text != "" {
		b.line("    shown for %s", text)
	}
	b.accessSide(&d.Egress, d.Flow.From.Kind)
	b.accessSide(&d.Ingress, d.Flow.To.Kind)
	b.layersText("    ", r.Model().Snapshot(), g.first.Layers)
}

// shownWords names the one connection whose layers are shown, where the access is more than that.
func shownWords(r *analyze.Reach, a *analyze.Access) string {
	f := witnessOf(r.Model().Snapshot(), &a.Decision.Flow)
	e := a.Ports.Entries()
	switch onePort := len(e) == 1 && e[0].Range.First == e[0].Range.Last; {
	case r.Parties[a.From].Stranger && a.Layers.Steps[layers.ExternalFirewall].Reason == layers.IPRule:
		return f.From + "  " + f.Port + ": other addresses may be admitted by other rules"
	case a.Verdict == "partial":
		return names.Safe(f.From+" → "+f.To) + "  " + f.Port + ": not every pod and address is answered like that, check tells them apart"
	case !onePort:
		return f.Port + ": other ports may be decided by others"
	}
	return ""
}

// accessSide prints a direction in line with the layers.
func (b *page) accessSide(d *eval.Direction, kind flow.Kind) {
	why := "check says why"
	if d.Verdict == flow.Allowed {
		why = reasonWords(d, kind)
	}
	b.line("    %-*s  %-7s  %s", layerWidth, d.Direction, d.Verdict, why)
}

type whoCanJSON struct {
	Schema  string       `json:"schema"`
	To      string       `json:"to"`
	Asked   string       `json:"asked"`
	Sources []accessJSON `json:"sources"`
	Notes   []string     `json:"notes"`
}

type accessJSON struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	Verdict string    `json:"verdict"`
	Ports   []string  `json:"ports"`
	Egress  *ruleJSON `json:"egressRule,omitempty"`
	Ingress *ruleJSON `json:"ingressRule,omitempty"`
	// Layers and the connection that they are of are absent where only network policies speak.
	Layers  *jointJSON   `json:"layers,omitempty"`
	Witness *witnessJSON `json:"witness,omitempty"`
}

// WhoCanJSON prints who may open connections to something as JSON.
func WhoCanJSON(w io.Writer, r *analyze.Reach, list []analyze.Access, o WhoCanOptions) error {
	out := whoCanJSON{Schema: "sallyport.dev/who-can/v1", To: o.To, Asked: o.Asked, Sources: []accessJSON{}, Notes: append([]string{}, o.Notes...)}
	for i := range list {
		a := &list[i]
		for _, from := range endNames(&r.Parties[a.From]) {
			for _, to := range endNames(&r.Parties[a.To]) {
				row := accessJSON{from, to, a.Verdict, a.Ports.Strings(), deciding(&a.Decision.Egress), deciding(&a.Decision.Ingress), joint(r.Model().Snapshot(), a.Layers), nil}
				if a.Layers != nil {
					row.Witness = witnessOf(r.Model().Snapshot(), &a.Decision.Flow)
				}
				out.Sources = append(out.Sources, row)
			}
		}
	}
	return writeJSON(w, out)
}

// deciding gives the rule that decided a direction, or nil.
func deciding(d *eval.Direction) *ruleJSON {
	if d.Verdict != flow.Allowed || d.Rule.Policy.Name == "" {
		return nil
	}
	out := rule(d.Rule, d.Origin, d.Action.String())
	return &out
}

// Spread prints what can be reached step by step.
func Spread(w io.Writer, r *analyze.Reach, start int, steps []analyze.Step, notes []string) error {
	var b page
	b.line("from %s, step by step", names.Safe(r.Parties[start].Name))
	if len(steps) == 0 {
		b.line("")
		b.line("  nothing")
	}
	depth, sure := 0, true
	for _, s := range steps {
		if s.Depth != depth || s.Sure != sure {
			depth, sure = s.Depth, s.Sure
			b.line("")
			title := plural(depth, "connection", "connections")
			if !sure {
				title += ", perhaps or for some pods"
			}
			b.line("  %s", title)
		}
		via := ""
		if s.Via != start {
			via = "  via " + names.Safe(r.Parties[s.Via].Name)
		}
		b.line("    %-44s  %s%s", names.Safe(r.Parties[s.Party].Name), s.Ports, via)
	}
	return b.flush(w, notes)
}

// Path prints one path step by step.
func Path(w io.Writer, r *analyze.Reach, start, goal int, path []analyze.Step, notes []string) error {
	var b page
	if len(path) == 0 {
		b.line("%s is not reached from %s, over whatever steps", names.Safe(r.Parties[goal].Name), names.Safe(r.Parties[start].Name))
		return b.flush(w, notes)
	}
	b.line("%s is reached from %s in %s", names.Safe(r.Parties[goal].Name), names.Safe(r.Parties[start].Name), plural(len(path), "connection", "connections"))
	b.line("")
	b.line("  %s", names.Safe(r.Parties[start].Name))
	for _, s := range path {
		doubt := ""
		if !s.Sure {
			doubt = " (perhaps, or for some pods)"
		}
		b.line("  → %-44s  %s%s", names.Safe(r.Parties[s.Party].Name), s.Ports, doubt)
	}
	return b.flush(w, notes)
}

type spreadJSON struct {
	Schema string   `json:"schema"`
	From   string   `json:"from"`
	Steps  []stepTo `json:"steps"`
	Notes  []string `json:"notes"`
}

type stepTo struct {
	Party string   `json:"party"`
	Via   string   `json:"via"`
	Depth int      `json:"depth"`
	Ports []string `json:"ports"`
	Sure  bool     `json:"sure"`
}

// SpreadJSON prints steps (all, or those of one path) as JSON.
func SpreadJSON(w io.Writer, r *analyze.Reach, start int, steps []analyze.Step, notes []string) error {
	out := spreadJSON{Schema: "sallyport.dev/spread/v1", From: r.Parties[start].Name, Steps: []stepTo{}, Notes: append([]string{}, notes...)}
	for _, s := range steps {
		for _, name := range endNames(&r.Parties[s.Party]) {
			out.Steps = append(out.Steps, stepTo{name, r.Parties[s.Via].Name, s.Depth, s.Ports.Strings(), s.Sure})
		}
	}
	return writeJSON(w, out)
}
