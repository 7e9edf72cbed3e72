package lint

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// coverageRules are about pods that no policy restricts, now or once there are more of them. For one
// namespace and direction at most one of them speaks.
var coverageRules = []*Rule{
	{ID: "uncovered-pods", Severity: Note, Title: "no policy restricts some pods", check: uncoveredPods},
	{ID: "no-default-deny", Severity: Note, Title: "a namespace without a default deny", check: noDefaultDeny},
}

// systemNamespaces hold what a cluster itself runs, which its maker answers for.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease"}

func uncoveredPods(r *run) {
	r.eachSide(func(ns *cluster.Namespace, d flow.Direction, open, shut []int) {
		if len(open) == 0 {
			return
		}
		names := r.workloads(open)
		message := fmt.Sprintf("no policy restricts %s of %s", d, list(names))
		fix := "Select them with a policy, or give the namespace a default deny."
		if len(shut) == 0 {
			message = fmt.Sprintf("no policy restricts %s of any pod here: %s", d, list(names))
			fix = "Give the namespace a default deny, and policies that allow what is needed."
		}
		r.add(r.onNamespace(ns, open, message, "On their side nothing is refused: no other namespace, and nothing outside the cluster.", fix))
	})
}

func noDefaultDeny(r *run) {
	missing := map[string][]flow.Direction{} // by namespace
	r.eachSide(func(ns *cluster.Namespace, d flow.Direction, open, shut []int) {
		if len(open) == 0 && !r.hasDefaultDeny(ns.Name, d) && slices.ContainsFunc(shut, func(class int) bool { return !r.plainlyOpen(class, d) }) {
			missing[ns.Name] = append(missing[ns.Name], d)
		}
	})
	snap := r.Model.Snapshot()
	for i := range snap.Namespaces {
		ns := &snap.Namespaces[i]
		var words, types []string
		for _, d := range missing[ns.Name] {
			words, types = append(words, d.String()), append(types, typeWord(d))
		}
		if len(words) > 0 {
			r.add(r.onNamespace(ns, r.classesIn(ns.Name), fmt.Sprintf("a policy restricts %s of every pod here now, but none selects all pods", strings.Join(words, " and ")),
				"A pod that comes later, or whose labels change, is open until a policy selects it.",
				fmt.Sprintf("Add a NetworkPolicy with an empty podSelector, policyTypes [%s] and no rules.", strings.Join(types, ", "))))
		}
	}
}

// plainlyOpen tells whether a NetworkPolicy's rule without peers and ports takes back what its isolation takes away.
func (r *run) plainlyOpen(class int, d flow.Direction) bool {
	return slices.ContainsFunc(r.Model.Classes()[class].Subject(d).Policies, func(p *policy.Policy) bool {
		return slices.ContainsFunc(p.Rules(d), allowsAll)
	})
}

// allowsAll tells whether a rule says plainly that everything is meant.
func allowsAll(x policy.Rule) bool {
	return x.Action == policy.Accept && !x.Poisoned && x.Peers == nil && x.Ports == nil
}

func (r *run) classesIn(namespace string) []int {
	var out []int
	for class := range r.Model.Classes() {
		if r.Model.Classes()[class].Namespace == namespace {
			out = append(out, class)
		}
	}
	return out
}

func typeWord(d flow.Direction) string {
	if d == flow.Egress {
		return "Egress"
	}
	return "Ingress"
}

// onNamespace places a finding at the namespace, or, where it is not in the input, at its first pod.
func (r *run) onNamespace(ns *cluster.Namespace, classes []int, message, reason, fix string) Finding {
	at := ns.Origin
	if ns.Assumed {
		at = r.Model.Snapshot().Pods[r.Model.Classes()[classes[0]].Members[0]].Origin
	}
	return Finding{Object: Object{Kind: "Namespace", Name: ns.Name}, Origin: at, Message: message, Reason: reason, Fix: fix}
}

// eachSide visits the namespaces with pods, and of each the directions that policies of the input
// restrict for anybody: the classes that are open there, and those that a policy restricts. It keeps
// still where a policy of another engine, or one that selects only perhaps, may restrict some.
func (r *run) eachSide(visit func(ns *cluster.Namespace, d flow.Direction, open, shut []int)) {
	type side struct {
		open, shut []int
		unsure     bool
	}
	in := map[string]*[2]side{}
	used := [2]bool{}
	for class := range r.Model.Classes() {
		c := &r.Model.Classes()[class]
		sides := in[c.Namespace]
		if sides == nil {
			sides = &[2]side{}
			in[c.Namespace] = sides
		}
		for i, d := range flow.Directions {
			s := &sides[i]
			s.unsure = s.unsure || len(c.Foreign(d)) > 0
			switch restricted(c.Subject(d), d) {
			case policy.Yes:
				s.shut, used[i] = append(s.shut, class), true
			case policy.Maybe:
				s.unsure = true
			default:
				s.open = append(s.open, class)
			}
		}
	}
	snap := r.Model.Snapshot()
	for i := range snap.Namespaces {
		ns := &snap.Namespaces[i]
		sides := in[ns.Name]
		if sides == nil || slices.Contains(systemNamespaces, ns.Name) || len(snap.Unreadable) > 0 {
			continue
		}
		for j, d := range flow.Directions {
			if s := &sides[j]; used[j] && !s.unsure {
				visit(ns, d, s.open, s.shut)
			}
		}
	}
}

// restricted tells whether some policy takes anything away from a subject: one that isolates it, or a
// cluster policy with a rule that denies.
func restricted(s *policy.Subject, d flow.Direction) policy.Match {
	if len(s.Policies) > 0 {
		return policy.Yes
	}
	out := policy.No
	for _, list := range [][]policy.Applied{s.Admin, s.Baseline} {
		for _, p := range list {
			switch {
			case !denies(p.Policy, d):
			case p.Maybe:
				out = max(out, policy.Maybe)
			default:
				return policy.Yes
			}
		}
	}
	return out
}

func denies(p *policy.Policy, d flow.Direction) bool {
	return slices.ContainsFunc(p.Rules(d), func(r policy.Rule) bool { return r.Action == policy.Deny })
}

// hasDefaultDeny tells whether some policy restricts every pod that a namespace may ever have.
func (r *run) hasDefaultDeny(namespace string, d flow.Direction) bool {
	ns := r.Model.Snapshot().NamespaceByName(namespace)
	return slices.ContainsFunc(r.Model.Policies(), func(p *policy.Policy) bool {
		if len(p.Pods) > 0 || !p.Applies(d) {
			return false
		}
		if p.Tier == policy.NetworkPolicyTier {
			return p.Namespace == namespace
		}
		return denies(p, d) && p.Namespaces.Match(ns.Labels, !ns.Assumed) != policy.No
	})
}
