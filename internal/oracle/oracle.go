// Package oracle answers what network policies do to one flow, slowly and literally. It is the
// second implementation that tests compare the evaluator with (S62), written from docs/semantics.md
// alone, one function per rule of that page. What the layers say together is here too (AskLayers),
// written in the same way from docs/layers.md.
//
// It is for tests only: the product must never import it, and it must never import the product's
// policy, eval or report packages. It reads the Snapshot as it stands on every call and keeps nothing.
package oracle

import (
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Options are the knobs of a question that change its answer.
type Options struct {
	Strict        bool           // S17: what is otherwise taken not to match is an unknown match; S33
	PodCIDRs      []netip.Prefix // S17: added to those of Snapshot.Facts and of the Nodes
	BlockMetadata bool           // S27
	Azure         bool           // S27: also Azure's address; without BlockMetadata it has no effect
	NotEnforced   bool           // S26
	TrustDomain   string         // L10; empty means that of Snapshot.Facts, or cluster.local
}

// Direction is the answer for one end of the flow.
type Direction struct {
	Verdict flow.Verdict
	Reason  flow.Reason
	Rule    cluster.RuleID // zero unless Reason is AdminRule, PolicyRule or BaselineRule
	// Isolating are the policies that select the pod, sorted by name; only where Reason is Isolated.
	Isolating []cluster.PolicyRef
}

// Answer is the answer to one flow.
type Answer struct {
	Verdict         flow.Verdict
	Egress, Ingress Direction
	// Skipped: a direction has more than MaxUnknowns unknown matches. Every Verdict that depends on
	// it is then zero, and the caller should leave the flow out.
	Skipped bool
}

// MaxUnknowns is how many unknown matches one direction may have: all 2^n assignments are tried.
const MaxUnknowns = 16

// Ask answers a flow. The flow's indices must be in range for the Snapshot, which is not changed.
func Ask(s *cluster.Snapshot, o Options, f flow.Flow) Answer {
	a := Answer{
		Egress:  asker{s, o, f, flow.Egress}.direction(),
		Ingress: asker{s, o, f, flow.Ingress}.direction(),
	}
	if a.Egress.Verdict == 0 || a.Ingress.Verdict == 0 {
		a.Skipped = true
		return a
	}
	a.Verdict = join(a.Egress.Verdict, a.Ingress.Verdict)
	return a
}

// join: "denied if a direction is denied; else unknown if one is unknown; else ambiguous if one is
// ambiguous; else allowed".
func join(vs ...flow.Verdict) flow.Verdict {
	for _, v := range []flow.Verdict{flow.Denied, flow.Unknown, flow.Ambiguous} {
		if slices.Contains(vs, v) {
			return v
		}
	}
	return flow.Allowed
}

// asker is one direction of one question.
type asker struct {
	s   *cluster.Snapshot
	o   Options
	f   flow.Flow
	dir flow.Direction
}

// direction goes down the list of "The order of evaluation, exactly".
func (a asker) direction() Direction {
	subject := a.selectable(a.subjectEnd())
	switch {
	case subject == nil: // line 1; S18, S23
		return Direction{Verdict: flow.Allowed, Reason: flow.NoPolicyHere}
	case a.o.NotEnforced: // line 2; S26
		return Direction{Verdict: flow.Allowed, Reason: flow.NotEnforced}
	case a.self(): // line 3; S21, S46
		return Direction{Verdict: flow.Allowed, Reason: flow.Self}
	case a.spoofed(subject): // line 4; S28
		return Direction{Verdict: flow.Denied, Reason: flow.Spoofed}
	case a.metadata(): // line 5; S27
		return Direction{Verdict: flow.Denied, Reason: flow.Metadata}
	}
	d := a.byPolicy(subject) // lines 6 to 9
	if a.notEvaluated(subject) {
		d.Verdict = flow.Unknown // "its reason stays"
	}
	return d
}

// notEvaluated: "Where something was not evaluated that may decide, a direction that reaches line 6
// is unknown": policies that could not be read (S2), and under --strict the policies of another
// engine (S33).
func (a asker) notEvaluated(subject *cluster.Pod) bool {
	return a.unread(cluster.MissingPolicies, subject) || a.o.Strict && (a.unread(cluster.MissingForeign, subject) || a.inForeignScope(subject))
}

// unread tells whether something of that sort could not be read. Of what could not be read nobody
// knows the scope, so it is that of every pod and direction; but where only other namespaces could not
// be read (S2), it is not that of the pods of the one that could. No rule of the page asks for
// MissingObjects: no policy is among them.
func (a asker) unread(sort cluster.Missing, subject *cluster.Pod) bool {
	return slices.ContainsFunc(a.s.Unreadable, func(u cluster.Unreadable) bool {
		return u.Missing == sort && (u.Beyond == "" || u.Beyond != subject.Namespace)
	})
}

// inForeignScope is S33: a policy of another engine may decide this direction of the pod.
func (a asker) inForeignScope(subject *cluster.Pod) bool {
	mayDecide := func(p cluster.ForeignPolicy) bool {
		inScope := p.Namespace == "" || p.Namespace == subject.Namespace
		return inScope && (a.dir == flow.Egress && p.Egress || a.dir == flow.Ingress && p.Ingress)
	}
	return slices.ContainsFunc(a.s.ForeignPolicies, mayDecide)
}

// subjectEnd is the end whose policies decide this direction (S18).
func (a asker) subjectEnd() flow.End {
	if a.dir == flow.Egress {
		return a.f.From
	}
	return a.f.To
}

// peerEnd is the other end.
func (a asker) peerEnd() flow.End {
	if a.dir == flow.Egress {
		return a.f.To
	}
	return a.f.From
}

// pod gives the pod at an end, hostNetwork ones included, or nil.
func (a asker) pod(e flow.End) *cluster.Pod {
	if e.Kind != flow.Pod {
		return nil
	}
	return &a.s.Pods[e.Index]
}

// selectable gives the pod at an end that selectors can see, or nil. S23: hostNetwork pods are
// never selected, neither as subject nor as peer.
func (a asker) selectable(e flow.End) *cluster.Pod {
	if p := a.pod(e); p != nil && !p.HostNetwork {
		return p
	}
	return nil
}

// self is S21 and S46: both ends are the same endpoint, and not through a Service.
func (a asker) self() bool {
	return a.f.From.Kind == flow.Pod && a.f.To.Kind == flow.Pod && a.f.From.Index == a.f.To.Index && !a.f.ViaService
}

// spoofed is S28: the source address is known and so are addresses of the pod, and it is none of them.
func (a asker) spoofed(subject *cluster.Pod) bool {
	return a.dir == flow.Egress && a.f.From.Addr.IsValid() && len(subject.Addrs) > 0 &&
		!slices.Contains(subject.Addrs, a.f.From.Addr)
}

// metadata is S27.
func (a asker) metadata() bool {
	if a.dir != flow.Egress || !a.o.BlockMetadata {
		return false
	}
	switch a.f.To.Addr {
	case netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"):
		return true
	case netip.MustParseAddr("168.63.129.16"):
		return a.o.Azure && a.f.Proto == netset.TCP && (a.f.Port == 80 || a.f.Port == 32526)
	}
	return false
}

// ownNode is S22: "is the other end the pod's own node", compared by name. A hostNetwork pod is its
// node (S23); an address that belongs to no known node is no node.
func (a asker) ownNode(subject *cluster.Pod) match {
	var node string // empty: not known which
	switch e := a.peerEnd(); {
	case e.Kind == flow.Node:
		node = a.s.Nodes[e.Index].Name
	case e.Kind == flow.Pod && a.s.Pods[e.Index].HostNetwork:
		node = a.s.Pods[e.Index].NodeName
	default:
		return no
	}
	if node == "" || subject.NodeName == "" {
		return unknown
	}
	return known(node == subject.NodeName)
}
