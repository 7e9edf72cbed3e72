package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/failure"
	"sallyport.dev/sallyport/internal/names"
)

// SinglePointsOptions choose how single points are printed.
type SinglePointsOptions struct {
	Notes []string
}

// ceilings hold whatever is written in policies (L56).
var ceilings = []string{
	"whoever may create pods in a namespace is every service account in it",
	"root on a node is every pod on it",
}

// ceilingsOf adds what holds of this input.
func ceilingsOf(s *failure.Survey) []string {
	if s.BoundAnywhere {
		return append(slices.Clone(ceilings), "whoever may create pods in any namespace has every Azure identity that is bound by a label and not kept to its namespace")
	}
	return ceilings
}

// SinglePoints prints what stands open, what hangs on a single layer and what is defended, and what failures open.
func SinglePoints(w io.Writer, r *analyze.Reach, s *failure.Survey, o SinglePointsOptions) error {
	var b page
	p := pointsPage{page: &b, r: r, snap: r.Model().Snapshot()}
	if len(s.Findings) == 0 {
		b.line("nothing was asked about that anything could connect to")
	}
	for i, group := range byTarget(s.Findings) {
		if i > 0 {
			b.line("")
		}
		p.target(group)
	}
	if s.Skipped > 0 {
		b.line("")
		b.line("for %s more no failures were looked for: name an END", plural(s.Skipped, "path", "paths"))
	}
	b.line("")
	b.line("whatever policies say")
	for _, c := range ceilingsOf(s) {
		b.line("  %s", c)
	}
	return b.flush(w, o.Notes)
}

func byTarget(list []failure.Finding) [][]failure.Finding {
	var out [][]failure.Finding
	for i := range list {
		if n := len(out); n > 0 && out[n-1][0].To == list[i].To {
			out[n-1] = append(out[n-1], list[i])
			continue
		}
		out = append(out, list[i:i+1:i+1])
	}
	return out
}

type pointsPage struct {
	*page
	r    *analyze.Reach
	snap *cluster.Snapshot
}

// pointsGroup is a set of sources with the same standing, gates and failures.
type pointsGroup struct {
	from  []int
	first *failure.Finding
}

var standingTitles = map[failure.Standing]string{
	failure.Open:     "open",
	failure.Single:   "hangs on a single point",
	failure.Defended: "defended twice or more",
}

func (p *pointsPage) target(list []failure.Finding) {
	p.line("%s", names.Safe(p.r.Parties[list[0].To].Name))
	for _, standing := range []failure.Standing{failure.Open, failure.Single, failure.Defended} {
		groups := p.groups(list, standing)
		if len(groups) == 0 {
			continue
		}
		p.line("")
		p.line("  %s", standingTitles[standing])
		for _, g := range groups {
			p.group(g)
		}
	}
	p.perFailure(list)
}

func (p *pointsPage) groups(list []failure.Finding, standing failure.Standing) []*pointsGroup {
	at := map[string]*pointsGroup{}
	var out []*pointsGroup
	for i := range list {
		f := &list[i]
		if f.Standing != standing {
			continue
		}
		key := fmt.Sprint(f.Ports, f.Path.Decision.Works(), f.Path.Decision.Blockers(), f.Path.Opens, f.Path.Editors)
		g, ok := at[key]
		if !ok {
			g = &pointsGroup{first: f}
			at[key] = g
			out = append(out, g)
		}
		g.from = append(g.from, f.From)
	}
	return out
}

