package lint

import (
	"fmt"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// directionRules are about policyTypes.
var directionRules = []*Rule{
	{ID: "inert-rules", Severity: Error, Title: "a policy has rules for a direction that its policyTypes leave out", check: inertRules},
	{ID: "implied-ingress", Severity: Warning, Title: "a policy that is about egress closes ingress too, because it has no policyTypes", check: impliedIngress},
	{ID: "direction-without-rules", Severity: Note, Title: "a policy with rules for one direction closes the other", check: directionWithoutRules},
}

func inertRules(r *run) {
	for _, p := range r.Model.Policies() {
		for _, d := range flow.Directions {
			n := p.InertRules(d)
			if n == 0 {
				continue
			}
			rules := "its rules for " + d.String() + " have"
			if n == 1 {
				rules = "its rule for " + d.String() + " has"
			}
			r.add(onPolicy(p, "spec."+d.String(), fmt.Sprintf("%s no effect, because policyTypes does not list %s", rules, typeWord(d)),
				"The policy neither allows nor isolates anything for "+d.String()+".", "Add "+typeWord(d)+" to policyTypes, or take the rules out."))
		}
	}
}

// closesAlone tells whether a policy isolates pods for a direction and allows nothing there, while it has
// rules for the other, and for some pod no policy allows anything in that direction.
func (r *run) closesAlone(p *policy.Policy, d flow.Direction) bool {
	other := flow.Egress + flow.Ingress - d
	if r.partial() || p.Tier != policy.NetworkPolicyTier || !p.Applies(d) || len(p.Rules(d)) > 0 || len(p.Rules(other)) == 0 {
		return false
	}
	for _, class := range r.search().Subjects(p, d) {
		if !r.allows(class, d) && !r.closedByOthers(class, p, d) {
			return true
		}
	}
	return false
}

// allows tells whether some NetworkPolicy of a class has a rule for a direction.
func (r *run) allows(class int, d flow.Direction) bool {
	for _, p := range r.Model.Classes()[class].Subject(d).Policies {
		if len(p.Rules(d)) > 0 {
			return true
		}
	}
	return false
}

// closedByOthers tells whether a class would be isolated without the policy as well.
func (r *run) closedByOthers(class int, p *policy.Policy, d flow.Direction) bool {
	for _, o := range r.Model.Classes()[class].Subject(d).Policies {
		if o != p {
			return true
		}
	}
	return false
}

// written tells whether a field of a policy is in its manifest; it is not known of policies without lines.
func written(p *policy.Policy, path string) policy.Match {
	if len(p.Origin.Lines) == 0 {
		return policy.Maybe
	}
	if _, ok := p.Origin.Lines[path]; ok {
		return policy.Yes
	}
	return policy.No
}

func impliedIngress(r *run) {
	for _, p := range r.Model.Policies() {
		if written(p, "spec.policyTypes") == policy.No && written(p, "spec.ingress") == policy.No && r.closesAlone(p, flow.Ingress) {
			r.add(onPolicy(p, "spec", "the policy has rules for egress only, and isolates its pods for ingress as well",
				"Without policyTypes a policy is always about ingress, and here it lets nobody in.",
				"Write policyTypes: [Egress], or [Ingress, Egress] if nobody is to be let in."))
		}
	}
}

func directionWithoutRules(r *run) {
	for _, p := range r.Model.Policies() {
		for _, d := range flow.Directions {
			if written(p, "spec.policyTypes") == policy.No || written(p, "spec."+d.String()) != policy.No || !r.closesAlone(p, d) {
				continue // an empty list in the manifest says that nothing is what was meant
			}
			what := "lets nobody in"
			if d == flow.Egress {
				what = "lets nothing out"
			}
			r.add(onPolicy(p, "spec.policyTypes", fmt.Sprintf("policyTypes lists %s, and the policy has no rule for it: it %s", typeWord(d), what),
				"No other policy is about "+d.String()+" of these pods, so this one alone closes it.",
				fmt.Sprintf("Write %s: [] if that is meant, else take %s out of policyTypes.", d, typeWord(d))))
		}
	}
}
