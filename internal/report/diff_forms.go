package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
)

// markdown writes a comment for a pull request.
func (p *diffPage) markdown(notes []string) {
	p.line("**%s.**", p.summary())
	if lines := p.policyLines(); len(lines) > 0 {
		p.line("")
		p.line("| | policy | |")
		p.line("|---|---|---|")
		for i, l := range lines {
			if i == mostShown {
				p.line("| | and %d more | |", len(lines)-i)
				break
			}
			p.line("| %s | %s | %s |", markdown(l[0]), markdown(l[1]), l[2])
		}
	}
	for _, section := range diffSections {
		shown, more := p.inSection(section)
		if len(shown) == 0 {
			continue
		}
		p.line("")
		p.line("#### %s", strings.ToUpper(section[:1])+section[1:])
		p.line("")
		p.line("| from | to | ports | because |")
		p.line("|---|---|---|---|")
		for _, g := range shown {
			p.markdownGroup(g)
		}
		if more > 0 {
			p.line("| and %d more groups of connections | | | |", more)
		}
	}
	for i, n := range notes {
		if i == 0 {
			p.line("")
		}
		p.line("- note: %s", markdown(names.Safe(n)))
	}
}

func (p *diffPage) markdownGroup(g *diffGroup) {
	because := markdownLines(strings.Join(g.causes, "\n"))
	blocks, more := shownBlocks(pairBlocks(g.pairs, p.d.Alone))
	for _, b := range blocks {
		p.line("| %s | %s | %s | %s |", markdownLines(partiesWords(p.d.Parties, b.from, "\n")), markdownLines(partiesWords(p.d.Parties, b.to, "\n")),
			changePorts(&g.first), because)
	}
	if more > 0 {
		p.line("| and %d more connections | | %s | %s |", more, changePorts(&g.first), because)
	}
}

type changeJSON struct {
	From    []string          `json:"from"` // several only for disjoint pieces of the outside
	To      []string          `json:"to"`
	Ports   []string          `json:"ports"`
	Before  string            `json:"before"`
	After   string            `json:"after"`
	Effect  string            `json:"effect"`
	Sides   []sideChangeJSON  `json:"sides"`
	Layers  []layerChangeJSON `json:"layers,omitempty"`
	Issuing []layerRefJSON    `json:"issuing,omitempty"`
	Ends    []endChangeJSON   `json:"ends,omitempty"`
	Witness *witnessJSON      `json:"witness,omitempty"`
}

type sideChangeJSON struct {
	Direction string          `json:"direction"`
	Before    string          `json:"before"`
	After     string          `json:"after"`
	Causes    []causeJSON     `json:"causes"`
	Ends      []endChangeJSON `json:"ends"`
}

type causeJSON struct {
	Policy policyJSON `json:"policy"`
	Change string     `json:"change"` // added, removed, changed, unchanged
	Before *sayJSON   `json:"before,omitempty"`
	After  *sayJSON   `json:"after,omitempty"`
}

type sayJSON struct {
	Says string    `json:"says"` // isolates, allows, accepts, denies, passes, nothing
	Sure bool      `json:"sure"`
	Rule *ruleJSON `json:"rule,omitempty"`
	// Tier and Priority are those of a cluster policy.
	Tier     string `json:"tier,omitempty"`
	Priority *int   `json:"priority,omitempty"`
}

