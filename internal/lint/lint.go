// Package lint finds mistakes in policies: what cannot mean what its author meant, what has no effect,
// and what a cluster will miss once the policies apply.
//
// It is pure. It must never render, and never claim what the model does not say: a rule that speaks of
// effect asks the evaluator, and keeps still where something it needs is not known.
package lint

import (
	"cmp"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/policy"
)

// Severity is how bad a finding is. The words are those of SARIF.
type Severity uint8

// The severities, mildest first.
const (
	Note Severity = iota + 1
	Warning
	Error
)

// String gives the lower-case word.
func (s Severity) String() string { return [...]string{"", "note", "warning", "error"}[s] }

// Rule is one kind of mistake.
type Rule struct {
	// ID is stable: lower-case words joined by hyphens. People write it into ignores, and the page
	// docs/lint/ID.md explains it.
	ID       string
	Severity Severity
	// Title says in one line what is found.
	Title string

	check func(*run) // nil for the rules about ignores, which come after all others
}

// Object names what a finding is about. It is comparable; the zero value is the cluster as a whole.
type Object struct {
	Kind      string // as manifests spell it: NetworkPolicy, Deployment, Namespace
	Namespace string // empty for cluster-wide kinds
	Name      string
}

// String gives "Kind ns/name".
func (o Object) String() string {
	if o == (Object{}) {
		return "the cluster"
	}
	return o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
}

// Finding is one mistake at one place. Its texts hold names from the input and are not yet safe to print.
type Finding struct {
	Rule *Rule
	// Severity is the rule's, or milder.
	Severity Severity
	Object   Object
	Path     string         // inside the object, such as spec.ingress[0].from[1]; empty for the whole
	Origin   cluster.Origin // of Path
	// Message says what is wrong, Reason what follows from it, Fix what to do: a sentence each, in the
	// user's words, without a full stop in Message. Reason and Fix may be empty.
	Message, Reason, Fix string
	// Ignored is what silences the finding; nil if it counts.
	Ignored *cluster.Ignore
}

// Input is what is linted.
type Input struct {
	// Written is the Snapshot as read; Model is compiled from what the given version makes of it, and
	// as if something enforced it.
	Written *cluster.Snapshot
	Model   *policy.Model
	Version platform.Version // zero if not given
	Plugin  platform.Plugin  // zero if not given
}

// run is one Run.
type run struct {
	*Input
	rule     *Rule
	findings []Finding
	facts    facts
	people   *population // see population
}

func (r *run) add(f Finding) {
	f.Rule = r.rule
	if f.Severity == 0 {
		f.Severity = r.rule.Severity
	}
	r.findings = append(r.findings, f)
}

// tooMuch says that the rule has not looked at everything; that alone fails nothing.
func (r *run) tooMuch(what, reason string) {
	r.add(Finding{Severity: Note, Message: what, Reason: reason, Fix: "Lint fewer namespaces at once."})
}

// Run gives every finding, ignored ones too, sorted by place, then object, path, rule and message.
func Run(in *Input) []Finding {
	r := &run{Input: in}
	for _, r.rule = range Rules() {
		if r.rule.check != nil {
			r.rule.check(r)
		}
	}
	r.ignore()
	slices.SortFunc(r.findings, compare)
	return r.findings
}

func compare(a, b Finding) int {
	return cmp.Or(strings.Compare(a.Origin.File, b.Origin.File), a.Origin.Line-b.Origin.Line,
		strings.Compare(a.Object.String(), b.Object.String()), strings.Compare(a.Path, b.Path),
		strings.Compare(a.Rule.ID, b.Rule.ID), strings.Compare(a.Message, b.Message))
}

// onPolicy makes a finding about a part of a policy.
func onPolicy(p *policy.Policy, path, message, reason, fix string) Finding {
	return Finding{Object: Object{p.Ref.Kind, p.Ref.Namespace, p.Ref.Name}, Path: path, Origin: p.Origin.At(path),
		Message: message, Reason: reason, Fix: fix}
}

// Worst gives the gravest severity among the findings that are not ignored; zero if there is none.
func Worst(found []Finding) Severity {
	worst := Severity(0)
	for i := range found {
		if found[i].Ignored == nil {
			worst = max(worst, found[i].Severity)
		}
	}
	return worst
}
