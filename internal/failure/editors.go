package failure

import (
	"maps"
	"slices"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
)

// Editor is a namespace, and the gates that whoever may edit its policies takes away alone.
type Editor struct {
	Namespace string
	Gates     []layers.Gate
}

// editors finds the namespaces that more than one gate hangs on: a gate hangs on a namespace if everything that makes
// it deny lies there.
func (w *Finder) editors(network *eval.Decision, d *layers.Decision) []Editor {
	byNamespace := map[string][]layers.Gate{}
	for _, g := range d.Gates() {
		if n := w.editor(network, d, g); n != "" {
			byNamespace[n] = append(byNamespace[n], g)
		}
	}
	var out []Editor
	for _, n := range slices.Sorted(maps.Keys(byNamespace)) {
		if len(byNamespace[n]) > 1 {
			out = append(out, Editor{n, byNamespace[n]})
		}
	}
	return out
}

// editor gives the one namespace on which a gate hangs, or nothing.
func (w *Finder) editor(network *eval.Decision, d *layers.Decision, g layers.Gate) string {
	var all []string
	for i := range d.Steps {
		s := &d.Steps[i]
		if s.Answer != layers.Deny || s.Layer.Gate() != g {
			continue
		}
		switch {
		case s.Reason == layers.ByPolicies:
			all = append(all, policyNamespaces(network, s.Layer)...)
		case s.Reason == layers.NotIssued && network.Flow.From.Kind == flow.Pod: // who may create a WorkloadIdentity there
			all = append(all, w.m.Snapshot().Pods[network.Flow.From.Index].Namespace)
		case s.Layer == layers.ExternalFirewall || s.Layer == layers.ExternalAuthentication || len(s.Refs) == 0:
			all = append(all, "") // facts outside are edited outside
		default:
			for _, r := range s.Refs {
				all = append(all, r.Namespace)
			}
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) == 1 {
		return all[0]
	}
	return ""
}

// policyNamespaces lists where the policies live that deny a direction; a cluster-wide one lives in none.
func policyNamespaces(network *eval.Decision, layer layers.Layer) []string {
	side := &network.Egress
	if layer == layers.NetworkIngress {
		side = &network.Ingress
	}
	if side.Reason != flow.Isolated {
		return []string{side.Rule.Policy.Namespace}
	}
	var out []string
	for _, p := range side.Isolating {
		out = append(out, p.Ref.Namespace)
	}
	return out
}
