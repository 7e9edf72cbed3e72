package analyze

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Why shows a change by one pair of ends, and says what caused it.
type Why struct {
	// Before and After are the same connection on each side; nil where a side has no such pair.
	Before, After *flow.Flow
	// Sides are the directions in which the decision changed; empty where the pair is on one side only.
	Sides []SideChange
	// Layers are those above the network, and projections into it, that answer something else.
	Layers []LayerChange
	// Accounts tells where the source has another service account, and only Layers changed.
	Accounts []EndChange
	// Issuing are the objects of one side or both that issue what external authentication answers otherwise about, and that are
	// not as they were.
	Issuing []layers.Ref
}

// LayerChange is a layer that answers something else than before.
type LayerChange struct {
	Before, After layers.Step
}

// SideChange is what changed in one direction of a flow.
type SideChange struct {
	Direction     flow.Direction
	Before, After flow.Verdict
	Causes        []Cause
	// Ends is what changed at both ends, or in the cluster, so that a policy which is the same as before
	// says something else now. Empty where changed policies explain everything.
	Ends []EndChange
}

// Cause is a policy that says something else to a flow than before.
type Cause struct {
	Policy cluster.PolicyRef
	Change Changed // Unchanged where it is the flow's ends that changed
	Origin cluster.Origin
	// Was and Is are what it says; nil where it is not asked on that side, so that a NetworkPolicy does
	// not isolate the pod there.
	Was, Is *eval.Say
}

// EndChange is a fact of the input that is not what it was.
type EndChange struct {
	Object string // shop/deployment/web, namespace shop, the cluster
	What   string // labels, named ports, address, node, hostNetwork, Kubernetes version, plugin, pod ranges
	// Was and Is are the facts; both empty where only "they differ" can be said.
	Was, Is string
}

// Why finds what caused a change.
func (d *Diff) Why(c *Change) Why {
	p, ok := d.witness(c)
	if !ok {
		return Why{}
	}
	var out Why
	if p.has[before] {
		out.Before = &p.flows[before]
	}
	if p.has[after] {
		out.After = &p.flows[after]
	}
	if !p.has[before] || !p.has[after] {
		return out
	}
	for _, dir := range flow.Directions {
		s := SideChange{Direction: dir,
			Before: eval.Side(d.sides[before].m, out.Before, dir), After: eval.Side(d.sides[after].m, out.After, dir)}
		if s.Before == s.After || !d.agrees(&s, &p) {
			continue
		}
		d.causes(&s, out.Before, out.After)
		out.Sides = append(out.Sides, s)
	}
	if out.Layers = d.layerChanges(&p); len(out.Layers) > 0 && len(out.Sides) == 0 {
		out.Accounts = d.accountChanges(out.Before.From, out.After.From)
	}
	out.Issuing = d.issuing(&p, out.Layers)
	return out
}

// agrees tells whether a direction changed the way the whole flow did: one that opens explains nothing
// about a connection that closes.
func (d *Diff) agrees(s *SideChange, p *pair) bool {
	whole := d.whole(p)
	side := Change{Before: s.Before.String(), After: s.After.String()}
	return whole.Effect() == side.Effect() || whole.Effect() == Changes || side.Effect() == Changes
}

// whole is what became of a whole flow.
func (d *Diff) whole(p *pair) Change {
	return Change{Before: d.shown(before, p).String(), After: d.shown(after, p).String()}
}

// layerChanges lists the layers that changed the way the whole flow did.
func (d *Diff) layerChanges(p *pair) []LayerChange {
	was, old := d.steps(before, p)
	is, now := d.steps(after, p)
	if !old && !now {
		return nil
	}
	whole := d.whole(p)
	effect := whole.Effect()
	var out []LayerChange
	for i := range was {
		c := LayerChange{was[i], is[i]}
		projection := was[i].Reason == layers.ByProjection || is[i].Reason == layers.ByProjection
		if was[i].Answer == is[i].Answer || layers.Layer(i) <= layers.NetworkIngress && !projection {
			continue
		}
		opens := is[i].Answer < was[i].Answer
		if effect == Changes || opens == (effect == Opens) {
			out = append(out, c)
		}
	}
	return out
}

