package objects

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation"
)

// checkNames checks name and namespace as the API server does: what is no DNS name never was an
// object, and must not come to look like one in a report. It gives nil if all is well.
func checkNames(kind string, m *nameMeta, namespaced bool) []problem {
	var out []problem
	rule := validation.IsDNS1123Subdomain
	switch kind {
	case "Namespace":
		rule = validation.IsDNS1123Label
	case "RoleBinding", "ClusterRoleBinding": // their names may have colons
		rule = path.IsValidPathSegmentName
	}
	switch {
	case kind == "Snapshot":
		m.Name = "snapshot"
	case m.Name == "" && m.GenerateName != "":
		out = append(out, problem{path: "metadata.generateName", text: "metadata.name is missing: generateName alone names nothing yet",
			hint: "give the object a name"})
	case m.Name == "":
		out = append(out, problem{path: "metadata", text: "metadata.name is missing"})
	default:
		for _, why := range rule(m.Name) {
			out = append(out, problem{path: "metadata.name", text: fmt.Sprintf("metadata.name %s is not valid: %s", quoteShort(m.Name), why)})
		}
	}
	if namespaced && m.Namespace != "" {
		for _, why := range validation.IsDNS1123Label(m.Namespace) {
			out = append(out, problem{path: "metadata.namespace", text: fmt.Sprintf("metadata.namespace %s is not valid: %s", quoteShort(m.Namespace), why)})
		}
	}
	return out
}
