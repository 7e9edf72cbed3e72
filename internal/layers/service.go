package layers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// service is an ExternalService or a ClusterExternalService, compiled.
type service struct {
	*cluster.ExternalService
	public  []netip.Prefix
	private []netip.Addr
	ports   []portRange
	wall    wall
}

func newService(x *cluster.ExternalService) service {
	out := service{ExternalService: x, public: prefixes(x.Spec.CIDRs)}
	for _, p := range x.Spec.Ports {
		proto := protoNamed(p.Protocol)
		if p.Port < 1 || p.Port > 65535 || !proto.HasPorts() { // of a server's object that is not understood (L4)
			continue
		}
		r := portRange{proto: proto, ports: netset.PortRange{First: uint16(p.Port), Last: uint16(p.Port)}}
		if p.EndPort != nil && *p.EndPort > p.Port && *p.EndPort <= 65535 {
			r.ports.Last = uint16(*p.EndPort)
		}
		out.ports = append(out.ports, r)
	}
	if f := x.Spec.Firewall; f != nil {
		for _, e := range f.PrivateEndpoints {
			if a, err := netip.ParseAddr(e.Address); err == nil && plain(a) {
				out.private = append(out.private, a)
			}
		}
		out.wall = newWall(f)
	}
	return out
}

func (x *service) ref(path string) Ref {
	kind := "ExternalService"
	if x.Namespace == "" {
		kind = "ClusterExternalService"
	}
	return Ref{Kind: kind, Namespace: x.Namespace, Name: x.Name, Path: path, Origin: x.Origin.At(path)}
}

func (x *service) isPrivate(a netip.Addr) bool { return slices.Contains(x.private, a) }

