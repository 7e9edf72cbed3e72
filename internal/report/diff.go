package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/names"
)

// DiffFormats are the formats of diff.
var DiffFormats = []string{"text", "md", "json"}

// Diff prints what opens and closes, and tells whether anything does. format is one of DiffFormats.
func Diff(w io.Writer, d *analyze.Diff, format string, notes []string) (differs bool, err error) {
	buffered := bufio.NewWriter(w)
	if format == "json" {
		if differs, err = diffJSON(buffered, d, notes); err != nil {
			return differs, err
		}
		return differs, buffered.Flush()
	}
	p := diffPage{d: d, md: format == "md", at: map[string]*diffGroup{}, pairs: map[string]*pairCount{}, policies: map[cluster.PolicyRef]*policyEffect{}}
	d.Each(func(c *analyze.Change) bool {
		p.add(c)
		return true
	})
	if p.md {
		p.markdown(notes)
		notes = nil // they stand in the comment
	} else {
		p.text()
	}
	return len(p.groups) > 0, p.flush(w, notes)
}

// diffPage collects changes for people: those with the same causes stand together.
type diffPage struct {
	page
	d        *analyze.Diff
	at       map[string]*diffGroup
	groups   []*diffGroup
	pairs    map[string]*pairCount // by section
	policies map[cluster.PolicyRef]*policyEffect
	outside  int  // pairs that open from or to the outside
	md       bool // for Markdown, where a word says more than a mark
}

// policyEffect counts the pairs of parties that a policy has a part in opening and closing.
type policyEffect struct{ opens, closes pairCount }

// pairCount counts pairs of parties; all changes of a pair come one after the other.
type pairCount struct {
	n    int
	last [2]int
}

// add tells whether the pair is a new one.
func (t *pairCount) add(pair [2]int) bool {
	if t.n > 0 && t.last == pair {
		return false
	}
	t.n, t.last = t.n+1, pair
	return true
}

// diffGroup is a set of changes with the same effect, ports and causes.
type diffGroup struct {
	section string
	first   analyze.Change
	causes  []string
	pairs   [][2]int
}

// The sections of a page, in order. What comes and goes with a workload is not the work of a policy.
const (
	sectionOpens   = "opens"
	sectionCloses  = "closes"
	sectionChanges = "changes, and neither surely opens nor surely closes"
	sectionComes   = "comes with what is new"
	sectionGoes    = "goes with what is gone"
)

var diffSections = []string{sectionOpens, sectionCloses, sectionChanges, sectionComes, sectionGoes}

func sectionOf(c *analyze.Change) string {
	switch {
	case c.Before == analyze.Absent:
		return sectionComes
	case c.After == analyze.Absent:
		return sectionGoes
	}
	return map[string]string{analyze.Opens: sectionOpens, analyze.Closes: sectionCloses, analyze.Changes: sectionChanges}[c.Effect()]
}

func (p *diffPage) add(c *analyze.Change) {
	why := p.d.Why(c)
	section, pair := sectionOf(c), [2]int{c.From, c.To}
	p.count(section, pair)
	for _, s := range why.Sides {
		for _, cause := range s.Causes {
			p.countPolicy(cause.Policy, c.Effect(), pair)
		}
	}
	for _, ref := range layerPolicies(&why) {
		p.countPolicy(ref, c.Effect(), pair)
	}
	causes := causesWords(&why, p.md)
	key := fmt.Sprint(section, c.Before, c.After, c.Ports, causes)
	g, ok := p.at[key]
	if !ok {
		g = &diffGroup{section: section, first: *c, causes: causes}
		p.at[key] = g
		p.groups = append(p.groups, g)
	}
	g.pairs = append(g.pairs, pair)
}

func (p *diffPage) count(section string, pair [2]int) {
	if p.pairs[section] == nil {
		p.pairs[section] = &pairCount{}
	}
	external := p.d.Parties[pair[0]].External || p.d.Parties[pair[1]].External
	if p.pairs[section].add(pair) && section == sectionOpens && external {
		p.outside++
	}
}

func (p *diffPage) countPolicy(ref cluster.PolicyRef, effect string, pair [2]int) {
	e := p.policies[ref]
	if e == nil {
		e = &policyEffect{}
		p.policies[ref] = e
	}
	switch effect {
	case analyze.Opens:
		e.opens.add(pair)
	case analyze.Closes:
		e.closes.add(pair)
	}
}

