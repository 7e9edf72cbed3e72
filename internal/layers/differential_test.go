package layers_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// compile gives the model of a case, with layers where they speak.
func compile(c *world.LayeredCase) (*cluster.Snapshot, *policy.Model, *layers.Model) {
	s := c.World.Snapshot()
	s.Facts.TrustDomain = c.Options.TrustDomain
	m := policy.Compile(s, policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata,
		Azure: c.Options.Azure, Behaviour: policy.Behaviour{NotEnforced: c.Options.NotEnforced}})
	return s, m, layers.Compile(m)
}

var opinions = map[oracle.Opinion]layers.Answer{oracle.None: layers.None, oracle.Allow: layers.Allow, oracle.Deny: layers.Deny, oracle.Unknown: layers.Unknown}

// TestOracle compares each layer's answer and the joint verdict with the oracle's on random worlds.
func TestOracle(t *testing.T) {
	flows, skipped := 0, 0
	answers := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 12*time.Second, 1)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(24).Draw(rt, "case")
			s, m, l := compile(&c)
			for _, q := range c.Questions {
				want := oracle.AskLayers(s, c.Options, q.Flow, q.Service)
				if want.Skipped {
					skipped++
					continue
				}
				flows++
				if diff := disagreement(m, l, &q, &want); diff != "" {
					rt.Fatalf("%s\n%s", diff, describe(s, q))
				}
				for i, a := range want.Answers {
					answers[fmt.Sprint(oracle.Layer(i), " ", a)]++
				}
			}
		})
	}
	t.Logf("%d flows compared, %d skipped, answers %v", flows, skipped, answers)
	if flows == 0 || len(answers) < 22 { // the firewall's none, allow, deny, unknown, and so on
		t.Errorf("too little was compared: %d flows, answers %v", flows, answers)
	}
}

func disagreement(m *policy.Model, l *layers.Model, q *world.Question, want *oracle.Layers) string {
	d := eval.Decide(m, &q.Flow)
	if l == nil {
		if d.Verdict != want.Verdict {
			return fmt.Sprintf("layers do not speak: %v, oracle %v", d.Verdict, want.Verdict)
		}
		return ""
	}
	got := l.Decide(&d, q.Service)
	for i := range got.Steps {
		if got.Steps[i].Answer != opinions[want.Answers[i]] {
			return fmt.Sprintf("%v: got %v (%v %v), oracle %v", layers.Layer(i), got.Steps[i].Answer, got.Steps[i].Reason, got.Steps[i].Refs, want.Answers[i])
		}
	}
	if got.Verdict != want.Verdict {
		return fmt.Sprintf("verdict: got %v, oracle %v", got.Verdict, want.Verdict)
	}
	if fast := eval.Verdict(m, &q.Flow).And(l.Verdict(&q.Flow, q.Service)); fast != got.Verdict {
		return fmt.Sprintf("Verdict says %v, Decide says %v", fast, got.Verdict)
	}
	return ""
}

func describe(s *cluster.Snapshot, q world.Question) string {
	end := func(e flow.End) string {
		switch e.Kind {
		case flow.Pod:
			return fmt.Sprint(&s.Pods[e.Index], " ", e.Addr)
		case flow.Node:
			return "node/" + s.Nodes[e.Index].Name
		}
		return e.Addr.String()
	}
	text := fmt.Sprintf("%s → %s %v/%d %v via service %v", end(q.Flow.From), end(q.Flow.To), q.Flow.Proto, q.Flow.Port, q.Flow.Family, q.Flow.ViaService)
	if q.Service >= 0 {
		text += " of " + s.External[q.Service].String()
	}
	return text
}
