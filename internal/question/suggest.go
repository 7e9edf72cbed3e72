package question

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Suggestion is the smallest change that would allow what is denied.
type Suggestion struct {
	// Objects are the policies to add, at most one for each direction.
	Objects []metav1.Object
	// Verdict is the one that the whole question gets with them, asked again.
	Verdict string
	// Opens are other pairs that they would open, sorted; at most MaxOpens of Count.
	Opens []Pair
	Count int
	// Why says why there is no suggestion, or what to know about it.
	Why []string
}

// Pair names two workloads of which one may talk to the other.
type Pair struct{ From, To string }

// MaxOpens bounds the list of other flows.
const MaxOpens = 10

// Suggest works out what would allow the first denied part of an answer, and asks the question
// again with it. It gives nil if the answer is allowed or nothing in it is surely denied.
func (r *Resolver) Suggest(a *Answer) (*Suggestion, error) {
	if !a.anyDenied {
		return nil, nil
	}
	for i := range a.Parts {
		if p := &a.Parts[i]; p.Decision.Verdict == flow.Denied {
			s := suggesting{r: r, asked: a, part: p}
			return s.run()
		}
	}
	return nil, nil
}

type suggesting struct {
	r     *Resolver
	asked *Answer
	part  *Part
	out   Suggestion
	snap  cluster.Snapshot // with the suggestion added
}

func (s *suggesting) run() (*Suggestion, error) {
	s.snap = *s.r.Model.Snapshot()
	s.directions()
	s.otherLayers()
	if len(s.out.Objects) == 0 {
		return &s.out, nil
	}
	m := policy.Compile(&s.snap, s.r.Model.Options())
	again := NewResolver(m, s.r.Namespace)
	again.NodePortUnfiltered = s.r.NodePortUnfiltered
	a, err := again.Ask(s.asked.terms[0], s.asked.terms[1])
	if err != nil {
		return nil, err
	}
	s.out.Verdict = a.Verdict
	s.opens(again)
	return &s.out, nil
}

// directions opens what is denied. What is unknown at the other end is made sure, but only where that
// end is all that is left: it alone would not allow anything.
func (s *suggesting) directions() {
	denied := 0
	for _, side := range s.part.Decision.Directions() {
		if side.Verdict == flow.Denied {
			denied++
			s.direction(side)
		}
	}
	if len(s.out.Objects) < denied {
		return
	}
	for _, side := range s.part.Decision.Directions() {
		if side.Verdict == flow.Unknown {
			s.makeSure(side)
		}
	}
}

// otherLayers says what no NetworkPolicy changes.
func (s *suggesting) otherLayers() {
	if s.part.Layers == nil {
		return
	}
	for i := range s.part.Layers.Steps {
		step := &s.part.Layers.Steps[i]
		if step.Answer == layers.Deny && step.Reason != layers.ByPolicies {
			s.why("%s denies it, which no NetworkPolicy changes", step.Layer)
		}
	}
}

// makeSure opens a direction that is unknown, where a NetworkPolicy can.
func (s *suggesting) makeSure(side *eval.Direction) {
	if !hangsOnNetworkPolicies(side) {
		s.why("%s stays unknown: what it depends on is not for a NetworkPolicy to decide", side.Direction)
		return
	}
	before := len(s.out.Objects)
	if s.networkPolicy(side); len(s.out.Objects) > before {
		o := s.out.Objects[before]
		s.why("%s/%s makes sure of %s, which is unknown now: it may turn out not to be needed", o.GetNamespace(), o.GetName(), side.Direction)
	}
}

// hangsOnNetworkPolicies tells whether one more NetworkPolicy surely decides a direction that is unknown:
// they only add (S10), so what the others may match does not matter then. Nothing that is asked before
// them, and nothing that was not evaluated, may be among what is not known.
func hangsOnNetworkPolicies(d *eval.Direction) bool {
	return d.Reason == flow.Isolated && !slices.ContainsFunc(d.Unknown, func(g eval.Gap) bool {
		return !g.OwnNode && (g.Step == nil || g.Step.Tier != eval.NetworkPolicyTier)
	})
}

func (s *suggesting) why(format string, args ...any) {
	s.out.Why = append(s.out.Why, fmt.Sprintf(format, args...))
}

func (s *suggesting) direction(d *eval.Direction) {
	switch d.Reason {
	case flow.Isolated:
		s.networkPolicy(d)
	case flow.AdminRule, flow.BaselineRule:
		s.clusterPolicy(d)
	case flow.Metadata:
		s.why("metadata addresses are blocked by --block-metadata, which no policy can undo")
	default:
		s.why("no policy can allow a packet with a source address that is not the pod's own")
	}
}