func (p *pointsPage) group(g *pointsGroup) {
	f := g.first
	p.line("    %s", strings.ReplaceAll(partiesWords(p.r.Parties, g.from, "\n"), "\n", "\n    "))
	d := &f.Path.Decision
	text := "on " + portSetWords(f.Ports)
	switch {
	case f.Standing != failure.Open:
		text += ", stopped by " + joinWords(texts(d.Blockers()))
	case !d.Works():
		text += ", perhaps: it depends on what is not known"
	}
	p.line("      %s", text)
	const most = 12
	for i, set := range f.Path.Opens {
		if i == most {
			p.line("      and by %s more", plural(len(f.Path.Opens)-most, "other set of failures", "other sets of failures"))
			break
		}
		p.line("      opened if %s", p.setWords(set))
	}
	for _, u := range f.Path.Shared() {
		p.line("      shared: %s", p.sharedWords(f, &u))
	}
	for _, e := range f.Path.Editors {
		p.line("      shared: %s are taken away by whoever may edit policies in namespace %s", joinWords(texts(e.Gates)), names.Safe(e.Namespace))
	}
	if f.Path.Cut {
		p.line("      not every failure was tried: there are too many")
	}
}

// sharedOf lists the causes that gates have in common.
func sharedOf(s *cluster.Snapshot, p *failure.Path) []sharedJSON {
	out := []sharedJSON{}
	for _, u := range p.Shared() {
		f := failureOf(s, &u.Failure)
		out = append(out, sharedJSON{Gates: texts(p.Fallen(&u)), Failure: &f})
	}
	for _, e := range p.Editors {
		out = append(out, sharedJSON{Gates: texts(e.Gates), Namespace: e.Namespace})
	}
	return out
}

// sharedWords says which gates one failure passes.
func (p *pointsPage) sharedWords(f *failure.Finding, u *failure.Left) string {
	return joinWords(texts(f.Path.Fallen(u))) + " fall together if " + p.failureWords(&u.Failure)
}

func (p *pointsPage) setWords(set []failure.Failure) string {
	out := make([]string, 0, len(set))
	for i := range set {
		out = append(out, p.failureWords(&set[i]))
	}
	return strings.Join(out, " and ")
}

func (p *pointsPage) failureWords(f *failure.Failure) string { return failureWords(p.snap, f) }

func failureWords(s *cluster.Snapshot, f *failure.Failure) string {
	switch f.Kind {
	case failure.AgentDown:
		return "the agent on the " + f.Side.String() + "'s node is down"
	case failure.NotProgrammed:
		return "the policies of the " + f.Side.String() + " are not programmed yet"
	case failure.PolicyDeleted:
		name := f.Policy.Name
		if f.Policy.Namespace != "" {
			name = f.Policy.Namespace + "/" + name
		}
		return f.Policy.Kind + " " + names.Safe(name) + " is deleted"
	case failure.LabelGone:
		return "namespace " + names.Safe(f.Namespace) + " loses its label " + names.Safe(f.Label)
	case failure.FirewallOpened:
		return "the firewall of " + names.Safe(s.External[f.Service-1].String()) + " admits everything"
	case failure.PasswordLogin:
		return names.Safe(s.External[f.Service-1].String()) + " takes passwords"
	case failure.TokenStolen:
		return "a token of service account " + names.Safe(f.Namespace+"/"+f.Account) + " is stolen"
	}
	return "the source's node is compromised"
}

// perFailure says what each single failure opens, and what it leaves on a single point.
func (p *pointsPage) perFailure(list []failure.Finding) {
	type effect struct{ opens, single []int }
	at := map[failure.Failure]*effect{}
	for i := range list {
		f := &list[i]
		for _, u := range f.Path.Under {
			e := at[u.Failure]
			if e == nil {
				e = &effect{}
				at[u.Failure] = e
			}
			switch {
			case len(u.Gates) == 0:
				e.opens = append(e.opens, f.From)
			case len(u.Gates) == 1 && f.Standing == failure.Defended:
				e.single = append(e.single, f.From)
			}
		}
	}
	if len(at) == 0 {
		return
	}
	p.line("")
	p.line("  under one failure")
	var idle int
	keys := make([]failure.Failure, 0, len(at))
	for k := range at {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, failure.Compare)
	for _, k := range keys {
		e := at[k]
		if len(e.opens)+len(e.single) == 0 {
			idle++
			continue
		}
		p.line("    %s", p.failureWords(&k))
		if len(e.opens) > 0 {
			p.line("      opens it to %s", partiesWords(p.r.Parties, e.opens, ", "))
		}
		if len(e.single) > 0 {
			p.line("      leaves a single point before %s", partiesWords(p.r.Parties, e.single, ", "))
		}
	}
	if idle > 0 {
		p.line("    %s", plural(idle, "other failure changes nothing of this", "other failures change nothing of this"))
	}
}

