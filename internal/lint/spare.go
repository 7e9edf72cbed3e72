package lint

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// spareRules are about what makes no difference now. All of them hold together: whoever takes away
// everything that is named changes no verdict.
var spareRules = []*Rule{
	{ID: "redundant-policy", Severity: Note, Title: "a policy does nothing that others do not do", check: redundantPolicy},
	{ID: "redundant-rule", Severity: Note, Title: "a rule allows nothing that others do not allow", check: redundantRule},
	{ID: "shadowed-rule", Severity: Warning, Title: "what a rule matches is decided otherwise before it is asked", check: shadowedRule},
}

// maxSpareWork bounds what is compared for all rules, counted as in package cover (half a minute or so).
const maxSpareWork = 600_000_000

// spare is what makes no difference.
type spare struct {
	policies  []sparePolicy
	rules     []spareRule
	unsettled int // rules that were not looked at to the end
}

type sparePolicy struct {
	policy *policy.Policy
	by     []cover.Other    // rules that allow what its rules do
	shut   []*policy.Policy // policies that isolate its pods
}

type spareRule struct {
	policy *policy.Policy
	d      flow.Direction
	rule   *policy.Rule
	by     []cover.Other
}

// spare looks for what makes no difference, from the last policy to the first, each time without what
// was found before: so of two that do the same only one is named.
func (r *run) spare() *spare {
	if r.facts.spare == nil {
		r.facts.spare = r.spareWithin(maxSpareWork)
	}
	return r.facts.spare
}

func (r *run) spareWithin(work int) *spare {
	f := &spareSearch{r: r, work: work, out: &spare{}, gone: map[*policy.Policy]bool{}}
	for _, p := range slices.Backward(r.Model.Policies()) {
		if len(p.NotUnderstood) == 0 && !f.wholePolicy(p) {
			f.rulesOf(p)
		}
	}
	slices.Reverse(f.out.policies)
	slices.Reverse(f.out.rules)
	return f.out
}

type spareSearch struct {
	r    *run
	work int // after which nothing more is asked
	out  *spare
	gone map[*policy.Policy]bool
}

func (f *spareSearch) ask(p *policy.Policy, d flow.Direction, rule *policy.Rule) cover.Answer {
	search := f.r.search()
	if search.Work() > f.work {
		f.out.unsettled++
		return cover.Answer{Outcome: cover.Unsettled}
	}
	a := search.Ask(p, d, rule)
	if a.Outcome == cover.Unsettled {
		f.out.unsettled++
	}
	return a
}

func (f *spareSearch) rulesOf(p *policy.Policy) {
	for _, d := range flow.Directions {
		rules := p.Rules(d)
		for i := len(rules) - 1; i >= 0; i-- {
			if a := f.ask(p, d, &rules[i]); a.Outcome == cover.Covered {
				f.r.search().Leave(&rules[i], true)
				f.out.rules = append(f.out.rules, spareRule{p, d, &rules[i], a.By})
			}
		}
	}
}

// wholePolicy tells whether a NetworkPolicy makes no difference as a whole: other policies select at
// least the pods that it does, so that they stay isolated, and allow all that it allows. A default deny
// is never one because of the policies that narrower selectors have.
func (f *spareSearch) wholePolicy(p *policy.Policy) bool {
	shut, ok := f.isolators(p)
	if !ok {
		return false
	}
	by, ok := f.withoutRules(p)
	if !ok {
		return false
	}
	f.gone[p] = true
	f.out.policies = append(f.out.policies, sparePolicy{p, by, shut})
	return true
}

