package analyze

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
)

// The two sides of a Diff.
const (
	before = iota
	after
)

// Diff compares what two clusters let through, party by party.
type Diff struct {
	// Parties are those of either side: workloads or namespaces, then pieces of the outside.
	Parties []Party
	// Policies are those that were added, removed or changed.
	Policies []PolicyChange

	sides [2]*Reach
	at    [2][]int // index of a party in a side's Parties, or -1
	// partyBefore gives the index in Parties of a party before.
	partyBefore []int
	twin        []int // by pod before: the same pod after, or -1
	change      map[cluster.PolicyRef]Changed
	facts       []EndChange
	groups      map[groupsKey][]podGroup
	plain       map[[2]uint32][]Change // by the one decision before and the one after
	byNodes     map[nodesKey]uint32
}

// Changed says what became of an object.
type Changed string

// What may become of an object.
const (
	Unchanged Changed = ""
	Added     Changed = "added"
	Removed   Changed = "removed"
	Modified  Changed = "changed"
)

// PolicyChange is a policy that is not the same on both sides.
type PolicyChange struct {
	Ref    cluster.PolicyRef
	Change Changed
	Origin cluster.Origin // after; before, where it was removed
}

// Change is what became of the same ports between two parties.
type Change struct {
	From, To int // indices in Diff.Parties
	Ports    netset.PortSet
	// Before and After are allowed, partial, ambiguous, unknown, denied, or Absent where one of the
	// parties is on one side only. Both are partial where it is other pods or families than before.
	Before, After string
}

// Absent stands for the verdict on a pair that one side does not have.
const Absent = "absent"

// Effects, by the change from one verdict to another.
const (
	Opens   = "opens"
	Closes  = "closes"
	Changes = "changes"
)

// Effect tells whether the change opens, closes, or neither surely.
func (c *Change) Effect() string {
	switch was, is := openness(c.Before), openness(c.After); {
	case was < is:
		return Opens
	case was > is:
		return Closes
	}
	return Changes
}

func openness(verdict string) int {
	switch verdict {
	case Absent, "denied":
		return 0
	case "allowed":
		return 2
	}
	return 1
}

// NewDiff compares two analyses, which must have been made with the same space and pieces of the outside.
func NewDiff(was, is *Reach) *Diff {
	d := &Diff{sides: [2]*Reach{was, is}, groups: map[groupsKey][]podGroup{}, plain: map[[2]uint32][]Change{}, byNodes: map[nodesKey]uint32{}}
	d.parties()
	d.pods()
	d.policies()
	d.facts = factChanges(was.m, is.m)
	return d
}

// Reach gives the analysis before or after.
func (d *Diff) Reach(isAfter bool) *Reach {
	if isAfter {
		return d.sides[after]
	}
	return d.sides[before]
}

func (d *Diff) parties() {
	at := map[string]int{}
	for _, side := range []int{after, before} {
		for _, p := range d.sides[side].Parties {
			if _, seen := at[p.key()]; !seen {
				at[p.key()] = 0
				p.cells = [2][]int{}
				d.Parties = append(d.Parties, p)
			}
		}
	}
	slices.SortStableFunc(d.Parties, func(a, b Party) int {
		if a.External || b.External {
			return bit(a.External) - bit(b.External)
		}
		return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
	})
	for i := range d.Parties {
		at[d.Parties[i].key()] = i
	}
	for side, r := range d.sides {
		d.at[side] = slices.Repeat([]int{-1}, len(d.Parties))
		for i := range r.Parties {
			d.at[side][at[r.Parties[i].key()]] = i
		}
		if side == before {
			d.partyBefore = make([]int, len(r.Parties))
			for i := range r.Parties {
				d.partyBefore[i] = at[r.Parties[i].key()]
			}
		}
	}
}

// podName tells pods of a cluster apart; a workload's replica without a name of its own counts by its number.
type podName struct {
	owner    cluster.Workload
	name     string
	replica  int
	template bool
}

func podNameOf(p *cluster.Pod) podName { return podName{p.Owner, p.Name, p.Replica, p.Template} }

func (d *Diff) pods() {
	at := map[podName]int{}
	pods := d.sides[after].m.Snapshot().Pods
	for i := range pods {
		at[podNameOf(&pods[i])] = i
	}
	old := d.sides[before].m.Snapshot().Pods
	d.twin = make([]int, len(old))
	for i := range old {
		d.twin[i] = -1
		if j, ok := at[podNameOf(&old[i])]; ok {
			d.twin[i] = j
		}
	}
}