// ends gives the pod that decides the direction and the other end.
func (s *suggesting) ends(d flow.Direction) (subject *cluster.Pod, other flow.End) {
	f := &s.part.Decision.Flow
	snap := s.r.Model.Snapshot()
	if d == flow.Egress {
		return &snap.Pods[f.From.Index], f.To
	}
	return &snap.Pods[f.To.Index], f.From
}

func (s *suggesting) networkPolicy(side *eval.Direction) {
	d := side.Direction
	subject, other := s.ends(d)
	peers := s.peers(d, subject.Namespace, other)
	if len(peers) == 0 {
		return
	}
	np := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: subject.Namespace, Name: s.name(d, subject.Namespace)},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: s.isolated(subject, side)},
	}
	ports := s.ports()
	if d == flow.Egress {
		np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		np.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
	} else {
		np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}}
	}
	s.out.Objects = append(s.out.Objects, np)
	s.snap.NetworkPolicies = append(slices.Clone(s.snap.NetworkPolicies), cluster.NetworkPolicy{Object: np})
}

// name is made of both ends, so that it says what the policy is for. It is one that no policy in the
// namespace has ("" for cluster policies): applying the suggestion must not replace anything.
func (s *suggesting) name(d flow.Direction, namespace string) string {
	subject, other := s.ends(d)
	text := "outside"
	snap := s.r.Model.Snapshot()
	switch other.Kind {
	case flow.Pod:
		text = snap.Pods[other.Index].Owner.Name
	case flow.Node:
		text = snap.Nodes[other.Index].Name
	}
	name := "allow-" + subject.Owner.Name + "-from-" + text
	if d == flow.Egress {
		name = "allow-" + subject.Owner.Name + "-to-" + text
	}
	const most = 60
	name = strings.TrimRight(name[:min(len(name), most)], "-.")
	for free, n := name, 2; ; n++ {
		if !s.taken(namespace, free) {
			return free
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

func (s *suggesting) taken(namespace, name string) bool {
	if namespace == "" {
		return slices.ContainsFunc(s.snap.ClusterPolicies, func(p cluster.ClusterPolicy) bool { return p.Object.Name == name })
	}
	return slices.ContainsFunc(s.snap.NetworkPolicies, func(p cluster.NetworkPolicy) bool {
		return p.Object.Namespace == namespace && p.Object.Name == name
	})
}

// isolated selects the subject of a new NetworkPolicy. Selecting a pod isolates it, so where labels
// alone would reach one that no policy isolates yet, what the isolating policy selects by is added.
func (s *suggesting) isolated(p *cluster.Pod, side *eval.Direction) metav1.LabelSelector {
	sel := s.selector(p)
	if !s.isolatesMore(p.Namespace, sel.MatchLabels, side.Direction) {
		return sel
	}
	by := side.Isolating[0].Ref
	for i := range s.snap.NetworkPolicies {
		np := s.snap.NetworkPolicies[i].Object
		if np.Namespace != by.Namespace || np.Name != by.Name {
			continue
		}
		if sel.MatchLabels == nil {
			sel.MatchLabels = map[string]string{}
		}
		maps.Copy(sel.MatchLabels, np.Spec.PodSelector.MatchLabels)
		sel.MatchExpressions = slices.Clone(np.Spec.PodSelector.MatchExpressions)
		s.why("its podSelector repeats what %s selects by, so that it isolates no pod that is not isolated now", by)
	}
	return sel
}

func (s *suggesting) isolatesMore(namespace string, labels map[string]string, d flow.Direction) bool {
	classes := s.r.Model.Classes()
	for i := range classes {
		c := &classes[i]
		if c.Namespace == namespace && cluster.HasLabels(c.Labels, labels) && len(c.Subject(d).Policies) == 0 {
			return true
		}
	}
	return false
}

// volatile lists labels that controllers set and that change with every rollout.
var volatile = []string{"pod-template-hash", "controller-revision-hash", "pod-template-generation",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-uid", "job-name",
	"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}

// selector gives the fewest labels that select as little as all labels of the pod together do.
func (s *suggesting) selector(p *cluster.Pod) metav1.LabelSelector {
	labels := maps.Clone(p.Labels)
	for _, k := range volatile {
		delete(labels, k)
	}
	least := s.selected(p.Namespace, labels)
	keys := slices.Sorted(maps.Keys(labels))
	slices.SortStableFunc(keys, func(a, b string) int { return telling(a) - telling(b) })
	for _, k := range keys {
		if len(labels) == 1 {
			break
		}
		v := labels[k]
		delete(labels, k)
		if s.selected(p.Namespace, labels) > least {
			labels[k] = v
		}
	}
	return metav1.LabelSelector{MatchLabels: labels}
}

// telling ranks labels by how much people like to select by them; the lowest is dropped first.
func telling(key string) int {
	return slices.Index([]string{"component", "app.kubernetes.io/component", "tier", "k8s-app", "name", "app.kubernetes.io/name", "app"}, key)
}

func (s *suggesting) selected(namespace string, labels map[string]string) int {
	count := 0
	for i := range s.r.Model.Classes() {
		c := &s.r.Model.Classes()[i]
		if c.Namespace == namespace && cluster.HasLabels(c.Labels, labels) {
			count++
		}
	}
	return count
}

func (s *suggesting) peers(d flow.Direction, namespace string, other flow.End) []networkingv1.NetworkPolicyPeer {
	snap := s.r.Model.Snapshot()
	if other.Kind == flow.Pod && !snap.Pods[other.Index].HostNetwork {
		p := &snap.Pods[other.Index]
		pods := s.selector(p)
		peer := networkingv1.NetworkPolicyPeer{PodSelector: &pods}
		if p.Namespace != namespace {
			peer.NamespaceSelector = byName(p.Namespace)
		}
		return []networkingv1.NetworkPolicyPeer{peer}
	}
	var out []networkingv1.NetworkPolicyPeer
	for _, b := range s.blocks(d, other) {
		out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: &b})
	}
	return out
}

func byName(namespace string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{cluster.MetadataNameLabel: namespace}}
}

// blocks gives the addresses of an end that is no pod.
func (s *suggesting) blocks(d flow.Direction, other flow.End) []networkingv1.IPBlock {
	regions := s.part.ToRegions
	if d == flow.Ingress {
		regions = s.part.FromRegions
	}
	if other.Kind != flow.Address {
		if !other.Addr.IsValid() {
			s.why("the node's address is not known, so no ipBlock can be written for it")
			return nil
		}
		regions = []policy.Region{{Prefix: prefixOf(other.Addr)}}
	}
	var out []networkingv1.IPBlock
	for _, r := range slices.CompactFunc(slices.Clone(regions), func(a, b policy.Region) bool { return a.Prefix == b.Prefix }) {
		b := networkingv1.IPBlock{CIDR: r.Prefix.String()}
		for _, e := range r.Except {
			b.Except = append(b.Except, e.String())
		}
		out = append(out, b)
	}
	return out
}

// ports gives the port items of the part; none where the question had no port, or for ICMP, which
// only a rule without ports matches (S20).
func (s *suggesting) ports() []networkingv1.NetworkPolicyPort {
	if s.asked.AnyPort {
		s.why("no port was asked, so the rule is for every port; ask with a port for a smaller one")
		return nil
	}
	if s.part.Ports.Contains(netset.Other, 0) {
		s.why("ICMP is only matched by a rule without ports, which opens every port too")
		return nil
	}
	var out []networkingv1.NetworkPolicyPort
	for _, e := range s.part.Ports.Entries() {
		proto := corev1.Protocol(strings.ToUpper(e.Proto.String()))
		port := networkingv1.NetworkPolicyPort{Protocol: &proto}
		if e.Range != netset.AllPorts {
			first := intstr.FromInt32(int32(e.Range.First))
			port.Port = &first
			if e.Range.Last > e.Range.First {
				last := int32(e.Range.Last)
				port.EndPort = &last
			}
		}
		out = append(out, port)
	}
	return out
}

// clusterPolicy puts an Accept rule before the one that denies.
func (s *suggesting) clusterPolicy(d *eval.Direction) {
	denying := s.r.Model.Policy(d.Rule.Policy)
	baseline := denying.Tier == policy.BaselineTier
	if denying.Ref.Kind != "ClusterNetworkPolicy" && baseline || denying.Priority == 0 {
		s.why("%s denies with the highest priority there is: the rule that lets it pass has to stand in that policy, before %s", denying.Ref, d.Rule.Path())
		s.whyTier(denying)
		return
	}
	subject, other := s.ends(d.Direction)
	peer, ok := s.clusterPeer(d.Direction, other)
	if !ok {
		return
	}
	tier := policyv1alpha2.AdminTier
	if baseline {
		tier = policyv1alpha2.BaselineTier
	}
	o := &policyv1alpha2.ClusterNetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy.networking.k8s.io/v1alpha2", Kind: "ClusterNetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: s.name(d.Direction, "")},
		Spec: policyv1alpha2.ClusterNetworkPolicySpec{
			Tier: tier, Priority: int32(denying.Priority) - 1,
			Subject: policyv1alpha2.ClusterNetworkPolicySubject{Pods: &policyv1alpha2.NamespacedPod{
				NamespaceSelector: *byName(subject.Namespace), PodSelector: s.selector(subject)}},
		},
	}
	protocols := s.protocols()
	if d.Direction == flow.Egress {
		o.Spec.Egress = []policyv1alpha2.ClusterNetworkPolicyEgressRule{{Action: policyv1alpha2.ClusterNetworkPolicyRuleActionAccept, To: []policyv1alpha2.ClusterNetworkPolicyEgressPeer{peer}, Protocols: protocols}}
	} else {
		from := policyv1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: peer.Namespaces, Pods: peer.Pods}
		o.Spec.Ingress = []policyv1alpha2.ClusterNetworkPolicyIngressRule{{Action: policyv1alpha2.ClusterNetworkPolicyRuleActionAccept, From: []policyv1alpha2.ClusterNetworkPolicyIngressPeer{from}, Protocols: protocols}}
	}
	s.whyTier(denying)
	if denying.Ref.Kind != o.Kind {
		s.why("a cluster that knows %s only needs it written as one", denying.Ref.Kind)
	}
	s.out.Objects = append(s.out.Objects, o)
	s.snap.ClusterPolicies = append(slices.Clone(s.snap.ClusterPolicies), cluster.ClusterPolicy{Kind: "ClusterNetworkPolicy", Object: o})
}

