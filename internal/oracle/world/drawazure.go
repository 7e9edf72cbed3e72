package world

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// The vocabularies of Azure's own products. What is no UUID is nearly one, or has one in it.
var (
	notUUIDs      = []string{"", "web", "0a000000000000000000000000000001", "{0a000000-0000-0000-0000-000000000001}", "0a000000-0000-0000-0000-000000000001 ", "urn:uuid:0a000000-0000-0000-0000-000000000001"}
	bindingValues = []string{"one", "one", "one", "two"}
	audiences     = []string{"api://AzureADTokenExchange", "api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov", "api://azureadtokenexchange", "https://vault", ""}
)

// drawAzureProducts adds service accounts and the objects of AAD Pod Identity, and makes pods ask for both. One
// of the two products alone is more frequent, as what one gives hides what the other does not.
func (w *World) drawAzureProducts(t *rapid.T, subjects []subject) {
	const both, tokens, podIdentity = 0, 1, 2
	what := pick(t, "products", both, tokens, tokens, podIdentity, podIdentity, podIdentity)
	each := func(labels *map[string]string, spec *corev1.PodSpec) {
		if what != podIdentity {
			drawToken(t, labels, spec)
		}
		if what != tokens {
			setLabel(labels, cluster.BindingLabel, pick(t, "binding of the pod", "one", "one", "one", "one", "One", "two", "", absent))
		}
	}
	for i := range w.Pods {
		each(&w.Pods[i].Labels, &w.Pods[i].Spec)
	}
	for i := range w.Deployments {
		each(&w.Deployments[i].Spec.Template.Labels, &w.Deployments[i].Spec.Template.Spec)
	}
	if what != podIdentity {
		w.drawEntraAccounts(t, subjects)
	}
	if what != tokens {
		w.drawPodIdentity(t, subjects)
	}
	w.External = append(w.External, drawAzureService(t, subjects, len(w.External)))
}

// drawAzureService draws a service that admits Azure identities, so that what is issued makes a difference.
func drawAzureService(t *rapid.T, subjects []subject, i int) Own[v1alpha1.ExternalService] {
	o := drawExternal(t, subjects, i)
	a := &v1alpha1.ExternalAuthentication{Mode: pick(t, "mode", v1alpha1.IdentityOnly, v1alpha1.IdentityOnly, v1alpha1.IdentityOrPassword)}
	a.Resource, a.Admitted = pick(t, "resource", resources...), []v1alpha1.AdmittedIdentity{}
	for range pick(t, "admitted", 1, 1, 1, 2, 2, 0) {
		azure := drawAzure(t)
		a.Admitted = append(a.Admitted, v1alpha1.AdmittedIdentity{Azure: &azure})
	}
	o.Object.Spec.Authentication = a
	return o
}

// absent is the value of a label or annotation that is not there.
const absent = "-"

// setLabel sets a label in a map of its own: a template shares its labels with its selector.
func setLabel(labels *map[string]string, key, value string) {
	if value == absent {
		return
	}
	out := maps.Clone(*labels)
	if out == nil {
		out = map[string]string{}
	}
	out[key] = value
	*labels = out
}

// drawToken adds the label for the webhook, a token for some audience, or both.
func drawToken(t *rapid.T, labels *map[string]string, spec *corev1.PodSpec) {
	setLabel(labels, cluster.EntraLabel, pick(t, "webhook", absent, absent, "true", "true", "True", "false"))
	if !oneIn(t, 3, "token") {
		return
	}
	volume := corev1.Volume{Name: "token"}
	volume.Projected = &corev1.ProjectedVolumeSource{}
	if oneIn(t, 4, "another source") {
		volume.Projected.Sources = append(volume.Projected.Sources, corev1.VolumeProjection{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "other", Audience: "other"}})
	}
	volume.Projected.Sources = append(volume.Projected.Sources, corev1.VolumeProjection{
		ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: pick(t, "audience", audiences...)}})
	spec.Volumes = append(spec.Volumes, volume)
}

