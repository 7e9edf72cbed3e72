package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// carrier is pods that nothing tells apart, and a label of theirs that an identity is given by.
type carrier struct {
	pods  []int
	label string
	// bound: AzureIdentities are given by the label alone, and else WorkloadIdentities to those of a service account.
	bound bool
	by    []string // what gives the identity
	twin  int      // index of its twin in the Snapshot of twins
}

// coupling is a part of a policy that lets carriers through by their label.
type coupling struct {
	rule  cluster.RuleID // of which Port does not count, and for egress only the policy and the direction
	label string         // key=value
	bound bool
	by    string
}

// coupled are the ends of the flows that a coupling is about: pods, of each crowd the first, and names.
type coupled struct {
	from map[int][]int
	to   map[string]bool
}

// oneLabelTwoLayers asks of all pods that are given an identity by a label what they would reach, and what they would be
// issued, without it.
func oneLabelTwoLayers(r *run) {
	if r.layers().Unread() { // what could not be read may give the identity in another way
		return
	}
	carriers := r.affordable(r.carriers(), maxTwinLabels)
	if len(carriers) == 0 {
		return
	}
	found := map[coupling]*coupled{}
	without := r.without(carriers)
	asking, selected := r.askingGoals(), r.goalsByBinding(carriers)
	for first, next := 0, 0; first < len(carriers); first = next { // those of a crowd together
		for next = first; next < len(carriers) && carriers[next].pods[0] == carriers[first].pods[0]; {
			next++
		}
		r.couple(carriers[first:next], without, asking, true, found)
		if carriers[first].bound {
			r.couple(carriers[first:first+1], without, selected, false, found)
		}
	}
	r.findings = append(r.findings, without.findings...) // that not everything was looked at
	for x, ends := range found {
		r.addCoupling(x, ends)
	}
}

