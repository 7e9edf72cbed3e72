package world

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/internal/cluster"
)

// Azure is what Azure's own products issue identities by (docs/layers.md, L13 to L15), beside the labels and
// volumes of pods.
type Azure struct {
	Accounts   []corev1.ServiceAccount
	Identities []AzureIdentity
	Bindings   []cluster.AzureIdentityBinding
	Exceptions []cluster.AzurePodIdentityException
	Spelling   Spelling // of the names of fields in the last three
	AddOn      bool     // Facts.PodIdentityAddOn: no manifest can say it
}

// AzureIdentity is an AzureIdentity as written; its annotation decides Namespaced.
type AzureIdentity struct {
	Object   cluster.AzureIdentity
	Behavior string // the annotation; empty if it has none
}

// Spelling is how names of fields are written: as the last version of AAD Pod Identity has them, as the first
// one had them, or with a capital (L14).
type Spelling int

// The spellings.
const (
	CamelCase Spelling = iota
	LowerCase
	Capital
)

func (s Spelling) of(field string) string {
	switch s {
	case LowerCase:
		return strings.ToLower(field)
	case Capital:
		return strings.ToUpper(field[:1]) + field[1:]
	}
	return field
}

func (a Azure) clone() Azure {
	out := a
	out.Identities, out.Bindings = slices.Clone(a.Identities), slices.Clone(a.Bindings)
	out.Accounts, out.Exceptions = nil, nil
	for _, o := range a.Accounts {
		out.Accounts = append(out.Accounts, *o.DeepCopy())
	}
	for _, e := range a.Exceptions {
		e.PodLabels = maps.Clone(e.PodLabels)
		out.Exceptions = append(out.Exceptions, e)
	}
	return out
}

func (a Azure) shuffle(r *rand.Rand) {
	shuffle(r, a.Accounts)
	shuffle(r, a.Identities)
	shuffle(r, a.Bindings)
	shuffle(r, a.Exceptions)
}

// addTo adds all to a Snapshot, as a reader would. The world is a clone already.
func (a Azure) addTo(s *cluster.Snapshot) {
	for _, o := range a.Accounts {
		s.Accounts = append(s.Accounts, cluster.ServiceAccount{Namespace: o.Namespace, Name: o.Name,
			EntraClient: annotation(o.Annotations, cluster.EntraClientAnnotation), EntraTenant: annotation(o.Annotations, cluster.EntraTenantAnnotation)})
	}
	for _, x := range a.Identities {
		x.Object.Namespaced = x.Behavior == "namespaced"
		s.AzureIdentities = append(s.AzureIdentities, x.Object)
	}
	s.AzureBindings, s.AzureExceptions = a.Bindings, a.Exceptions
	s.Facts.PodIdentityAddOn = a.AddOn
}

func annotation(from map[string]string, key string) *string {
	if value, ok := from[key]; ok {
		return &value
	}
	return nil
}

func sortAzure(s *cluster.Snapshot) {
	by := func(namespace1, namespace2, name1, name2 string) int {
		return cmp.Or(strings.Compare(namespace1, namespace2), strings.Compare(name1, name2))
	}
	slices.SortFunc(s.Accounts, func(a, b cluster.ServiceAccount) int { return by(a.Namespace, b.Namespace, a.Name, b.Name) })
	slices.SortFunc(s.AzureIdentities, func(a, b cluster.AzureIdentity) int { return by(a.Namespace, b.Namespace, a.Name, b.Name) })
	slices.SortFunc(s.AzureBindings, func(a, b cluster.AzureIdentityBinding) int { return by(a.Namespace, b.Namespace, a.Name, b.Name) })
	slices.SortFunc(s.AzureExceptions, func(a, b cluster.AzurePodIdentityException) int {
		return by(a.Namespace, b.Namespace, a.Name, b.Name)
	})
}

// hasToken is L13: who projects a token that Entra takes, and of what no server has sent also who asks the
// webhook for one.
func hasToken(labels map[string]string, spec *corev1.PodSpec, sent bool) bool {
	if !sent && labels[cluster.EntraLabel] == "true" {
		return true
	}
	for _, v := range spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken != nil && strings.HasPrefix(source.ServiceAccountToken.Audience, "api://AzureADTokenExchange") {
				return true
			}
		}
	}
	return false
}

// documents gives the objects as manifests have them.
func (a Azure) documents() (out []any) {
	for _, o := range a.Accounts {
		out = append(out, o)
	}
	for _, x := range a.Identities {
		spec := map[string]any{"type": x.Object.Type, "clientID": x.Object.ClientID}
		if x.Object.TenantID != "" {
			spec["tenantID"] = x.Object.TenantID
		}
		o := a.object("AzureIdentity", x.Object.Namespace, x.Object.Name, spec)
		if x.Behavior != "" {
			o["metadata"].(map[string]any)["annotations"] = map[string]string{cluster.BehaviorAnnotation: x.Behavior}
		}
		out = append(out, o)
	}
	for _, b := range a.Bindings {
		out = append(out, a.object("AzureIdentityBinding", b.Namespace, b.Name, map[string]any{"azureIdentity": b.Identity, "selector": b.Selector}))
	}
	for _, e := range a.Exceptions {
		out = append(out, a.object("AzurePodIdentityException", e.Namespace, e.Name, map[string]any{"podLabels": e.PodLabels}))
	}
	return out
}

func (a Azure) object(kind, namespace, name string, fields map[string]any) map[string]any {
	spec := map[string]any{}
	for field, value := range fields {
		spec[a.Spelling.of(field)] = value
	}
	return map[string]any{"apiVersion": "aadpodidentity.k8s.io/v1", "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec}
}
