package report

import (
	"fmt"
	"io"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/names"
)

// ExplainService prints what is said of a service outside the cluster.
func ExplainService(w io.Writer, x *explain.Service, notes []string) error {
	var b page
	kind, name := "ExternalService", x.Namespace+"/"+x.Name
	if x.Namespace == "" {
		kind, name = "ClusterExternalService", x.Name
	}
	b.line("%s %s%s", kind, names.Safe(name), place(x.Origin.At("")))
	b.line("")
	b.notUnderstood(x.NotUnderstood, "what its firewall and its authentication say is not known")
	b.where(x)
	b.line("")
	if len(x.NotUnderstood) == 0 {
		b.firewall(x)
		b.line("")
		b.authentication(x)
		b.line("")
	}
	b.sources(x)
	if len(x.Policies) > 0 {
		b.line("")
		b.line("  AccessPolicies about it")
	}
	for _, p := range x.Policies {
		b.line("    %s%s%s", names.Safe(p.Ref.Namespace+"/"+p.Ref.Name), place(p.Origin), modeWords(p))
	}
	b.line("")
	b.line("  Which workloads get in, by each layer: sallyport who-can %s", names.Safe(x.String()))
	return b.flush(w, notes)
}

func (b *page) where(x *explain.Service) {
	use := "pods of namespace " + names.Safe(x.Namespace)
	if x.Namespace == "" {
		use = "pods of every namespace"
	}
	b.line("  It is used by %s, on %s.", use, x.Ports)
	if len(x.Spec.Names) > 0 {
		b.line("  Its names, which are never resolved: %s.", names.Safe(shorten(x.Spec.Names)))
	}
	public := "not known; every address outside the cluster may be one"
	if len(x.Spec.CIDRs) > 0 {
		public = names.Safe(shorten(x.Spec.CIDRs))
	}
	b.line("  Its public addresses: %s.", public)
	if f := x.Spec.Firewall; f != nil && len(f.PrivateEndpoints) > 0 {
		var list []string
		for _, e := range f.PrivateEndpoints {
			list = append(list, named(e.Address, e.Name))
		}
		b.line("  Its private endpoints, which no rule of its firewall closes: %s.", shorten(list))
	}
}

// named gives something with the name that people gave it.
func named(what, name string) string {
	if name == "" {
		return names.Safe(what)
	}
	return fmt.Sprintf("%s %q", names.Safe(what), name) // which escapes all that Safe would
}

func (b *page) firewall(x *explain.Service) {
	f := x.Spec.Firewall
	switch {
	case f == nil:
		b.line("  external firewall: nothing is said of one")
		return
	case f.PublicNetworkAccess == v1alpha1.PublicDisabled:
		b.line("  external firewall: the public addresses are closed%s", place(x.Origin.At("spec.firewall.publicNetworkAccess")))
		return
	case len(f.IPRules)+len(f.SubnetRules) == 0 && !f.AllowAzureServices:
		b.line("  external firewall: no rule admits anybody at the public addresses")
		return
	}
	b.line("  external firewall: the public addresses admit")
	var lines []string
	for i, r := range f.SubnetRules {
		lines = append(lines, named("subnet "+r.Subnet, r.Name)+place(x.Origin.At(fmt.Sprintf("spec.firewall.subnetRules[%d]", i))))
	}
	for i, r := range f.IPRules {
		what := "addresses " + r.First + " to " + r.Last
		switch {
		case r.First == "0.0.0.0" && r.Last == r.First:
			what = azureServices
		case r.First == r.Last:
			what = "address " + r.First
		}
		lines = append(lines, named(what, r.Name)+place(x.Origin.At(fmt.Sprintf("spec.firewall.ipRules[%d]", i))))
	}
	if f.AllowAzureServices {
		lines = append(lines, azureServices+place(x.Origin.At("spec.firewall.allowAzureServices")))
	}
	b.list(lines)
}

const azureServices = "whatever runs in Azure, other tenants too"

// list prints indented lines, and after many how many more there are.
func (b *page) list(lines []string) {
	const most = 20
	for i, l := range lines {
		if i == most && len(lines) > most+1 {
			b.line("    and %d more", len(lines)-most)
			return
		}
		b.line("    %s", l)
	}
}

func (b *page) authentication(x *explain.Service) {
	a := x.Spec.Authentication
	if a == nil {
		b.line("  external authentication: nothing is said of it")
		return
	}
	proof := "SPIFFE IDs of this cluster"
	if a.Resource != "" {
		proof = "tokens for " + names.Safe(a.Resource)
	}
	if a.Mode == v1alpha1.IdentityOrPassword {
		proof += ", and passwords, which go around every identity"
	}
	b.line("  external authentication: takes %s", proof)
	switch {
	case a.Admitted == nil:
		b.line("    whom it admits is not said")
	case len(a.Admitted) == 0:
		b.line("    admits no identity")
	}
	var lines []string
	for i := range a.Admitted {
		who := "identity " + names.Safe(a.Admitted[i].SPIFFEID)
		if az := a.Admitted[i].Azure; az != nil {
			who = azureWords(az)
		}
		lines = append(lines, "admits "+who+place(x.Origin.At(fmt.Sprintf("spec.authentication.admitted[%d]", i))))
	}
	b.list(lines)
}

func (b *page) sources(x *explain.Service) {
	if len(x.Spec.Sources) == 0 {
		b.line("  as what the cluster appears to it is not said")
		return
	}
	b.line("  as what the cluster appears to it: the first that fits")
	all := false
	for i := range x.Spec.Sources {
		s := &x.Spec.Sources[i]
		all = all || len(s.NodeSelector) == 0
		b.line("    %s: %s%s", nodesWords(s.NodeSelector), appearanceWords(s), place(x.Origin.At(fmt.Sprintf("spec.sources[%d]", i))))
	}
	if !all {
		b.line("    every other pod: something unknown")
	}
}

func nodesWords(labels map[string]string) string {
	if len(labels) == 0 {
		return "every pod"
	}
	return "pods on nodes with " + names.Safe(strings.Join(labelPairs(labels), ", "))
}

func appearanceWords(s *v1alpha1.ClusterSource) string {
	switch {
	case s.Subnet != "":
		return "subnet " + names.Safe(s.Subnet)
	case s.PodAddresses:
		return "its own address"
	}
	return "addresses " + names.Safe(shorten(s.Addresses))
}