// whyTier says what a NetworkPolicy can do against a denial in that tier (S40, S42).
func (s *suggesting) whyTier(denying *policy.Policy) {
	if denying.Tier == policy.BaselineTier {
		s.why("%s denies in the Baseline tier: a NetworkPolicy that allows it would do too, and would isolate the pod from everything that none allows", denying.Ref)
		return
	}
	s.why("%s denies in the %s tier, which no NetworkPolicy can undo", denying.Ref, denying.Tier)
}

func (s *suggesting) clusterPeer(d flow.Direction, other flow.End) (policyv1alpha2.ClusterNetworkPolicyEgressPeer, bool) {
	snap := s.r.Model.Snapshot()
	if other.Kind == flow.Pod && !snap.Pods[other.Index].HostNetwork {
		p := &snap.Pods[other.Index]
		return policyv1alpha2.ClusterNetworkPolicyEgressPeer{Pods: &policyv1alpha2.NamespacedPod{
			NamespaceSelector: *byName(p.Namespace), PodSelector: s.selector(p)}}, true
	}
	if d == flow.Ingress {
		s.why("a ClusterNetworkPolicy's ingress rules know no peers outside the cluster")
		return policyv1alpha2.ClusterNetworkPolicyEgressPeer{}, false
	}
	var networks []policyv1alpha2.CIDR
	for _, b := range s.blocks(d, other) {
		if len(b.Except) > 0 {
			s.why("networks know no exceptions: %s is opened without its holes", b.CIDR)
		}
		networks = append(networks, policyv1alpha2.CIDR(b.CIDR))
	}
	return policyv1alpha2.ClusterNetworkPolicyEgressPeer{Networks: networks}, len(networks) > 0
}

