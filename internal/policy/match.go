package policy

import (
	"encoding/binary"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Match is the answer of one matcher: no, unknown, or yes. The order is that of min (and) and max (or).
type Match uint8

// The matches.
const (
	No Match = iota
	Maybe
	Yes
)

// String gives no, unknown or yes.
func (m Match) String() string { return [...]string{"no", "unknown", "yes"}[m] }

func matchIf(b bool) Match {
	if b {
		return Yes
	}
	return No
}

// Requirement is one condition of a selector. Values are sorted.
type Requirement struct {
	Key      string
	Operator metav1.LabelSelectorOperator
	Values   []string
}

// Holds tells whether labels satisfy the requirement; objects that lack the key satisfy NotIn and
// DoesNotExist (S30). An unknown operator holds for nothing.
func (r Requirement) Holds(labels map[string]string) bool {
	v, has := labels[r.Key]
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		return has && r.lists(v)
	case metav1.LabelSelectorOpNotIn:
		return !has || !r.lists(v)
	case metav1.LabelSelectorOpExists:
		return has
	case metav1.LabelSelectorOpDoesNotExist:
		return !has
	}
	return false
}

func (r Requirement) lists(v string) bool {
	_, found := slices.BinarySearch(r.Values, v)
	return found
}

// String writes the requirement the way kubectl does: app=web, tier in (a,b), !debug.
func (r Requirement) String() string {
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		if len(r.Values) == 1 {
			return r.Key + "=" + r.Values[0]
		}
		return r.Key + " in (" + shortList(r.Values) + ")"
	case metav1.LabelSelectorOpNotIn:
		if len(r.Values) == 1 {
			return r.Key + "!=" + r.Values[0]
		}
		return r.Key + " notin (" + shortList(r.Values) + ")"
	case metav1.LabelSelectorOpExists:
		return r.Key
	case metav1.LabelSelectorOpDoesNotExist:
		return "!" + r.Key
	}
	return string(r.Operator) + " " + r.Key
}

// shortest is the number of values after which a list is cut short.
const shortest = 5

// shortList keeps a selector of thousands of values readable.
func shortList(values []string) string {
	if len(values) <= shortest {
		return strings.Join(values, ",")
	}
	return strings.Join(values[:shortest], ",") + ",…"
}

// Selector is a label selector in normal form: requirements sorted by key, operator and values. The
// zero value selects everything.
type Selector []Requirement

// NewSelector brings a selector into normal form. The caller has validated it.
func NewSelector(ls metav1.LabelSelector) Selector {
	var s Selector
	for k, v := range ls.MatchLabels {
		s = append(s, Requirement{Key: k, Operator: metav1.LabelSelectorOpIn, Values: []string{v}})
	}
	for _, e := range ls.MatchExpressions {
		values := slices.Clone(e.Values)
		slices.Sort(values)
		s = append(s, Requirement{Key: e.Key, Operator: e.Operator, Values: slices.Compact(values)})
	}
	slices.SortFunc(s, func(a, b Requirement) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		if c := strings.Compare(string(a.Operator), string(b.Operator)); c != 0 {
			return c
		}
		return slices.Compare(a.Values, b.Values)
	})
	return s
}

// Match compares the selector with labels. Where complete is false only the keys that labels holds
// are known, and requirements on other keys are unknown (S4, S30).
func (s Selector) Match(labels map[string]string, complete bool) Match {
	out := Yes
	for _, r := range s {
		if !complete {
			if _, known := labels[r.Key]; !known {
				out = min(out, Maybe)
				continue
			}
		}
		if !r.Holds(labels) {
			return No
		}
	}
	return out
}

// String joins the requirements; the empty selector is "all".
func (s Selector) String() string {
	if len(s) == 0 {
		return "all"
	}
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return strings.Join(parts, ", ")
}

// Key identifies the selector among all selectors; unlike String it leaves nothing out.
func (s Selector) Key() string {
	var b []byte
	for _, r := range s {
		b = appendText(appendText(b, r.Key), string(r.Operator))
		b = binary.AppendUvarint(b, uint64(len(r.Values)))
		for _, v := range r.Values {
			b = appendText(b, v)
		}
	}
	return string(b)
}
