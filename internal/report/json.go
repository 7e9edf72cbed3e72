package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/question"
)

// The JSON forms; docs/schema has a schema for each.

type checkJSON struct {
	Schema      string           `json:"schema"`
	Verdict     string           `json:"verdict"`
	From        string           `json:"from"`
	To          string           `json:"to"`
	Asked       string           `json:"asked"`
	Parts       []partJSON       `json:"parts"`
	Enforcement *enforcementJSON `json:"enforcement,omitempty"`
	IfEnforced  *ifEnforcedJSON  `json:"ifEnforced,omitempty"`
	Suggestion  *suggestionJSON  `json:"suggestion,omitempty"`
	Notes       []string         `json:"notes"`
}

type enforcementJSON struct {
	By   string `json:"by,omitempty"`
	Text string `json:"text"`
}

type ifEnforcedJSON struct {
	Verdict string     `json:"verdict"`
	Text    string     `json:"text"`
	Parts   []partJSON `json:"parts"`
}

type partJSON struct {
	Verdict     string   `json:"verdict"`
	From        []string `json:"from"`
	To          []string `json:"to"`
	Ports       []string `json:"ports"`
	ServicePort uint16   `json:"servicePort,omitempty"`
	Families    []string `json:"families"`
	Egress      sideJSON `json:"egress"`
	Ingress     sideJSON `json:"ingress"`
	// Layers is absent where only network policies speak.
	Layers *jointJSON `json:"layers,omitempty"`
}

type sideJSON struct {
	Verdict   string        `json:"verdict"`
	Reason    string        `json:"reason"`
	Rule      *ruleJSON     `json:"rule,omitempty"`
	Isolating []policyJSON  `json:"isolating,omitempty"`
	Nearest   *stepJSON     `json:"nearest,omitempty"`
	Tied      []stepJSON    `json:"tied,omitempty"`
	Unknown   []gapJSON     `json:"unknown,omitempty"`
	Assumed   []assumeJSON  `json:"assumed,omitempty"`
	Foreign   []foreignJSON `json:"notEvaluated,omitempty"`
	Steps     []stepJSON    `json:"steps,omitempty"`
}

type policyJSON struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Place     string `json:"place,omitempty"`
}

// foreignJSON is a policy of another engine, whose kind alone may be that of our own.
type foreignJSON struct {
	Group string `json:"group"`
	policyJSON
}

type ruleJSON struct {
	Policy   policyJSON `json:"policy"`
	Path     string     `json:"path"`
	PortPath string     `json:"portPath,omitempty"`
	Place    string     `json:"place,omitempty"`
	Action   string     `json:"action,omitempty"`
}

type stepJSON struct {
	Rule           ruleJSON   `json:"rule"`
	Tier           string     `json:"tier"`
	Name           string     `json:"name,omitempty"`
	Match          string     `json:"match"`
	Misses         []missJSON `json:"misses,omitempty"`
	SubjectUnknown bool       `json:"subjectUnknown,omitempty"`
	NotUnderstood  bool       `json:"notUnderstood,omitempty"`
}

type missJSON struct {
	Part    string `json:"part"`
	Want    string `json:"want"`
	Have    string `json:"have"`
	Unknown bool   `json:"unknown,omitempty"`
	Text    string `json:"text"`
}

type gapJSON struct {
	What   string       `json:"what"` // rule, subject, own-node, unreadable, not-evaluated
	Step   *stepJSON    `json:"step,omitempty"`
	Place  string       `json:"place,omitempty"`
	Why    string       `json:"why,omitempty"`
	Policy *foreignJSON `json:"policy,omitempty"`
}

type assumeJSON struct {
	Block string   `json:"block"`
	Rule  ruleJSON `json:"rule"`
}

type suggestionJSON struct {
	Objects []any      `json:"objects"`
	Verdict string     `json:"verdict,omitempty"`
	Opens   []pairJSON `json:"opens"`
	Count   int        `json:"opensCount"`
	Why     []string   `json:"why"`
}

type pairJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// CheckJSON prints an answer as JSON.
func CheckJSON(w io.Writer, s *cluster.Snapshot, a *question.Answer, o CheckOptions) error {
	out := checkJSON{Schema: "sallyport.dev/check/v1", Verdict: a.Verdict, From: a.From, To: a.To, Asked: a.Asked,
		Notes: append(append([]string{}, a.Notes...), o.Notes...)}
	if o.Enforcement != "" {
		out.Enforcement = &enforcementJSON{o.EnforcedBy, o.Enforcement}
	}
	out.Parts = parts(s, a, o.Trace)
	if e := a.IfEnforced; e != nil {
		out.IfEnforced = &ifEnforcedJSON{e.Verdict, ifEnforcedWords(a.Verdict, e), parts(s, e, o.Trace)}
	}
	if g := a.Suggestion; g != nil {
		out.Suggestion = &suggestionJSON{Objects: []any{}, Opens: []pairJSON{}, Count: g.Count, Why: append([]string{}, g.Why...)}
		for _, o := range g.Opens {
			out.Suggestion.Opens = append(out.Suggestion.Opens, pairJSON{o.From, o.To})
		}
		for _, obj := range g.Objects {
			out.Suggestion.Objects = append(out.Suggestion.Objects, plain(obj))
		}
		if len(g.Objects) > 0 {
			out.Suggestion.Verdict = g.Verdict
		}
	}
	return writeJSON(w, out)
}

