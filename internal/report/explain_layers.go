package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/names"
)

// endpointLayers says who an endpoint is, and whom it takes for what.
func (b *page) endpointLayers(y *explain.Layers) {
	b.line("")
	if y.Unread {
		b.line("  something could not be read that may have a say, so that what follows may be otherwise")
	}
	b.identity(y)
	b.line("")
	b.access(y)
}

func (b *page) identity(y *explain.Layers) {
	why := layerWords(&layers.Step{Layer: layers.IdentityIssued, Reason: y.Reason, Refs: y.Refs})
	if y.Reason == layers.NotIssued {
		why = "no WorkloadIdentity issues it"
	}
	account := "service account " + names.Safe(y.Account)
	switch {
	case y.SPIFFEID == "":
		b.line("  identity: none; %s", why)
	case y.Issued == layers.Allow:
		b.line("  identity: %s, as %s", names.Safe(y.SPIFFEID), account)
		b.line("    issued by %s", refsWords(y.Refs))
	case y.Issued == layers.Unknown:
		b.line("  identity: perhaps %s, as %s", names.Safe(y.SPIFFEID), account)
		b.line("    %s", why)
	default:
		b.line("  identity: none issued; as %s it would be %s", account, names.Safe(y.SPIFFEID))
		b.line("    %s", why)
	}
	for i := range y.Azure {
		g := &y.Azure[i]
		b.line("    %s, by %s", grantWords(&g.AzureIdentity, g.Resources), refsWords(g.By))
	}
	for i := range y.Any {
		b.line("    perhaps any Azure identity: %s", withRefs(layerReasons[y.Any[i].Reason], []layers.Ref{y.Any[i].By}))
	}
}

func azureWords(a *v1alpha1.AzureIdentity) string {
	text := "Azure identity " + names.Safe(a.ClientID)
	if a.TenantID != "" {
		text += " of tenant " + names.Safe(a.TenantID)
	}
	return text
}

// grantWords names an Azure identity and what for; without resources for every one.
func grantWords(a *v1alpha1.AzureIdentity, resources []string) string {
	if resources == nil {
		return azureWords(a) + " for every resource"
	}
	return azureWords(a) + " for " + names.Safe(shorten(resources))
}

// access says which AccessPolicies name an endpoint.
func (b *page) access(y *explain.Layers) {
	enforced, clear := 0, true
	for i := range y.Policies {
		if p := &y.Policies[i]; !p.Audit() && !p.Ports.Empty() {
			enforced++
			clear = clear && len(p.NotUnderstood) == 0
		}
	}
	switch {
	case len(y.Policies) == 0:
		b.line("  access: nothing asks for an identity here: no AccessPolicy names it")
		return
	case enforced == 0:
		b.line("  access: nothing asks for an identity here")
	case y.Asked.String() == "all":
		b.line("  access: by identity on every port and protocol")
	default:
		b.line("  access: by identity on %s; nothing asks for one on other ports", y.Asked)
	}
	for i := range y.Policies {
		b.accessAt(&y.Policies[i])
	}
	switch {
	case enforced == 1 && clear:
		b.line("    Everybody else is denied there.")
	case enforced > 1:
		b.line("    Those about one port count together: a Deny goes first, and who is allowed by none is denied.")
	}
	switch {
	case y.Unenforced.Empty():
	case y.Unenforced.Equal(y.Asked):
		b.line("    Nobody is known to enforce that: what is denied counts as unknown.")
	default:
		b.line("    On %s nobody is known to enforce that: what is denied there counts as unknown.", y.Unenforced)
	}
}

func (b *page) accessAt(p *explain.AccessAt) {
	on := "on no port of this pod"
	switch {
	case p.Ports.String() == "all":
		on = "on every port and protocol"
	case !p.Ports.Empty():
		on = "on " + p.Ports.String()
	}
	if len(p.Undeclared) > 0 {
		on += " (it declares no port named " + names.Safe(shorten(p.Undeclared)) + ")"
	}
	b.line("    AccessPolicy %s%s, %s%s", names.Safe(refName(p.Ref)), place(p.Origin), on, modeWords(p.AccessPolicy))
	b.accessRules("      ", p.AccessPolicy)
}

func modeWords(p *explain.AccessPolicy) string {
	text := ""
	switch {
	case p.Audit():
		return ", mode Audit: it only reports"
	case p.Enforced:
		text = ", enforced by " + enforcers[p.Spec.EnforcedBy]
	}
	if p.Projected() {
		text += ", projected into the network"
	}
	return text
}

// enforcers are the words for who enforces an AccessPolicy.
var enforcers = map[v1alpha1.Enforcer]string{
	v1alpha1.EnforcerGate:        "the gate in front of it",
	v1alpha1.EnforcerApplication: "the application itself",
}

