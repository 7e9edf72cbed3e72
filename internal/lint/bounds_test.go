package lint

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/policy"
)

// TestBoundsAreSaid: where a rule stops looking, what was not looked at counts as fine, and it says so once.
func TestBoundsAreSaid(t *testing.T) {
	s := bench.Spread(200, 400, 400)
	in := &Input{Written: s, Model: policy.Compile(s, policy.Options{})}

	whole := &run{Input: in, rule: spareRules[1]}
	if x := whole.spare(); x.unsettled > 0 || len(x.policies) == 0 {
		t.Fatalf("without a bound: %d unsettled, %d policies", x.unsettled, len(x.policies))
	}
	bounded := &run{Input: in, rule: spareRules[1]}
	bounded.facts.spare = bounded.spareWithin(0)
	redundantRule(bounded)
	if len(bounded.findings) != 1 || !strings.Contains(bounded.findings[0].Message, "rules were not compared") {
		t.Errorf("with a bound: %+v", bounded.findings)
	}

	for policies, rule := range map[int]*Rule{400: pairRules[0], 100: metadataRules[1]} { // of 200 workloads
		s := bench.Spread(200, 400, policies)
		in := &Input{Written: s, Model: policy.Compile(s, policy.Options{})}
		whole := &run{Input: in, rule: rule}
		rule.check(whole)
		bounded := &run{Input: in, rule: rule}
		bounded.facts.asked = map[*Rule]int{rule: maxAsked}
		rule.check(bounded)
		if len(whole.findings) == 0 || len(bounded.findings) != 1 || bounded.findings[0].Message != "not everything was looked at" {
			t.Errorf("%s finds %d without a bound, and with one %+v", rule.ID, len(whole.findings), bounded.findings)
		}
	}
}
