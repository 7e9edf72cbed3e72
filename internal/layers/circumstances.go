package layers

import "sallyport.dev/sallyport/internal/flow"

// Circumstances are failures that no change of the Snapshot expresses (L50). They are about the two ends of the flow that
// is decided.
type Circumstances struct {
	// EgressOff and IngressOff: nothing enforces policies or projections at the source, or at the destination.
	EgressOff, IngressOff bool
	// Unprogrammed: the source's policies are not programmed yet, so that it is issued nothing that requires them.
	Unprogrammed bool
	// As is the pod, by its index in the Snapshot, whose identities the source holds; or Itself.
	As int
}

// Itself stands for a source that holds its own identities.
const Itself = -1

// Under gives the model under some circumstances.
func (l *Model) Under(c Circumstances) *Model {
	out := *l
	out.in = c
	return &out
}

// holder gives the identities that the source of a flow can show: its own, unless it holds others.
func (l *Model) holder(f *flow.Flow) *identity {
	if l.in.As >= 0 {
		return &l.identities[l.who[l.in.As]]
	}
	if l.in.Unprogrammed && f.From.Kind == flow.Pod {
		p := &l.snap.Pods[f.From.Index]
		var rest []int
		for i := range l.issuers {
			if w := &l.issuers[i]; w.concerns(p) && (len(w.NotUnderstood) > 0 || !*w.Spec.Require.NetworkEnforced) { // what is vague may require nothing (L4)
				rest = append(rest, i)
			}
		}
		out := l.identity(p, rest)
		return &out
	}
	return l.source(f)
}

// holderNamespace gives the namespace of the account whose identities the source holds; empty for a node.
func (l *Model) holderNamespace(f *flow.Flow) string {
	switch {
	case l.in.As >= 0:
		return l.snap.Pods[l.in.As].Namespace
	case f.From.Kind == flow.Pod:
		return l.snap.Pods[f.From.Index].Namespace
	}
	return ""
}

// Who numbers what is issued to a pod.
func (l *Model) Who(pod int) int { return int(l.who[pod]) }

// Issues tells whether anything is issued to a pod, perhaps.
func (l *Model) Issues(pod int) bool {
	return l.identities[l.who[pod]].issues()
}
