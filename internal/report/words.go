package report

import (
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
)

// place gives " (file:line)", or nothing where the place is not known.
func place(o cluster.Origin) string {
	if s := o.String(); s != "" {
		return " (" + names.Safe(s) + ")"
	}
	return ""
}

// ruleWords names a rule and where it is: shop/db, spec.ingress[0].from[1] (policies.yaml:12).
func ruleWords(id cluster.RuleID, o cluster.Origin) string {
	return names.Safe(id.Policy.String()) + ", " + id.Path() + place(o)
}

// policiesWords names policies and where they are; after a few it only counts them.
func policiesWords(list []eval.PolicyAt) []string {
	const most = 5
	parts := make([]string, 0, len(list))
	for i, p := range list {
		if i == most && len(list) > most+1 {
			return append(parts, fmt.Sprintf("and %d more", len(list)-most))
		}
		parts = append(parts, names.Safe(p.Ref.String())+place(p.Origin))
	}
	return parts
}

// noPolicyWords says why an end of a kind decides nothing (S18, S23).
func noPolicyWords(k flow.Kind) string {
	switch k {
	case flow.Pod:
		return "no policy selects a hostNetwork pod: it is its node"
	case flow.Node:
		return "no policy selects a node"
	}
	return "no policy is asked outside the cluster"
}

// missWords says what a rule wants and what the flow has instead, about the other end of the
// direction ("source" or "destination").
func missWords(m eval.Miss, other string) string {
	want, have := names.Safe(m.Want), names.Safe(m.Have)
	if m.Unknown {
		return fmt.Sprintf("wants %s, and %s", wanted(m.Part, want), unknownWords(m.Part, have))
	}
	switch m.Part {
	case eval.PartKind:
		return fmt.Sprintf("is for %s, and the %s is %s", want, other, have)
	case eval.PartNamespace:
		return fmt.Sprintf("looks only into namespace %s, and the %s is in %s", want, other, have)
	case eval.PartNamespaceLabel:
		return fmt.Sprintf("wants a namespace with %s, and the %s's has %s", want, other, have)
	case eval.PartPodLabel:
		return fmt.Sprintf("wants pods with %s, and the %s has %s", want, other, have)
	case eval.PartNode:
		return fmt.Sprintf("wants nodes with %s, and this one has %s", want, have)
	case eval.PartAddress:
		return fmt.Sprintf("wants %s, and the %s has %s", want, other, have)
	case eval.PartProtocol, eval.PartPort:
		return fmt.Sprintf("wants %s, and this is %s", want, have)
	case eval.PartNamedPort:
		return fmt.Sprintf("wants the port named %s, which %s", want, have)
	}
	return "was not understood"
}

func wanted(p eval.MissPart, want string) string {
	switch p {
	case eval.PartNamespaceLabel:
		return "a namespace with " + want
	case eval.PartNode:
		return "a node with " + want
	case eval.PartDomain:
		return "the names " + want
	}
	return want
}

func unknownWords(p eval.MissPart, have string) string {
	if p == eval.PartNamespaceLabel || p == eval.PartNode {
		return have + " are not in the input"
	}
	return have + " is not known"
}

func missesWords(misses []eval.Miss, d flow.Direction) string {
	return strings.Join(missesList(misses, d, true), "; ")
}

// missesList says each miss by itself. Where a part is about many ports, onePort is false and the
// number that stood for all of them is not mentioned.
func missesList(misses []eval.Miss, d flow.Direction, onePort bool) []string {
	other := "source"
	if d == flow.Egress {
		other = "destination"
	}
	parts := make([]string, 0, len(misses))
	for _, m := range misses {
		if !onePort && !m.Unknown && (m.Part == eval.PartPort || m.Part == eval.PartProtocol) {
			parts = append(parts, "wants "+names.Safe(m.Want))
			continue
		}
		parts = append(parts, missWords(m, other))
	}
	return parts
}

// reasonWords says in a few words why a direction was decided as it was.
func reasonWords(d *eval.Direction, kind flow.Kind) string {
	switch d.Reason {
	case flow.NoPolicyHere:
		return noPolicyWords(kind)
	case flow.NotEnforced:
		return "nothing enforces policies here"
	case flow.Self:
		return "a pod always reaches itself"
	case flow.Spoofed:
		return "the source is not the pod's own address, so the packet is dropped before any policy"
	case flow.Metadata:
		return "metadata addresses are blocked on leaving a pod"
	case flow.AdminRule, flow.BaselineRule:
		return actionWords(d.Action) + " by " + ruleWords(d.Rule, d.Origin)
	case flow.OwnNode:
		return "a pod and its own node may always talk, as far as NetworkPolicy goes"
	case flow.PolicyRule:
		return "by " + ruleWords(d.Rule, d.Origin)
	case flow.Isolated:
		if len(d.Isolating) == 1 {
			return "isolated by " + policiesWords(d.Isolating)[0] + ", and no rule allows it"
		}
		return "no rule allows it, and it is isolated by"
	case flow.Default:
		return "no policy decides " + d.Direction.String() + " here, so everything is allowed"
	}
	return d.Reason.String()
}

func actionWords(a eval.Action) string {
	if a == eval.Deny {
		return "denied"
	}
	return "accepted"
}
