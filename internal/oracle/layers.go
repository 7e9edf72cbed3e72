package oracle

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// Layer numbers the six layers in the order in which a connection meets them.
type Layer int

// The layers of docs/layers.md.
const (
	NetworkEgress Layer = iota
	NetworkIngress
	ExternalFirewall
	IdentityIssued
	AccessPolicy
	ExternalAuthentication
)

// String gives the page's name of the layer.
func (l Layer) String() string {
	return [...]string{"network egress", "network ingress", "external firewall", "identity issued", "access policy", "external authentication"}[l]
}

// Opinion is what one layer answers.
type Opinion uint8

// The opinions. None: the layer has none.
const (
	None Opinion = iota
	Allow
	Deny
	Unknown
)

// String gives the page's word.
func (o Opinion) String() string {
	if o > Unknown {
		return fmt.Sprintf("opinion(%d)", uint8(o))
	}
	return [...]string{"none", "allow", "deny", "unknown"}[o]
}

// Layers is the answer of the six layers to one flow.
type Layers struct {
	Answers [6]Opinion   // by Layer
	Verdict flow.Verdict // L41
	// Skipped: as with Answer; everything else is then zero.
	Skipped bool
}

// AskLayers answers a flow. Where it was asked of a service by name, service is its index in
// Snapshot.External, and the flow's To is an Address, which is one of that service's (or, where it has
// no cidrs, any outside the cluster), at a port that it serves (L30). Otherwise service is -1.
func AskLayers(s *cluster.Snapshot, o Options, f flow.Flow, service int) Layers {
	direction := Ask(s, o, f)
	if direction.Skipped {
		return Layers{Skipped: true}
	}
	a := layerAsker{s: s, o: o, f: f, service: service}
	egress, ingress := networkOpinion(direction.Egress), networkOpinion(direction.Ingress)
	var out Layers
	if a.speak() {
		egress, ingress = egress.projected(a.egressProjection()), ingress.projected(a.ingressProjection())
		out.Answers = a.beyondNetwork()
	}
	out.Answers[NetworkEgress], out.Answers[NetworkIngress] = egress.opinion, ingress.opinion
	out.Verdict = verdict(out.Answers, egress.ambiguous+ingress.ambiguous)
	return out
}

// layerAsker is one question to the layers.
type layerAsker struct {
	s       *cluster.Snapshot
	o       Options
	f       flow.Flow
	service int
}

// network gives one direction of the question, as network policies see it.
func (a layerAsker) network(d flow.Direction) asker { return asker{a.s, a.o, a.f, d} }

// speak is L1: only where the input holds one of the four resources.
func (a layerAsker) speak() bool {
	return len(a.s.Identities)+len(a.s.AccessPolicies)+len(a.s.External) > 0
}

// unread is L3: a file could not be read, or one of the four kinds or of those of L14 and L15 may not be
// listed. What a file held that could not be read nobody knows, so that MissingPolicies counts as well,
// unless it is known to be of network policies: those of other namespaces.
func (a layerAsker) unread() bool {
	return slices.ContainsFunc(a.s.Unreadable, func(u cluster.Unreadable) bool {
		return u.Missing == cluster.MissingPolicies && u.Beyond == "" || u.Missing == cluster.MissingLayers
	})
}

// beyondNetwork gives the last four layers.
func (a layerAsker) beyondNetwork() [6]Opinion {
	var out [6]Opinion
	switch {
	case a.f.To.Kind == flow.Node: // L20, L30: neither a policy nor a service is asked
	case a.unread(): // L3
		for _, l := range []Layer{ExternalFirewall, IdentityIssued, AccessPolicy, ExternalAuthentication} {
			out[l] = Unknown
		}
	case a.f.To.Kind == flow.Pod:
		out[IdentityIssued], out[AccessPolicy] = a.atPod(&a.s.Pods[a.f.To.Index])
	default:
		out = a.atServices()
	}
	return out
}

// atServices is L30, layer by layer.
func (a layerAsker) atServices() [6]Opinion {
	var of [6][]Opinion // by Layer, what each service says
	for _, x := range a.services() {
		for l, o := range a.atService(x) {
			of[l] = append(of[l], o)
		}
	}
	var out [6]Opinion
	for l := range out {
		out[l] = together(of[l])
	}
	return out
}

// together is L30: it is not known which service is meant. "The answer is what all say; none where one
// says that and all others none or allow; else unknown." Without a service: none.
func together(of []Opinion) Opinion {
	differs := func(o Opinion) bool { return o != of[0] }
	closes := func(o Opinion) bool { return o != None && o != Allow }
	switch {
	case len(of) == 0:
		return None
	case !slices.ContainsFunc(of, differs):
		return of[0]
	case !slices.ContainsFunc(of, closes): // they differ, so one says none
		return None
	}
	return Unknown
}

func (a layerAsker) atService(x *cluster.ExternalService) [6]Opinion {
	var out [6]Opinion
	out[ExternalFirewall] = a.firewall(x)
	out[IdentityIssued] = a.issuedAtService(x)
	out[AccessPolicy] = a.accessAtService(x)
	out[ExternalAuthentication] = a.authentication(x)
	return out
}

// verdict is L41. ambiguous says of how many network layers ambiguity is the only reason for unknown.
func verdict(answers [6]Opinion, ambiguous int) flow.Verdict {
	count := map[Opinion]int{}
	for _, o := range answers {
		count[o]++
	}
	switch {
	case count[Deny] > 0:
		return flow.Denied
	case count[Unknown] > ambiguous:
		return flow.Unknown
	case ambiguous > 0:
		return flow.Ambiguous
	}
	return flow.Allowed
}

// Gates is L42: how many gates deny. None is open, one a single point, more are defended.
func (l Layers) Gates() int {
	n := 0
	for _, gate := range [][]Layer{{NetworkEgress}, {NetworkIngress}, {ExternalFirewall}, {IdentityIssued, AccessPolicy, ExternalAuthentication}} {
		if slices.ContainsFunc(gate, func(x Layer) bool { return l.Answers[x] == Deny }) {
			n++
		}
	}
	return n
}
