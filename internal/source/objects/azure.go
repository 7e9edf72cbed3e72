package objects

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
)

// The kinds of Azure AD Pod Identity (docs/layers.md, L14 and L15).
const (
	kindAzureIdentity  = "AzureIdentity"
	kindAzureBinding   = "AzureIdentityBinding"
	kindAzureException = "AzurePodIdentityException"
)

// azureFields are the fields of their specs that are read.
var azureFields = map[string][]string{
	kindAzureIdentity:  {"type", "clientID", "tenantID"},
	kindAzureBinding:   {"azureIdentity", "selector"},
	kindAzureException: {"podLabels"},
}

// azureObject is an object of one of these kinds. Names of fields are matched case apart, because that product's
// own pages spelled them in several ways.
type azureObject struct {
	typeMeta
	Metadata nameMeta       `json:"metadata,omitzero"`
	Spec     map[string]any `json:"spec,omitempty"`
}

func (o *azureObject) names() *nameMeta { return &o.Metadata }

// trim drops the fields that are not read, such as where a password lies.
func (o *azureObject) trim() {
	maps.DeleteFunc(o.Spec, func(name string, _ any) bool {
		return !slices.ContainsFunc(azureFields[o.Kind], func(f string) bool { return strings.EqualFold(f, name) })
	})
}

// azureFieldOf reads a field of a spec into what out points to. Problems are added to the item.
func azureFieldOf(it *item, o *azureObject, name, wanted string, out any) {
	found := o.spellings(name)
	switch len(found) {
	case 0:
		return
	case 1:
	default:
		it.problems = append(it.problems, problem{path: joinPath("spec", found[1]),
			text: fmt.Sprintf("spec.%s is given twice, as %s too", Safe(found[1]), Safe(found[0])), hint: "keep one of the two"})
		return
	}
	path := joinPath("spec", found[0])
	data, err := json.Marshal(o.Spec[found[0]])
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		it.problems = append(it.problems, problem{path: path, text: Safe(path) + " is not " + wanted})
	}
}

// spellings lists the fields of a spec that are meant by a name and have a value.
func (o *azureObject) spellings(name string) []string {
	var out []string
	for k, v := range o.Spec {
		if v != nil && strings.EqualFold(k, name) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// respell makes places inside the object known by the names that azureFields has, by which findings go.
func (o *azureObject) respell(it *item) {
	it.ignores = slices.Clone(it.ignores)
	for _, name := range azureFields[o.Kind] {
		written := o.spellings(name)
		if len(written) != 1 || written[0] == name {
			continue
		}
		from, to := joinPath("spec", written[0]), joinPath("spec", name)
		for _, path := range slices.Collect(maps.Keys(it.origin.Lines)) {
			if under(path, from) {
				it.origin.Lines[to+path[len(from):]] = it.origin.Lines[path]
			}
		}
		for i := range it.ignores {
			if c := &it.ignores[i]; under(c.Path, from) {
				c.Path = to + c.Path[len(from):]
			}
		}
	}
}

// azure reads an object of Azure AD Pod Identity.
func (a *assembly) azure(it *item, o *azureObject) {
	k := it.key
	switch k.kind {
	case kindAzureIdentity:
		x := cluster.AzureIdentity{Origin: it.origin, Namespace: k.namespace, Name: k.name,
			Namespaced: o.Metadata.Annotations[cluster.BehaviorAnnotation] == "namespaced"}
		azureFieldOf(it, o, "type", "a number", &x.Type)
		azureFieldOf(it, o, "clientID", "a text", &x.ClientID)
		azureFieldOf(it, o, "tenantID", "a text", &x.TenantID)
		a.s.AzureIdentities = append(a.s.AzureIdentities, x)
	case kindAzureBinding:
		x := cluster.AzureIdentityBinding{Origin: it.origin, Namespace: k.namespace, Name: k.name}
		azureFieldOf(it, o, "azureIdentity", "a text", &x.Identity)
		azureFieldOf(it, o, "selector", "a text", &x.Selector)
		a.s.AzureBindings = append(a.s.AzureBindings, x)
	case kindAzureException:
		x := cluster.AzurePodIdentityException{Origin: it.origin, Namespace: k.namespace, Name: k.name}
		azureFieldOf(it, o, "podLabels", "a map of labels", &x.PodLabels)
		a.s.AzureExceptions = append(a.s.AzureExceptions, x)
	}
	a.b.report(it)
}

// entraAudience begins the audiences that Entra takes tokens for: those of other clouds go on with their name.
const entraAudience = "api://AzureADTokenExchange"

// volume is a volume of a pod, of which only tokens of its service account are read.
type volume struct {
	Projected *projected `json:"projected,omitempty"`
}

type projected struct {
	Sources []projection `json:"sources,omitempty"`
}

type projection struct {
	Token *accountToken `json:"serviceAccountToken,omitempty"`
}

type accountToken struct {
	Audience string `json:"audience,omitempty"`
}

func (p *projection) forEntra() bool {
	return p.Token != nil && strings.HasPrefix(p.Token.Audience, entraAudience)
}

// projectsEntra tells whether a pod projects a token that Entra takes (L13).
func (s *podSpec) projectsEntra() bool { return len(s.entraVolumes()) > 0 }

// entraVolumes keeps of the volumes those that project such a token, and of these nothing else.
func (s *podSpec) entraVolumes() []volume {
	var out []volume
	for _, v := range s.Volumes {
		if v.Projected == nil {
			continue
		}
		if v.Projected.Sources = slices.DeleteFunc(v.Projected.Sources, func(p projection) bool { return !p.forEntra() }); len(v.Projected.Sources) > 0 {
			out = append(out, v)
		}
	}
	return out
}

// webhookVolume is what the webhook adds to a pod that has its label.
func webhookVolume() []volume {
	return []volume{{&projected{[]projection{{&accountToken{entraAudience}}}}}}
}

// annotation gives an annotation, or nil.
func annotation(m *nameMeta, name string) *string {
	if v, ok := m.Annotations[name]; ok {
		return &v
	}
	return nil
}

// keptAnnotations lists the annotations of others that are read of a kind of object.
func keptAnnotations(obj slim) []string {
	switch obj.(type) {
	case *accountObject:
		return []string{cluster.EntraClientAnnotation, cluster.EntraTenantAnnotation}
	case *azureObject:
		return []string{cluster.BehaviorAnnotation}
	}
	return nil
}
