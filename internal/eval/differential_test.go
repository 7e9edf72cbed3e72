package eval_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// TestOracle compares verdict and deciding rule with the oracle's on random worlds (S62). A
// disagreement is shrunk and written to testdata/disagreement.txtar, ready to become a scenario.
func TestOracle(t *testing.T) {
	flows, skipped := 0, 0
	verdicts := map[flow.Verdict]int{}
	for end := time.Now().Add(world.Soak(t, 30*time.Second, 1)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.UnevaluatedCases(16).Draw(rt, "case")
			s := c.World.Snapshot()
			m := policy.Compile(s, modelOptions(c.Options))
			for _, f := range c.Flows {
				want := oracle.Ask(s, c.Options, f)
				if want.Skipped {
					skipped++
					continue
				}
				got := eval.Decide(m, &f)
				flows++
				verdicts[got.Verdict]++
				if diff := disagreement(m, &f, got, want); diff != "" {
					place := writeScenario(rt, c.World, c.Options, s, f, want)
					rt.Fatalf("%s\n%s\nwritten to %s", diff, question(s, f), place)
				}
			}
		})
	}
	t.Logf("%d flows compared, %d skipped, verdicts %v", flows, skipped, verdicts)
	if flows == 0 || len(verdicts) < 4 {
		t.Errorf("too little was compared: %d flows, verdicts %v", flows, verdicts)
	}
}

func modelOptions(o oracle.Options) policy.Options {
	return policy.Options{Strict: o.Strict, PodCIDRs: o.PodCIDRs, BlockMetadata: o.BlockMetadata, Azure: o.Azure,
		Behaviour: policy.Behaviour{NotEnforced: o.NotEnforced}}
}

func disagreement(m *policy.Model, f *flow.Flow, got eval.Decision, want oracle.Answer) string {
	if fast := eval.Verdict(m, f); fast != got.Verdict {
		return fmt.Sprintf("Verdict says %v, Decide says %v", fast, got.Verdict)
	}
	if got.Verdict != want.Verdict {
		return fmt.Sprintf("evaluator: %v, oracle: %v\n%+v\n%+v", got.Verdict, want.Verdict, got, want)
	}
	for _, pair := range []struct {
		got  eval.Direction
		want oracle.Direction
	}{{got.Egress, want.Egress}, {got.Ingress, want.Ingress}} {
		g, w := pair.got, pair.want
		if g.Verdict != w.Verdict || g.Reason != w.Reason || g.Rule != w.Rule {
			return fmt.Sprintf("%v: evaluator %v %v %+v, oracle %v %v %+v", g.Direction, g.Verdict, g.Reason, g.Rule, w.Verdict, w.Reason, w.Rule)
		}
		if g.Reason == flow.Isolated && !slices.Equal(refs(g.Isolating), w.Isolating) {
			return fmt.Sprintf("%v: isolated by %v, oracle %v", g.Direction, g.Isolating, w.Isolating)
		}
	}
	return ""
}

func refs(list []eval.PolicyAt) []cluster.PolicyRef {
	var out []cluster.PolicyRef
	for _, p := range list {
		out = append(out, p.Ref)
	}
	return out
}

// writeScenario writes a disagreement as a scenario file; shrinking overwrites it with smaller ones.
func writeScenario(t *rapid.T, w world.World, o oracle.Options, s *cluster.Snapshot, f flow.Flow, want oracle.Answer) string {
	place := filepath.Join("testdata", "disagreement.txtar")
	text := fmt.Sprintf("Found by random comparison; say here what it shows.\n\nrules: S62\n\n-- world.yaml --\n%s-- answers --\n? check %s%s\n%s\n",
		w.YAML(), flagsOf(o), question(s, f), want.Verdict)
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return place
}

func flagsOf(o oracle.Options) string {
	var b strings.Builder
	for _, flag := range []struct {
		on   bool
		text string
	}{{o.Strict, "--strict "}, {o.BlockMetadata, "--block-metadata "}, {o.NotEnforced, "--plugin none "}} {
		if flag.on {
			b.WriteString(flag.text)
		}
	}
	for _, p := range o.PodCIDRs {
		b.WriteString("--pod-cidr " + p.String() + " ")
	}
	return b.String()
}

func question(s *cluster.Snapshot, f flow.Flow) string {
	port := ":*/icmp"
	if f.Proto != netset.Other {
		port = fmt.Sprintf(":%d/%s", f.Port, f.Proto)
	}
	return endText(s, f.From) + " " + endText(s, f.To) + port
}

func endText(s *cluster.Snapshot, e flow.End) string {
	var name string
	switch e.Kind {
	case flow.Address:
		if e.Addr.Is6() {
			return "[" + e.Addr.String() + "]"
		}
		return e.Addr.String()
	case flow.Node:
		name = "node/" + s.Nodes[e.Index].Name
	default:
		name = s.Pods[e.Index].String()
	}
	if e.Addr.IsValid() {
		name += "@[" + e.Addr.String() + "]"
	}
	return name
}
