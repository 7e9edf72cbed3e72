package objects

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// The kinds of Sallyport's own group that say something of identities and of what lies outside.
const (
	kindIdentity        = "WorkloadIdentity"
	kindAccess          = "AccessPolicy"
	kindExternal        = "ExternalService"
	kindClusterExternal = "ClusterExternalService"
)

var ownKinds = []string{kindIdentity, kindAccess, kindExternal, kindClusterExternal}

// own is an object of Sallyport's group as far as it was read. Exactly one field is set.
type own struct {
	identity *v1alpha1.WorkloadIdentitySpec
	access   *v1alpha1.AccessPolicySpec
	external *v1alpha1.ExternalServiceSpec
}

// maxOwnProblems is how many problems of one object are kept: nobody reads more, and each one is compared with those
// before it.
const maxOwnProblems = 500

// readOwn reads an object of Sallyport's own group, as strictly as its CRD's schema (L2). The checks run on the
// JSON tree, because the Go types no longer tell what is missing from what is empty.
func (p *policy) readOwn(kind string, data []byte) {
	tree, _ := decodeTree(data)
	root := node{v: tree}
	p.most = maxOwnProblems
	switch kind {
	case kindIdentity:
		obj := &v1alpha1.WorkloadIdentity{}
		if spec, ok := p.ownSpec(root, data, obj); ok {
			p.checkIdentity(spec)
		}
		if p.cut() || anyUnder(p.problems, "spec.serviceAccountName") {
			obj.Spec.ServiceAccountName = "" // which stands for all of the namespace (L4)
		}
		defaultIdentity(&obj.Spec)
		p.own = &own{identity: &obj.Spec}
	case kindAccess:
		obj := &v1alpha1.AccessPolicy{}
		if spec, ok := p.ownSpec(root, data, obj); ok {
			p.checkAccess(spec)
		}
		if p.cut() { // and so nothing is known of what
			obj.Spec = v1alpha1.AccessPolicySpec{}
		}
		if len(p.problems) > 0 {
			p.keepAccess(&obj.Spec)
		}
		defaultAccess(&obj.Spec)
		p.own = &own{access: &obj.Spec}
	case kindExternal, kindClusterExternal:
		obj := &v1alpha1.ExternalService{} // the other kind has the same fields
		if spec, ok := p.ownSpec(root, data, obj); ok {
			p.checkExternal(spec)
		}
		p.cut()
		defaultExternal(&obj.Spec)
		p.own = &own{external: &obj.Spec}
	}
}

// cut drops problems beyond those that are kept, and says so; it tells whether it did.
func (p *policy) cut() bool {
	if !p.full() {
		return false
	}
	p.problems = append(p.problems[:p.most], problem{text: "it has more problems than are listed"})
	return true
}

// ownSpec decodes an object and gives the place of its spec; ok is false where there is none, or nothing to add.
func (p *policy) ownSpec(root node, data []byte, obj any) (spec node, ok bool) {
	p.problems = slices.DeleteFunc(decodeInto(data, obj, true), func(q problem) bool { return under(q.path, "status") })
	for _, path := range nullItems("", root.v) {
		if !under(path, "status") {
			p.add(path, path+" is empty", "fill the item in or leave it out")
		}
	}
	var meta struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &meta); err != nil {
		meta.Metadata.Name, _ = root.child("metadata").child("name").v.(string)
		meta.Metadata.Namespace, _ = root.child("metadata").child("namespace").v.(string)
	}
	p.takeNames(&meta.Metadata)
	if p.full() {
		return spec, false // enough to say already
	}
	return p.required(root, "spec")
}

// text checks the length of a string, where there is one, and a pattern.
func (p *policy) text(n node, least, most int, pattern *regexp.Regexp, wanted string) {
	s, ok := n.v.(string)
	if !ok {
		return
	}
	switch length := utf8.RuneCountInString(s); {
	case s == "" && least > 0:
		p.add(n.path, n.path+" is empty", "")
	case length > most:
		p.add(n.path, fmt.Sprintf("%s has %d characters, at most %d are allowed", n.path, length, most), "")
	case pattern != nil && !pattern.MatchString(s):
		p.add(n.path, n.path+" "+quoteShort(s)+" is not "+wanted, "")
	}
}

// set checks a list of different strings.
func (p *policy) set(list node, least, most int, check func(n node)) {
	p.checkOwnCount(list, least, most)
	seen := map[string]bool{}
	for _, n := range list.items() {
		s, ok := n.v.(string)
		if !ok {
			continue
		}
		if seen[s] {
			p.add(n.path, n.path+" "+quoteShort(s)+" is in the list twice", "")
		}
		seen[s] = true
		check(n)
	}
}

// checkOwnCount is checkCount for lists that a longer one would make unclear, as no server ever took it.
func (p *policy) checkOwnCount(list node, least, most int) {
	items, ok := list.v.([]any)
	switch {
	case !ok:
	case len(items) < least:
		p.add(list.path, fmt.Sprintf("%s is empty, at least %d is needed", list.path, least), "")
	case len(items) > most:
		p.add(list.path, fmt.Sprintf("%s has %d items, at most %d are allowed", list.path, len(items), most), "")
	}
}

// ownResource makes the Snapshot's value of an object of Sallyport's group.
func (a *assembly) ownResource(it *item, unclear []string) {
	o, m := it.policy.own, it.policy.names.objectMeta()
	switch {
	case o.identity != nil:
		a.s.Identities = append(a.s.Identities, cluster.WorkloadIdentity{Origin: it.origin, Namespace: m.Namespace, Name: m.Name,
			Spec: o.identity, NotUnderstood: unclear})
	case o.access != nil:
		a.s.AccessPolicies = append(a.s.AccessPolicies, cluster.AccessPolicy{Origin: it.origin, Namespace: m.Namespace, Name: m.Name,
			Spec: o.access, NotUnderstood: unclear})
	case o.external != nil:
		a.s.External = append(a.s.External, cluster.ExternalService{Origin: it.origin, Namespace: m.Namespace, Name: m.Name,
			Spec: o.external, NotUnderstood: unclear})
	}
}

// checkLabels bounds a map of labels and checks its values as labels are.
func (p *policy) checkLabels(n node, most int) {
	m, ok := n.v.(map[string]any)
	if !ok {
		return
	}
	if len(m) > most {
		p.add(n.path, fmt.Sprintf("%s has %d labels, at most %d are allowed", n.path, len(m), most), "")
	}
	p.checkLabelValues(n)
	labels := map[string]string{}
	for k, v := range maps.All(m) {
		if s, ok := v.(string); ok {
			labels[k] = s
		}
	}
	p.checkSelector(n.path, &metav1.LabelSelector{MatchLabels: labels})
}

// checkPodSelector checks a selector of pods, which may be absent.
func (p *policy) checkPodSelector(n node) {
	p.checkLabelValues(n.child("matchLabels"))
	p.checkSelectorNode(n)
}

// checkLabelValues refuses labels without a value, such as a template leaves where one was forgotten: an API
// server drops them, so that the selector selects more than anybody meant.
func (p *policy) checkLabelValues(n node) {
	m, _ := n.v.(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] == nil {
			at := joinPath(n.path, k)
			p.add(at, at+" has no value", "write '' if the empty one is meant")
		}
	}
}
