package world

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// The vocabularies of layers. Of two spellings that mean the same both are there.
var (
	accountNames = []string{"web", "api", "default"}
	trustDomains = []string{"cluster.local", "cluster.local", "cluster.local", "example.org"}
	clientIDs    = []string{"0a000000-0000-0000-0000-000000000001", "0A000000-0000-0000-0000-000000000001", "0a000000-0000-0000-0000-000000000002"}
	tenantIDs    = []string{"", "0b000000-0000-0000-0000-000000000001", "0B000000-0000-0000-0000-000000000001", "0b000000-0000-0000-0000-000000000002"}
	resources    = []string{"https://database.windows.net", "https://database.windows.net/", "https://database.windows.net//", "https://vault.azure.net"}
)

// What no file may say and a server may send.
const (
	brokenPort     = "UPPER"
	brokenOperator = "Near"
	brokenMode     = "Both"
)

// subject is a namespace and a service account.
type subject struct{ namespace, account string }

// drawLayers adds service accounts, the four resources, what Azure issues identities by, and what could not be read.
func (w *World) drawLayers(t *rapid.T) {
	w.drawAccounts(t)
	subjects := w.subjects()
	for i := range pick(t, "identities", 1, 2, 2, 3, 4, 0) {
		w.Identities = append(w.Identities, drawIdentity(t, subjects, i))
	}
	for i := range pick(t, "services", 1, 2, 2, 3, 0) {
		w.External = append(w.External, drawExternal(t, subjects, i))
	}
	for i := range pick(t, "access policies", 1, 2, 2, 3, 4, 0) {
		w.AccessPolicies = append(w.AccessPolicies, w.drawAccess(t, subjects, i))
	}
	if oneIn(t, 3, "azure") {
		w.drawAzureProducts(t, subjects)
	}
	if oneIn(t, 12, "unreadable") {
		missing := pick(t, "missing", cluster.MissingLayers, cluster.MissingLayers, cluster.MissingPolicies, cluster.MissingForeign, cluster.MissingObjects)
		w.Unreadable = append(w.Unreadable, cluster.Unreadable{Why: "drawn as something that is not read", Missing: missing})
	}
}

func (w *World) drawAccounts(t *rapid.T) {
	for i := range w.Pods {
		w.Pods[i].Spec.ServiceAccountName = pick(t, "account", "web", "web", "api", "")
	}
	for i := range w.Deployments {
		w.Deployments[i].Spec.Template.Spec.ServiceAccountName = pick(t, "account", "web", "web", "api", "")
	}
}

// subjects lists those of the pods, so that resources are about somebody, and one that may be nobody.
func (w *World) subjects() []subject {
	out := []subject{{"blue", "web"}}
	add := func(namespace, account string) {
		if account == "" {
			account = "default"
		}
		out = append(out, subject{namespace, account})
	}
	for _, p := range w.Pods {
		add(p.Namespace, p.Spec.ServiceAccountName)
	}
	for _, d := range w.Deployments {
		add(d.Namespace, d.Spec.Template.Spec.ServiceAccountName)
	}
	return out
}

