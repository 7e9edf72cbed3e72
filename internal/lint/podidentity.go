package lint

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/layers"
)

// podIdentityRules are about labels by which pods are given identities.
var podIdentityRules = []*Rule{
	{ID: "exception-defeats-binding", Severity: Warning, Title: "an exception of Azure AD Pod Identity takes the identity from pods that a binding gives one", check: exceptionDefeatsBinding},
	{ID: "one-label-two-layers", Severity: Warning, Title: "one label lets pods through the network and gives them their identity", check: oneLabelTwoLayers},
}

func exceptionDefeatsBinding(r *run) {
	var g gathered
	for class := range r.Model.Classes() { // hostNetwork pods, which are in none, are bound to nothing
		pod := r.Model.Classes()[class].Members[0]
		bound := r.layers().Bound(pod)
		if len(bound) == 0 {
			continue
		}
		for _, x := range r.layers().Exceptions(pod) {
			message := fmt.Sprintf(": because of the label %s=%s they are handed what their node has, and not %s", x.Key, x.Value, list(refNames(bound)))
			if got := r.Model.Snapshot().Pods[pod].Labels[x.Key]; got != x.Value {
				message += fmt.Sprintf("; they have %s=%s, and case makes no difference here", x.Key, got)
			}
			fix := "Name a label that these do not have."
			if x.Others > 0 {
				fix = "Name a label that these do not have: the labels of an exception are alternatives, each by itself is enough."
			}
			g.add(onRef(x.Ref, message, "The identity that they are bound to never reaches them, and what the node's may do, they may do too.", fix), r.workloads([]int{class})...)
		}
	}
	g.flush(r)
}

// refNames gives the names of objects, each once.
func refNames(refs []layers.Ref) []string {
	var out []string
	for _, x := range refs {
		x.Path = ""
		out = append(out, x.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}
