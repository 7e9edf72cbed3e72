// Package owncases has good and bad objects of Sallyport's own kinds, with what is said of the bad ones, for
// tests: the readers of files and a real API server with the CRDs must agree on each.
//
// The product must never import it, and it must never know how objects are read.
package owncases

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Case is one object.
type Case struct {
	Kind string
	// Spec is the spec as YAML on one line, or Object all but apiVersion and kind, on lines.
	Spec, Object string
	// Want are the problems, one on each line. Empty: the object is good.
	Want string
	// Stored is the spec of a good object as an API server keeps it. Empty: as it was written.
	Stored string
	// Differs says why an API server answers otherwise: takes what is bad, or refuses what is good.
	Differs string
}

// The kinds.
const (
	identity        = "WorkloadIdentity"
	access          = "AccessPolicy"
	external        = "ExternalService"
	clusterExternal = "ClusterExternalService"
)

// All gives every case; those of a kind together.
func All() []Case {
	out := slices.Concat(identities, accessPolicies, externalServices)
	for _, c := range externalServices[:clusterWide] {
		c.Kind = clusterExternal
		out = append(out, c)
	}
	return append(out, metadata...)
}

// Document gives the object as YAML, with a name where the case has no metadata of its own.
func (c *Case) Document(name string) string {
	text := "apiVersion: sallyport.dev/v1alpha1\nkind: " + c.Kind + "\n"
	if c.Object != "" {
		return text + c.Object + "\n"
	}
	return text + "metadata: {name: " + name + "}\nspec: " + c.Spec + "\n"
}

// String is short enough for the name of a test.
func (c *Case) String() string {
	text := c.Spec + strings.ReplaceAll(c.Object, "\n", " ")
	return c.Kind + " " + text[:min(len(text), 60)]
}

// times repeats items of a list; # in them is replaced by their number.
func times(n int, item string) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "%s, ", strings.ReplaceAll(item, "#", strconv.Itoa(i)))
	}
	return out.String()
}
