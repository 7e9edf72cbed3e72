package layers

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// access is an AccessPolicy, compiled.
type access struct {
	*cluster.AccessPolicy
	clear bool // fully understood
	// ofPods: the target is pods. Where it is not understood of which kind it is, all of the namespace (L4).
	ofPods bool
	pods   policy.Selector
	ports  []portRange // nil: every port and protocol
	rules  []rule
}

// rule is a rule of an AccessPolicy.
type rule struct {
	deny  bool
	peers []peer
}

// peer matches an ID as a whole, or one that begins with it and goes on with a slash.
type peer struct {
	id     string
	prefix bool
}

func (p *peer) matches(id string) bool {
	return id == p.id || p.prefix && strings.HasPrefix(id, p.id+"/")
}

func (l *Model) newAccess(p *cluster.AccessPolicy) access {
	out := access{AccessPolicy: p, clear: len(p.NotUnderstood) == 0}
	pods, service := p.Spec.Target.Pods != nil, p.Spec.Target.ExternalService != nil
	out.ofPods = pods || !service
	if t := p.Spec.Target.Pods; pods && !service {
		out.pods = policy.NewSelector(t.PodSelector)
		for i := range t.Ports {
			out.ports = append(out.ports, targetPort(&t.Ports[i]))
		}
	}
	for i := range p.Spec.Rules {
		r := &p.Spec.Rules[i]
		c := rule{deny: r.Action == v1alpha1.ActionDeny}
		for j := range r.From {
			c.peers = append(c.peers, l.newPeer(p.Namespace, &r.From[j]))
		}
		out.rules = append(out.rules, c)
	}
	return out
}

func targetPort(p *v1alpha1.TargetPort) portRange {
	out := portRange{proto: protoNamed(p.Protocol)}
	if p.Port.Type == intstr.String {
		out.name = p.Port.StrVal
		return out
	}
	out.ports = netset.PortRange{First: uint16(p.Port.IntVal), Last: uint16(p.Port.IntVal)}
	if p.EndPort != nil {
		out.ports.Last = uint16(*p.EndPort)
	}
	return out
}

func (l *Model) newPeer(namespace string, p *v1alpha1.AccessPeer) peer {
	switch {
	case p.ServiceAccount != nil:
		if p.ServiceAccount.Namespace != "" {
			namespace = p.ServiceAccount.Namespace
		}
		return peer{id: l.SPIFFEID(namespace, p.ServiceAccount.Name)}
	case p.SPIFFEIDPrefix != "":
		return peer{id: p.SPIFFEIDPrefix, prefix: true}
	}
	return peer{id: p.SPIFFEID}
}

func (p *access) ref(path string) Ref {
	return Ref{Kind: "AccessPolicy", Namespace: p.Namespace, Name: p.Name, Path: path, Origin: p.Origin.At(path)}
}

func (p *access) enforce() bool { return p.Spec.Mode != v1alpha1.ModeAudit }

// findTargets finds out which policies name each pod as a target (L20), without ports.
func (l *Model) findTargets() {
	l.targets = make([]int32, len(l.snap.Pods))
	numbers := map[string]int32{}
	byNamespace := map[string][]int{}
	for i := range l.policies {
		if l.policies[i].ofPods {
			byNamespace[l.policies[i].Namespace] = append(byNamespace[l.policies[i].Namespace], i)
		}
	}
	alike := map[string][]int{} // pods of a namespace with the same labels
	for i := range l.snap.Pods {
		p := &l.snap.Pods[i]
		if len(byNamespace[p.Namespace]) == 0 {
			l.targets[i] = l.target(numbers, "[]", nil)
			continue
		}
		labels := fmt.Sprintf("%q %q", p.Namespace, p.Labels)
		list, ok := alike[labels]
		if !ok {
			for _, k := range byNamespace[p.Namespace] {
				if l.policies[k].pods.Match(p.Labels, true) == policy.Yes {
					list = append(list, k)
				}
			}
			alike[labels] = list
		}
		key := fmt.Sprint(list)
		if slices.ContainsFunc(list, func(k int) bool { return l.policies[k].names() }) {
			key += fmt.Sprint(p.Ports)
		}
		l.targets[i] = l.target(numbers, key, list)
	}
}

// target numbers a list of policies.
func (l *Model) target(numbers map[string]int32, key string, list []int) int32 {
	n, ok := numbers[key]
	if !ok {
		n = int32(len(l.targeted))
		numbers[key] = n
		l.targeted = append(l.targeted, list)
	}
	return n
}

// findServices finds out which policies name each service (L26).
func (l *Model) findServices() {
	naming := map[name][]int{} // of a ClusterExternalService without namespace
	for i := range l.policies {
		p := &l.policies[i]
		t := p.Spec.Target.ExternalService
		if t == nil || p.ofPods {
			continue
		}
		n := name{p.Namespace, t.Name}
		if t.Kind == "ClusterExternalService" {
			n.namespace = ""
		}
		naming[n] = append(naming[n], i)
	}
	l.about = make([][]int, len(l.services))
	if len(naming) == 0 {
		return
	}
	for i := range l.services {
		l.about[i] = naming[name{l.services[i].Namespace, l.services[i].Name}]
	}
}

