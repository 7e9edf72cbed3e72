package oracle

import (
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

func takesPasswords(x *cluster.ExternalService) bool {
	return x.Spec.Authentication.Mode == v1alpha1.IdentityOrPassword
}

// issuedAtService is L34.
func (a layerAsker) issuedAtService(x *cluster.ExternalService) Opinion {
	switch {
	case !factsClear(x): // L4: nor is it known which identity counts
		return Unknown
	case x.Spec.Authentication == nil && len(a.policiesAtService(x)) == 0:
		return None
	case x.Spec.Authentication == nil:
		return instead(opinionOf(a.spiffeIDIssued()), Deny, Unknown)
	case a.f.From.Kind == flow.Address: // no workload
		return Unknown
	}
	issued := no
	for _, c := range a.credentials(x.Spec.Authentication) {
		issued = some(issued, c.issued)
	}
	if takesPasswords(x) {
		return instead(opinionOf(issued), Deny, None)
	}
	return opinionOf(issued)
}

// authentication is L35.
func (a layerAsker) authentication(x *cluster.ExternalService) Opinion {
	auth := x.Spec.Authentication
	switch {
	case !factsClear(x): // L4
		return Unknown
	case auth == nil:
		return None
	case a.f.From.Kind == flow.Address && admitsNobody(auth) && !takesPasswords(x): // whatever it may hold
		return Deny
	case a.f.From.Kind == flow.Address:
		return Unknown
	}
	credentials := a.credentials(auth)
	in := func(c credential) bool { return c.in(auth.Admitted) }
	surely := func(c credential) bool { return c.issued == yes && in(c) }
	switch {
	case slices.ContainsFunc(credentials, surely):
		return Allow
	case takesPasswords(x): // for whoever knows one
		return Unknown
	case len(credentials) == 0: // not even perhaps
		return Deny
	case auth.Admitted == nil:
		return Unknown
	case slices.ContainsFunc(credentials, in):
		return Unknown
	}
	return Deny
}

// admitsNobody: the list is there and empty.
func admitsNobody(auth *v1alpha1.ExternalAuthentication) bool {
	return auth.Admitted != nil && len(auth.Admitted) == 0
}

// in tells whether an identity is among the admitted (L35). Any Azure identity may be one of those.
func (c credential) in(admitted []v1alpha1.AdmittedIdentity) bool {
	return slices.ContainsFunc(admitted, func(x v1alpha1.AdmittedIdentity) bool {
		switch {
		case c.spiffeID != "":
			return c.spiffeID == x.SPIFFEID
		case x.Azure == nil:
			return false
		}
		return c.azure == nil || sameAzure(*c.azure, *x.Azure)
	})
}

// sameAzure: by client ID, and by tenant where both name one, case apart.
func sameAzure(a, b v1alpha1.AzureIdentity) bool {
	tenant := a.TenantID == "" || b.TenantID == "" || strings.EqualFold(a.TenantID, b.TenantID)
	return tenant && strings.EqualFold(a.ClientID, b.ClientID)
}