// drawEntraAccounts adds the accounts of most subjects, most with annotations.
func (w *World) drawEntraAccounts(t *rapid.T, subjects []subject) {
	subjects = slices.Clone(subjects)
	slices.SortFunc(subjects, func(a, b subject) int {
		return slices.Compare([]string{a.namespace, a.account}, []string{b.namespace, b.account})
	})
	for _, who := range slices.Compact(subjects) {
		if oneIn(t, 6, "account not in the input") {
			continue
		}
		o := corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: metav1.ObjectMeta{Namespace: who.namespace, Name: who.account}}
		setLabel(&o.Annotations, cluster.EntraClientAnnotation, drawUUID(t, "client of the account", 8, clientIDs...))
		setLabel(&o.Annotations, cluster.EntraTenantAnnotation, drawUUID(t, "tenant of the account", 8, absent, absent, tenantIDs[1], tenantIDs[2], tenantIDs[3]))
		if oneIn(t, 6, "client not said") {
			delete(o.Annotations, cluster.EntraClientAnnotation)
		}
		w.Azure.Accounts = append(w.Azure.Accounts, o)
	}
}

// drawUUID draws one of a list, and once in n times what is none.
func drawUUID(t *rapid.T, label string, n int, from ...string) string {
	if oneIn(t, n, label+" no UUID") {
		return pick(t, label, notUUIDs...)
	}
	return pick(t, label, from...)
}

// drawPodIdentity adds the objects of AAD Pod Identity.
func (w *World) drawPodIdentity(t *rapid.T, subjects []subject) {
	a := &w.Azure
	a.Spelling = pick(t, "spelling", CamelCase, CamelCase, LowerCase, Capital)
	a.AddOn = oneIn(t, 5, "add-on")
	for i := range pick(t, "pod identities", 1, 1, 2, 2, 3, 0) {
		a.Identities = append(a.Identities, drawPodsIdentity(t, pick(t, "namespace", subjects...).namespace, i))
	}
	for i := range pick(t, "bindings", 1, 2, 2, 3, 0) {
		b := cluster.AzureIdentityBinding{Namespace: pick(t, "namespace", subjects...).namespace, Name: fmt.Sprintf("b%d", i),
			Identity: "i0", Selector: pick(t, "binding", bindingValues...)}
		if len(a.Identities) > 0 && !oneIn(t, 6, "any identity") {
			x := pick(t, "identity", a.Identities...).Object
			b.Namespace, b.Identity = x.Namespace, x.Name
		}
		if oneIn(t, 8, "selects nothing") {
			b.Selector = ""
		}
		a.Bindings = append(a.Bindings, b)
	}
	for i := range pick(t, "exceptions", 0, 0, 1, 1, 2) {
		e := cluster.AzurePodIdentityException{Namespace: pick(t, "namespace", subjects...).namespace, Name: fmt.Sprintf("e%d", i), PodLabels: map[string]string{}}
		for range pick(t, "labels of the exception", 1, 2) {
			label := pick(t, "excepted", [2]string{"app", "x"}, [2]string{"app", "X"}, [2]string{"env", "Z"}, [2]string{"App", "x"}, [2]string{"App", "x"}, [2]string{"App", "z"},
				[2]string{"env", ""}, [2]string{cluster.BindingLabel, "ONE"}, [2]string{cluster.BindingLabel, ""})
			e.PodLabels[label[0]] = label[1]
		}
		a.Exceptions = append(a.Exceptions, e)
	}
}

func drawPodsIdentity(t *rapid.T, namespace string, i int) AzureIdentity {
	x := AzureIdentity{Object: cluster.AzureIdentity{Namespace: namespace, Name: fmt.Sprintf("i%d", i)}}
	x.Object.Type = pick(t, "type", int64(0), 1, 1, 2)
	if oneIn(t, 12, "type not known") {
		x.Object.Type = pick(t, "no type", int64(3), -1)
	}
	x.Object.ClientID = drawUUID(t, "client of the identity", 10, clientIDs...)
	x.Object.TenantID = drawUUID(t, "tenant of the identity", 6, tenantIDs...)
	x.Behavior = pick(t, "behavior", "", "", "", "namespaced", "namespaced", "Namespaced")
	return x
}
