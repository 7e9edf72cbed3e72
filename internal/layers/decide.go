package layers

import (
	"slices"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// ByAddress stands for the service of a question that names none.
const ByAddress = -1

// Decide joins what the network says of a flow with the other layers. service is the index of the service that was
// asked by name, or ByAddress (L30).
func (l *Model) Decide(d *eval.Decision, service int) Decision {
	f := &d.Flow
	u := l.upper(f, service)
	out := Decision{Services: u.services, Audit: l.audit(f, u.services)}
	egress, ingress := d.Egress, d.Ingress
	if l.in.EgressOff {
		egress = unenforced
	}
	if l.in.IngressOff {
		ingress = unenforced
	}
	out.Steps[NetworkEgress] = network(NetworkEgress, &egress, u.egress)
	out.Steps[NetworkIngress] = network(NetworkIngress, &ingress, u.ingress)
	copy(out.Steps[ExternalFirewall:], u.steps[:])
	out.Verdict = egress.Verdict.And(ingress.Verdict).And(u.verdict())
	return out
}

// IfOpen is Decide as if network policies let everything through: what projections and the layers above say.
func (l *Model) IfOpen(f *flow.Flow, service int) Decision {
	open := eval.Direction{Verdict: flow.Allowed}
	return l.Decide(&eval.Decision{Flow: *f, Verdict: flow.Allowed, Egress: open, Ingress: open}, service)
}

// unenforced is a direction in which nothing enforces policies.
var unenforced = eval.Direction{Verdict: flow.Allowed, Reason: flow.NotEnforced}

// Verdict is what all layers but the network policies say together: allowed, denied or unknown. The verdict
// of the whole is its And with that of the policies (L41).
func (l *Model) Verdict(f *flow.Flow, service int) flow.Verdict {
	u := l.upper(f, service)
	return u.verdict()
}

func (u *upper) verdict() flow.Verdict {
	v := u.egress.Answer.verdict().And(u.ingress.Answer.verdict())
	for i := range u.steps {
		v = v.And(u.steps[i].Answer.verdict())
	}
	return v
}

// network is L40, and L24 upon it.
func network(layer Layer, d *eval.Direction, projection Step) Step {
	s := Step{Layer: layer, Reason: ByPolicies}
	switch {
	case d.Verdict == flow.Denied:
		s.Answer = Deny
	case d.Verdict != flow.Allowed:
		s.Answer = Unknown
	case d.Reason != flow.NoPolicyHere && d.Reason != flow.NotEnforced && d.Reason != flow.Default:
		s.Answer = Allow
	}
	if projection.Answer > s.Answer {
		projection.Layer = layer
		return projection
	}
	return s
}

// upper asks the layers above the network.
func (l *Model) upper(f *flow.Flow, service int) upper {
	var out upper
	for i := range out.steps {
		out.steps[i] = Step{Layer: ExternalFirewall + Layer(i), Reason: NoService}
	}
	switch {
	case f.To.Kind == flow.Node:
	case f.To.Kind == flow.Pod:
		out.ingress = l.projectedIngress(f)
		*out.at(IdentityIssued), *out.at(AccessPolicy) = l.atPod(f)
	case service != ByAddress:
		out = l.atService(f, service)
	default:
		if list := l.speaking(f); len(list) > 0 {
			out = l.oneOf(f, list)
		}
	}
	if f.To.Kind == flow.Address {
		out.egress = l.projectedEgress(f)
	}
	if l.unread && f.To.Kind != flow.Node {
		for i := range out.steps {
			out.steps[i] = Step{Layer: ExternalFirewall + Layer(i), Answer: Unknown, Reason: NotRead}
		}
		for _, s := range []*Step{&out.egress, &out.ingress} {
			if s.Answer == Deny { // what was not read may allow it (L21)
				*s = Step{Answer: Unknown, Reason: NotRead}
			}
		}
	}
	return out
}

// oneOf is L30's last part: it is not known which of several services is meant.
func (l *Model) oneOf(f *flow.Flow, list []int) upper {
	out := l.atService(f, list[0])
	for _, i := range list[1:] {
		u := l.atService(f, i)
		for k := range u.steps {
			out.steps[k] = either(&out.steps[k], &u.steps[k])
		}
	}
	out.services = list
	return out
}

// either is the answer where it is not known which of two counts: what both say, none where both admit, else unknown.
func either(a, b *Step) Step {
	admit := a.Answer <= Allow && b.Answer <= Allow
	switch {
	case a.Answer == b.Answer, admit && a.Answer == None:
		return *a
	case admit:
		return *b
	}
	return Step{Layer: a.Layer, Answer: Unknown, Reason: ServiceUnknown, Refs: slices.Concat(a.Refs, b.Refs)}
}

// projected keeps the policies that are projected into the network.
func projected(list []*access) []*access {
	return slices.DeleteFunc(list, func(p *access) bool { return !p.Spec.Project.Network })
}

// projectedIngress is L24 at a pod.
func (l *Model) projectedIngress(f *flow.Flow) Step {
	q, class, ok := l.m.NewQuery(f, flow.Ingress)
	if !ok || class < 0 || !l.m.Enforced(f.Family) || l.in.IngressOff || isSelf(f) {
		return Step{}
	}
	list := projected(l.at(f.To.Index, f.Proto, f.Port, true))
	if len(list) == 0 {
		return Step{}
	}
	own := l.m.OwnNodeMatch(f.To.Index, &q)
	if own == policy.Yes {
		return Step{}
	}
	who := l.source(f)
	s := project(order(list, who.id, who.has))
	if s.Answer == Deny && own == policy.Maybe {
		s.Answer, s.Reason = Unknown, OwnNodeUnknown
	}
	return s
}

// projectedEgress is L24 towards a service: at addresses that are known to be its own, as the network knows no others.
// Which service is meant is nothing that packets tell: they are denied if all that have the address and the port do.
func (l *Model) projectedEgress(f *flow.Flow) Step {
	if f.From.Kind != flow.Pod || l.m.ClassOf(f.From.Index) < 0 || !l.m.Enforced(f.Family) || l.in.EgressOff {
		return Step{}
	}
	who := l.source(f)
	var first Step
	for i := range l.services {
		if x := &l.services[i]; !x.has(f.To.Addr) || !x.serves(f.Proto, f.Port) {
			continue
		}
		list := projected(l.counting(f, i, l.snap.Pods[f.From.Index].Namespace, true))
		if len(list) == 0 {
			return Step{}
		}
		s := project(order(list, who.id, who.has))
		if s.Answer != Deny {
			return Step{}
		}
		if first.Answer != Deny {
			first = s
		}
	}
	return first
}

// project gives the answer of a projection: it denies, or leaves things as they are.
func project(s Step) Step {
	if s.Answer != Deny {
		return Step{}
	}
	s.Reason = ByProjection
	return s
}

func isSelf(f *flow.Flow) bool {
	return f.From.Kind == flow.Pod && f.To.Kind == flow.Pod && f.From.Index == f.To.Index && !f.ViaService
}

// audit tells what policies with mode Audit would do (L25).
func (l *Model) audit(f *flow.Flow, services []int) []Audited {
	var list []*access
	if f.To.Kind == flow.Pod {
		list = l.at(f.To.Index, f.Proto, f.Port, false)
	}
	for _, i := range services {
		list = append(list, l.counting(f, i, l.holderNamespace(f), false)...)
	}
	who := l.holder(f)
	var out []Audited
	for _, p := range list {
		out = append(out, Audited{Policy: p.ref(""), Answer: order([]*access{p}, who.id, who.has).Answer})
	}
	return out
}
