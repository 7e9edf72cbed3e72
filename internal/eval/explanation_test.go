package eval_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// TestExplanationsHold checks what an explanation promises, on random worlds and under what plugins
// do differently: misses say why a rule does not match, gaps and ties are there when the verdict
// needs them, and no rule is nearer than the one called nearest.
func TestExplanationsHold(t *testing.T) {
	seen := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 3*time.Second, 10)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(16).Draw(rt, "case")
			o := modelOptions(c.Options)
			o.Behaviour = drawBehaviour(rt)
			m := policy.Compile(c.World.Snapshot(), o)
			o.Strict = true
			strict := policy.Compile(c.World.Snapshot(), o)
			for _, f := range c.Flows {
				d, s := eval.Decide(m, &f), eval.Decide(strict, &f)
				for i, side := range d.Directions() {
					if wrong := wrongIn(side, s.Directions()[i], seen); wrong != "" {
						rt.Fatalf("%s, %v: %s\n%+v\n%#v", question(c.World.Snapshot(), f), side.Direction, wrong, side, c)
					}
				}
			}
		})
	}
	for _, what := range []string{"no", "unknown", "yes", "gap", "tie", "assumption", "nearest"} {
		if seen[what] == 0 {
			t.Errorf("never seen: %s (%v)", what, seen)
		}
	}
}

func drawBehaviour(t *rapid.T) policy.Behaviour {
	oneIn := func(n int, label string) bool { return rapid.IntRange(0, n-1).Draw(t, label) == n-1 }
	if !oneIn(3, "another plugin") {
		return policy.Behaviour{}
	}
	return policy.Behaviour{
		BlocksMatchOutsideOnly:  oneIn(3, "blocks match outside only"),
		EgressToOwnNodeByPolicy: oneIn(2, "egress to own node by policy"),
		EndPort:                 policy.EndPort(rapid.IntRange(0, 2).Draw(t, "endPort")),
		NamedPortsUnsettled:     oneIn(2, "named ports unsettled"),
		SCTPUnsettled:           oneIn(2, "sctp unsettled"),
	}
}

// wrongIn says what is wrong with the explanation of one direction; strict is the same direction
// with everything assumed left open.
func wrongIn(d, strict *eval.Direction, seen map[string]int) string {
	for i := range d.Steps {
		s := &d.Steps[i]
		seen[s.Match.String()]++
		unknown := func(m eval.Miss) bool { return m.Unknown }
		switch certain := slices.ContainsFunc(s.Misses, func(m eval.Miss) bool { return !m.Unknown }); {
		case s.Match == eval.Yes && len(s.Misses) > 0:
			return fmt.Sprintf("%+v matches and misses something", *s)
		case s.Match == eval.No && (!certain || slices.ContainsFunc(s.Misses, unknown)):
			return fmt.Sprintf("%+v does not match, and nothing says why", *s)
		case s.Match == eval.Maybe && (certain || len(s.Misses) == 0):
			return fmt.Sprintf("%+v may match, and what is unknown is not said", *s)
		}
	}
	if (d.Verdict == flow.Unknown) != (len(d.Unknown) > 0) {
		return fmt.Sprintf("%v with %d gaps", d.Verdict, len(d.Unknown))
	}
	actions := map[eval.Action]bool{}
	for _, s := range d.Tied {
		actions[s.Action] = true
	}
	if (d.Verdict == flow.Ambiguous) != (len(actions) > 1) {
		return fmt.Sprintf("%v with tied actions %v", d.Verdict, actions)
	}
	hangs := d.Verdict != strict.Verdict && len(strict.Foreign) == 0
	if hangs != (len(d.Assumed) > 0) && len(strict.Foreign) == 0 {
		return fmt.Sprintf("%v, strictly %v, with %d assumptions", d.Verdict, strict.Verdict, len(d.Assumed))
	}
	count(seen, "gap", len(d.Unknown))
	count(seen, "tie", len(d.Tied))
	count(seen, "assumption", len(d.Assumed))
	return wrongNearest(d, seen)
}

func count(seen map[string]int, what string, n int) {
	if n > 0 {
		seen[what]++
	}
}

func wrongNearest(d *eval.Direction, seen map[string]int) string {
	rules := slices.DeleteFunc(slices.Clone(d.Steps), func(s eval.Step) bool { return s.Rule.Policy.Kind != "NetworkPolicy" })
	if (d.Reason == flow.Isolated && len(rules) > 0) != (d.Nearest != nil) {
		return fmt.Sprintf("%v over %d rules, and the nearest is %v", d.Reason, len(rules), d.Nearest)
	}
	if d.Nearest == nil {
		return ""
	}
	seen["nearest"]++
	for i := range rules {
		if policy.Weigh(rules[i].Misses) < policy.Weigh(d.Nearest.Misses) {
			return fmt.Sprintf("%+v is nearer than %+v", rules[i], *d.Nearest)
		}
	}
	return ""
}
