package main

import (
	"slices"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/report"
)

// ownKinds are the spellings of Sallyport's own kinds.
var ownKinds = map[string]string{
	"workloadidentity": "WorkloadIdentity", "workloadidentities": "WorkloadIdentity", "wid": "WorkloadIdentity",
	"accesspolicy": "AccessPolicy", "accesspolicies": "AccessPolicy", "acp": "AccessPolicy",
	"externalservice": "ExternalService", "externalservices": "ExternalService", "xsvc": "ExternalService",
	"clusterexternalservice": "ClusterExternalService", "clusterexternalservices": "ClusterExternalService", "cxsvc": "ClusterExternalService",
}

// findOwn looks an object of Sallyport's own kinds up and gives its index in the Snapshot's list of its kind; isOwn is
// false where the name is not written as one's.
func (w *world) findOwn(name, namespace string) (ref cluster.PolicyRef, index int, isOwn bool, err error) {
	ref = refNamed(name, namespace, ownKinds, "ClusterExternalService")
	if ref.Kind == "" {
		return ref, 0, false, nil
	}
	all, first := w.ownRefs(ref.Kind)
	if i := slices.Index(all, ref); i >= 0 {
		return ref, first + i, true, nil
	}
	candidates := others(ref, all)
	if len(candidates) == 0 {
		for _, o := range all {
			candidates = append(candidates, fullName(o))
		}
	}
	return ref, 0, true, noSuch(ref, candidates)
}

// ownRefs lists the objects of one of Sallyport's own kinds, which stand together in the Snapshot from first on.
func (w *world) ownRefs(kind string) (all []cluster.PolicyRef, first int) {
	switch kind {
	case "WorkloadIdentity":
		for _, o := range w.snap.Identities {
			all = append(all, cluster.PolicyRef{Kind: kind, Namespace: o.Namespace, Name: o.Name})
		}
	case "AccessPolicy":
		for _, o := range w.snap.AccessPolicies {
			all = append(all, cluster.PolicyRef{Kind: kind, Namespace: o.Namespace, Name: o.Name})
		}
	default:
		first = -1
		for i, o := range w.snap.External {
			if (o.Namespace == "") == (kind == "ClusterExternalService") {
				if first < 0 {
					first = i
				}
				all = append(all, cluster.PolicyRef{Kind: kind, Namespace: o.Namespace, Name: o.Name})
			}
		}
	}
	return all, first
}

func (w *world) explainOwn(c *cobra.Command, kind string, index int, output string) error {
	x := explain.NewExplainer(w.model, w.resolver.Layers())
	out := c.OutOrStdout()
	switch kind {
	case "WorkloadIdentity":
		facts := x.WorkloadIdentity(index)
		if output == "json" {
			return report.ExplainIdentityJSON(out, facts, w.notes)
		}
		return report.ExplainIdentity(out, facts, w.notes)
	case "AccessPolicy":
		facts := x.AccessPolicy(index)
		if output == "json" {
			return report.ExplainAccessJSON(out, facts, w.notes)
		}
		return report.ExplainAccess(out, facts, w.notes)
	}
	facts := x.Service(index)
	if output == "json" {
		return report.ExplainServiceJSON(out, facts, w.notes)
	}
	return report.ExplainService(out, facts, w.notes)
}