// issuing lists what issues an identity on either side and changed: where it still issues one, but another, only external
// authentication answers otherwise.
func (d *Diff) issuing(p *pair, changes []LayerChange) []layers.Ref {
	changed := func(l layers.Layer) bool {
		return slices.ContainsFunc(changes, func(c LayerChange) bool { return c.Before.Layer == l })
	}
	if !changed(layers.ExternalAuthentication) || changed(layers.IdentityIssued) {
		return nil
	}
	was, _ := d.steps(before, p)
	is, _ := d.steps(after, p)
	var out []layers.Ref
	seen := map[cluster.PolicyRef]bool{}
	for _, r := range slices.Concat(is[layers.IdentityIssued].Refs, was[layers.IdentityIssued].Refs) {
		ref := cluster.PolicyRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
		if d.change[ref] != Unchanged && !seen[ref] {
			seen[ref] = true
			out = append(out, r)
		}
	}
	return out
}

// accountChanges compares the service accounts of a pod with itself.
func (d *Diff) accountChanges(was, is flow.End) []EndChange {
	if was.Kind != flow.Pod || is.Kind != flow.Pod {
		return nil
	}
	old, now := &d.sides[before].m.Snapshot().Pods[was.Index], &d.sides[after].m.Snapshot().Pods[is.Index]
	var c changesOf
	c.note(now, "service account", old.Account, now.Account)
	return c
}

// steps gives what the layers of one side say; ok is false where they do not speak, which is to say none.
func (d *Diff) steps(side int, p *pair) (out [layers.Count]layers.Step, ok bool) {
	_, l := d.sides[side].Decide(&p.flows[side], p.services[side])
	if l != nil {
		return l.Steps, true
	}
	for i := range out {
		out[i] = layers.Step{Layer: layers.Layer(i), Reason: layers.NothingAsked}
	}
	return out, false
}

// witness finds a pair of ends that is decided differently on the change's first port, the same ends on
// both sides if there are such, and preferably with the verdicts of the change.
func (d *Diff) witness(c *Change) (pair, bool) {
	e := c.Ports.Entries()[0]
	w := witnesses{change: c}
	for _, p := range d.pairs(c.From, c.To) {
		for side := range p.flows {
			if p.flows[side].Proto = e.Proto; e.Proto != netset.Other {
				p.flows[side].Port = e.Range.First
			}
		}
		if w.offer(p, d.shown(before, &p), d.shown(after, &p)) {
			return p, true
		}
	}
	return w.best()
}

// witnesses are the candidates seen so far.
type witnesses struct {
	change *Change
	differ *pair                        // decided differently, with other verdicts than the change has
	first  [2][flow.Ambiguous + 1]*pair // by side and verdict
}

// offer tells whether a pair shows the very change.
func (w *witnesses) offer(p pair, was, is flow.Verdict) bool {
	w.first[before][was], w.first[after][is] = cmp.Or(w.first[before][was], &p), cmp.Or(w.first[after][is], &p)
	if !p.has[before] || !p.has[after] || was == is {
		return false
	}
	w.differ = cmp.Or(w.differ, &p)
	return shows(was, w.change.Before) && shows(is, w.change.After)
}

func shows(v flow.Verdict, word string) bool { return word == "partial" || v.String() == word }

