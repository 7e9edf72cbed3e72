package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/question"
)

// CheckOptions choose how an answer is printed.
type CheckOptions struct {
	Trace bool // every rule that was compared
	// Enforcement says who enforces the verdict, or that nothing does; empty if nothing is known.
	Enforcement string
	EnforcedBy  string   // the plugin's name, or "nothing"
	Notes       []string // beside the answer's own
	Color       bool
}

// Check prints an answer as text.
func Check(w io.Writer, s *cluster.Snapshot, a *question.Answer, o CheckOptions) error {
	p := &checkPrinter{snap: s, a: a, o: o, differ: differencesOf(a.Parts)}
	p.head()
	for i := range a.Parts {
		p.part(&a.Parts[i])
	}
	if a.Suggestion != nil {
		p.suggestion(a.Suggestion)
	}
	p.tail()
	_, err := io.WriteString(w, p.b.String())
	return err
}

type checkPrinter struct {
	b    strings.Builder
	snap *cluster.Snapshot
	a    *question.Answer
	o    CheckOptions

	differ    differences
	onePort   bool // the part being printed is about a single port
	sideWidth int  // of the names of directions in it
}

func (p *checkPrinter) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *checkPrinter) head() {
	ports := p.a.Asked
	if p.a.AnyPort {
		ports = "on " + p.openPorts()
	}
	p.line("%s  %s → %s  %s", verdictWord(p.a.Verdict, p.o.Color), names.Safe(p.a.From), names.Safe(p.a.To), names.Safe(ports))
}

// openPorts says on which ports something is open, for a question without a port.
func (p *checkPrinter) openPorts() string {
	var open netset.PortSet
	for i := range p.a.Parts {
		if p.a.Parts[i].Decision.Verdict == flow.Allowed {
			open = open.Union(portsAsked(&p.a.Parts[i]))
		}
	}
	switch {
	case open.Empty():
		return "no port"
	case open.Equal(netset.EveryPort()) && p.differ.verdicts:
		return "some ports"
	case open.Equal(netset.EveryPort()):
		return "every port"
	}
	return open.String()
}

// portsAsked are the ports of a part as a client sees them: the Service's where there is one.
func portsAsked(part *question.Part) netset.PortSet {
	entries := part.Ports.Entries()
	if part.ServicePort == 0 || len(entries) == 0 {
		return part.Ports
	}
	var out netset.PortSet
	out.Add(entries[0].Proto, netset.PortRange{First: part.ServicePort, Last: part.ServicePort})
	return out
}

// verdictWord pads nothing and colours only on a terminal.
func verdictWord(v string, color bool) string {
	if !color {
		return v
	}
	code := "33"
	switch v {
	case flow.Allowed.String():
		code = "32"
	case flow.Denied.String():
		code = "31"
	}
	return "\x1b[1;" + code + "m" + v + "\x1b[0m"
}

func (p *checkPrinter) part(part *question.Part) {
	p.line("")
	indent := "  "
	if len(p.a.Parts) > 1 {
		p.line("  %s  %s", verdictWord(part.Decision.Verdict.String(), p.o.Color), p.partTitle(part))
		indent = "    "
	} else if t := p.serviceTitle(part); t != "" {
		p.line("  %s", t)
	}
	d := &part.Decision
	e := part.Ports.Entries()
	p.onePort = len(e) == 1 && e[0].Range.First == e[0].Range.Last
	p.sideWidth = sideWidth(part.Layers)
	p.direction(indent, &d.Egress, d.Flow.From.Kind, subjectName(part.From))
	p.direction(indent, &d.Ingress, d.Flow.To.Kind, subjectName(part.To))
	if part.Layers != nil {
		var b page
		b.layersText(indent, p.snap, part.Layers)
		p.b.WriteString(b.String())
	}
}

func subjectName(ends []string) string {
	if len(ends) == 1 {
		return ends[0]
	}
	return fmt.Sprintf("each of the %d", len(ends))
}