// carriers finds the pods to which an identity is given by a label that some policy goes by too.
func (r *run) carriers() []carrier {
	used := r.usedLabels()
	byName := map[[2]string]*cluster.WorkloadIdentity{}
	for i := range r.Model.Snapshot().Identities {
		w := &r.Model.Snapshot().Identities[i]
		byName[[2]string{w.Namespace, w.Name}] = w
	}
	var out []carrier
	for _, c := range r.crowds() {
		p := &r.Model.Snapshot().Pods[c.pods[0]]
		if bound := r.layers().Bound(c.pods[0]); len(bound) > 0 && used.goesBy(cluster.BindingLabel, p.Labels[cluster.BindingLabel]) && len(r.layers().Exceptions(c.pods[0])) == 0 {
			out = append(out, carrier{pods: c.pods, label: cluster.BindingLabel, bound: true, by: refNames(bound)})
		}
		who, _ := r.layers().Identity(c.pods[0])
		if who.Issued != layers.Allow {
			continue
		}
		by := map[string][]layers.Ref{}
		for _, ref := range who.Refs {
			for _, q := range narrowing(byName[[2]string{ref.Namespace, ref.Name}]) {
				if asks(q) && used.goesBy(q.Key, p.Labels[q.Key]) {
					by[q.Key] = append(by[q.Key], ref)
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(by)) {
			out = append(out, carrier{pods: c.pods, label: key, by: refNames(by[key])})
		}
	}
	return out
}

// narrowing gives what a WorkloadIdentity asks of the labels of pods.
func narrowing(w *cluster.WorkloadIdentity) policy.Selector {
	if w.Spec.PodSelector == nil {
		return nil
	}
	return policy.NewSelector(*w.Spec.PodSelector)
}

// maxTwinLabels bounds the labels of all twins together.
const maxTwinLabels = 2_000_000

// affordable keeps as many carriers as have so many labels, and says if those are not all.
func (r *run) affordable(carriers []carrier, most int) []carrier {
	for i := range carriers {
		if most -= len(r.Model.Snapshot().Pods[carriers[i].pods[0]].Labels); most < 0 {
			r.tooMuch("not every label was looked at", fmt.Sprintf("%d labels of pods, by which identities are given, would have to be taken away.", len(carriers)))
			return carriers[:i]
		}
	}
	return carriers
}

// usedLabels are the labels of pods that selectors of policies ask for: by key the values, with Exists any.
type usedLabels map[string]*struct {
	values map[string]bool
	any    bool
}

func (u usedLabels) goesBy(key, value string) bool {
	x := u[key]
	return x != nil && (x.any || x.values[value])
}

func (u usedLabels) add(s policy.Selector) {
	for _, q := range s {
		if !asks(q) {
			continue
		}
		if u[q.Key] == nil {
			u[q.Key] = &struct {
				values map[string]bool
				any    bool
			}{values: map[string]bool{}}
		}
		u[q.Key].any = u[q.Key].any || len(q.Values) == 0
		for _, v := range q.Values {
			u[q.Key].values[v] = true
		}
	}
}

func (r *run) usedLabels() usedLabels {
	out := usedLabels{}
	for _, p := range r.Model.Policies() {
		out.add(p.Pods)
	}
	r.eachRule(func(_ *policy.Policy, _ flow.Direction, rule *policy.Rule) {
		for i := range rule.Peers {
			out.add(rule.Peers[i].Pods)
		}
	})
	return out
}

// without gives the cluster with a twin of each carrier beside it that has not its label.
func (r *run) without(carriers []carrier) *run {
	snap := *r.Model.Snapshot()
	snap.Pods = slices.Clone(snap.Pods)
	for i := range carriers {
		twin := snap.Pods[carriers[i].pods[0]]
		twin.Labels = maps.Clone(twin.Labels)
		delete(twin.Labels, carriers[i].label)
		carriers[i].twin = len(snap.Pods)
		snap.Pods = append(snap.Pods, twin)
	}
	if r.facts.asked == nil {
		r.facts.asked = map[*Rule]int{}
	}
	return &run{Input: &Input{Written: r.Written, Model: policy.Compile(&snap, r.Model.Options())}, rule: r.rule, facts: facts{asked: r.facts.asked}}
}

// askingGoals are the services and pods where identity counts.
func (r *run) askingGoals() []goal {
	var out []goal
	for _, i := range r.knownServices() {
		out = append(out, r.serviceGoals(i)...)
	}
	for i := range r.Model.Snapshot().AccessPolicies {
		if r.layers().OfPods(i) {
			out = append(out, r.targetGoals(i, true)...)
		}
	}
	return out
}

// goalsByBinding are the pods that some policy lets others into by the label of bindings.
func (r *run) goalsByBinding(carriers []carrier) []goal {
	if !slices.ContainsFunc(carriers, func(c carrier) bool { return c.bound }) {
		return nil
	}
	classes := map[int]bool{}
	for _, p := range r.Model.Policies() {
		for i := range p.Rules(flow.Ingress) {
			if slices.ContainsFunc(p.Rules(flow.Ingress)[i].Peers, func(x policy.Peer) bool { return goesBy(x.Pods, cluster.BindingLabel) }) {
				for _, class := range r.search().Subjects(p, flow.Ingress) {
					classes[class] = true
				}
				break
			}
		}
	}
	var out []goal
	for _, c := range r.crowds() {
		if classes[r.Model.ClassOf(c.pods[0])] {
			for _, e := range r.endsOf(c.pods[0]) {
				out = append(out, goal{e, layers.ByAddress, netset.EveryPort()})
			}
		}
	}
	return out
}

func goesBy(s policy.Selector, key string) bool {
	return slices.ContainsFunc(s, func(q policy.Requirement) bool { return q.Key == key })
}

// couple looks for flows that carriers of one crowd get through and their twins do not: for want of the label the network
// denies the twin, and where asked it is not issued what lets the carrier in.
func (r *run) couple(carriers []carrier, without *run, goals []goal, asked bool, found map[coupling]*coupled) {
	for i := range goals {
		for f, p := range r.passages(carriers[0].pods[0], goals[i:i+1]) {
			if p.network != flow.Allowed || p.stops() || asked && (p.needsIdentity() || p.Steps[layers.IdentityIssued].Answer != layers.Allow) {
				continue
			}
			for k := range carriers {
				r.coupleBy(&carriers[k], without, f, &goals[i], asked, found)
			}
		}
	}
}

// coupleBy looks at one flow and its carrier.
func (r *run) coupleBy(c *carrier, without *run, f *flow.Flow, to *goal, asked bool, found map[coupling]*coupled) {
	g := *f
	g.From.Index = c.twin
	p := without.passage(&g, to.service)
	if p.network != flow.Denied || asked && p.Steps[layers.IdentityIssued].Answer != layers.Deny {
		return
	}
	for _, d := range flow.Directions {
		if !asked && d == flow.Egress || without.decided(&g, d) != flow.Denied {
			continue
		}
		x, ok := r.coupling(c, f, d)
		if !ok {
			continue
		}
		if found[x] == nil {
			found[x] = &coupled{map[int][]int{}, map[string]bool{}}
		}
		found[x].from[c.pods[0]], found[x].to[r.goalName(to)] = c.pods, true
	}
}

// coupling finds the part of a policy that lets a carrier through in a direction, if it goes by the label.
func (r *run) coupling(c *carrier, f *flow.Flow, d flow.Direction) (coupling, bool) {
	why := eval.Decide(r.Model, f)
	id := why.Directions()[d-flow.Egress].Rule
	p := r.policy(id.Policy)
	if p == nil {
		return coupling{}, false
	}
	by := p.Pods
	if id.Port = -1; d == flow.Egress {
		id.Rule, id.Peer = -1, -1
	} else if by = nil; id.Peer >= 0 {
		i := slices.IndexFunc(p.Rules(d), func(x policy.Rule) bool { return x.Index == id.Rule })
		by = p.Rules(d)[i].Peers[id.Peer].Pods
	}
	label := c.label + "=" + r.Model.Snapshot().Pods[c.pods[0]].Labels[c.label]
	return coupling{id, label, c.bound, strings.Join(c.by, ", ")}, goesBy(by, c.label)
}

func (r *run) goalName(g *goal) string {
	if g.service == layers.ByAddress {
		return r.Model.Snapshot().Pods[g.Index].Owner.String()
	}
	return r.Model.Snapshot().External[g.service].String()
}

func (r *run) addCoupling(x coupling, ends *coupled) {
	from, to := list(r.owners(slices.Concat(slices.Collect(maps.Values(ends.from))...))), list(slices.Sorted(maps.Keys(ends.to)))
	p := r.policy(x.rule.Policy)
	path := "spec.podSelector"
	if p.Namespace == "" {
		path = "spec.subject"
	}
	message := fmt.Sprintf("lets %s out to %s by the label %s", from, to, x.label)
	if x.rule.Direction == flow.Ingress {
		path = x.rule.Path()
		message = fmt.Sprintf("lets in %s to %s by the label %s", from, to, x.label)
	}
	f := onPolicy(p, path, message+", by which they are given "+x.by+" too",
		"Both layers hang on that label: wherever it is set, by mistake or on purpose, neither keeps the pod out.",
		"Go by another label here, or give the identity to a service account, as Azure Workload Identity does.")
	if !x.bound {
		f.Severity = Note
		f.Message = message + ", by which " + x.by + " issues an identity to them too"
		f.Reason = "Both layers hang on that label: set on a pod of that service account, by mistake or on purpose, it opens both."
		f.Fix = "Go by another label in one of the two."
	}
	r.add(f)
}
