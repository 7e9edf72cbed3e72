package oracle

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// enforced is L21 and L25: Audit policies have no say. A mode that is neither of the two is one of a
// policy that is not understood, which denies (L4).
func enforced(p *cluster.AccessPolicy) bool { return p.Spec.Mode != v1alpha1.ModeAudit }

func understood(p *cluster.AccessPolicy) bool { return len(p.NotUnderstood) == 0 }

// policies lists those with mode Enforce that name a target.
func (a layerAsker) policies(names func(*cluster.AccessPolicy) bool) []*cluster.AccessPolicy {
	var out []*cluster.AccessPolicy
	for i := range a.s.AccessPolicies {
		if p := &a.s.AccessPolicies[i]; enforced(p) && names(p) {
			out = append(out, p)
		}
	}
	return out
}

// policiesAtPod lists the policies that name the target pod and the flow's port.
func (a layerAsker) policiesAtPod(target *cluster.Pod) []*cluster.AccessPolicy {
	return a.policies(func(p *cluster.AccessPolicy) bool { return a.namesPod(p, target) })
}

// namesPod is L20, and L4: a target that is not understood is all pods of the namespace and every port.
// The Snapshot says so itself with an empty selector; a target of neither or of both kinds is such a one.
func (a layerAsker) namesPod(p *cluster.AccessPolicy, target *cluster.Pod) bool {
	if p.Namespace != target.Namespace {
		return false
	}
	pods, service := p.Spec.Target.Pods, p.Spec.Target.ExternalService
	if (pods != nil) == (service != nil) {
		return true
	}
	return pods != nil && selects(pods.PodSelector, labels{known: target.Labels}) == yes && a.namesPort(pods.Ports, target)
}

// namesPort is L20: without ports every port and protocol, ICMP included.
func (a layerAsker) namesPort(ports []v1alpha1.TargetPort, target *cluster.Pod) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p v1alpha1.TargetPort) bool {
		if p.Port.Type == intstr.String {
			return a.protocolIs(p.Protocol) && a.declared(target, p.Port.StrVal)
		}
		return a.portIn(p.Protocol, p.Port.IntVal, p.EndPort)
	})
}

// declared tells whether the pod declares the flow's port under that name and protocol (L20, S14).
func (a layerAsker) declared(target *cluster.Pod, name string) bool {
	return slices.ContainsFunc(target.Ports, func(c cluster.ContainerPort) bool {
		return c.Name == name && c.Proto == a.f.Proto && c.Port == a.f.Port
	})
}

// portIn tells whether the flow's port is a number or in a range. Without protocol it is TCP (L2).
func (a layerAsker) portIn(protocol corev1.Protocol, first int32, end *int32) bool {
	last := first
	if end != nil {
		last = *end
	}
	return a.protocolIs(protocol) && first <= int32(a.f.Port) && int32(a.f.Port) <= last
}

func (a layerAsker) protocolIs(p corev1.Protocol) bool {
	if p == "" {
		p = corev1.ProtocolTCP
	}
	return a.f.Proto.HasPorts() && a.f.Proto == protoOf(p)
}

// policiesAtService is L26: which policies count at a service.
func (a layerAsker) policiesAtService(x *cluster.ExternalService) []*cluster.AccessPolicy {
	return a.policies(func(p *cluster.AccessPolicy) bool { return a.namesService(p, x) })
}

func (a layerAsker) namesService(p *cluster.AccessPolicy, x *cluster.ExternalService) bool {
	target := p.Spec.Target.ExternalService
	if target == nil || p.Spec.Target.Pods != nil || target.Name != x.Name { // L4: both kinds: at pods
		return false
	}
	if a.f.From.Kind == flow.Address { // it has no tokens of this cluster that could be withheld
		return false
	}
	if target.Kind == "ClusterExternalService" { // for pods of the policy's own namespace only
		from := a.network(flow.Egress).pod(a.f.From)
		return x.Namespace == "" && from != nil && from.Namespace == p.Namespace
	}
	return (target.Kind == "ExternalService" || target.Kind == "") && x.Namespace == p.Namespace
}