// summary says the whole in a line.
func (p *diffPage) summary() string {
	var out []string
	count := func(section, one, many string) {
		if p.pairs[section] == nil {
			return
		}
		n := p.pairs[section].n
		if len(out) == 0 || section == sectionComes || section == sectionGoes {
			one, many = "connection "+one, "connections "+many
		}
		out = append(out, plural(n, one, many))
	}
	count(sectionOpens, "opens", "open")
	if p.outside > 0 {
		out[0] += fmt.Sprintf(" (%d from or to the outside)", p.outside)
	}
	count(sectionCloses, "closes", "close")
	count(sectionChanges, "changes", "change")
	if len(out) == 0 {
		out = append(out, "nothing opens or closes")
	}
	count(sectionComes, "comes with what is new", "come with what is new")
	count(sectionGoes, "goes with what is gone", "go with what is gone")
	return strings.Join(out, ", ")
}

// policyLines lists the policies that are not as they were, with what they take part in.
func (p *diffPage) policyLines() [][3]string {
	var out [][3]string
	for _, c := range p.d.Policies {
		effect := "opens and closes nothing"
		if p.pairs[sectionComes] != nil || p.pairs[sectionGoes] != nil {
			effect += " that was there before"
		}
		if e := p.policies[c.Ref]; e != nil {
			var parts []string
			if n := e.opens.n; n > 0 {
				parts = append(parts, fmt.Sprintf("opens %d", n))
			}
			if n := e.closes.n; n > 0 {
				parts = append(parts, fmt.Sprintf("closes %d", n))
			}
			if effect = strings.Join(parts, ", "); effect == "" {
				effect = "changes what is not sure"
			}
		}
		out = append(out, [3]string{p.mark(c.Change), kindOf(c.Ref) + " " + names.Safe(refName(c.Ref)) + place(c.Origin), effect})
	}
	return out
}

func (p *diffPage) mark(c analyze.Changed) string {
	if p.md {
		return changeWord(c)
	}
	return mark(c)
}

func mark(c analyze.Changed) string {
	return map[analyze.Changed]string{analyze.Added: "+", analyze.Removed: "-", analyze.Modified: "~", analyze.Unchanged: "="}[c]
}

// mostShown is how many groups of a section are shown; -o json has all.
const mostShown = 40

// inSection gives the groups of a section that are shown, the largest first where some are not, and how
// many are not.
func (p *diffPage) inSection(section string) (shown []*diffGroup, more int) {
	for _, g := range p.groups {
		if g.section == section {
			shown = append(shown, g)
		}
	}
	if len(shown) <= mostShown {
		return shown, 0
	}
	slices.SortStableFunc(shown, func(a, b *diffGroup) int { return len(b.pairs) - len(a.pairs) })
	return shown[:mostShown], len(shown) - mostShown
}

func (p *diffPage) text() {
	p.line("%s", p.summary())
	lines := p.policyLines()
	if len(lines) > 0 {
		p.line("")
	}
	for i, l := range lines {
		if i == mostShown {
			p.line("  and %d more policies", len(lines)-i)
			break
		}
		p.line("  %s %s: %s", l[0], l[1], l[2])
	}
	for _, section := range diffSections {
		shown, more := p.inSection(section)
		if len(shown) == 0 {
			continue
		}
		p.line("")
		p.line("%s", section)
		for _, list := range byCauses(shown) {
			for _, g := range list {
				p.group(g)
			}
			for _, c := range list[0].causes {
				p.line("      %s", c)
			}
		}
		if more > 0 {
			p.line("  and %d more groups of connections (-o json has all)", more)
		}
	}
}

// byCauses puts groups with the same causes together, so that these are said once for all their ports.
func byCauses(groups []*diffGroup) (out [][]*diffGroup) {
	at := map[string]int{}
	for _, g := range groups {
		key := strings.Join(g.causes, "\n")
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], g)
	}
	return out
}

func (p *diffPage) group(g *diffGroup) {
	blocks, more := shownBlocks(pairBlocks(g.pairs, p.d.Alone))
	for _, b := range blocks {
		from, to := strings.Split(partiesWords(p.d.Parties, b.from, "\n"), "\n"), strings.Split(partiesWords(p.d.Parties, b.to, "\n"), "\n")
		ports := changePorts(&g.first)
		if len(from) == 1 && len(to) == 1 {
			p.line("  %s → %s  %s", from[0], to[0], ports)
			continue
		}
		for _, f := range from {
			p.line("  %s", f)
		}
		for _, t := range to {
			p.line("%s", strings.TrimRight("    → "+t+"  "+ports, " "))
			ports = ""
		}
	}
	if more > 0 {
		p.line("  and %d more connections (-o json has all)", more)
	}
}