// isolators gives, for each direction that a NetworkPolicy isolates, another one that selects all that
// it selects, now and later. One that only denies is there to stay when those with rules go: only another
// one that only denies makes it spare.
func (f *spareSearch) isolators(p *policy.Policy) ([]*policy.Policy, bool) {
	if p.Tier != policy.NetworkPolicyTier {
		return nil, false
	}
	var out []*policy.Policy
	for _, d := range flow.Directions {
		if !p.Applies(d) {
			continue
		}
		classes := f.r.search().Subjects(p, d)
		if len(classes) == 0 {
			return nil, false // that it selects nothing is another rule's word
		}
		list := f.r.Model.Classes()[classes[0]].Subject(d).Policies
		i := slices.IndexFunc(list, func(o *policy.Policy) bool {
			return o != p && !f.gone[o] && selectsAll(o, p) && (len(p.Rules(d)) > 0 || len(o.Rules(d)) == 0)
		})
		if i < 0 {
			return nil, false
		}
		if !slices.Contains(out, list[i]) {
			out = append(out, list[i])
		}
	}
	return out, len(out) > 0
}

// selectsAll tells whether a policy's selector asks for nothing that another one's does not ask for.
func selectsAll(wide, narrow *policy.Policy) bool {
	for _, r := range wide.Pods {
		if !slices.ContainsFunc(narrow.Pods, func(o policy.Requirement) bool {
			return o.Key == r.Key && o.Operator == r.Operator && slices.Equal(o.Values, r.Values)
		}) {
			return false
		}
	}
	return true
}

// withoutRules tells whether all rules of a policy at once are covered by those of others, and leaves
// them out of what is asked later.
func (f *spareSearch) withoutRules(p *policy.Policy) ([]cover.Other, bool) {
	leave := func(out bool) {
		for _, d := range flow.Directions {
			for i := range p.Rules(d) {
				f.r.search().Leave(&p.Rules(d)[i], out)
			}
		}
	}
	leave(true)
	var by []cover.Other
	for _, d := range flow.Directions {
		for i := range p.Rules(d) {
			a := f.ask(p, d, &p.Rules(d)[i])
			if a.Outcome != cover.Covered {
				leave(false)
				return nil, false
			}
			for _, o := range a.By {
				if !slices.Contains(by, o) {
					by = append(by, o)
				}
			}
		}
	}
	return by, true
}

func redundantPolicy(r *run) {
	for _, x := range r.spare().policies {
		var names []string
		for _, p := range x.shut {
			names = append(names, p.Ref.String())
		}
		reason := fmt.Sprintf("Its pods are isolated by %s anyway", list(names))
		if len(x.by) > 0 {
			reason += ", and what its rules match is decided by " + others(x.by) + " too"
		}
		r.add(onPolicy(x.policy, "", "makes no difference beside other policies", reason+".",
			"Take it out, or keep it if the others may change and say so in an ignore."))
	}
}

func redundantRule(r *run) {
	for _, x := range r.spare().rules {
		if !x.overruled() {
			r.add(onPolicy(x.policy, x.path(), "makes no difference: other rules decide the same", "What it matches is decided by "+others(x.by)+" too.",
				"Take it out, or keep it if the others may change and say so in an ignore."))
		}
	}
	if n := r.spare().unsettled; n > 0 {
		r.tooMuch(fmt.Sprintf("%d rules were not compared with all others", n), "That would be too much work, so they count as needed.")
	}
}

func shadowedRule(r *run) {
	for _, x := range r.spare().rules {
		if x.overruled() {
			fix := "Move it before them, give its policy a lower priority, or take it out."
			if x.policy.Tier == policy.NetworkPolicyTier {
				fix = "Take it out, or let a rule of the Admin tier pass what it is about."
			}
			r.add(onPolicy(x.policy, x.path(), "has no effect: what it matches is decided before it is asked", "It is decided by "+others(x.by)+".", fix))
		}
	}
}

func (x *spareRule) path() string { return x.policy.RuleID(x.d, x.rule.Index, -1, -1).Path() }

// overruled tells whether some of what the rule matches is decided against it.
func (x *spareRule) overruled() bool {
	return slices.ContainsFunc(x.by, func(o cover.Other) bool { return o.Action != x.rule.Action })
}

// others names rules; those of cluster policies with what they do.
func others(by []cover.Other) string {
	var out []string
	for _, o := range by {
		text := o.ID.Policy.String() + " " + o.ID.Path()
		if o.ID.Policy.Namespace == "" {
			text += " (" + o.Action.String() + ")"
		}
		out = append(out, text)
	}
	return list(out)
}