// access is L21 for the identity that the source has or would have. Without one: deny (L22).
func (a layerAsker) access(policies []*cluster.AccessPolicy) Opinion {
	id, hasIdentity := a.sourceIdentity()
	switch {
	case slices.ContainsFunc(policies, func(p *cluster.AccessPolicy) bool { return !understood(p) }):
		return Deny
	case !hasIdentity: // a peer without identity matches nothing
		return Deny
	case a.anyRule(policies, v1alpha1.ActionDeny, id):
		return Deny
	case a.anyRule(policies, v1alpha1.ActionAllow, id):
		return Allow
	}
	return Deny
}

// anyRule tells whether a rule with this action matches the identity.
func (a layerAsker) anyRule(policies []*cluster.AccessPolicy, action v1alpha1.Action, id identity) bool {
	for _, p := range policies {
		for _, peer := range peers(p, action) {
			if a.peerMatches(p, peer, id) {
				return true
			}
		}
	}
	return false
}

// peers lists the peers of all rules with this action.
func peers(p *cluster.AccessPolicy, action v1alpha1.Action) []v1alpha1.AccessPeer {
	var out []v1alpha1.AccessPeer
	for _, r := range p.Spec.Rules {
		if r.Action == action {
			out = append(out, r.From...)
		}
	}
	return out
}

// peerMatches is L21.
func (a layerAsker) peerMatches(p *cluster.AccessPolicy, peer v1alpha1.AccessPeer, id identity) bool {
	full := a.spiffeID(id)
	switch {
	case peer.ServiceAccount != nil:
		namespace := peer.ServiceAccount.Namespace
		if namespace == "" {
			namespace = p.Namespace
		}
		return id == identity{namespace, peer.ServiceAccount.Name}
	case peer.SPIFFEID != "":
		return full == peer.SPIFFEID
	case peer.SPIFFEIDPrefix != "":
		return full == peer.SPIFFEIDPrefix || strings.HasPrefix(full, peer.SPIFFEIDPrefix+"/")
	}
	return false
}

// mayBeForeign is the last sentence of L22: an address outside may hold an identity of another trust
// domain that an Allow rule names.
func (a layerAsker) mayBeForeign(policies []*cluster.AccessPolicy) bool {
	if a.f.From.Kind != flow.Address {
		return false
	}
	foreign := false
	for _, p := range policies {
		if !understood(p) {
			return false
		}
		foreign = foreign || slices.ContainsFunc(peers(p, v1alpha1.ActionAllow), a.namesForeign)
	}
	return foreign
}

func (a layerAsker) namesForeign(peer v1alpha1.AccessPeer) bool {
	for _, id := range []string{peer.SPIFFEID, peer.SPIFFEIDPrefix} {
		domain, _, _ := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
		if id != "" && domain != a.trustDomain() {
			return true
		}
	}
	return false
}

// atPod is L22 and L23.
func (a layerAsker) atPod(target *cluster.Pod) (issued, access Opinion) {
	policies := a.policiesAtPod(target)
	switch {
	case len(policies) == 0:
		return None, None
	case a.mayBeForeign(policies):
		return Unknown, Unknown
	}
	issued, access = opinionOf(a.spiffeIDIssued()), a.access(policies)
	if !slices.ContainsFunc(policies, saysEnforcer) { // L23
		issued, access = instead(issued, Deny, Unknown), instead(access, Deny, Unknown)
	}
	return issued, access
}

// saysEnforcer: a value that is neither of the two names nobody.
func saysEnforcer(p *cluster.AccessPolicy) bool {
	return p.Spec.EnforcedBy == v1alpha1.EnforcerGate || p.Spec.EnforcedBy == v1alpha1.EnforcerApplication
}

// accessAtService is L26.
func (a layerAsker) accessAtService(x *cluster.ExternalService) Opinion {
	policies := a.policiesAtService(x)
	switch {
	case len(policies) == 0:
		return None
	case a.mayBeForeign(policies):
		return Unknown
	}
	access := a.access(policies)
	switch {
	case !factsClear(x), x.Spec.Authentication == nil: // L4: what it takes is not known
		return instead(access, Deny, Unknown)
	case takesPasswords(x):
		return instead(access, Deny, None)
	}
	return access
}

func opinionOf(issued match) Opinion {
	return map[match]Opinion{yes: Allow, no: Deny, unknown: Unknown}[issued]
}

// instead replaces one opinion by another.
func instead(o, this, that Opinion) Opinion {
	if o == this {
		return that
	}
	return o
}