// policies lists what became of every policy.
func (d *Diff) policies() {
	d.change = map[cluster.PolicyRef]Changed{}
	was, is := policySpecs(d.sides[before].m.Snapshot()), policySpecs(d.sides[after].m.Snapshot())
	note := func(ref cluster.PolicyRef, o cluster.Origin, c Changed) {
		d.change[ref] = c
		d.Policies = append(d.Policies, PolicyChange{ref, c, o})
	}
	for ref, p := range is {
		old, had := was[ref]
		switch {
		case !had:
			note(ref, p.origin, Added)
		case !reflect.DeepEqual(p.spec, old.spec) || !slices.Equal(p.unclear, old.unclear):
			note(ref, p.origin, Modified)
		}
	}
	for ref, p := range was {
		if _, has := is[ref]; !has {
			note(ref, p.origin, Removed)
		}
	}
	slices.SortFunc(d.Policies, func(a, b PolicyChange) int {
		return cmp.Or(strings.Compare(a.Ref.Namespace, b.Ref.Namespace), strings.Compare(a.Ref.Kind, b.Ref.Kind), strings.Compare(a.Ref.Name, b.Ref.Name))
	})
}

type policySpec struct {
	spec    any
	unclear []string
	origin  cluster.Origin
}

func policySpecs(s *cluster.Snapshot) map[cluster.PolicyRef]policySpec {
	out := map[cluster.PolicyRef]policySpec{}
	for i := range s.NetworkPolicies {
		p := &s.NetworkPolicies[i]
		out[cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: p.Object.Namespace, Name: p.Object.Name}] = policySpec{p.Object.Spec, p.NotUnderstood, p.Origin.At("")}
	}
	for i := range s.ClusterPolicies {
		p := &s.ClusterPolicies[i]
		out[cluster.PolicyRef{Kind: p.Kind, Name: p.Object.Name}] = policySpec{p.Object.Spec, p.NotUnderstood, p.Origin.At("")}
	}
	for _, x := range s.Identities {
		out[cluster.PolicyRef{Kind: "WorkloadIdentity", Namespace: x.Namespace, Name: x.Name}] = policySpec{x.Spec, x.NotUnderstood, x.Origin.At("")}
	}
	for _, x := range s.AccessPolicies {
		out[cluster.PolicyRef{Kind: "AccessPolicy", Namespace: x.Namespace, Name: x.Name}] = policySpec{x.Spec, x.NotUnderstood, x.Origin.At("")}
	}
	for _, x := range s.External {
		kind := "ExternalService"
		if x.Namespace == "" {
			kind = "ClusterExternalService"
		}
		out[cluster.PolicyRef{Kind: kind, Namespace: x.Namespace, Name: x.Name}] = policySpec{x.Spec, x.NotUnderstood, x.Origin.At("")}
	}
	azureSpecs(s, out)
	return out
}

// azureSpecs adds what Azure's own products read, without the places.
func azureSpecs(s *cluster.Snapshot, out map[cluster.PolicyRef]policySpec) {
	add := func(kind, namespace, name string, spec any, o cluster.Origin) {
		out[cluster.PolicyRef{Kind: kind, Namespace: namespace, Name: name}] = policySpec{spec: spec, origin: o.At("")}
	}
	for _, x := range s.Accounts {
		if x.EntraClient != nil || x.EntraTenant != nil {
			add("ServiceAccount", x.Namespace, x.Name, [2]*string{x.EntraClient, x.EntraTenant}, x.Origin)
		}
	}
	for _, x := range s.AzureIdentities {
		o := x.Origin
		x.Origin = cluster.Origin{}
		add("AzureIdentity", x.Namespace, x.Name, x, o)
	}
	for _, x := range s.AzureBindings {
		add("AzureIdentityBinding", x.Namespace, x.Name, [2]string{x.Identity, x.Selector}, x.Origin)
	}
	for _, x := range s.AzureExceptions {
		add("AzurePodIdentityException", x.Namespace, x.Name, x.PodLabels, x.Origin)
	}
}

// Each calls f for every change, in the order of Parties, until f gives false. Pairs that no side has or asks about
// (Reach.Unasked) are left out.
func (d *Diff) Each(f func(*Change) bool) {
	s := newSuspects(d)
	for from := range d.Parties {
		for _, to := range s.of(from) {
			if d.unasked(from, to) {
				continue
			}
			for _, c := range d.between(from, to) {
				if !f(&c) {
					return
				}
			}
		}
	}
}