func (b *page) accessRules(indent string, p *explain.AccessPolicy) {
	if len(p.NotUnderstood) > 0 {
		b.line("%sit is not fully understood, so it denies everybody", indent)
		return
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		verb := "allows"
		if r.Deny {
			verb = "denies"
		}
		b.line("%s%s%s %s", indent, r.Path, place(r.Origin), verb)
		for k := range r.Peers {
			b.line("%s  %s", indent, accessPeerWords(&r.Peers[k]))
		}
	}
	if len(p.Rules) == 0 {
		b.line("%sno rule allows anybody", indent)
	}
}

func accessPeerWords(p *explain.AccessPeer) string {
	text := "the identity " + names.Safe(p.ID)
	switch {
	case p.Account != "":
		text = "service account " + names.Safe(p.Account)
	case p.Prefix:
		text = "every identity that is " + names.Safe(p.ID) + " or under it"
	}
	if p.Foreign {
		return text + ", of another trust domain: nobody of this cluster, perhaps somebody outside"
	}
	return text + ": now " + holdersWords(&p.Holders)
}

func holdersWords(h *explain.Holders) string {
	var list []string
	if len(h.Now) > 0 {
		list = append(list, names.Safe(shorten(h.Now)))
	}
	if len(h.Maybe) > 0 {
		list = append(list, "perhaps "+names.Safe(shorten(h.Maybe)))
	}
	if len(h.Unissued) > 0 {
		list = append(list, names.Safe(shorten(h.Unissued))+", if it were issued")
	}
	if len(list) == 0 {
		return "nobody"
	}
	return strings.Join(list, "; ")
}

// ExplainAccess prints what an AccessPolicy says, and whom it lets pass.
func ExplainAccess(w io.Writer, p *explain.AccessPolicy, notes []string) error {
	var b page
	b.line("AccessPolicy %s%s", names.Safe(refName(p.Ref)), place(p.Origin))
	b.line("")
	b.notUnderstood(p.NotUnderstood, "it denies everybody")
	if p.OfPods {
		b.line("  It is about %s, on %s: %s.", podsWords(p.Target), targetPorts(p.Spec.Target.Pods), nowWords(p.Target, "no pod of the input"))
	} else {
		b.line("  It is about %s.", targetService(p))
	}
	for _, s := range effects(p) {
		b.line("  %s", s)
	}
	b.line("")
	b.line("  rules")
	b.accessRules("    ", p)
	if len(p.NotUnderstood) == 0 {
		b.passing(p)
	}
	if len(p.Others) > 0 && !p.Audit() {
		b.line("")
		b.line("  It counts together with %s, where the ports are the same: a Deny goes first, and who is allowed by none is denied.", othersWords(p.Others))
	}
	return b.flush(w, notes)
}

func (b *page) notUnderstood(list []string, then string) {
	for _, n := range list {
		b.line("  not understood: %s; %s", names.Safe(n), then)
	}
}

func targetPorts(t *v1alpha1.PodTarget) string {
	if t == nil || len(t.Ports) == 0 {
		return "every port and protocol"
	}
	out := make([]string, 0, len(t.Ports))
	for i := range t.Ports {
		out = append(out, portWords(&t.Ports[i]))
	}
	return names.Safe(shorten(out))
}

func portWords(p *v1alpha1.TargetPort) string {
	proto := strings.ToLower(string(p.Protocol))
	switch {
	case p.Port.Type == intstr.String:
		return p.Port.StrVal + " (" + proto + ")"
	case p.EndPort != nil:
		return fmt.Sprintf("%s/%d-%d", proto, p.Port.IntVal, *p.EndPort)
	}
	return fmt.Sprintf("%s/%d", proto, p.Port.IntVal)
}

func targetService(p *explain.AccessPolicy) string {
	t := p.Spec.Target.ExternalService
	name := t.Name
	if t.Kind != "ClusterExternalService" {
		name = p.Ref.Namespace + "/" + name
	}
	text := t.Kind + " " + names.Safe(name)
	switch {
	case p.Service == nil:
		return text + ", which is not in the input"
	case p.OfNamespace():
		text += place(p.Service.Origin.At("")) + ", for pods of namespace " + names.Safe(p.Ref.Namespace)
	default:
		text += place(p.Service.Origin.At(""))
	}
	return text
}