func parts(s *cluster.Snapshot, a *question.Answer, trace bool) []partJSON {
	out := make([]partJSON, 0, len(a.Parts))
	for i := range a.Parts {
		p := &a.Parts[i]
		part := partJSON{Verdict: p.Decision.Verdict.String(), From: a.EveryEnd(p.From), To: a.EveryEnd(p.To), Ports: p.Ports.Strings(),
			ServicePort: p.ServicePort, Egress: side(s, &p.Decision.Egress, trace), Ingress: side(s, &p.Decision.Ingress, trace), Layers: joint(s, p.Layers)}
		for _, f := range p.Families {
			part.Families = append(part.Families, f.String())
		}
		out = append(out, part)
	}
	return out
}

func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, names.SafeJSON(b.String()))
	return err
}

func side(s *cluster.Snapshot, d *eval.Direction, trace bool) sideJSON {
	out := sideJSON{Verdict: d.Verdict.String(), Reason: d.Reason.String()}
	if d.Rule != (cluster.RuleID{}) {
		r := rule(d.Rule, d.Origin, d.Action.String())
		out.Rule = &r
	}
	if d.Reason == flow.Isolated || d.Reason == flow.OwnNode || d.Reason == flow.PolicyRule {
		for _, p := range d.Isolating {
			out.Isolating = append(out.Isolating, policyRef(p.Ref, p.Origin))
		}
	}
	if d.Nearest != nil {
		n := step(d.Nearest, d.Direction)
		out.Nearest = &n
	}
	for i := range d.Tied {
		out.Tied = append(out.Tied, step(&d.Tied[i], d.Direction))
	}
	for _, g := range d.Unknown {
		out.Unknown = append(out.Unknown, gap(s, &g, d.Direction))
	}
	for _, a := range d.Assumed {
		out.Assumed = append(out.Assumed, assumeJSON{a.Block, rule(a.Rule, a.Origin, "")})
	}
	for _, i := range d.Foreign {
		out.Foreign = append(out.Foreign, foreign(&s.ForeignPolicies[i]))
	}
	for i := range d.Steps {
		if trace {
			out.Steps = append(out.Steps, step(&d.Steps[i], d.Direction))
		}
	}
	return out
}

func policyRef(r cluster.PolicyRef, o cluster.Origin) policyJSON {
	return policyJSON{Kind: strings.ToLower(r.Kind), Namespace: r.Namespace, Name: r.Name, Place: o.String()}
}

func foreign(f *cluster.ForeignPolicy) foreignJSON {
	return foreignJSON{f.Group, policyRef(cluster.PolicyRef{Kind: f.Kind, Namespace: f.Namespace, Name: f.Name}, f.Origin)}
}

func rule(id cluster.RuleID, o cluster.Origin, action string) ruleJSON {
	return ruleJSON{Policy: policyRef(id.Policy, cluster.Origin{}), Path: id.Path(), PortPath: id.PortPath(), Place: o.String(), Action: action}
}

func step(s *eval.Step, d flow.Direction) stepJSON {
	out := stepJSON{Rule: rule(s.Rule, s.Origin, s.Action.String()), Tier: s.Tier.String(), Name: s.Name, Match: s.Match.String(),
		SubjectUnknown: s.SubjectUnknown, NotUnderstood: s.Poisoned}
	for _, m := range s.Misses {
		out.Misses = append(out.Misses, missJSON{partNames[m.Part], m.Want, m.Have, m.Unknown, missesWords([]eval.Miss{m}, d)})
	}
	return out
}

// partNames are the words for the part of a rule that a flow misses.
var partNames = map[eval.MissPart]string{
	eval.PartKind:           "kind",
	eval.PartNamespace:      "namespace",
	eval.PartNamespaceLabel: "namespace-label",
	eval.PartPodLabel:       "pod-label",
	eval.PartAddress:        "address",
	eval.PartNode:           "node",
	eval.PartDomain:         "domain",
	eval.PartProtocol:       "protocol",
	eval.PartPort:           "port",
	eval.PartNamedPort:      "named-port",
	eval.PartPoisoned:       "not-understood",
}

func gap(s *cluster.Snapshot, g *eval.Gap, d flow.Direction) gapJSON {
	switch {
	case g.Unread > 0:
		u := &s.Unreadable[g.Unread-1]
		return gapJSON{What: "unreadable", Place: u.Origin.String(), Why: u.Why}
	case g.Foreign > 0:
		p := foreign(&s.ForeignPolicies[g.Foreign-1])
		return gapJSON{What: "not-evaluated", Policy: &p}
	case g.OwnNode:
		return gapJSON{What: "own-node"}
	}
	st := step(g.Step, d)
	if g.Step.SubjectUnknown {
		return gapJSON{What: "subject", Step: &st}
	}
	return gapJSON{What: "rule", Step: &st}
}