type endChangeJSON struct {
	Object string `json:"object"`
	What   string `json:"what"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// witnessJSON is one connection that shows the change.
type witnessJSON struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Family string `json:"family"`
	Port   string `json:"port"`
}

type policyChangeJSON struct {
	policyJSON
	Change string `json:"change"`
}

// diffJSON streams the changes: memory does not grow with them.
func diffJSON(w io.Writer, d *analyze.Diff, notes []string) (differs bool, err error) {
	policies := make([]policyChangeJSON, 0, len(d.Policies))
	for _, p := range d.Policies {
		policies = append(policies, policyChangeJSON{policyRef(p.Ref, p.Origin), string(p.Change)})
	}
	head, err := json.Marshal(policies)
	if err != nil {
		return false, err
	}
	if _, err := fmt.Fprintf(w, "{\"schema\":\"sallyport.dev/diff/v1\",\"policies\":%s,\"changes\":[", names.SafeJSON(string(head))); err != nil {
		return false, err
	}
	separator := "\n"
	d.Each(func(c *analyze.Change) bool {
		differs = true
		var line []byte
		if line, err = json.Marshal(changeOf(d, c)); err != nil {
			return false
		}
		_, err = io.WriteString(w, separator+names.SafeJSON(string(line)))
		separator = ",\n"
		return err == nil
	})
	if err != nil {
		return differs, err
	}
	tail, err := json.Marshal(append([]string{}, notes...))
	if err == nil {
		_, err = fmt.Fprintf(w, "\n],\"notes\":%s}\n", names.SafeJSON(string(tail)))
	}
	return differs, err
}

func changeOf(d *analyze.Diff, c *analyze.Change) changeJSON {
	out := changeJSON{From: endNames(&d.Parties[c.From]), To: endNames(&d.Parties[c.To]), Ports: c.Ports.Strings(), Before: c.Before, After: c.After, Effect: c.Effect(), Sides: []sideChangeJSON{}}
	why := d.Why(c)
	for _, s := range why.Sides {
		side := sideChangeJSON{s.Direction.String(), s.Before.String(), s.After.String(), []causeJSON{}, []endChangeJSON{}}
		for _, x := range s.Causes {
			side.Causes = append(side.Causes, causeJSON{policyRef(x.Policy, x.Origin), changeWord(x.Change), sayOf(x.Was), sayOf(x.Is)})
		}
		for _, e := range s.Ends {
			side.Ends = append(side.Ends, endChangeJSON{e.Object, e.What, e.Was, e.Is})
		}
		out.Sides = append(out.Sides, side)
	}
	for i := range why.Layers {
		out.Layers = append(out.Layers, layerChangeJSON{layerOf(&why.Layers[i].Before), layerOf(&why.Layers[i].After)})
	}
	for i := range why.Issuing {
		out.Issuing = append(out.Issuing, layerRef(&why.Issuing[i]))
	}
	for _, e := range why.Accounts {
		out.Ends = append(out.Ends, endChangeJSON{e.Object, e.What, e.Was, e.Is})
	}
	f, after := why.After, true
	if f == nil {
		f, after = why.Before, false
	}
	if f != nil {
		out.Witness = witnessOf(d.Reach(after).Model().Snapshot(), f)
	}
	return out
}

func sayOf(s *eval.Say) *sayJSON {
	if s == nil {
		return nil
	}
	out := &sayJSON{Says: "nothing", Sure: s.Match != eval.Maybe}
	switch {
	case s.Tier == eval.NetworkPolicyTier && s.Match == eval.No:
		out.Says = "isolates"
	case s.Tier == eval.NetworkPolicyTier:
		out.Says = "allows"
	case s.Match != eval.No:
		out.Says = map[eval.Action]string{eval.Accept: "accepts", eval.Deny: "denies", eval.Pass: "passes"}[s.Action]
	}
	if s.Tier != eval.NetworkPolicyTier {
		out.Tier, out.Priority = s.Tier.String(), &s.Priority
	}
	if s.Match != eval.No {
		r := rule(s.Rule, s.Origin, s.Action.String())
		out.Rule = &r
	}
	return out
}

func witnessOf(s *cluster.Snapshot, f *flow.Flow) *witnessJSON {
	end := func(e flow.End) string {
		if e.Kind == flow.Pod {
			return s.Pods[e.Index].String()
		}
		return e.Addr.String()
	}
	port := f.Proto.String()
	if f.Proto.HasPorts() {
		port += fmt.Sprintf("/%d", f.Port)
	}
	return &witnessJSON{end(f.From), end(f.To), f.Family.String(), port}
}
