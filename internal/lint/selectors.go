package lint

import (
	"sallyport.dev/sallyport/internal/policy"
)

// selectorRules are about selectors that match nothing, or not what was meant.
var selectorRules = []*Rule{
	{ID: "selects-nothing", Severity: Warning, Title: "a policy selects no pod", check: selectsNothing},
}

func selectsNothing(r *run) {
	for _, p := range r.Model.Policies() {
		if len(r.Model.SubjectClasses(p, policy.Maybe)) == 0 {
			r.add(onPolicy(p, "spec.podSelector", "no pod matches "+p.Pods.String(),
				"The policy has no effect.", ""))
		}
	}
}