// Asks tells whether anything is asked of those who connect to a pod.
func (l *Model) Asks(pod int) bool { return l.unread || len(l.targeted[l.targets[pod]]) > 0 }

// names tells whether the policy names ports by what pods declare.
func (p *access) names() bool {
	return slices.ContainsFunc(p.ports, func(r portRange) bool { return r.name != "" })
}

// at lists the policies of a mode that name a pod and port as their target.
func (l *Model) at(pod int, proto netset.Proto, port uint16, enforce bool) []*access {
	var out []*access
	for _, k := range l.targeted[l.targets[pod]] {
		p := &l.policies[k]
		if p.enforce() == enforce && p.holds(proto, port, l.snap.Pods[pod].Ports) {
			out = append(out, p)
		}
	}
	return out
}

func (p *access) holds(proto netset.Proto, port uint16, declared []cluster.ContainerPort) bool {
	return p.ports == nil || slices.ContainsFunc(p.ports, func(r portRange) bool { return r.holds(proto, port, declared) })
}

// order is L21: all policies together, for a source with an ID or without.
func order(list []*access, id string, has bool) Step {
	s := Step{Layer: AccessPolicy, Answer: Deny, Reason: NoRuleMatches}
	for _, p := range list {
		if !p.clear {
			return Step{Layer: AccessPolicy, Answer: Deny, Reason: NotUnderstood, Refs: []Ref{p.ref("")}}
		}
		s.Refs = append(s.Refs, p.ref(""))
	}
	if !has {
		s.Reason = NoIdentity
		return s
	}
	if r, ok := firstMatch(list, id, true); ok {
		return Step{Layer: AccessPolicy, Answer: Deny, Reason: DenyRule, Refs: []Ref{r}}
	}
	if r, ok := firstMatch(list, id, false); ok {
		return Step{Layer: AccessPolicy, Answer: Allow, Reason: AllowRule, Refs: []Ref{r}}
	}
	return s
}

// firstMatch finds the first rule of an action that matches an ID.
func firstMatch(list []*access, id string, deny bool) (Ref, bool) {
	for _, p := range list {
		for i := range p.rules {
			if r := &p.rules[i]; r.deny == deny {
				if j := slices.IndexFunc(r.peers, func(q peer) bool { return q.matches(id) }); j >= 0 {
					return p.ref(fmt.Sprintf("spec.rules[%d].from[%d]", i, j)), true
				}
			}
		}
	}
	return Ref{}, false
}

// foreign finds an Allow rule for another trust domain among policies that are all understood (L22).
func (l *Model) foreign(list []*access) (Ref, bool) {
	for _, p := range list {
		if !p.clear {
			return Ref{}, false
		}
	}
	for _, p := range list {
		for i := range p.rules {
			if p.rules[i].deny {
				continue
			}
			if j := slices.IndexFunc(p.rules[i].peers, func(q peer) bool { return trustDomainOf(q.id) != l.trust }); j >= 0 {
				return p.ref(fmt.Sprintf("spec.rules[%d].from[%d]", i, j)), true
			}
		}
	}
	return Ref{}, false
}

// source gives what is issued to the source of a flow.
func (l *Model) source(f *flow.Flow) *identity {
	if f.From.Kind == flow.Pod {
		return &l.identities[l.who[f.From.Index]]
	}
	out := &identity{issued: Deny, why: NoWorkload}
	if f.From.Kind == flow.Node {
		l.azure.node(out)
	}
	return out
}

// atPod is L22 and L23: what identity says at a destination that is a pod.
func (l *Model) atPod(f *flow.Flow) (issued, may Step) {
	list := l.at(f.To.Index, f.Proto, f.Port, true)
	if len(list) == 0 {
		return Step{Layer: IdentityIssued, Reason: NothingAsked}, Step{Layer: AccessPolicy, Reason: NoAccessPolicy}
	}
	who := l.holder(f)
	issued = Step{Layer: IdentityIssued, Answer: who.issued, Reason: who.why, Refs: who.refs}
	may = order(list, who.id, who.has)
	if f.From.Kind == flow.Address {
		if r, ok := l.foreign(list); ok {
			issued = Step{Layer: IdentityIssued, Answer: Unknown, Reason: ForeignIdentity, Refs: []Ref{r}}
			may = Step{Layer: AccessPolicy, Answer: Unknown, Reason: ForeignIdentity, Refs: []Ref{r}}
		}
	}
	if !slices.ContainsFunc(list, func(p *access) bool { return p.enforced() }) {
		issued.withoutEnforcer()
		may.withoutEnforcer()
	}
	return issued, may
}

// enforced tells whether somebody is known to enforce the policy at its target pods (L23).
func (p *access) enforced() bool {
	return p.Spec.EnforcedBy == v1alpha1.EnforcerGate || p.Spec.EnforcedBy == v1alpha1.EnforcerApplication
}

// withoutEnforcer turns a denial into something unknown (L23, L26).
func (s *Step) withoutEnforcer() {
	if s.Answer == Deny {
		s.Answer, s.Unenforced = Unknown, true
	}
}
