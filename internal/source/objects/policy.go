package objects

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
)

// policy is an object that is read strictly, as far as it was. Exactly one of network, cluster and own is set.
type policy struct {
	raw      []byte // as it was given, for Pruned
	names    nameMeta
	problems []problem
	most     int // problems that are kept; 0: all
	notes    []problem
	network  *networkingv1.NetworkPolicy
	cluster  *policyv1alpha2.ClusterNetworkPolicy
	own      *own
}

// readPolicy decodes a policy strictly and checks it as the API server would (S2). With problems,
// the object holds what was understood, and the rest in a form that matches nothing (S32, S43).
func readPolicy(kind string, data []byte) *policy {
	p := &policy{raw: slices.Clone(data)}
	switch kind {
	case "NetworkPolicy":
		p.readNetworkPolicy(data)
	case "ClusterNetworkPolicy":
		p.readClusterPolicy(data, clusterDialect)
	case "AdminNetworkPolicy":
		p.readClusterPolicy(data, adminDialect)
	case "BaselineAdminNetworkPolicy":
		p.readClusterPolicy(data, baselineDialect)
	default:
		p.readOwn(kind, data)
	}
	return p
}

// full tells whether no more problems are kept.
func (p *policy) full() bool { return p.most > 0 && len(p.problems) >= p.most }

// add records a problem unless its place already has one.
func (p *policy) add(path, text, hint string) {
	if !p.full() && !covered(p.problems, path) {
		p.problems = append(p.problems, problem{path: path, text: text, hint: hint})
	}
}

// note records something people should know although it is legal.
func (p *policy) note(path, text string) {
	p.notes = append(p.notes, problem{path: path, text: text})
}

// takeNames copies what is read of the metadata.
func (p *policy) takeNames(m *metav1.ObjectMeta) {
	p.names = nameMeta{Name: m.Name, Namespace: m.Namespace, GenerateName: m.GenerateName}
	for k, v := range m.Annotations {
		if strings.HasPrefix(k, groupOwn+"/") {
			if p.names.Annotations == nil {
				p.names.Annotations = map[string]string{}
			}
			p.names.Annotations[k] = v
		}
	}
	if v, ok := m.Annotations[cluster.EstablishedAnnotation]; ok && v != cluster.KeepEstablished && v != cluster.CutEstablished {
		p.note("metadata.annotations."+cluster.EstablishedAnnotation, fmt.Sprintf("%s is %q, and may be %s or %s: connections that the policy ceases to allow are cut",
			cluster.EstablishedAnnotation, v, cluster.KeepEstablished, cluster.CutEstablished))
	}
}

// objectMeta gives the metadata that the Snapshot keeps.
func (m *nameMeta) objectMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, Annotations: maps.Clone(m.Annotations)}
}

// checkSelector checks operators, values, keys and label syntax the way servers do.
func (p *policy) checkSelector(path string, s *metav1.LabelSelector) {
	known := slices.Clone(p.problems) // labels come in no order: none of them may hide another
	for _, e := range metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, field.NewPath("x")) {
		at := path + strings.TrimPrefix(e.Field, "x")
		if p.full() || covered(known, at) {
			continue
		}
		text := at
		if value := reflect.ValueOf(e.BadValue); value.Kind() == reflect.String && e.Type == field.ErrorTypeInvalid {
			text += " " + quoteShort(value.String())
		}
		p.problems = append(p.problems, problem{path: at, text: text + ": " + SafeText(e.Detail), hint: operatorHint(e)})
	}
}

func operatorHint(e *field.Error) string {
	if strings.HasSuffix(e.Field, ".operator") {
		return "use In, NotIn, Exists or DoesNotExist"
	}
	return ""
}

// nullItems lists the null items of lists in a tree. A decoder reads null as an empty item, and an
// empty item of a policy means everything; nobody who leaves a lone dash means that.
func nullItems(path string, v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, nullItems(joinPath(path, k), v[k])...)
		}
	case []any:
		for i := range v {
			if v[i] == nil {
				out = append(out, indexPath(path, i))
			}
			out = append(out, nullItems(indexPath(path, i), v[i])...)
		}
	}
	return out
}