func (p *checkPrinter) serviceTitle(part *question.Part) string {
	if part.ServicePort == 0 {
		if len(part.To) == 1 && part.To[0] != p.a.To {
			return "to " + names.Safe(part.To[0])
		}
		return ""
	}
	return fmt.Sprintf("to %s, %s (the Service's port %d)", names.Safe(endsWords(part.To)), part.Ports, part.ServicePort)
}

// partTitle names what sets a part apart from the others.
func (p *checkPrinter) partTitle(part *question.Part) string {
	var words []string
	if !slices.Equal(part.From, []string{p.a.From}) || p.differ.from {
		words = append(words, "from "+names.Safe(endsWords(part.From)))
	}
	if t := p.serviceTitle(part); t != "" {
		words = append(words, t)
	} else if !slices.Equal(part.To, []string{p.a.To}) || p.differ.to {
		words = append(words, "to "+names.Safe(endsWords(part.To)))
	}
	if p.differ.families {
		names := make([]string, len(part.Families))
		for i, f := range part.Families {
			names[i] = f.String()
		}
		words = append(words, "over "+strings.Join(names, " and "))
	}
	if part.ServicePort == 0 && (p.a.AnyPort || p.differ.ports) {
		words = append(words, "on "+p.portsOf(part))
	}
	return strings.Join(words, ", ")
}

// portsOf names the ports of a part; a long rest is "everything else".
func (p *checkPrinter) portsOf(part *question.Part) string {
	const long, many = 3, 50
	if len(part.Ports.Entries()) <= long || len(p.a.Parts) > many {
		return part.Ports.String()
	}
	var others netset.PortSet
	for i := range p.a.Parts {
		if q := &p.a.Parts[i]; q != part {
			others = others.Union(q.Ports)
		}
	}
	rest := len(p.a.Parts) > 1 && part.Ports.Intersect(others).Empty() && part.Ports.Union(others).Equal(netset.EveryPort())
	if rest {
		return "everything else"
	}
	return part.Ports.String()
}

// differences tells in what the parts of an answer differ from each other.
type differences struct{ from, to, families, ports, verdicts bool }

func differencesOf(parts []question.Part) differences {
	differ := func(of func(*question.Part) string) bool {
		first := of(&parts[0])
		return slices.ContainsFunc(parts, func(q question.Part) bool { return of(&q) != first })
	}
	return differences{
		from:     differ(func(q *question.Part) string { return strings.Join(q.From, ",") }),
		to:       differ(func(q *question.Part) string { return strings.Join(q.To, ",") }),
		families: differ(func(q *question.Part) string { return fmt.Sprint(q.Families) }),
		ports:    differ(func(q *question.Part) string { return q.Ports.String() }),
		verdicts: differ(func(q *question.Part) string { return q.Decision.Verdict.String() }),
	}
}

func endsWords(ends []string) string {
	const most = 6
	if len(ends) > most {
		return strings.Join(ends[:most], ", ") + fmt.Sprintf(" and %d more", len(ends)-most)
	}
	return strings.Join(ends, ", ")
}

func (p *checkPrinter) direction(indent string, d *eval.Direction, kind flow.Kind, subject string) {
	word := d.Verdict.String()
	pad := strings.Repeat(" ", max(0, len("allowed")-len(word)))
	first := fmt.Sprintf("%s%-*s  %s%s  ", indent, p.sideWidth, d.Direction, word, pad)
	under := strings.Repeat(" ", len([]rune(first)))
	reason := reasonWords(d, kind)
	if d.Verdict == flow.Unknown || d.Verdict == flow.Ambiguous {
		reason = p.openWords(d)
	}
	p.line("%s%s", first, reason)
	if d.Reason == flow.Isolated && d.Verdict == flow.Denied && len(d.Isolating) > 1 {
		for _, name := range policiesWords(d.Isolating) {
			p.line("%s  %s", under, name)
		}
	}
	if d.Verdict == flow.Denied && d.Nearest != nil {
		p.line("%snearest rule: %s", under, ruleWords(d.Nearest.Rule, d.Nearest.Origin))
		for _, m := range missesList(d.Nearest.Misses, d.Direction, p.onePort) {
			p.line("%s  %s", under, m)
		}
	}
	p.gaps(under, d, subject)
	for _, f := range d.Foreign {
		if slices.ContainsFunc(d.Unknown, func(g eval.Gap) bool { return g.Foreign == f+1 }) {
			continue // said above, as what the verdict depends on
		}
		p.line("%snot evaluated: %s may decide otherwise", under, foreignWords(&p.snap.ForeignPolicies[f]))
	}
	if p.o.Trace {
		p.trace(under, d)
	}
}