// changePorts gives the ports of a change, with the verdicts where the section does not imply them.
func changePorts(c *analyze.Change) string {
	was, is := c.Before, c.After
	ports := portSetWords(c.Ports)
	switch {
	case was == is:
		return ports + " (for other pods than before)"
	case was == "denied" && is == "allowed", was == "allowed" && is == "denied", was == analyze.Absent && is == "allowed", was == "allowed" && is == analyze.Absent:
		return ports
	case was == analyze.Absent:
		return ports + " (" + is + ")"
	case is == analyze.Absent:
		return ports + " (" + was + ")"
	}
	return ports + " (was " + was + ", is " + is + ")"
}

// causesWords says what caused a change, a line each.
func causesWords(why *analyze.Why, md bool) []string {
	var out []string
	for _, s := range why.Sides {
		for _, c := range s.Causes {
			name := names.Safe(c.Policy.String())
			if md {
				out = append(out, fmt.Sprintf("%s: %s (%s) %s", s.Direction, name, changeWord(c.Change), causeWords(&c)))
				continue
			}
			out = append(out, fmt.Sprintf("%-7s  %s %s %s", s.Direction, mark(c.Change), name, causeWords(&c)))
		}
		for _, e := range s.Ends {
			because := fmt.Sprintf("because of %s: %s", names.Safe(e.Object), endWords(&e))
			if md {
				out = append(out, fmt.Sprintf("%s: %s", s.Direction, because))
				continue
			}
			out = append(out, fmt.Sprintf("%-7s  %s", s.Direction, because))
		}
	}
	for i := range why.Layers {
		out = append(out, layerChangeWords(&why.Layers[i]))
	}
	for _, e := range why.Accounts {
		out = append(out, fmt.Sprintf("because of %s: %s", names.Safe(e.Object), endWords(&e)))
	}
	if len(why.Issuing) > 0 {
		out = append(out, "another identity is issued by "+refsWords(why.Issuing))
	}
	return out
}

func changeWord(c analyze.Changed) string {
	if c == analyze.Unchanged {
		return "unchanged"
	}
	return string(c)
}

// causeWords says what a policy says now that it did not, or no longer says.
func causeWords(c *analyze.Cause) string {
	was, is := sayWords(c.Was, past), sayWords(c.Is, now)
	switch {
	case is == "" || is == "isolates it" && c.Was != nil: // what it says now explains nothing
		return was + sayPlace(c.Was, c)
	case was == "" || was == "isolated it" && c.Is != nil:
		return is + sayPlace(c.Is, c)
	}
	return was + standing(c.Was, c.Is) + sayPlace(c.Was, c) + ", now " + is + standing(c.Is, c.Was) + sayPlace(c.Is, c)
}

// standing says where a cluster policy stands, if it is not where it stood.
func standing(s, other *eval.Say) string {
	switch {
	case s.Tier != other.Tier:
		return fmt.Sprintf(" in the %s tier with priority %d", s.Tier, s.Priority)
	case s.Priority != other.Priority:
		return fmt.Sprintf(" with priority %d", s.Priority)
	}
	return ""
}

// tense chooses between what a policy says and what it said.
type tense int

const (
	now tense = iota
	past
)

// sayWords gives a verb for what a policy says; empty where it says nothing.
func sayWords(s *eval.Say, t tense) string {
	if s == nil {
		return ""
	}
	verbs := map[eval.Action][2]string{eval.Accept: {"accepts it", "accepted it"}, eval.Deny: {"denies it", "denied it"}, eval.Pass: {"passes it on", "passed it on"}}
	verb := verbs[s.Action]
	switch {
	case s.Tier == eval.NetworkPolicyTier && s.Match == eval.No:
		verb = [2]string{"isolates it", "isolated it"}
	case s.Tier == eval.NetworkPolicyTier:
		verb = [2]string{"allows it", "allowed it"}
	case s.Match == eval.No:
		return ""
	}
	text := verb[t]
	if s.Match == eval.Maybe {
		text = "perhaps " + text
	}
	return text
}

// sayPlace gives the rule and its place, or the policy's place where no rule matches.
func sayPlace(s *eval.Say, c *analyze.Cause) string {
	if s == nil || s.Match == eval.No {
		return place(c.Origin)
	}
	return ", " + s.Rule.Path() + place(s.Origin)
}

func endWords(e *analyze.EndChange) string {
	if e.Was == "" && e.Is == "" {
		return e.What + " differ"
	}
	return fmt.Sprintf("%s %s → %s", e.What, factWords(e.Was), factWords(e.Is))
}

func factWords(s string) string {
	const most = 100
	r := []rune(names.Safe(s))
	switch {
	case len(r) == 0:
		return "(none)"
	case len(r) > most:
		return string(r[:most]) + "…"
	}
	return string(r)
}