// best gives the next best: the same ends with other verdicts, else ends of each side that are not the
// same but show the change, else an end of the only side that has one.
func (w *witnesses) best() (pair, bool) {
	if w.differ != nil {
		return *w.differ, true
	}
	var was, is *pair
	for v := flow.Allowed; v <= flow.Ambiguous; v++ {
		for u := flow.Allowed; u <= flow.Ambiguous; u++ {
			a, b := w.first[before][v], w.first[after][u]
			if a != nil && b != nil && v != u && shows(v, w.change.Before) && shows(u, w.change.After) {
				return pair{flows: [2]flow.Flow{a.flows[before], b.flows[after]}, has: [2]bool{true, true}, services: [2]int{a.services[before], b.services[after]}}, true
			}
		}
		was, is = cmp.Or(was, w.first[before][v]), cmp.Or(is, w.first[after][v])
	}
	switch {
	case w.change.Before != Absent && was != nil:
		return pair{flows: was.flows, has: [2]bool{true, false}, services: was.services}, true
	case w.change.After != Absent && is != nil:
		return pair{flows: is.flows, has: [2]bool{false, true}, services: is.services}, true
	}
	return pair{}, false
}

// shown is the verdict of one side of a pair, or 0.
func (d *Diff) shown(side int, p *pair) flow.Verdict {
	if !p.has[side] {
		return 0
	}
	return d.sides[side].Verdict(&p.flows[side], p.services[side])
}

// causes compares what each policy says before and after.
func (d *Diff) causes(s *SideChange, was, is *flow.Flow) {
	old, now := eval.Says(d.sides[before].m, was, s.Direction), eval.Says(d.sides[after].m, is, s.Direction)
	wasSaid, isSaid := byPolicy(&old), byPolicy(&now)
	refs := maps.Clone(wasSaid)
	maps.Copy(refs, isSaid)
	part := partOf(&old, &now, wasSaid, isSaid)
	explained := len(refs) > 0
	for _, ref := range slices.SortedFunc(maps.Keys(refs), comparePolicies) {
		c := Cause{Policy: ref, Change: d.change[ref], Was: wasSaid[ref], Is: isSaid[ref]}
		if !part.has(&c) {
			continue
		}
		c.Origin = d.originOf(ref)
		explained = explained && c.Change != Unchanged
		s.Causes = append(s.Causes, c)
	}
	if len(s.Causes) == 0 || !explained {
		s.Ends = d.endChanges(was, is)
	}
}

func byPolicy(s *eval.Saying) map[cluster.PolicyRef]*eval.Say {
	out := map[cluster.PolicyRef]*eval.Say{}
	for i := range s.List {
		out[s.List[i].Policy] = &s.List[i]
	}
	return out
}

func comparePolicies(a, b cluster.PolicyRef) int {
	return slices.Compare([]string{a.Namespace, a.Kind, a.Name}, []string{b.Namespace, b.Kind, b.Name})
}

// part tells which policies can have a part in a change: those of a tier that is asked now, and of the
// NetworkPolicies those that moved the tier the way it went.
type part struct {
	networkPolicies, baseline bool
	// all: every NetworkPolicy that says something else counts, because no policy isolates on both sides, or
	// because something that was sure hangs on what is not known.
	all bool
	won bool // the tier allows more than before, so that only matches that were won count; else those lost

	old, now *eval.Saying
}

func partOf(old, now *eval.Saying, was, is map[cluster.PolicyRef]*eval.Say) part {
	p := part{all: true, won: now.Allows > old.Allows, old: old, now: now}
	for ref, say := range was {
		if say.Tier == policy.NetworkPolicyTier && is[ref] != nil {
			p.all = now.Allows == policy.Maybe
		}
	}
	p.networkPolicies = now.PastAdmin && (old.Isolated != now.Isolated || old.Allows != now.Allows)
	p.baseline = now.PastAdmin && !now.Isolated
	if now.Exempt { // what was asked is no longer
		p.networkPolicies, p.baseline = old.PastAdmin && old.Isolated, old.PastAdmin && !old.Isolated
	}
	return p
}

func (p *part) has(c *Cause) bool {
	if c.Was != nil && c.Is != nil && c.Was.Same(c.Is) {
		return false
	}
	in := func(t policy.Tier) bool { return c.Was != nil && c.Was.Tier == t || c.Is != nil && c.Is.Tier == t }
	switch {
	case in(policy.AdminTier): // also one that has moved to or from the Baseline tier
		return p.asked(c)
	case in(policy.BaselineTier):
		return p.baseline && p.asked(c)
	}
	if !p.networkPolicies || p.all {
		return p.networkPolicies
	}
	return p.won && matchOf(c.Is) > matchOf(c.Was) || !p.won && matchOf(c.Is) < matchOf(c.Was)
}

