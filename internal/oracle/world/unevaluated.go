package world

import (
	"fmt"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
)

// drawUnevaluated adds policies of other engines and things that could not be read. Of the latter
// policies are rare, because unknown hides everything else.
func (w *World) drawUnevaluated(t *rapid.T) {
	if oneIn(t, 4, "foreign policies") {
		for i := range pick(t, "foreign policies", 1, 1, 2) {
			w.ForeignPolicies = append(w.ForeignPolicies, drawForeign(t, i))
		}
	}
	if oneIn(t, 3, "unreadable") {
		for i := range pick(t, "unreadable", 1, 1, 2) {
			missing := pick(t, "missing", cluster.MissingObjects, cluster.MissingObjects, cluster.MissingForeign, cluster.MissingForeign,
				cluster.MissingPolicies)
			w.Unreadable = append(w.Unreadable, cluster.Unreadable{Why: fmt.Sprintf("drawn as number %d that is not read", i), Missing: missing})
		}
	}
}

// drawForeign draws a policy of Calico's, in a namespace or for the whole cluster.
func drawForeign(t *rapid.T, i int) cluster.ForeignPolicy {
	p := cluster.ForeignPolicy{Group: "crd.projectcalico.org", Kind: "NetworkPolicy", Name: fmt.Sprintf("other%d", i)}
	if oneIn(t, 3, "whole cluster") {
		p.Kind = "GlobalNetworkPolicy"
	} else {
		p.Namespace = pick(t, "namespace", namespaceNames...)
	}
	direction := pick(t, "direction", "both", "ingress", "egress")
	p.Ingress, p.Egress = direction != "egress", direction != "ingress"
	return p
}

// header is the head of a saved snapshot. A file that begins with it may hold what only a server
// sends, and says what could not be read.
func (w World) header() map[string]any {
	h := map[string]any{"apiVersion": "sallyport.dev/v1alpha1", "kind": "Snapshot"}
	for key, missing := range map[string]cluster.Missing{"unreadable": cluster.MissingPolicies,
		"unreadableForeign": cluster.MissingForeign, "unreadableLayers": cluster.MissingLayers, "incomplete": cluster.MissingObjects} {
		var list []string
		for _, u := range w.Unreadable {
			if u.Missing == missing {
				list = append(list, u.Why)
			}
		}
		if len(list) > 0 {
			h[key] = list
		}
	}
	return h
}

// foreignObject writes a policy of Calico's that says which directions it is for, and nothing else.
func foreignObject(p cluster.ForeignPolicy) map[string]any {
	meta, types := map[string]any{"name": p.Name}, []string{}
	if p.Namespace != "" {
		meta["namespace"] = p.Namespace
	}
	if p.Ingress {
		types = append(types, "Ingress")
	}
	if p.Egress {
		types = append(types, "Egress")
	}
	return map[string]any{"apiVersion": p.Group + "/v1", "kind": p.Kind, "metadata": meta, "spec": map[string]any{"types": types}}
}