func (s *suggesting) protocols() []policyv1alpha2.ClusterNetworkPolicyProtocol {
	var out []policyv1alpha2.ClusterNetworkPolicyProtocol
	if s.asked.AnyPort {
		s.why("no port was asked, so the rule is for every port; ask with a port for a smaller one")
		return nil
	}
	if s.part.Ports.Contains(netset.Other, 0) {
		s.why("ICMP is only matched by a rule without protocols, which opens every port too")
		return nil
	}
	for _, e := range s.part.Ports.Entries() {
		port := &policyv1alpha2.Port{Number: int32(e.Range.First)}
		if e.Range.Last > e.Range.First {
			port = &policyv1alpha2.Port{Range: &policyv1alpha2.PortRange{Start: int32(e.Range.First), End: int32(e.Range.Last)}}
		}
		switch e.Proto {
		case netset.TCP:
			out = append(out, policyv1alpha2.ClusterNetworkPolicyProtocol{TCP: &policyv1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}})
		case netset.UDP:
			out = append(out, policyv1alpha2.ClusterNetworkPolicyProtocol{UDP: &policyv1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}})
		case netset.SCTP:
			out = append(out, policyv1alpha2.ClusterNetworkPolicyProtocol{SCTP: &policyv1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}})
		}
	}
	return out
}