type singlePointsJSON struct {
	Schema   string      `json:"schema"`
	Paths    []pointJSON `json:"paths"`
	Skipped  int         `json:"skipped"`
	Ceilings []string    `json:"ceilings"`
	Notes    []string    `json:"notes"`
}

type pointJSON struct {
	From     []string        `json:"from"`
	To       []string        `json:"to"`
	Ports    []string        `json:"ports"`
	Standing string          `json:"standing"`
	Layers   *jointJSON      `json:"layers"`
	Opens    [][]failureJSON `json:"opens"`
	Under    []underJSON     `json:"under"`
	Shared   []sharedJSON    `json:"shared"`
	Cut      bool            `json:"cut"`
	Witness  *witnessJSON    `json:"witness"`
}

type failureJSON struct {
	Failure   string      `json:"failure"`
	Side      string      `json:"side,omitempty"`
	Policy    *policyJSON `json:"policy,omitempty"`
	Namespace string      `json:"namespace,omitempty"`
	Label     string      `json:"label,omitempty"`
	Service   string      `json:"service,omitempty"`
	Account   string      `json:"account,omitempty"`
	Text      string      `json:"text"`
}

// sharedJSON is a cause that gates have in common: a failure, or a namespace whose editors take them away.
type sharedJSON struct {
	Gates     []string     `json:"gates"`
	Failure   *failureJSON `json:"failure,omitempty"`
	Namespace string       `json:"editorsOf,omitempty"`
}

type underJSON struct {
	Failure failureJSON `json:"failure"`
	Gates   []string    `json:"gates"`
}

func failureOf(s *cluster.Snapshot, f *failure.Failure) failureJSON {
	out := failureJSON{Failure: f.Kind.String(), Side: f.Side.String(), Namespace: f.Namespace, Label: f.Label, Account: f.Account, Text: failureWords(s, f)}
	if f.Policy.Name != "" {
		ref := policyRef(f.Policy, cluster.Origin{})
		out.Policy = &ref
	}
	if f.Service > 0 {
		out.Service = s.External[f.Service-1].String()
	}
	return out
}

// SinglePointsJSON prints the same as JSON.
func SinglePointsJSON(w io.Writer, r *analyze.Reach, s *failure.Survey, o SinglePointsOptions) error {
	snap := r.Model().Snapshot()
	out := singlePointsJSON{Schema: "sallyport.dev/single-points/v1", Paths: []pointJSON{}, Skipped: s.Skipped, Ceilings: ceilingsOf(s), Notes: append([]string{}, o.Notes...)}
	for i := range s.Findings {
		f := &s.Findings[i]
		row := pointJSON{From: endNames(&r.Parties[f.From]), To: endNames(&r.Parties[f.To]), Ports: f.Ports.Strings(), Standing: f.Standing.String(),
			Layers: joint(snap, &f.Path.Decision), Opens: [][]failureJSON{}, Under: []underJSON{}, Cut: f.Path.Cut, Witness: witnessOf(snap, &f.Flow)}
		for _, set := range f.Path.Opens {
			var list []failureJSON
			for k := range set {
				list = append(list, failureOf(snap, &set[k]))
			}
			row.Opens = append(row.Opens, list)
		}
		for k := range f.Path.Under {
			u := &f.Path.Under[k]
			row.Under = append(row.Under, underJSON{failureOf(snap, &u.Failure), texts(u.Gates)})
		}
		row.Shared = sharedOf(snap, &f.Path)
		out.Paths = append(out.Paths, row)
	}
	return writeJSON(w, out)
}
