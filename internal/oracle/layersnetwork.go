package oracle

import (
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// networkLayer is the answer of network egress or ingress.
type networkLayer struct {
	opinion   Opinion
	ambiguous int // 1 if it is unknown because of ambiguity, and for no other reason (L41)
}

// networkOpinion is L40.
func networkOpinion(d Direction) networkLayer {
	switch d.Verdict {
	case flow.Denied:
		return networkLayer{opinion: Deny}
	case flow.Unknown:
		return networkLayer{opinion: Unknown}
	case flow.Ambiguous:
		return networkLayer{opinion: Unknown, ambiguous: 1}
	}
	switch d.Reason {
	case flow.NoPolicyHere, flow.NotEnforced, flow.Default: // for want of any policy
		return networkLayer{opinion: None}
	}
	return networkLayer{opinion: Allow}
}

// projected is L24: what a projection denies is denied, and what the network denies stays denied.
func (n networkLayer) projected(denies match) networkLayer {
	switch {
	case denies == yes:
		return networkLayer{opinion: Deny}
	case denies == unknown && n.opinion != Deny:
		return networkLayer{opinion: Unknown}
	}
	return n
}

// ingressProjection is L24 at target pods without hostNetwork: does a projection deny?
func (a layerAsker) ingressProjection() match {
	n := a.network(flow.Ingress)
	target := n.selectable(a.f.To)
	if target == nil || a.o.NotEnforced || n.self() { // exempt: S26, S21
		return no
	}
	denies := a.projectionDenies(projecting(a.policiesAtPod(target)))
	return every(denies, not(n.ownNode(target))) // exempt: S22
}

// egressProjection is L24 for target services: packets do not tell which service is meant, so all
// that name the address and port must deny, however the connection was asked.
func (a layerAsker) egressProjection() match {
	n := a.network(flow.Egress)
	if n.selectable(a.f.From) == nil || a.f.To.Kind != flow.Address || a.o.NotEnforced { // exempt: S26
		return no
	}
	var parts []match
	for i := range a.s.External {
		if x := &a.s.External[i]; a.hasAddressAndPort(x) {
			parts = append(parts, a.projectionDenies(projecting(a.policiesAtService(x))))
		}
	}
	if len(parts) == 0 {
		return no
	}
	return every(parts...)
}

// projectionDenies tells whether these policies alone, if there are any, do not allow the source (L21).
func (a layerAsker) projectionDenies(policies []*cluster.AccessPolicy) match {
	switch {
	case len(policies) == 0, a.access(policies) == Allow:
		return no
	case a.unread(): // L3
		return unknown
	}
	return yes
}

// projecting keeps the policies that count in the network.
func projecting(policies []*cluster.AccessPolicy) []*cluster.AccessPolicy {
	var out []*cluster.AccessPolicy
	for _, p := range policies {
		if p.Spec.Project.Network {
			out = append(out, p)
		}
	}
	return out
}

func not(m match) match {
	switch m {
	case yes:
		return no
	case no:
		return yes
	}
	return m
}