func foreignWords(f *cluster.ForeignPolicy) string {
	name := f.Name
	if f.Namespace != "" {
		name = f.Namespace + "/" + name
	}
	return f.Kind + " " + names.Safe(name) + place(f.Origin)
}

// openWords introduces a verdict that is neither allowed nor denied.
func (p *checkPrinter) openWords(d *eval.Direction) string {
	if d.Verdict == flow.Ambiguous {
		return "policies of equal priority disagree, and their order is undefined"
	}
	return "the verdict depends on something that is not known"
}

func (p *checkPrinter) gaps(under string, d *eval.Direction, subject string) {
	for _, t := range d.Tied {
		p.line("%s%s: %s", under, t.Action, ruleWords(t.Rule, t.Origin))
	}
	for _, g := range d.Unknown {
		p.line("%s%s", under, gapWords(p.snap, &g, d, subject))
	}
	for i, a := range d.Assumed {
		const most = 3
		if i == most {
			p.line("%s… and %d more such blocks", under, len(d.Assumed)-most)
			break
		}
		p.line("%sassumed: an address that is not known lies outside %s of %s; --pod-cidr says where pods are, --strict answers unknown", under, names.Safe(a.Block), ruleWords(a.Rule, a.Origin))
	}
}

// gapWords says what a verdict depends on that is not known.
func gapWords(s *cluster.Snapshot, g *eval.Gap, d *eval.Direction, subject string) string {
	switch {
	case g.Unread > 0:
		u := &s.Unreadable[g.Unread-1]
		where := ""
		if at := u.Origin.String(); at != "" {
			where = names.Safe(at) + ": "
		}
		return "not read, and may hold a policy: " + where + names.Safe(u.Why)
	case g.Foreign > 0:
		return "not evaluated: " + foreignWords(&s.ForeignPolicies[g.Foreign-1])
	case g.OwnNode:
		return "whether " + names.Safe(subject) + " runs on that very node, with which it may always talk"
	case g.Step.SubjectUnknown:
		return "whether " + names.Safe(g.Step.Rule.Policy.String()) + place(g.Step.Origin) + " selects " + names.Safe(subject) + ": the labels of its namespace are not in the input"
	}
	return ruleWords(g.Step.Rule, g.Step.Origin) + " " + missesWords(g.Step.Misses, d.Direction)
}

func (p *checkPrinter) trace(under string, d *eval.Direction) {
	if len(d.Steps) == 0 {
		p.line("%strace: no rule was compared", under)
	}
	for i := range d.Steps {
		s := &d.Steps[i]
		why := ""
		if len(s.Misses) > 0 {
			why = ": it " + missesWords(s.Misses, d.Direction)
		}
		name := ""
		if s.Name != "" {
			name = fmt.Sprintf(" %q", s.Name) // which escapes all that Safe would
		}
		p.line("%strace: %s tier, %s of %s%s: %s%s", under, s.Tier, s.Action, ruleWords(s.Rule, s.Origin), name, matchWords(s.Match), why)
	}
}

func matchWords(m eval.Match) string {
	switch m {
	case eval.Yes:
		return "matches"
	case eval.Maybe:
		return "may match"
	}
	return "does not match"
}

func (p *checkPrinter) tail() {
	if p.o.Enforcement != "" {
		p.line("\n  %s", names.Safe(p.o.Enforcement))
		if p.a.IfEnforced != nil {
			p.line("  %s", ifEnforcedWords(p.a.Verdict, p.a.IfEnforced))
		}
	}
	notes := append(slices.Clone(p.a.Notes), p.o.Notes...)
	if len(notes) > 0 {
		p.line("")
	}
	for _, n := range notes {
		p.line("  note: %s", names.Safe(n))
	}
}
