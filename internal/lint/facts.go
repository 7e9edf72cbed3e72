package lint

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/policy"
)

// facts are what several rules work out of the model; each is made when first needed.
type facts struct {
	ends     *cover.Search
	refused  []refusal // see run.refusals
	asked    map[*Rule]int
	policies map[cluster.PolicyRef]*policy.Policy
	spare    *spare // see run.spare
	layers   *layers.Model
	crowds   []crowd       // see run.crowds
	space    *policy.Space // see run.servicesSpace
}

// layers gives the model of identities and of what lies outside, also where only Azure's own objects speak of them.
func (r *run) layers() *layers.Model {
	if r.facts.layers == nil {
		r.facts.layers = layers.New(r.Model)
	}
	return r.facts.layers
}

// search finds the ends that the model tells apart.
func (r *run) search() *cover.Search {
	if r.facts.ends == nil {
		r.facts.ends = cover.New(r.Model)
	}
	return r.facts.ends
}

// policy gives a policy of the model by name.
func (r *run) policy(ref cluster.PolicyRef) *policy.Policy {
	if r.facts.policies == nil {
		r.facts.policies = map[cluster.PolicyRef]*policy.Policy{}
		for _, p := range r.Model.Policies() {
			r.facts.policies[p.Ref] = p
		}
	}
	return r.facts.policies[ref]
}

// decided gives the verdict of one direction of a flow that holds whatever an address that is not known
// may be, and whatever policies of other engines say; unknown where there is none.
func (r *run) decided(f *flow.Flow, d flow.Direction) flow.Verdict {
	if !r.mayAsk() {
		return flow.Unknown
	}
	if _, class, ok := r.Model.NewQuery(f, d); ok && len(r.Model.Classes()[class].Foreign(d)) > 0 {
		return flow.Unknown
	}
	return eval.Surely(r.Model, f, d)
}

// maxAsked bounds the flows that one rule asks about (some seconds); what it does not ask it does not know.
const maxAsked = 20_000_000

// mayAsk counts a question, and says once if there are too many.
func (r *run) mayAsk() bool {
	if r.facts.asked == nil {
		r.facts.asked = map[*Rule]int{}
	}
	r.facts.asked[r.rule]++
	if r.facts.asked[r.rule] == maxAsked+1 {
		r.tooMuch("not everything was looked at", fmt.Sprintf("More than %d connections would have to be judged.", maxAsked))
	}
	return r.facts.asked[r.rule] <= maxAsked
}

// exhausted tells whether the rule was refused a question.
func (r *run) exhausted() bool { return r.facts.asked[r.rule] > maxAsked }

// closed tells whether a flow is surely denied.
func (r *run) closed(f *flow.Flow) bool {
	return r.decided(f, flow.Egress) == flow.Denied || r.decided(f, flow.Ingress) == flow.Denied
}

// flowBetween makes a flow without protocol and port; ok is false where the ends have no family in
// common, or are one pod.
func flowBetween(from, to cover.End) (f flow.Flow, ok bool) {
	same := from.Kind == flow.Pod && to.Kind == flow.Pod && from.Index == to.Index
	return flow.Flow{From: from.End, To: to.End, Family: from.Family}, from.Family == to.Family && !same
}

// anyPod gives one pod of a class that may have an address in a family, but not the pod not; for
// questions about rules that select it, which do not hang on its address.
func (r *run) anyPod(class int, family flow.Family, not int) (end cover.End, ok bool) {
	for _, i := range r.Model.Classes()[class].Members {
		p := &r.Model.Snapshot().Pods[i]
		if addr := p.Addr(family); i != not && (addr.IsValid() || len(p.Addrs) == 0) {
			return cover.End{End: flow.End{Kind: flow.Pod, Index: i, Addr: addr}, Family: family}, true
		}
	}
	return cover.End{}, false
}

// workloads names the workloads of classes, sorted.
func (r *run) workloads(classes []int) []string {
	var out []string
	for _, class := range classes {
		for _, pod := range r.Model.Classes()[class].Members {
			out = append(out, r.Model.Snapshot().Pods[pod].Owner.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// most is the number of names after which a list is cut short.
const most = 5

// list joins names for a sentence.
func list(names []string) string {
	if len(names) > most+1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// kinds spells those kinds of workload whose spelling has more than a first capital.
var kinds = map[string]string{"statefulset": "StatefulSet", "daemonset": "DaemonSet", "replicaset": "ReplicaSet",
	"replicationcontroller": "ReplicationController", "cronjob": "CronJob"}

// onRef makes a finding about an object of the layers, or a part of it.
func onRef(x layers.Ref, message, reason, fix string) Finding {
	return Finding{Object: Object{x.Kind, x.Namespace, x.Name}, Path: x.Path, Origin: x.Origin, Message: message, Reason: reason, Fix: fix}
}

// onWorkload makes a finding about the workload of a pod.
func onWorkload(p *cluster.Pod, message, reason, fix string) Finding {
	kind, ok := kinds[p.Owner.Kind]
	if !ok {
		kind = strings.ToUpper(p.Owner.Kind[:1]) + p.Owner.Kind[1:]
	}
	return Finding{Object: Object{kind, p.Owner.Namespace, p.Owner.Name}, Origin: p.Origin, Message: message, Reason: reason, Fix: fix}
}

// isolating gives the NetworkPolicy that a missing egress or ingress rule belongs into: of those that
// isolate a class, the first with rules, or else the first.
func (r *run) isolating(class int, d flow.Direction) *policy.Policy {
	list := r.Model.Classes()[class].Subject(d).Policies
	for _, p := range list {
		if len(p.Rules(d)) > 0 {
			return p
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return nil
}

// onDenial makes a finding at what denies a direction of a flow: the rule of a cluster policy, or the
// policy that a rule is missing from. ok is false where there is no such place.
func (r *run) onDenial(f *flow.Flow, d flow.Direction, message, reason, fix string) (Finding, bool) {
	why := eval.Decide(r.Model, f)
	side := why.Directions()[d-flow.Egress]
	switch side.Reason {
	case flow.AdminRule, flow.BaselineRule:
		return onPolicy(r.policy(side.Rule.Policy), side.Rule.Path(), message, reason, fix), true
	case flow.Isolated:
		_, class, _ := r.Model.NewQuery(f, d)
		return onPolicy(r.isolating(class, d), "", message, reason, fix), true
	}
	return Finding{}, false
}

// gathered joins findings of one place and message: the names that each is about stand before it.
type gathered struct {
	order []string
	by    map[string]*gatheredFinding
}

type gatheredFinding struct {
	Finding
	names []string
}

func (g *gathered) add(f Finding, names ...string) {
	key := f.Object.String() + " " + f.Path + " " + f.Message
	if g.by == nil {
		g.by = map[string]*gatheredFinding{}
	}
	if g.by[key] == nil {
		g.by[key] = &gatheredFinding{Finding: f}
		g.order = append(g.order, key)
	}
	g.by[key].names = append(g.by[key].names, names...)
}

// flush adds the findings, each with its names before its message.
func (g *gathered) flush(r *run) {
	for _, key := range g.order {
		f := g.by[key]
		slices.Sort(f.names)
		f.Message = list(slices.Compact(f.names)) + f.Message
		r.add(f.Finding)
	}
}
