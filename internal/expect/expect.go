// Package expect evaluates what people expect of their policies: that one end may reach another, that it
// may not, or that nobody else may.
//
// It is pure. It must never read a file and never print, and an expectation about nothing (a name that
// matches no pod) must never hold.
package expect

import (
	"fmt"
	"path"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// Kind is what a test expects.
type Kind string

// The kinds.
const (
	Allow Kind = "allow" // every connection from each source to each destination is allowed
	Deny  Kind = "deny"  // every one is denied
	Only  Kind = "only"  // every one from whatever is no source is denied
)

// Test is one expectation.
type Test struct {
	Name     string
	Kind     Kind
	From, To []End
	Origin   cluster.Origin
}

// End is one end as written: a term of the command line, in which * in names stands for any characters,
// or label selectors.
type End struct {
	Text   string
	Term   question.Term // without port; the zero Term where selectors are given
	Port   question.PortTerm
	Select *Select
	// Outside: written external/CIDR, so that pods with an address in the CIDR are not meant.
	Outside bool
}

// ParseEnd reads an end as text: a term of the command line, or external/CIDR.
func ParseEnd(text string, withPort bool) (End, error) {
	rest, outside := strings.CutPrefix(text, "external/")
	t, err := question.ParseTerm(rest, withPort)
	if err != nil {
		return End{}, err
	}
	if outside && !t.Prefix.IsValid() {
		return End{}, fmt.Errorf("%q: external is followed by an address or a CIDR, or by nothing", text)
	}
	e := End{Text: text, Term: t, Port: t.Port, Outside: outside}
	e.Term.Port = question.PortTerm{}
	return e, nil
}

// Select chooses pods by label.
type Select struct {
	Namespace  string          // fixed, or empty
	Namespaces policy.Selector // used where Namespace is empty
	Pods       policy.Selector
}

// Status is the outcome of a test.
type Status string

// The outcomes.
const (
	Holds     Status = "holds"
	Fails     Status = "fails"
	Undecided Status = "undecided" // it depends on something that is not known, or on policies that disagree
)

// Result is the outcome of one test and what speaks against it.
type Result struct {
	Test   *Test
	Status Status
	// Against lists pairs that fail, or where none does those that are undecided; More counts those that
	// are not listed.
	Against []Against
	More    int
	// Unknown lists namespaces whose labels are not known, so that it is not known what a selector selects.
	Unknown []string
	// Pairs counts the pairs of workloads and pieces of the outside that were compared.
	Pairs int
}

// MaxAgainst bounds Result.Against.
const MaxAgainst = 5

// Against is a connection that is not as expected.
type Against struct {
	From, To string
	Ports    netset.PortSet
	Decision eval.Decision    // of one flow that shows it; its verdict is that of all Layers
	Layers   *layers.Decision // nil where they do not speak
}

// pattern tells whether an end's names have wildcards.
func (e *End) pattern() bool {
	return strings.Contains(e.Term.Namespace+e.Term.Name, "*")
}

// matches compares a name with a pattern in which only * means something.
func matches(pattern, name string) bool {
	ok, err := path.Match(allButStar.Replace(pattern), name)
	return err == nil && ok
}

var allButStar = strings.NewReplacer("?", `\?`, "[", `\[`, "]", `\]`, `\`, `\\`)

// Error is a test that cannot be evaluated.
type Error struct {
	Origin cluster.Origin
	Test   string
	Err    error
}

// Error gives the place, the test and what is wrong.
func (e *Error) Error() string {
	text := fmt.Sprintf("test %q: %v", e.Test, e.Err)
	if at := e.Origin.String(); at != "" {
		text = at + ": " + text
	}
	return text
}

// Unwrap gives what is wrong.
func (e *Error) Unwrap() error { return e.Err }