func ownMeta(kind, namespace, name string) (metav1.TypeMeta, metav1.ObjectMeta) {
	return metav1.TypeMeta{APIVersion: v1alpha1.Group + "/" + v1alpha1.Version, Kind: kind}, metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// several draws up to most different ones.
func several[T comparable](t *rapid.T, label string, least, most int, from ...T) []T {
	out := []T{}
	for range least + ints[most-least+1].Draw(t, label+" count") {
		if x := pick(t, label, from...); !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

func drawIdentity(t *rapid.T, subjects []subject, i int) Own[v1alpha1.WorkloadIdentity] {
	var o Own[v1alpha1.WorkloadIdentity]
	who := pick(t, "whose identity", subjects...)
	o.Object.TypeMeta, o.Object.ObjectMeta = ownMeta("WorkloadIdentity", who.namespace, fmt.Sprintf("w%d", i))
	spec := &o.Object.Spec
	spec.ServiceAccountName = who.account
	if oneIn(t, 4, "narrowed") {
		s := drawSelector(t, "pods of the identity")
		spec.PodSelector = &s
	}
	if oneIn(t, 6, "jwt") {
		spec.JWT = &v1alpha1.JWTSVID{Audiences: []string{"me"}}
	}
	if enforced := pick(t, "network enforced", 0, 0, 1, 2); enforced > 0 {
		required := enforced == 1
		spec.Require.NetworkEnforced = &required
	}
	for range pick(t, "azure identities", 0, 1, 1, 1, 2) {
		spec.ExternalIdentities = append(spec.ExternalIdentities, v1alpha1.ExternalIdentity{Azure: &v1alpha1.AzureGrant{
			AzureIdentity: drawAzure(t), Resources: several(t, "resources", 1, 2, resources...)}})
	}
	if o.FromServer = oneIn(t, 10, "not understood"); o.FromServer {
		breakIdentity(t, spec)
	}
	return o
}

func drawAzure(t *rapid.T) v1alpha1.AzureIdentity {
	return v1alpha1.AzureIdentity{ClientID: pick(t, "client", clientIDs...), TenantID: pick(t, "tenant", tenantIDs...)}
}

// breakIdentity adds a part that is not understood.
func breakIdentity(t *rapid.T, spec *v1alpha1.WorkloadIdentitySpec) {
	switch pick(t, "broken", "account", "selector", "client") {
	case "account":
		spec.ServiceAccountName = ""
	case "selector":
		s := exprs(req("app", brokenOperator, "x"))
		spec.PodSelector = &s
	default:
		spec.ExternalIdentities = []v1alpha1.ExternalIdentity{{Azure: &v1alpha1.AzureGrant{
			AzureIdentity: v1alpha1.AzureIdentity{ClientID: "nobody"}, Resources: []string{resources[0]}}}}
	}
}

func (w *World) drawAccess(t *rapid.T, subjects []subject, i int) Own[v1alpha1.AccessPolicy] {
	var o Own[v1alpha1.AccessPolicy]
	namespace := pick(t, "namespace", subjects...).namespace
	spec := &o.Object.Spec
	if len(w.External) > 0 && oneIn(t, 2, "about a service") {
		x := pick(t, "service", w.External...).Object
		ref := &v1alpha1.ExternalServiceReference{Name: x.Name}
		switch {
		case x.Namespace == "":
			ref.Kind = "ClusterExternalService"
		case oneIn(t, 3, "kind written"):
			ref.Kind = "ExternalService"
		}
		if x.Namespace != "" && !oneIn(t, 8, "service of another namespace") {
			namespace = x.Namespace
		}
		spec.Target.ExternalService = ref
	} else {
		spec.Target.Pods = drawPodTarget(t)
		spec.EnforcedBy = pick(t, "enforced by", v1alpha1.EnforcerGate, v1alpha1.EnforcerApplication, "")
	}
	o.Object.TypeMeta, o.Object.ObjectMeta = ownMeta("AccessPolicy", namespace, fmt.Sprintf("a%d", i))
	spec.Mode = pick(t, "mode", "", "", "", v1alpha1.ModeEnforce, v1alpha1.ModeAudit)
	spec.Project.Network = oneIn(t, 3, "projected")
	spec.Rules = []v1alpha1.AccessRule{}
	for range pick(t, "rules", 1, 1, 2, 2, 3, 0) {
		spec.Rules = append(spec.Rules, drawAccessRule(t, subjects))
	}
	if o.FromServer = oneIn(t, 12, "not understood"); o.FromServer {
		breakAccess(t, spec)
	}
	return o
}

func drawPodTarget(t *rapid.T) *v1alpha1.PodTarget {
	target := &v1alpha1.PodTarget{PodSelector: drawSelector(t, "target pods")}
	if oneIn(t, 2, "ports") {
		for range pick(t, "target ports", 1, 1, 2) {
			target.Ports = append(target.Ports, drawTargetPort(t))
		}
	}
	return target
}

func drawTargetPort(t *rapid.T) v1alpha1.TargetPort {
	port := func(n int32, end int32, protocol corev1.Protocol) v1alpha1.TargetPort {
		p := v1alpha1.TargetPort{Port: intstr.FromInt32(n), Protocol: protocol}
		if end > 0 {
			p.EndPort = &end
		}
		return p
	}
	named := func(name string, protocol corev1.Protocol) v1alpha1.TargetPort {
		return v1alpha1.TargetPort{Port: intstr.FromString(name), Protocol: protocol}
	}
	return pick(t, "target port", port(80, 0, ""), named("http", ""), port(80, 81, ""), port(81, 8080, "TCP"), port(53, 0, "UDP"), port(1, 65535, ""),
		named("dns", "UDP"), named("http", "TCP"), named("http", "SCTP"), named("none", ""), port(443, 443, "SCTP"), port(82, 8079, ""))
}

func drawAccessRule(t *rapid.T, subjects []subject) v1alpha1.AccessRule {
	r := v1alpha1.AccessRule{Action: pick(t, "action", v1alpha1.ActionAllow, v1alpha1.ActionAllow, v1alpha1.ActionAllow, v1alpha1.ActionDeny)}
	for range pick(t, "peers", 1, 1, 2, 3) {
		r.From = append(r.From, drawAccessPeer(t, subjects))
	}
	return r
}

func drawAccessPeer(t *rapid.T, subjects []subject) v1alpha1.AccessPeer {
	who := pick(t, "peer", subjects...)
	name := pick(t, "trust domain", trustDomains...)
	id, domain := spiffeID(name, who), "spiffe://"+name
	switch pick(t, "kind of peer", "account", "account of own", "id", "prefix", "prefix") {
	case "account":
		return v1alpha1.AccessPeer{ServiceAccount: &v1alpha1.ServiceAccountPeer{Namespace: who.namespace, Name: who.account}}
	case "account of own":
		return v1alpha1.AccessPeer{ServiceAccount: &v1alpha1.ServiceAccountPeer{Name: pick(t, "account", accountNames...)}}
	case "id":
		return v1alpha1.AccessPeer{SPIFFEID: pick(t, "id", id, id, domain+"/ns/"+who.namespace)} // the last is nobody's
	}
	// The last two end within a segment.
	return v1alpha1.AccessPeer{SPIFFEIDPrefix: pick(t, "prefix", id, domain+"/ns/"+who.namespace, domain, domain+"/ns", id[:len(id)-1], domain+"/ns/b")}
}

func spiffeID(domain string, who subject) string {
	return "spiffe://" + domain + "/ns/" + who.namespace + "/sa/" + who.account
}

// breakAccess adds a part that is not understood.
func breakAccess(t *rapid.T, spec *v1alpha1.AccessPolicySpec) {
	both := &v1alpha1.ExternalServiceReference{Name: "x0"}
	what := pick(t, "broken", "action", "no target", "two targets", "mode", "account", "peer", "port", "selector")
	switch what {
	case "port":
		spec.Target = v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{Ports: []v1alpha1.TargetPort{{Port: intstr.FromString(brokenPort)}}}}
	case "selector":
		spec.Target = v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{PodSelector: exprs(req("app", brokenOperator, "x"))}}
	case "no target":
		spec.Target = v1alpha1.AccessTarget{}
	case "two targets":
		spec.Target.ExternalService = both
		spec.Target.Pods, spec.EnforcedBy = drawPodTarget(t), "" // nobody says that of a service
	case "mode":
		spec.Mode = brokenMode
	default:
		peer := v1alpha1.AccessPeer{}
		if what == "account" {
			peer.ServiceAccount = &v1alpha1.ServiceAccountPeer{}
		}
		action := v1alpha1.ActionAllow
		if what == "action" {
			action, peer.SPIFFEID = "Permit", "spiffe://cluster.local/ns/blue/sa/web"
		}
		spec.Rules = append(spec.Rules, v1alpha1.AccessRule{Action: action, From: []v1alpha1.AccessPeer{peer}})
	}
}