// asked tells whether a cluster policy's turn may come, where it stands now or where it stood: not if on both
// sides the tier surely ends before.
func (p *part) asked(c *Cause) bool {
	for _, say := range []*eval.Say{c.Was, c.Is} {
		if say != nil && (p.old.Asked(say.Tier, say.Priority) || p.now.Asked(say.Tier, say.Priority)) {
			return true
		}
	}
	return false
}

func matchOf(s *eval.Say) policy.Match {
	if s == nil {
		return policy.No
	}
	return s.Match
}

// originOf gives the place of a policy after, or before where it was removed.
func (d *Diff) originOf(ref cluster.PolicyRef) cluster.Origin {
	for _, side := range []int{after, before} {
		if p := d.sides[side].m.Policy(ref); p != nil {
			return p.Origin.At("")
		}
	}
	return cluster.Origin{}
}

// endChanges lists what changed at the ends of a flow; if nothing did, what changed in the cluster.
func (d *Diff) endChanges(was, is *flow.Flow) []EndChange {
	var out []EndChange
	for _, ends := range [][2]flow.End{{was.From, is.From}, {was.To, is.To}} {
		if ends[before].Kind == flow.Pod && ends[after].Kind == flow.Pod {
			old := &d.sides[before].m.Snapshot().Pods[ends[before].Index]
			now := &d.sides[after].m.Snapshot().Pods[ends[after].Index]
			changes := podChanges(old, now)
			if d.twin[ends[before].Index] != ends[after].Index {
				changes = d.otherPodChanges(ends, old, now)
			}
			for _, c := range append(changes, d.namespaceChanges(old.Namespace)...) {
				if !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
	}
	if len(out) == 0 {
		out = slices.Clone(d.facts)
	}
	return out
}

// podChanges compares a pod with itself.
func podChanges(was, is *cluster.Pod) []EndChange {
	var c changesOf
	c.note(is, "labels", labelText(was.Labels), labelText(is.Labels))
	c.note(is, "named ports", portText(was.Ports), portText(is.Ports))
	c.note(is, "hostNetwork", fmt.Sprint(was.HostNetwork), fmt.Sprint(is.HostNetwork))
	c.note(is, "address", addrText(was.Addrs), addrText(is.Addrs))
	c.note(is, "node", was.NodeName, is.NodeName)
	return c
}

// ownLabels are set by controllers and differ from pod to pod of one workload.
var ownLabels = []string{"pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
	"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index", "controller-uid", "job-name"}

// otherPodChanges compares pods of a workload that are not the same pod: in what a template says, else by
// which pods there are.
func (d *Diff) otherPodChanges(ends [2]flow.End, was, is *cluster.Pod) []EndChange {
	var c changesOf
	shared := func(labels map[string]string) map[string]string {
		labels = maps.Clone(labels)
		for _, k := range ownLabels {
			delete(labels, k)
		}
		return labels
	}
	c.note(is, "labels", labelText(shared(was.Labels)), labelText(shared(is.Labels)))
	c.note(is, "named ports", portText(was.Ports), portText(is.Ports))
	c.note(is, "hostNetwork", fmt.Sprint(was.HostNetwork), fmt.Sprint(is.HostNetwork))
	if len(c) == 0 {
		c.note(is, "pods", d.sides[before].podNames(ends[before].Index), d.sides[after].podNames(ends[after].Index))
	}
	return c
}

// changesOf collects what is not what it was at the pods of a workload.
type changesOf []EndChange

func (c *changesOf) note(of *cluster.Pod, what, was, is string) {
	if was != is {
		*c = append(*c, EndChange{of.Owner.String(), what, was, is})
	}
}

// podNames names the pods of the workload that a pod belongs to; after a few it only counts them.
func (r *Reach) podNames(pod int) string {
	const most = 5
	var pods []int
	for i := range r.families {
		fam := &r.families[i]
		for _, c := range r.Parties[r.partyOf[pod]].cells[fam.family-1] {
			pods = append(pods, fam.cells[c].members...)
		}
	}
	slices.Sort(pods)
	pods = slices.Compact(pods)
	var out []string
	for i, p := range pods {
		if i == most {
			return strings.Join(out, ",") + fmt.Sprintf(" and %d more", len(pods)-most)
		}
		named := &r.m.Snapshot().Pods[p]
		if named.Template {
			return "those of its template"
		}
		out = append(out, named.Name)
	}
	return strings.Join(out, ",")
}

func addrText(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ",")
}

func (d *Diff) namespaceChanges(name string) []EndChange {
	was, is := d.sides[before].m.Snapshot().NamespaceByName(name), d.sides[after].m.Snapshot().NamespaceByName(name)
	if was == nil || is == nil || maps.Equal(was.Labels, is.Labels) && was.Assumed == is.Assumed {
		return nil
	}
	text := func(n *cluster.Namespace) string {
		if n.Assumed {
			return "not known"
		}
		return labelText(n.Labels)
	}
	return []EndChange{{"namespace " + name, "labels", text(was), text(is)}}
}

// factChanges lists what is not the same in two clusters as a whole.
func factChanges(was, is *policy.Model) []EndChange {
	var out []EndChange
	note := func(what, old, now string) {
		if old != now {
			out = append(out, EndChange{"the cluster", what, old, now})
		}
	}
	a, b := was.Snapshot(), is.Snapshot()
	note("Kubernetes version", cmp.Or(a.Facts.KubeVersion, notGiven), cmp.Or(b.Facts.KubeVersion, notGiven))
	note("plugin", cmp.Or(a.Facts.Plugin, notGiven), cmp.Or(b.Facts.Plugin, notGiven))
	note("pod ranges", prefixText(was.PodRanges()), prefixText(is.PodRanges()))
	if !reflect.DeepEqual(nodeFacts(a), nodeFacts(b)) {
		out = append(out, EndChange{Object: "the cluster", What: "nodes"})
	}
	if len(a.Unreadable) != len(b.Unreadable) {
		out = append(out, EndChange{"the cluster", "files that cannot be read", fmt.Sprint(len(a.Unreadable)), fmt.Sprint(len(b.Unreadable))})
	}
	switch {
	case len(a.ForeignPolicies) != len(b.ForeignPolicies):
		out = append(out, EndChange{"the cluster", "policies of other engines", fmt.Sprint(len(a.ForeignPolicies)), fmt.Sprint(len(b.ForeignPolicies))})
	case !reflect.DeepEqual(foreignScopes(a), foreignScopes(b)):
		out = append(out, EndChange{Object: "the cluster", What: "policies of other engines"})
	}
	return out
}

const notGiven = "not given"

func prefixText(list []netip.Prefix) string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}

func nodeFacts(s *cluster.Snapshot) []cluster.Node {
	out := slices.Clone(s.Nodes)
	for i := range out {
		out[i].Origin = cluster.Origin{}
	}
	return out
}

func foreignScopes(s *cluster.Snapshot) []cluster.ForeignPolicy {
	out := slices.Clone(s.ForeignPolicies)
	for i := range out {
		out[i].Origin = cluster.Origin{}
	}
	return out
}

// labelText writes labels the way selectors are written.
func labelText(labels map[string]string) string {
	s := ""
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if k == cluster.MetadataNameLabel {
			continue
		}
		if s != "" {
			s += ","
		}
		s += k + "=" + labels[k]
	}
	return s
}

func portText(ports []cluster.ContainerPort) string {
	s := ""
	for _, p := range ports {
		if p.Name == "" {
			continue
		}
		if s != "" {
			s += ","
		}
		s += fmt.Sprintf("%s=%s/%d", p.Name, p.Proto, p.Port)
	}
	return s
}