// effects says in sentences what an AccessPolicy does to whom it does not allow.
func effects(p *explain.AccessPolicy) []string {
	if p.Audit() {
		return []string{"Its mode is Audit: it has no say, and only reports what it would do."}
	}
	out := []string{targetEffect(p)}
	if p.Projected() && p.OfPods {
		out = append(out, "It is projected into the network: ingress of these pods is denied, by address, to whatever the rules do not allow.")
	} else if p.Projected() {
		out = append(out, "It is projected into the network: egress to the addresses that the service names is denied to pods that the rules do not allow.")
	}
	return out
}

func targetEffect(p *explain.AccessPolicy) string {
	switch {
	case p.OfPods && p.Enforced:
		return "It is enforced by " + enforcers[p.Spec.EnforcedBy] + "."
	case p.OfPods:
		return "It does not say who enforces it: unless another policy for the same pods and ports does, what is denied counts as unknown."
	case p.Service == nil:
		return "It withholds tokens from those that it denies."
	case p.Service.Spec.Authentication == nil:
		return "It withholds tokens from those that it denies; whether the service asks for any is not known."
	case p.Service.Spec.Authentication.Mode == v1alpha1.IdentityOrPassword:
		return "It withholds tokens from those that it denies; but the service takes passwords as well, so that it stops nobody."
	}
	return "It withholds tokens from those that it denies."
}

func (b *page) passing(p *explain.AccessPolicy) {
	b.line("")
	of := "the workloads of the input"
	if p.OfNamespace() {
		of = "the workloads of namespace " + names.Safe(p.Ref.Namespace)
	}
	b.line("  by this policy alone, of %s", of)
	b.passes("pass", p.Pass)
	b.passes("perhaps pass: whether their identity is issued is not known", p.PassMaybe)
	b.passes("would pass, but are issued no identity", p.Unissued)
	b.line("    denied: everybody else")
}

func (b *page) passes(what string, who []string) {
	if len(who) > 0 {
		b.line("    %s: %s", what, names.Safe(shorten(who)))
	}
}

func othersWords(list []explain.PolicyAt) string {
	out := make([]string, 0, len(list))
	for _, o := range list {
		out = append(out, names.Safe(o.Ref.String())+place(o.Origin))
	}
	return shorten(out)
}

// ExplainIdentity prints what a WorkloadIdentity gives to whom.
func ExplainIdentity(w io.Writer, x *explain.WorkloadIdentity, notes []string) error {
	var b page
	b.line("WorkloadIdentity %s%s", names.Safe(refName(x.Ref)), place(x.Origin.At("")))
	b.line("")
	b.notUnderstood(x.NotUnderstood, "whether it issues anything is not known")
	pods := "pods"
	if len(x.Pods) > 0 {
		pods += " with " + names.Safe(x.Pods.String())
	}
	if account := x.Spec.ServiceAccountName; account != "" {
		pods += " of service account " + names.Safe(account)
	}
	to := "it is issued to no pod of the input"
	if len(x.Now)+len(x.Maybe) > 0 {
		to = holdersWords(&explain.Holders{Now: x.Now, Maybe: x.Maybe})
	}
	b.line("  It is for %s in namespace %s: %s.", pods, names.Safe(x.Ref.Namespace), to)
	if len(x.Host) > 0 {
		b.line("  Pods with hostNetwork are issued nothing, because they share their node's network: %s.", names.Safe(shorten(x.Host)))
	}
	if len(x.Unenforced) > 0 {
		b.line("  It asks for an enforced network (spec.require), and nothing enforces it, so nothing is issued to %s.", names.Safe(shorten(x.Unenforced)))
	}
	b.line("")
	b.line("  what they may obtain")
	b.obtainable(x)
	return b.flush(w, notes)
}

func (b *page) obtainable(x *explain.WorkloadIdentity) {
	s := x.Spec
	if x.SPIFFEID != "" {
		extra := ""
		if len(s.X509.DNSNames) > 0 {
			extra = ", with the DNS names " + names.Safe(shorten(s.X509.DNSNames))
		}
		b.line("    certificates of %s%s", names.Safe(x.SPIFFEID), extra)
	}
	if s.JWT != nil {
		b.line("    tokens (JWT) of the same identity for %s", names.Safe(shorten(s.JWT.Audiences)))
	}
	for i := range s.ExternalIdentities {
		if a := s.ExternalIdentities[i].Azure; a != nil {
			b.line("    tokens of %s%s", grantWords(&a.AzureIdentity, a.Resources), place(x.Origin.At(fmt.Sprintf("spec.externalIdentities[%d]", i))))
		}
	}
	if e := s.Require.NetworkEnforced; e != nil && !*e {
		b.line("")
		b.line("  It issues also where network policies are not enforced (spec.require).")
	}
}

func labelPairs(labels map[string]string) []string {
	pairs := make([]string, 0, len(labels))
	for k, v := range labels {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return pairs
}
