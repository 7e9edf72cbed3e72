package question

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Partial is the verdict word of an answer whose flows do not agree (S60).
const Partial = "partial"

// Answer is the answer to one question: the common verdict of its flows, and the parts.
type Answer struct {
	From, To string // full names of the ends
	Asked    string // the port as asked: "tcp/80", "http", "any port"
	AnyPort  bool   // no port was given: a pair is allowed if some port is surely open (S60)
	Verdict  string // allowed, denied, unknown, ambiguous or partial
	Parts    []Part
	Notes    []string
	// Suggestion is filled in by Suggest.
	Suggestion *Suggestion
	// IfEnforced is the answer that policies would give if something enforced them; nil where
	// something does, or where that is not known.
	IfEnforced *Answer

	anyDenied bool
	terms     [2]Term // the question
	src, dst  End     // what it stands for
	snap      *cluster.Snapshot
	ends      map[string]candidate // by the label that Part.From and Part.To use
}

// Part is a group of flows that were decided alike, by the same rules.
type Part struct {
	From, To []string // the ends in this part, shortened for people, sorted; EveryEnd names them all
	Ports    netset.PortSet
	Families []flow.Family
	// Service tells the port that was asked at the Service where it is another; 0 otherwise.
	ServicePort uint16
	// FromRegions and ToRegions are the pieces of outside address space among the ends.
	FromRegions, ToRegions []policy.Region
	// Decision is that of one flow of the part; the others differ in ends, family and port only. Its verdict is that
	// of all Layers, where they speak.
	Decision eval.Decision
	Layers   *layers.Decision // nil where they do not speak (L1)
}

// ExitStatus is the exit status of the verb check: 0 allowed, 2 something is surely denied, 3 otherwise.
func (a *Answer) ExitStatus() int {
	switch {
	case a.Verdict == flow.Allowed.String():
		return 0
	case a.anyDenied:
		return 2
	}
	return 3
}

