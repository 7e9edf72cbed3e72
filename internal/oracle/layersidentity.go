package oracle

import (
	"cmp"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// identity is L10: a pair of namespace and service account.
type identity struct{ namespace, account string }

// sourceIdentity is L10 and L22: the identity that the source has, or would have by its service account.
// A hostNetwork pod, a node and an address have none.
func (a layerAsker) sourceIdentity() (identity, bool) {
	p := a.network(flow.Egress).selectable(a.f.From)
	if p == nil {
		return identity{}, false
	}
	return identity{p.Namespace, p.Account}, true
}

// spiffeID is L10.
func (a layerAsker) spiffeID(id identity) string {
	return "spiffe://" + a.trustDomain() + "/ns/" + id.namespace + "/sa/" + id.account
}

// trustDomain is L10: what the option says goes before what the input says.
func (a layerAsker) trustDomain() string {
	return cmp.Or(a.o.TrustDomain, a.s.Facts.TrustDomain, "cluster.local")
}

// issues is L11 and L12: does a WorkloadIdentity issue to the source what it says?
func (a layerAsker) issues(w *cluster.WorkloadIdentity) match {
	p := a.network(flow.Egress).selectable(a.f.From) // L12: nothing to hostNetwork, node and address
	if p == nil || p.Namespace != w.Namespace {
		return no
	}
	if len(w.NotUnderstood) > 0 { // L4
		if w.Spec.ServiceAccountName == "" || w.Spec.ServiceAccountName == p.Account {
			return unknown
		}
		return no
	}
	if w.Spec.ServiceAccountName != p.Account {
		return no
	}
	if w.Spec.PodSelector != nil && selects(*w.Spec.PodSelector, labels{known: p.Labels}) != yes {
		return no
	}
	return known(!(a.o.NotEnforced && requiresNetwork(w))) // L12
}

// requiresNetwork is require.networkEnforced, whose default is true.
func requiresNetwork(w *cluster.WorkloadIdentity) bool {
	required := w.Spec.Require.NetworkEnforced
	return required == nil || *required
}

// spiffeIDIssued tells whether the source is issued its SPIFFE ID: "several add up" (L11).
func (a layerAsker) spiffeIDIssued() match {
	out := no
	for i := range a.s.Identities {
		out = some(out, a.issues(&a.s.Identities[i]))
	}
	return out
}

// credential is an identity that counts for a service's authentication (L33).
type credential struct {
	spiffeID string                  // empty if it is an Azure identity
	azure    *v1alpha1.AzureIdentity // nil and no spiffeID: any Azure identity
	issued   match                   // yes, or unknown: perhaps
}

// credentials is L33.
func (a layerAsker) credentials(auth *v1alpha1.ExternalAuthentication) []credential {
	if auth.Resource != "" {
		return a.azureCredentials(auth.Resource)
	}
	id, ok := a.sourceIdentity()
	issued := a.spiffeIDIssued()
	if !ok || issued == no {
		return nil
	}
	return []credential{{spiffeID: a.spiffeID(id), issued: issued}}
}

// azureCredentials: the Azure identities that the source may obtain for the resource (L11, L13 to L15).
func (a layerAsker) azureCredentials(resource string) []credential {
	out := a.byAzure()
	for i := range a.s.Identities {
		w := &a.s.Identities[i]
		switch a.issues(w) {
		case unknown: // L4: whether it issues anything is unknown, so it may be anything
			out = append(out, credential{issued: unknown})
		case yes:
			for _, x := range w.Spec.ExternalIdentities {
				if x.Azure != nil && namesResource(x.Azure.Resources, resource) {
					out = append(out, credential{azure: &x.Azure.AzureIdentity, issued: yes})
				}
			}
		}
	}
	return out
}

// namesResource is L11: resources are compared without the slashes at their end.
func namesResource(list []string, resource string) bool {
	for _, r := range list {
		if strings.TrimRight(r, "/") == strings.TrimRight(resource, "/") {
			return true
		}
	}
	return false
}
