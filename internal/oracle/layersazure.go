package oracle

import (
	"regexp"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// anyAzure is "perhaps any Azure identity for any resource".
var anyAzure = credential{issued: unknown}

// named is an Azure identity that is issued for every resource. Without tenant it names none.
func named(client, tenant string) credential {
	return credential{azure: &v1alpha1.AzureIdentity{ClientID: client, TenantID: tenant}, issued: yes}
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// byAzure lists what Azure's own products issue to the source, for every resource.
func (a layerAsker) byAzure() []credential {
	out := a.workloadIdentity()
	if a.hasNodes() {
		return append(out, anyAzure)
	}
	return append(out, a.podIdentities()...)
}

// workloadIdentity is L13, with hostNetwork or without.
func (a layerAsker) workloadIdentity() []credential {
	p := a.network(flow.Egress).pod(a.f.From)
	if p == nil || !p.EntraToken {
		return nil
	}
	i := slices.IndexFunc(a.s.Accounts, func(x cluster.ServiceAccount) bool { return x.Namespace == p.Namespace && x.Name == p.Account })
	if i < 0 { // not in the input
		return []credential{anyAzure}
	}
	client, tenant := a.s.Accounts[i].EntraClient, a.s.Accounts[i].EntraTenant
	switch {
	case client == nil:
		return []credential{anyAzure}
	case !uuid.MatchString(*client):
		return []credential{anyAzure}
	case tenant == nil:
		return []credential{named(*client, ""), anyAzure}
	case !uuid.MatchString(*tenant):
		return []credential{anyAzure}
	}
	return []credential{named(*client, *tenant), anyAzure}
}

// podIdentities is L14.
func (a layerAsker) podIdentities() []credential {
	p := a.network(flow.Egress).selectable(a.f.From) // without hostNetwork
	if p == nil || p.Labels[cluster.BindingLabel] == "" {
		return nil
	}
	var out []credential
	for i := range a.s.AzureBindings {
		b := &a.s.AzureBindings[i]
		if b.Selector != p.Labels[cluster.BindingLabel] {
			continue
		}
		for j := range a.s.AzureIdentities {
			x := &a.s.AzureIdentities[j]
			if x.Namespace == b.Namespace && x.Name == b.Identity && a.mayTake(p, x) {
				out = append(out, countsAs(x))
			}
		}
	}
	return out
}

// mayTake is L14: the pod may be in any namespace, unless the identity or the whole cluster is namespaced.
func (a layerAsker) mayTake(p *cluster.Pod, x *cluster.AzureIdentity) bool {
	namespaced := x.Namespaced || a.s.Facts.PodIdentityAddOn
	return !namespaced || p.Namespace == x.Namespace
}

// countsAs is L14: by client ID, and for service principals by tenant.
func countsAs(x *cluster.AzureIdentity) credential {
	if !uuid.MatchString(x.ClientID) {
		return anyAzure
	}
	switch x.Type {
	case 0:
		return named(x.ClientID, "")
	case 1, 2:
		if x.TenantID == "" || uuid.MatchString(x.TenantID) {
			return named(x.ClientID, x.TenantID)
		}
	}
	return anyAzure
}

// hasNodes is L15: is the source handed out what its node has?
func (a layerAsker) hasNodes() bool {
	p := a.network(flow.Egress).pod(a.f.From)
	identities := len(a.s.AzureIdentities) > 0
	switch {
	case p == nil:
		return identities && a.f.From.Kind == flow.Node
	case a.excepted(p):
		return true
	}
	return identities && p.HostNetwork
}

// excepted: an exception of its namespace names one of the pod's labels, the value case apart.
func (a layerAsker) excepted(p *cluster.Pod) bool {
	return slices.ContainsFunc(a.s.AzureExceptions, func(e cluster.AzurePodIdentityException) bool {
		if e.Namespace != p.Namespace {
			return false
		}
		for key, value := range e.PodLabels {
			if has, ok := p.Labels[key]; ok && strings.EqualFold(has, value) {
				return true
			}
		}
		return false
	})
}