// has tells whether an address is known to be the service's.
func (x *service) has(a netip.Addr) bool {
	return x.isPrivate(a) || slices.ContainsFunc(x.public, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (x *service) serves(proto netset.Proto, port uint16) bool {
	return slices.ContainsFunc(x.ports, func(r portRange) bool { return r.holds(proto, port, nil) })
}

// Serves tells whether a service has a port.
func (l *Model) Serves(service int, proto netset.Proto, port uint16) bool {
	return l.services[service].serves(proto, port)
}

// Service is what a question about a service needs to know of it.
type Service struct {
	*cluster.ExternalService
	Public  []netip.Prefix // empty: its public addresses are not known
	Private []netip.Addr
	Ports   netset.PortSet
}

// Service gives a service by its index in the Snapshot.
func (l *Model) Service(i int) Service {
	x := &l.services[i]
	out := Service{ExternalService: x.ExternalService, Public: x.public, Private: x.private}
	for _, r := range x.ports {
		out.Ports.Add(r.proto, r.ports)
	}
	return out
}

// speaking lists the services that a flow to an address may be to (L30).
func (l *Model) speaking(f *flow.Flow) []int {
	var out []int
	for i := range l.services {
		x := &l.services[i]
		mine := x.Namespace == "" || f.From.Kind == flow.Pod && l.snap.Pods[f.From.Index].Namespace == x.Namespace
		if mine && x.has(f.To.Addr) && x.serves(f.Proto, f.Port) {
			out = append(out, i)
		}
	}
	return out
}

// Meant lists the services that may have a say in a flow: the one that is asked by name, and those that have its address
// and port, of whatever namespace (L24, L30).
func (l *Model) Meant(f *flow.Flow, service int) []int {
	if f.To.Kind != flow.Address {
		return nil
	}
	var out []int
	for i := range l.services {
		if x := &l.services[i]; i == service || x.has(f.To.Addr) && x.serves(f.Proto, f.Port) {
			out = append(out, i)
		}
	}
	return out
}

// upper holds the answers of the layers above the network, and of the projections into it.
type upper struct {
	egress, ingress Step // projections; None where there are none
	steps           [Count - int(ExternalFirewall)]Step
	services        []int
}

func (u *upper) at(l Layer) *Step { return &u.steps[l-ExternalFirewall] }

// atService is what the layers say where a flow is to one service.
func (l *Model) atService(f *flow.Flow, i int) upper {
	x := &l.services[i]
	out := upper{services: []int{i}}
	*out.at(ExternalFirewall) = l.firewall(f, x)
	list := l.counting(f, i, l.holderNamespace(f), true)
	*out.at(IdentityIssued) = l.issuedAt(f, x, len(list) > 0)
	*out.at(AccessPolicy) = l.accessAt(f, x, list)
	*out.at(ExternalAuthentication) = l.authentication(f, x)
	return out
}

// counting lists the policies of a mode that are about a service and count for an account of a namespace (L26).
func (l *Model) counting(f *flow.Flow, i int, namespace string, enforce bool) []*access {
	if f.From.Kind == flow.Address { // it has no tokens of this cluster that could be withheld
		return nil
	}
	var out []*access
	for _, k := range l.about[i] {
		p := &l.policies[k]
		if p.enforce() == enforce && (l.services[i].Namespace != "" || namespace == p.Namespace) {
			out = append(out, p)
		}
	}
	return out
}

// accessAt is L26.
func (l *Model) accessAt(f *flow.Flow, x *service, list []*access) Step {
	if len(list) == 0 {
		return Step{Layer: AccessPolicy, Reason: NoAccessPolicy}
	}
	who := l.holder(f)
	s := order(list, who.id, who.has)
	switch auth := x.Spec.Authentication; {
	case s.Answer != Deny:
	case len(x.NotUnderstood) > 0:
		return Step{Layer: AccessPolicy, Answer: Unknown, Reason: NotUnderstood, Refs: []Ref{x.ref("")}}
	case auth == nil:
		s.withoutEnforcer()
	case auth.Mode == v1alpha1.IdentityOrPassword:
		return Step{Layer: AccessPolicy, Reason: Password, Refs: []Ref{x.ref("spec.authentication.mode")}}
	}
	return s
}

// claim is an identity that counts at a service (L33).
type claim struct {
	sure   bool
	why    Reason                  // where it is not sure
	azure  *v1alpha1.AzureIdentity // with spiffe empty nil stands for any
	spiffe string
	refs   []Ref
}

// claims lists the identities that a source may show a service.
func (l *Model) claims(f *flow.Flow, x *service) []claim {
	who := l.holder(f)
	var out []claim
	resource := ""
	if a := x.Spec.Authentication; a != nil {
		resource = a.Resource
	}
	if resource == "" {
		if who.issued == Allow || who.issued == Unknown {
			out = append(out, claim{sure: who.issued == Allow, why: who.why, spiffe: who.id, refs: who.refs[:1]})
		}
		return out
	}
	for i := range who.azure {
		if g := &who.azure[i]; g.serves(resource) {
			out = append(out, claim{sure: true, azure: &g.AzureIdentity, refs: g.refs})
		}
	}
	for _, g := range who.any {
		out = append(out, claim{why: g.why, refs: []Ref{g.ref}})
	}
	return out
}

// issuedAt is L34.
func (l *Model) issuedAt(f *flow.Flow, x *service, asked bool) Step {
	s := Step{Layer: IdentityIssued}
	auth := x.Spec.Authentication
	switch {
	case len(x.NotUnderstood) > 0:
		s.Answer, s.Reason, s.Refs = Unknown, NotUnderstood, []Ref{x.ref("")}
		return s
	case auth == nil && !asked:
		s.Reason = NothingAsked
		return s
	case f.From.Kind == flow.Address:
		s.Answer, s.Reason = Unknown, NoWorkload
		return s
	}
	who := l.holder(f)
	s.Answer, s.Reason, s.Refs = Deny, who.why, who.refs
	if s.Reason == Issued {
		s.Reason, s.Refs = NotIssued, nil
	}
	for _, c := range l.claims(f, x) {
		if c.sure {
			s.Answer, s.Reason, s.Refs = Allow, Issued, c.refs
			return s
		}
		s.Answer, s.Reason, s.Refs = Unknown, c.why, c.refs
	}
	switch {
	case s.Answer != Deny:
	case auth == nil:
		s.withoutEnforcer()
	case auth.Mode == v1alpha1.IdentityOrPassword:
		return Step{Layer: IdentityIssued, Reason: Password, Refs: []Ref{x.ref("spec.authentication.mode")}}
	}
	return s
}

// authentication is L35.
func (l *Model) authentication(f *flow.Flow, x *service) Step {
	s := Step{Layer: ExternalAuthentication}
	auth := x.Spec.Authentication
	switch {
	case len(x.NotUnderstood) > 0:
		s.Answer, s.Reason, s.Refs = Unknown, NotUnderstood, []Ref{x.ref("")}
		return s
	case auth == nil:
		s.Reason = NothingSaid
		return s
	case f.From.Kind == flow.Address && auth.Mode == v1alpha1.IdentityOnly && auth.Admitted != nil && len(auth.Admitted) == 0:
		s.Answer, s.Reason, s.Refs = Deny, NotAdmitted, []Ref{x.ref("spec.authentication.admitted")}
		return s
	case f.From.Kind == flow.Address && auth.Mode == v1alpha1.IdentityOnly:
		s.Answer, s.Reason = Unknown, NoWorkload
		return s
	}
	s = l.admission(f, x)
	if s.Answer != Allow && auth.Mode == v1alpha1.IdentityOrPassword {
		return Step{Layer: ExternalAuthentication, Answer: Unknown, Reason: Password, Refs: []Ref{x.ref("spec.authentication.mode")}}
	}
	return s
}

// admission is what a service that takes nothing but identities says.
func (l *Model) admission(f *flow.Flow, x *service) Step {
	auth := x.Spec.Authentication
	s := Step{Layer: ExternalAuthentication, Answer: Deny, Reason: NoIdentity, Refs: []Ref{x.ref("spec.authentication")}}
	for _, c := range l.claims(f, x) {
		if auth.Admitted == nil {
			s.Answer, s.Reason = Unknown, AdmittedUnknown
			continue
		}
		i := slices.IndexFunc(auth.Admitted, c.is)
		switch {
		case i >= 0 && c.sure:
			s.Answer, s.Reason, s.Refs = Allow, Admitted, []Ref{x.ref(fmt.Sprintf("spec.authentication.admitted[%d]", i))}
			return s
		case i >= 0:
			s.Answer, s.Reason, s.Refs = Unknown, c.why, c.refs
		case s.Reason == NoIdentity:
			s.Reason = NotAdmitted
		}
	}
	return s
}

// is tells whether an identity is the one that is admitted (L35).
func (c *claim) is(a v1alpha1.AdmittedIdentity) bool {
	switch {
	case c.spiffe != "":
		return a.SPIFFEID == c.spiffe
	case a.Azure == nil:
		return false
	case c.azure == nil:
		return true
	}
	if !strings.EqualFold(a.Azure.ClientID, c.azure.ClientID) {
		return false
	}
	return a.Azure.TenantID == "" || c.azure.TenantID == "" || strings.EqualFold(a.Azure.TenantID, c.azure.TenantID)
}
