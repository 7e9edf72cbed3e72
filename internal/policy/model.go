package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Tier is a stage of the decision, in order (S40).
type Tier uint8

// The tiers.
const (
	AdminTier Tier = iota + 1
	NetworkPolicyTier
	BaselineTier
)

// String gives the word that manifests and people use.
func (t Tier) String() string { return [...]string{"", "Admin", "NetworkPolicy", "Baseline"}[t] }

// Policy is a policy of any kind, compiled.
type Policy struct {
	Ref      cluster.PolicyRef
	Origin   cluster.Origin
	Tier     Tier
	Priority int // of cluster policies, 0 to 1000

	// Namespace is the one that a NetworkPolicy lives in; empty for cluster policies.
	Namespace string
	// Namespaces and Pods select the subjects; Namespaces is unused for a NetworkPolicy.
	Namespaces Selector
	Pods       Selector

	// KeepsEstablished: connections that it ceases to allow go on (cluster.EstablishedAnnotation).
	KeepsEstablished bool

	// NotUnderstood is what could not be read of a policy from a server (S32).
	NotUnderstood []string

	number  int       // in Model.policies
	applies [2]bool   // by direction: a NetworkPolicy isolates, a cluster policy has rules
	rules   [2][]Rule // by direction; those that are inert (S29) are not here
	inert   [2]int    // number of rules that policyTypes leaves out (S29)
}

func dir(d flow.Direction) int { return int(d) - 1 }

// Number is the policy's index in Model.Policies.
func (p *Policy) Number() int { return p.number }

// Applies tells whether the policy has a say for a direction at all.
func (p *Policy) Applies(d flow.Direction) bool { return p.applies[dir(d)] }

// Rules gives the rules of a direction in written order.
func (p *Policy) Rules(d flow.Direction) []Rule { return p.rules[dir(d)] }

// InertRules counts the rules of a direction that an explicit policyTypes leaves out (S29).
func (p *Policy) InertRules(d flow.Direction) int { return p.inert[dir(d)] }

// RuleOrigin gives the place of a part of the policy.
func (p *Policy) RuleOrigin(id cluster.RuleID) cluster.Origin { return p.Origin.At(id.Path()) }

// Applied is a policy in the list of a subject. Maybe: it is not known whether the policy selects it.
type Applied struct {
	*Policy
	Maybe bool
}

// Subject is what applies to an endpoint for one direction, in order. It is shared by all
// endpoints of a class.
type Subject struct {
	Admin    []Applied // by priority, then kind and name
	Policies []*Policy // NetworkPolicies by name; if there is one, the endpoint is isolated (S10)
	Baseline []Applied
}

// Class is a set of endpoints that no policy can tell apart by anything but their address: the same
// namespace, labels and declared named ports (kernel.md's endpoint classes, before merging).
type Class struct {
	Namespace string
	Labels    map[string]string
	Ports     []cluster.ContainerPort // named ones, sorted
	Members   []int                   // indices in Snapshot.Pods, ascending

	subject    [2]Subject
	foreign    [2][]int // indices in Snapshot.ForeignPolicies, by direction
	yes, maybe []int32  // distinct selector pairs (Model.sets) that match, ascending
	portsID    int      // see Model.PortsOf
}

// Subject gives what applies to the class for a direction.
func (c *Class) Subject(d flow.Direction) *Subject { return &c.subject[dir(d)] }

// Foreign lists the policies of other engines, by their index in the Snapshot, that may decide a
// direction for the class.
func (c *Class) Foreign(d flow.Direction) []int { return c.foreign[dir(d)] }

// Model is a Snapshot's policies, compiled. It is immutable and safe for concurrent use.
type Model struct {
	snap     *cluster.Snapshot
	opts     Options
	policies []*Policy // NetworkPolicies by namespace and name, then cluster policies in tier order
	classes  []Class
	class    []int32 // by pod; -1 for a hostNetwork pod
	sets     []podSet
	ranges   []netip.Prefix // all known pod ranges
	families []flow.Family
	nodes    map[string]int
}

// podSet is a distinct pair of selectors that peers use.
type podSet struct {
	namespace  string // fixed, or empty
	namespaces Selector
	pods       Selector
}

// Snapshot is what the model was compiled from.
func (m *Model) Snapshot() *cluster.Snapshot { return m.snap }

// Options are those that the model was compiled with.
func (m *Model) Options() Options { return m.opts }

// Policies lists every policy: NetworkPolicies by namespace and name, then cluster policies in tier order.
func (m *Model) Policies() []*Policy { return m.policies }

// Policy gives a policy by name, or nil.
func (m *Model) Policy(ref cluster.PolicyRef) *Policy {
	for _, p := range m.policies {
		if p.Ref == ref {
			return p
		}
	}
	return nil
}

// Classes lists the endpoint classes.
func (m *Model) Classes() []Class { return m.classes }

// ClassOf gives the class of a pod by its index in the Snapshot, or -1 for a hostNetwork pod (S23).
func (m *Model) ClassOf(pod int) int { return int(m.class[pod]) }

// PortsOf numbers the named ports that a class declares: the number is equal for classes that declare
// the same.
func (m *Model) PortsOf(class int) int { return m.classes[class].portsID }

// PodRanges lists every known pod range: of the options, of the Snapshot's facts and of its nodes.
func (m *Model) PodRanges() []netip.Prefix { return m.ranges }

// Families lists the address families that the cluster is known to use; IPv4 if nothing is known.
func (m *Model) Families() []flow.Family { return m.families }

// Sets counts the distinct pairs of selectors that peers use.
func (m *Model) Sets() int { return len(m.sets) }