// unasked tells of a pair that says nothing on both sides.
func (d *Diff) unasked(from, to int) bool {
	for side, r := range d.sides {
		if a, b := d.at[side][from], d.at[side][to]; a >= 0 && b >= 0 && !r.Unasked(a, b) {
			return false
		}
	}
	return true
}

// Alone tells whether a party is a single pod on both sides, so that there is no connection within it.
func (d *Diff) Alone(party int) bool {
	if d.Parties[party].External {
		return false
	}
	_, had := d.row(before, party, party)
	_, has := d.row(after, party, party)
	return !had && !has
}

// row gives what one side opens between two parties; ok is false where it has no such pair.
func (d *Diff) row(side, from, to int) (Row, bool) {
	if d.at[side][from] < 0 || d.at[side][to] < 0 {
		return Row{}, false
	}
	return d.sides[side].Between(d.at[side][from], d.at[side][to])
}

// between lists the changes of one pair; the list is valid until the next call. Pairs of parties with one
// decision on each side are most of all, and few differ in which two these are.
func (d *Diff) between(from, to int) []Change {
	was, is := d.decided(before, from, to), d.decided(after, from, to)
	if len(was) > 1 || len(is) > 1 {
		return d.compare(from, to)
	}
	key := [2]uint32{only(was), only(is)}
	list, ok := d.plain[key]
	if !ok {
		list = d.compare(from, to)
		d.plain[key] = list
	}
	for i := range list {
		list[i].From, list[i].To = from, to
	}
	return list
}

// decided numbers the decisions of one side between two parties; it gives none where there is no such pair.
func (d *Diff) decided(side, from, to int) []uint32 {
	if d.at[side][from] < 0 || d.at[side][to] < 0 {
		return nil
	}
	return d.sides[side].decided(d.at[side][from], d.at[side][to])
}

func only(ids []uint32) uint32 {
	if len(ids) == 0 {
		return noDecision
	}
	return ids[0]
}

// compare lists the changes of one pair from both rows.
func (d *Diff) compare(from, to int) []Change {
	was, had := d.row(before, from, to)
	is, has := d.row(after, from, to)
	if had && has && was.Partial.Empty() && is.Partial.Empty() && was.same(&is) {
		return nil
	}
	var out []Change
	put := func(before, after string, ports netset.PortSet) {
		if !ports.Empty() {
			out = append(out, Change{From: from, To: to, Ports: ports, Before: before, After: after})
		}
	}
	for _, w := range was.parts(had) {
		for _, i := range is.parts(has) {
			ports := w.ports.Intersect(i.ports)
			switch {
			case ports.Empty():
			case w.verdict == "partial" && i.verdict == "partial":
				put(w.verdict, i.verdict, d.otherPods(from, to, ports))
			case openness(w.verdict) > 0 && w.verdict != i.verdict, openness(i.verdict) > 0 && w.verdict != i.verdict:
				put(w.verdict, i.verdict, ports)
			}
		}
	}
	return out
}

func (r *Row) same(o *Row) bool {
	return r.Allowed.Equal(o.Allowed) && r.Ambiguous.Equal(o.Ambiguous) && r.Unknown.Equal(o.Unknown)
}

type verdictPorts struct {
	verdict string
	ports   netset.PortSet
}

// parts divides every port by verdict.
func (r *Row) parts(exists bool) []verdictPorts {
	if !exists {
		return []verdictPorts{{Absent, netset.EveryPort()}}
	}
	closed := netset.EveryPort().Minus(r.Open()).Minus(r.Partial)
	return []verdictPorts{{"allowed", r.Allowed}, {"partial", r.Partial}, {"ambiguous", r.Ambiguous}, {"unknown", r.Unknown}, {"denied", closed}}
}

// otherPods gives those of ports which are partly open on both sides, but not for the same pods and families.
func (d *Diff) otherPods(from, to int, ports netset.PortSet) netset.PortSet {
	var out netset.PortSet
	for _, p := range d.pairs(from, to) {
		if !p.has[before] || !p.has[after] {
			continue
		}
		was, is := &d.sides[before].decisions.list[p.decisions[before]], &d.sides[after].decisions.list[p.decisions[after]]
		same := was.Allowed.Intersect(is.Allowed).Union(was.Ambiguous.Intersect(is.Ambiguous)).Union(was.Unknown.Intersect(is.Unknown))
		out = out.Union(was.Open().Union(is.Open()).Minus(same))
	}
	return out.Intersect(ports)
}