// EveryEnd gives the full names behind Part.From or Part.To, sorted: each pod where they say "and 3
// more like it", and outside address space as disjoint pieces, external/CIDR.
func (a *Answer) EveryEnd(ends []string) []string {
	out := []string{}
	for _, label := range ends {
		c, ok := a.ends[label]
		switch {
		case !ok:
			out = append(out, label)
		case c.kind == flow.Address:
			out = append(out, pieces(c.region)...)
		case c.kind == flow.Node:
			out = append(out, label)
		default:
			for _, i := range c.members {
				out = append(out, a.snap.Pods[i].String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// pieces names a region of outside address space by prefixes without holes.
func pieces(r policy.Region) []string {
	var out []string
	for _, p := range r.CIDRs() {
		out = append(out, externalLabel(p))
	}
	return out
}

func externalLabel(p netip.Prefix) string {
	if p.IsSingleIP() {
		return "external/" + p.Addr().String()
	}
	return "external/" + p.String()
}

// maxFlows bounds the work for one question.
const maxFlows = 1 << 20

// Ask answers whether the first end may open a connection to the second.
func (r *Resolver) Ask(from, to Term) (*Answer, error) {
	src, err := r.Resolve(from)
	if err != nil {
		return nil, err
	}
	if src.Service != nil || len(src.Targets) > 0 || src.ExternalService > 0 {
		return nil, errorf("ask from the workload behind it", "%s opens no connections of its own", src.Label)
	}
	dst, err := r.Resolve(to)
	if err != nil {
		return nil, err
	}
	if to.From.IsValid() && (dst.Service != nil || len(dst.Targets) > 0) {
		return nil, errorf("leave @"+to.From.String()+" out", "%s leads to pods, which have addresses of their own", dst.Label)
	}
	if err := r.byFirewalls(from, &src, &dst); err != nil {
		return nil, err
	}
	a := &asking{r: r, src: src, dst: dst, port: to.Port, ofBackend: map[string]int{}}
	out, err := a.answer()
	if err != nil {
		return nil, err
	}
	out.terms = [2]Term{from, to}
	if r.Enforced != nil {
		out.IfEnforced, err = r.Enforced.Ask(from, to)
	}
	return out, err
}

// asking is the state of one question.
type asking struct {
	r        *Resolver
	src, dst End
	port     PortTerm
	out      Answer
	pairs    []pairVerdict
	parts    map[string]int // by what decided, in groups
	groups   []group
	// ofBackend finds the pair of a Service's backend, where no port was asked.
	ofBackend map[string]int
	flows     int
	// unfiltered: the plugin lets this traffic pass whatever policies say.
	unfiltered bool
}

func (a *asking) answer() (*Answer, error) {
	a.parts = map[string]int{}
	a.out = Answer{From: a.src.Label, To: a.dst.Label, Asked: AskedText(a.port), AnyPort: !a.port.Given,
		snap: a.r.Model.Snapshot(), ends: map[string]candidate{}}
	if err := a.entryFromOutside(); err != nil {
		return nil, err
	}
	if err := a.r.served(&a.dst, a.port); err != nil {
		return nil, err
	}
	if a.dst.Service != nil {
		if err := a.r.targets(&a.dst, a.port); err != nil {
			return nil, err
		}
		a.viaNodes()
	}
	pairs, self, err := a.allPairs()
	if err != nil {
		return nil, err
	}
	if err := a.decidePairs(pairs); err != nil {
		return nil, err
	}
	if len(a.pairs) == 0 { // a pod to itself is asked only where there is no other (S3)
		if err := a.decidePairs(self); err != nil {
			return nil, err
		}
	}
	if len(a.pairs) == 0 {
		return nil, errorf("an IPv4 end cannot talk to an IPv6 end", "%s and %s have no address family in common", a.src.Label, a.dst.Label)
	}
	a.conclude()
	a.out.src, a.out.dst = a.src, a.dst
	return &a.out, nil
}

// AskedText names the port of a question: tcp/80, http, or any port.
func AskedText(p PortTerm) string {
	switch {
	case !p.Given:
		return "any port"
	case p.Name != "" && p.Proto != 0:
		return p.Name + "/" + p.Proto.String()
	case p.Name != "":
		return p.Name
	case p.Proto == netset.Other:
		return "icmp"
	}
	proto := p.Proto
	if proto == 0 {
		proto = netset.TCP
	}
	if p.Range == netset.AllPorts {
		return proto.String() + "/*"
	}
	return proto.String() + "/" + p.Range.String()
}

// entryFromOutside refuses the question whose literal answer would mislead: a connection from
// outside ends at the controller, and policies see the controller's.
func (a *asking) entryFromOutside() error {
	if a.dst.Service != nil || len(a.dst.Targets) == 0 || !a.src.External {
		return nil
	}
	var controllers []string
	snap := a.r.Model.Snapshot()
	for i := range snap.Services {
		if s := &snap.Services[i]; s.Type == "LoadBalancer" || s.Type == "NodePort" {
			for _, pod := range a.r.backends(s) {
				controllers = append(controllers, snap.Pods[pod].Owner.String())
			}
		}
	}
	slices.Sort(controllers)
	hint := "ask from the controller's pods"
	if controllers = slices.Compact(controllers); len(controllers) > 0 {
		hint += "; reachable from outside through a Service: " + strings.Join(controllers, ", ")
	}
	return errorf(hint, "connections from outside to %s end at its controller, which opens new ones to the backends", a.dst.Label)
}

// viaNodes adds the nodes as sources where traffic from outside may arrive with a node's address (S24).
func (a *asking) viaNodes() {
	s := a.dst.Service
	outside := len(a.src.Regions) > 0
	if !outside || s.Type != "NodePort" && s.Type != "LoadBalancer" {
		if outside {
			a.out.Notes = append(a.out.Notes, a.dst.Label+" is of type "+s.Type+": nothing outside the cluster reaches it by itself")
		}
		return
	}
	if s.LocalTraffic {
		return
	}
	if a.r.NodePortUnfiltered {
		a.unfiltered = true
		a.out.Notes = append(a.out.Notes, "this plugin does not subject traffic to a NodePort or load balancer with externalTrafficPolicy Cluster to policy")
		return
	}
	snap := a.r.Model.Snapshot()
	if len(snap.Nodes) == 0 {
		a.out.Notes = append(a.out.Notes, a.dst.Label+" has externalTrafficPolicy Cluster: traffic may arrive with a node's address, and no node is in the input")
		return
	}
	for i := range snap.Nodes {
		a.src.Nodes = append(a.src.Nodes, i)
	}
	a.out.Notes = append(a.out.Notes, a.dst.Label+" has externalTrafficPolicy Cluster: traffic may arrive with a node's address, so the nodes are answered too")
}

// candidate is a group of interchangeable things at one end.
type candidate struct {
	kind    flow.Kind
	members []int // pods or nodes; empty for a region
	region  policy.Region
	label   string
	target  *Target
	// variant counts the addresses of an end that has several in a family: each is asked about.
	variant int
	within  netip.Prefix // the only addresses asked about; invalid for all
}

// pair is one combination of candidates.
type pair struct{ from, to candidate }

// allPairs combines both ends; self are the combinations of a pod with itself.
func (a *asking) allPairs() (pairs, self []pair, err error) {
	from := a.candidates(&a.src, a.hasNode(&a.dst))
	to := a.candidates(&a.dst, a.hasNode(&a.src))
	if len(a.dst.Targets) > 0 {
		to = a.targetCandidates()
	}
	if len(from)*len(to) > maxFlows {
		return nil, nil, errorf("ask about a smaller part", "the question stands for more than %d flows", maxFlows)
	}
	for _, f := range from {
		for _, t := range to {
			p := pair{f, t}
			if f.kind == flow.Pod && t.kind == flow.Pod && len(f.members) == 1 && len(t.members) == 1 && f.members[0] == t.members[0] {
				self = append(self, p)
				continue
			}
			pairs = append(pairs, p)
		}
	}
	if len(a.dst.Targets) > 0 && !a.headless() { // through a Service policies apply to it (S21)
		pairs, self = append(pairs, self...), nil
	}
	return pairs, self, nil
}

func (a *asking) headless() bool { return a.dst.Service != nil && a.dst.Service.Headless }

// hasNode tells whether a node, or a hostNetwork pod, is among what an end stands for.
func (a *asking) hasNode(e *End) bool {
	host := func(i int) bool { return a.r.Model.Snapshot().Pods[i].HostNetwork }
	return len(e.Nodes) > 0 || slices.ContainsFunc(e.Pods, host) || slices.ContainsFunc(e.Targets, func(t Target) bool {
		return t.End.Kind == flow.Node || t.End.Kind == flow.Pod && host(t.End.Index)
	})
}

// candidates groups the pods that no policy and no question can tell apart. byNode keeps pods on
// different nodes apart, where S22 may matter.
func (a *asking) candidates(e *End, byNode bool) []candidate {
	var out []candidate
	seen := map[string]int{}
	for _, i := range e.Pods {
		key := a.groupKey(e, i, byNode)
		at, ok := seen[key]
		if !ok {
			at = len(out)
			seen[key] = at
			out = append(out, candidate{kind: flow.Pod, within: e.Within})
		}
		out[at].members = append(out[at].members, i)
	}
	for k := range out {
		out[k].label = e.Label
		if len(out) > 1 || len(e.Nodes)+len(e.Regions) > 0 {
			out[k].label = podNames(a, out[k].members)
			a.out.ends[out[k].label] = out[k]
		}
	}
	for _, i := range e.Nodes {
		out = append(out, candidate{kind: flow.Node, members: []int{i}, label: "node/" + a.r.Model.Snapshot().Nodes[i].Name, within: e.Within})
	}
	for _, region := range e.Regions {
		c := candidate{kind: flow.Address, region: region, label: "external/" + region.String()}
		if region.Prefix.IsSingleIP() {
			c.label = externalLabel(region.Prefix)
		}
		a.out.ends[c.label] = c
		out = append(out, c)
	}
	return a.variants(out, e.From)
}

// groupKey is the same for pods of an end that no answer tells apart.
func (a *asking) groupKey(e *End, i int, byNode bool) string {
	p := &a.r.Model.Snapshot().Pods[i]
	key := fmt.Appendf(nil, "%d ", a.r.Model.ClassOf(i))
	asked := a.r.addresses(flow.End{Kind: flow.Pod, Index: i})
	if e.Within.IsValid() {
		asked = slices.DeleteFunc(slices.Clone(asked), func(x netip.Addr) bool { return !e.Within.Contains(x) })
	}
	key = a.r.space.AppendAtoms(key, asked)
	if byNode || p.HostNetwork {
		key = append(append(key, " on "...), p.NodeName...)
	}
	if e.From.IsValid() && (len(p.Addrs) == 0 || slices.Contains(p.Addrs, e.From)) {
		key = append(key, " not spoofed"...)
	}
	if a.r.layers != nil {
		key = fmt.Appendf(key, " %d %d", a.r.layers.Source(i), a.r.layers.Target(i))
	}
	if a.port.Name != "" {
		key = fmt.Appendf(key, " %v", p.Ports)
	}
	return string(key)
}

// variants repeats each candidate that has several addresses of a family, once for each. Where the
// question fixes the address there is nothing to repeat.
func (a *asking) variants(list []candidate, fixed netip.Addr) []candidate {
	var out []candidate
	for _, c := range list {
		count := 1
		for _, f := range flow.Families {
			count = max(count, len(a.known(&c, 0, f)))
		}
		if count == 1 || fixed.IsValid() {
			out = append(out, c)
			continue
		}
		for c.variant = range count {
			v := c
			var addrs []string
			for _, f := range flow.Families {
				if list := a.known(&c, 0, f); c.variant < len(list) {
					addrs = append(addrs, list[c.variant].String())
				}
			}
			v.label += "@" + strings.Join(addrs, ",")
			out = append(out, v)
		}
	}
	return out
}

func podNames(a *asking, members []int) string {
	const most = 3
	var names []string
	for _, i := range members {
		names = append(names, a.r.Model.Snapshot().Pods[i].String())
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more like it", names[0], len(names)-1)
	}
	return strings.Join(names, ", ")
}

func (a *asking) targetCandidates() []candidate {
	snap := a.r.Model.Snapshot()
	var out []candidate
	for i := range a.dst.Targets {
		t := &a.dst.Targets[i]
		c := candidate{kind: t.End.Kind, target: t}
		if t.End.Addr.IsValid() {
			c.within = prefixOf(t.End.Addr)
		}
		switch t.End.Kind {
		case flow.Pod:
			c.members, c.label = []int{t.End.Index}, snap.Pods[t.End.Index].String()
		case flow.Node:
			c.members, c.label = []int{t.End.Index}, "node/"+snap.Nodes[t.End.Index].Name
		default:
			c.region, c.label = policy.Region{Prefix: c.within}, externalLabel(c.within)
		}
		out = append(out, c)
	}
	return a.variants(out, netip.Addr{})
}

func (a *asking) conclude() {
	a.out.Notes = append(append(append([]string(nil), a.src.Notes...), a.dst.Notes...), a.out.Notes...)
	a.out.Notes = compactInOrder(a.out.Notes)
	for i, p := range a.pairs {
		if p.verdict() == flow.Denied {
			a.out.anyDenied = true
		}
		switch {
		case i == 0:
			a.out.Verdict = p.verdict().String()
		case a.out.Verdict != p.verdict().String():
			a.out.Verdict = Partial
		}
	}
	for i := range a.groups {
		a.out.Parts = append(a.out.Parts, a.partsOf(&a.groups[i])...)
	}
	slices.SortStableFunc(a.out.Parts, func(x, y Part) int { return int(x.Decision.Verdict) - int(y.Decision.Verdict) })
}

func compactInOrder(notes []string) []string {
	var out []string
	for _, n := range notes {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