// SetsOf lists the sets that hold a class, surely (Yes) or perhaps (Maybe), ascending.
func (m *Model) SetsOf(class int, want Match) []int32 {
	if want == Maybe {
		return m.classes[class].maybe
	}
	return m.classes[class].yes
}

// setMatch tells whether a class is in a set.
func (m *Model) setMatch(class, set int) Match {
	c := &m.classes[class]
	if _, ok := slices.BinarySearch(c.yes, int32(set)); ok {
		return Yes
	}
	if _, ok := slices.BinarySearch(c.maybe, int32(set)); ok {
		return Maybe
	}
	return No
}

// SetClasses lists the classes that a PodPeer selects, surely or perhaps.
func (m *Model) SetClasses(p *Peer, want Match) []int {
	var out []int
	for i := range m.classes {
		if m.setMatch(i, p.set) >= want {
			out = append(out, i)
		}
	}
	return out
}

// SubjectClasses lists the classes that a policy selects, surely or perhaps.
func (m *Model) SubjectClasses(p *Policy, want Match) []int {
	var out []int
	for i := range m.classes {
		c := &m.classes[i]
		if p.Namespace != "" {
			if c.Namespace == p.Namespace && p.Pods.Match(c.Labels, true) >= want {
				out = append(out, i)
			}
			continue
		}
		if m.matchNamespace(p.Namespaces, c.Namespace) >= want && p.Pods.Match(c.Labels, true) >= want {
			out = append(out, i)
		}
	}
	return out
}

func (m *Model) matchNamespace(s Selector, name string) Match {
	return s.Match(m.namespaceLabels(name))
}

// namespaceLabels gives what is known of a namespace's labels; complete is false where it is only
// that namespace's name (S4).
func (m *Model) namespaceLabels(name string) (labels map[string]string, complete bool) {
	ns := m.snap.NamespaceByName(name)
	if ns == nil {
		return map[string]string{cluster.MetadataNameLabel: name}, false
	}
	return ns.Labels, !ns.Assumed
}

// NewQuery prepares one direction of a flow. subject is the class of the end that decides; ok is
// false where that end is not a pod that policies can select (S18, S23).
func (m *Model) NewQuery(f *flow.Flow, d flow.Direction) (q Query, subject int, ok bool) {
	own, other := &f.From, &f.To
	if d == flow.Ingress {
		own, other = other, own
	}
	subject = m.endClass(own)
	if subject < 0 {
		return Query{}, -1, false
	}
	q = Query{Direction: d, Proto: f.Proto, Port: f.Port, DestClass: m.endClass(&f.To)}
	q.Remote = m.remote(other, f.Family)
	return q, subject, true
}

func (m *Model) endClass(e *flow.End) int {
	if e.Kind != flow.Pod {
		return -1
	}
	return int(m.class[e.Index])
}

func (m *Model) remote(e *flow.End, family flow.Family) Remote {
	r := Remote{End: *e, Family: family, Class: m.endClass(e), Node: -1, Strict: m.opts.Strict}
	r.IsPod = r.Class >= 0
	switch {
	case e.Kind == flow.Node:
		r.IsNode, r.Node = true, e.Index
	case e.Kind == flow.Pod && !r.IsPod:
		r.IsNode, r.Node = true, m.nodeIndex(m.snap.Pods[e.Index].NodeName)
	}
	r.blocksSkip = m.opts.Behaviour.BlocksMatchOutsideOnly && e.Kind != flow.Address
	return r
}

func (m *Model) nodeIndex(name string) int {
	if i, ok := m.nodes[name]; ok {
		return i
	}
	return -1
}

// OwnNodeMatch tells whether S22 applies: the remote end is the node on which the pod runs.
func (m *Model) OwnNodeMatch(pod int, q *Query) Match {
	r := &q.Remote
	if !r.IsNode || q.Direction == flow.Egress && m.opts.Behaviour.EgressToOwnNodeByPolicy {
		return No
	}
	host := m.snap.Pods[pod].NodeName
	if host == "" || r.Node < 0 {
		return Maybe
	}
	return matchIf(m.snap.Nodes[r.Node].Name == host)
}

// Enforced tells whether the plugin enforces policies for a family (S26).
func (m *Model) Enforced(f flow.Family) bool {
	b := m.opts.Behaviour
	return !b.NotEnforced && !(b.NotEnforcedIPv6 && f == flow.IPv6)
}

var metadataAddrs = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254")}

// AzureWire is Azure's own metadata address (S27).
var AzureWire = netip.MustParseAddr("168.63.129.16")

// AzureWirePorts are the ports of Azure's own metadata address that S27 names.
var AzureWirePorts = [...]uint16{80, 32526}

// MetadataPorts lists the metadata addresses of S27 with the TCP ports that serve metadata there.
func (m *Model) MetadataPorts() []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range metadataAddrs {
		out = append(out, netip.AddrPortFrom(a, 80))
	}
	if m.opts.Azure {
		for _, port := range AzureWirePorts {
			out = append(out, netip.AddrPortFrom(AzureWire, port))
		}
	}
	return out
}

// BlockedMetadata tells whether a destination is a metadata address that is blocked (S27).
func (m *Model) BlockedMetadata(to netip.Addr, proto netset.Proto, port uint16) bool {
	if !m.opts.BlockMetadata || !to.IsValid() {
		return false
	}
	if slices.Contains(metadataAddrs, to) {
		return true
	}
	return m.opts.Azure && to == AzureWire && proto == netset.TCP && slices.Contains(AzureWirePorts[:], port)
}

// SetText names a set of pods by its selectors, alike for the same selectors in every model.
func (m *Model) SetText(set int32) string {
	s := &m.sets[set]
	return fmt.Sprintf("%q %q %q", s.namespace, s.namespaces, s.pods)
}
