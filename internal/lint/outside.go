package lint

import (
	"fmt"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/layers"
)

// outsideRules are about what services outside the cluster are said to let in.
var outsideRules = []*Rule{
	{ID: "azure-services-admitted", Severity: Warning, Title: "a service's firewall admits whatever runs in Azure", check: azureServicesAdmitted},
	{ID: "password-login", Severity: Warning, Title: "a service takes passwords beside identities", check: passwordLogin},
	{ID: "public-beside-private", Severity: Warning, Title: "a service with private endpoints answers at its public addresses too", check: publicBesidePrivate},
}

// eachService visits the services that are fully understood (L4).
func (r *run) eachService(visit func(i int, spec *v1alpha1.ExternalServiceSpec)) {
	external := r.Model.Snapshot().External
	for i := range external {
		if len(external[i].NotUnderstood) == 0 {
			visit(i, external[i].Spec)
		}
	}
}

// eachPublic visits those whose public addresses answer, and have a firewall (L32).
func (r *run) eachPublic(visit func(i int, spec *v1alpha1.ExternalServiceSpec)) {
	r.eachService(func(i int, spec *v1alpha1.ExternalServiceSpec) {
		if f := spec.Firewall; f != nil && f.PublicNetworkAccess != v1alpha1.PublicDisabled {
			visit(i, spec)
		}
	})
}

func azureServicesAdmitted(r *run) {
	r.eachPublic(func(i int, spec *v1alpha1.ExternalServiceSpec) {
		for _, x := range r.layers().AzureAdmitted(i) {
			r.add(onRef(x, "the firewall admits whatever runs in Azure, in other people's tenants too",
				"Whoever has a machine there passes this firewall. "+keepsOut(spec.Authentication),
				"Take it away at the service, and admit the subnet or the addresses as which the cluster appears there."))
		}
	})
}

// keepsOut says what a service asks for beside its firewall.
func keepsOut(a *v1alpha1.ExternalAuthentication) string {
	switch {
	case a == nil:
		return "Whether anything else keeps them out is not said."
	case a.Mode == v1alpha1.IdentityOrPassword:
		return "All that keeps them out is that it asks for an identity or a password."
	}
	return "All that keeps them out is that it asks for an identity."
}

func passwordLogin(r *run) {
	r.eachService(func(i int, spec *v1alpha1.ExternalServiceSpec) {
		if a := spec.Authentication; a != nil && a.Mode == v1alpha1.IdentityOrPassword {
			r.add(onRef(r.layers().ServiceRef(i, "spec.authentication.mode"), "it takes passwords beside identities",
				"Whoever knows a password needs no identity"+r.wentAround(i, a)+".",
				"Let the service take identities only, and say so with mode: IdentityOnly."))
		}
	})
}

// wentAround names what a password at a service goes around.
func (r *run) wentAround(service int, a *v1alpha1.ExternalAuthentication) string {
	var around []string
	if a.Admitted != nil {
		around = append(around, "the list of those that are admitted")
	}
	var names []string
	for _, k := range r.layers().About(service) {
		if p := &r.Model.Snapshot().AccessPolicies[k]; p.Spec.Mode != v1alpha1.ModeAudit {
			names = append(names, p.String())
		}
	}
	if len(names) > 0 {
		around = append(around, "AccessPolicy "+list(names))
	}
	if len(around) == 0 {
		return ""
	}
	return ", and goes around " + strings.Join(around, " and ")
}

func publicBesidePrivate(r *run) {
	r.eachPublic(func(i int, spec *v1alpha1.ExternalServiceSpec) {
		if len(spec.Firewall.PrivateEndpoints) == 0 {
			return
		}
		f := onRef(r.layers().ServiceRef(i, "spec.firewall.publicNetworkAccess"), "the public addresses answer beside the private endpoints", "",
			"If nobody needs the public addresses, close them at the service, and say so with publicNetworkAccess: Disabled.")
		if in := admitted(spec.Firewall, r.layers().AzureAdmitted(i)); len(in) > 0 {
			f.Message += ", and admit: " + strings.Join(in, ", ")
			f.Reason = "A private endpoint closes nothing: whoever is admitted there needs no way into the private network."
		} else {
			f.Severity = Note
			f.Reason = "A private endpoint closes nothing. No rule of the firewall admits anybody there now, but the first one that somebody adds does."
		}
		r.add(f)
	})
}

// admitted says whom the rules of a firewall let in.
func admitted(f *v1alpha1.ExternalFirewall, azure []layers.Ref) []string {
	var out []string
	rules := len(f.IPRules) - len(azure)
	if f.AllowAzureServices { // which is none of the IP rules
		rules++
	}
	if len(azure) > 0 {
		out = append(out, "whatever runs in Azure")
	}
	for _, x := range []struct {
		count int
		what  string
	}{{rules, "the addresses of %d IP rule"}, {len(f.SubnetRules), "the subnets of %d subnet rule"}} {
		if x.count > 0 {
			out = append(out, plural(x.count, x.what))
		}
	}
	return out
}

// plural writes a number into a text that says it of one.
func plural(n int, text string) string {
	if n != 1 {
		text += "s"
	}
	return fmt.Sprintf(text, n)
}
