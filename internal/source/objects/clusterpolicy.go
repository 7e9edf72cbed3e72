package objects

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policyv1alpha1 "sigs.k8s.io/network-policy-api/apis/v1alpha1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// dialect is what differs between the kinds of cluster-wide policy as written.
type dialect struct {
	object      func() any // a new object of the written type
	tiers       []string   // legal values of spec.tier; nil: there is no such field
	priority    bool       // spec.priority is required
	name        string     // the only legal name, or ""
	actions     []string
	maxItems    int // rules per direction, and peers and ports per rule
	ports       string
	checkPort   func(p *policy, n node)
	domainNames bool
	convert     func(obj any) *policyv1alpha2.ClusterNetworkPolicy
}

var clusterDialect = dialect{
	object:      func() any { return &policyv1alpha2.ClusterNetworkPolicy{} },
	tiers:       []string{"Admin", "Baseline"},
	priority:    true,
	actions:     []string{"Accept", "Deny", "Pass"},
	maxItems:    25,
	ports:       "protocols",
	checkPort:   (*policy).checkProtocol,
	domainNames: true,
	convert:     func(obj any) *policyv1alpha2.ClusterNetworkPolicy { return obj.(*policyv1alpha2.ClusterNetworkPolicy) },
}

var adminDialect = dialect{
	object:      func() any { return &policyv1alpha1.AdminNetworkPolicy{} },
	priority:    true,
	actions:     []string{"Allow", "Deny", "Pass"},
	maxItems:    100,
	ports:       "ports",
	checkPort:   (*policy).checkAdminPort,
	domainNames: true,
	convert: func(obj any) *policyv1alpha2.ClusterNetworkPolicy {
		return fromAdmin(obj.(*policyv1alpha1.AdminNetworkPolicy))
	},
}

var baselineDialect = dialect{
	object:    func() any { return &policyv1alpha1.BaselineAdminNetworkPolicy{} },
	name:      "default",
	actions:   []string{"Allow", "Deny"},
	maxItems:  100,
	ports:     "ports",
	checkPort: (*policy).checkAdminPort,
	convert: func(obj any) *policyv1alpha2.ClusterNetworkPolicy {
		return fromBaseline(obj.(*policyv1alpha1.BaselineAdminNetworkPolicy))
	},
}

// readClusterPolicy reads a cluster-wide policy of any dialect (S40 to S45). The checks run on the
// JSON tree, because they count which fields are present, which the Go types no longer tell.
func (p *policy) readClusterPolicy(data []byte, d dialect) {
	obj := d.object()
	p.problems = decodeInto(data, obj, true)
	tree, _ := decodeTree(data)
	root := node{v: tree}
	var meta struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &meta); err != nil {
		meta.Metadata.Name, _ = root.child("metadata").child("name").v.(string)
	}
	p.takeNames(&meta.Metadata)
	if d.name != "" && p.names.Name != "" && p.names.Name != d.name {
		p.add("metadata.name", fmt.Sprintf("metadata.name must be %s: a cluster has only one policy of this kind", d.name), "")
	}
	spec, ok := p.required(root, "spec")
	if ok {
		p.checkClusterSpec(spec, &d)
	}
	out := d.convert(obj)
	out.TypeMeta, out.ObjectMeta, out.Status = metav1.TypeMeta{}, metav1.ObjectMeta{}, policyv1alpha2.ClusterNetworkPolicyStatus{}
	p.cluster = out
	if len(p.problems) > 0 {
		p.poison(&out.Spec, &d)
	}
}

// node is a place in a JSON tree. A node that is not there has a nil value.
type node struct {
	path string
	v    any
}

func (n node) child(name string) node {
	m, _ := n.v.(map[string]any)
	return node{joinPath(n.path, name), m[name]}
}

// items gives the entries of a list, or nothing if it is none.
func (n node) items() []node {
	list, _ := n.v.([]any)
	out := make([]node, len(list))
	for i := range list {
		out[i] = node{indexPath(n.path, i), list[i]}
	}
	return out
}

// keys gives the fields that are set, null ones left out as servers drop them.
func (n node) keys() []string {
	m, _ := n.v.(map[string]any)
	var out []string
	for k, v := range m {
		if v != nil {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (p *policy) required(parent node, name string) (node, bool) {
	n := parent.child(name)
	if n.v == nil {
		p.add(n.path, n.path+" is missing", "")
	}
	return n, n.v != nil
}

// one checks that exactly one of the fields is set and gives it.
func (p *policy) one(n node, fields ...string) (node, bool) {
	if anyUnder(p.problems, n.path) { // a field that is not known may be the one that was meant
		return node{}, false
	}
	var set []string
	for _, k := range n.keys() {
		if slices.Contains(fields, k) {
			set = append(set, k)
		}
	}
	if len(set) == 1 {
		return n.child(set[0]), true
	}
	what := "none is set"
	if len(set) > 1 {
		what = "set are " + strings.Join(set, " and ")
	}
	wanted := "exactly one of "
	if len(fields) == 1 {
		wanted = ""
	}
	p.add(n.path, n.path+" needs "+wanted+strings.Join(fields, ", ")+", but "+what, "")
	return node{}, false
}

func (p *policy) checkClusterSpec(spec node, d *dialect) {
	if d.tiers != nil {
		if tier, ok := p.required(spec, "tier"); ok {
			p.checkEnum(tier, d.tiers)
		}
	}
	if d.priority {
		if priority, ok := p.required(spec, "priority"); ok {
			p.checkNumber(priority, 0, 1000)
		}
	}
	if subject, ok := p.required(spec, "subject"); ok {
		p.checkPodsOrNamespaces(subject)
	}
	for _, dir := range []string{"ingress", "egress"} {
		list := spec.child(dir)
		p.checkCount(list, 0, d.maxItems)
		for _, rule := range list.items() {
			p.checkClusterRule(rule, dir, d)
		}
	}
}

func (p *policy) checkPodsOrNamespaces(n node) {
	if field, ok := p.one(n, "namespaces", "pods"); ok {
		p.checkSelectorPeer(field)
	}
}

// checkSelectorPeer checks the value of a field namespaces, nodes or pods.
func (p *policy) checkSelectorPeer(n node) {
	if !strings.HasSuffix(n.path, ".pods") {
		p.checkSelectorNode(n)
		return
	}
	if s, ok := p.required(n, "podSelector"); ok {
		p.checkSelectorNode(s)
	}
	p.checkSelectorNode(n.child("namespaceSelector"))
}

func (p *policy) checkSelectorNode(n node) {
	data, err := json.Marshal(n.v)
	if err != nil || n.v == nil {
		return
	}
	var s metav1.LabelSelector
	if kjson.UnmarshalCaseSensitivePreserveInts(data, &s) == nil {
		p.checkSelector(n.path, &s)
	}
}

func (p *policy) checkClusterRule(rule node, dir string, d *dialect) {
	if action, ok := p.required(rule, "action"); ok {
		p.checkEnum(action, d.actions)
	}
	if name, ok := rule.child("name").v.(string); ok && utf8.RuneCountInString(name) > 100 {
		p.add(rule.path+".name", rule.path+".name is longer than 100 characters", "")
	}
	list := "from"
	if dir == "egress" {
		list = "to"
	}
	placeless := "" // a peer that has no named ports
	if peers, ok := p.required(rule, list); ok {
		p.checkCount(peers, 1, d.maxItems)
		for _, peer := range peers.items() {
			if kind := p.checkClusterPeer(peer, dir, d); kind != "" {
				placeless = kind
			}
		}
	}
	ports := rule.child(d.ports)
	p.checkCount(ports, 1, d.maxItems)
	for _, n := range ports.items() {
		d.checkPort(p, n)
		if placeless != "" && (n.child("destinationNamedPort").v != nil || n.child("namedPort").v != nil) {
			p.add(n.path, fmt.Sprintf("%s is a named port, which cannot be used with %s: they have no named ports", n.path, placeless), "")
		}
	}
	if action, _ := rule.child("action").v.(string); placeless == "domainNames" && (action == "Deny" || action == "Pass") {
		p.add(rule.path+".action", fmt.Sprintf("%s.action %s cannot be used with domainNames, only %s can", rule.path, action, d.actions[0]), "")
	}
}

// checkClusterPeer gives the name of the peer's field if it is one without named ports (S44).
func (p *policy) checkClusterPeer(peer node, dir string, d *dialect) string {
	if dir == "ingress" {
		p.checkPodsOrNamespaces(peer)
		return ""
	}
	fields := []string{"namespaces", "pods", "nodes", "networks"}
	if d.domainNames {
		fields = append(fields, "domainNames")
	}
	field, ok := p.one(peer, fields...)
	if !ok {
		return ""
	}
	_, name, _ := cutLast(field.path)
	switch name {
	case "networks":
		p.checkSet(field, p.checkNetwork)
	case "domainNames":
		p.checkSet(field, p.checkDomainName)
	case "nodes":
		p.checkSelectorPeer(field)
	default:
		p.checkSelectorPeer(field)
		return ""
	}
	return name
}

// checkSet checks a list of 1 to 25 different strings.
func (p *policy) checkSet(list node, check func(n node, s string)) {
	p.checkCount(list, 1, 25)
	seen := map[string]bool{}
	for _, n := range list.items() {
		s, ok := n.v.(string)
		if !ok {
			continue // the decoder has reported it
		}
		if seen[s] {
			p.add(n.path, n.path+" "+quoteShort(s)+" is in the list twice", "")
		}
		seen[s] = true
		check(n, s)
	}
}

// checkCount checks the length of a list that may be absent.
func (p *policy) checkCount(list node, least, most int) {
	items, ok := list.v.([]any)
	switch {
	case !ok:
	case len(items) < least:
		p.add(list.path, list.path+" is empty, which is not valid here", "")
	case len(items) > most:
		p.problems = append(p.problems, problem{path: list.path, harmless: true,
			text: fmt.Sprintf("%s has %d items, at most %d are allowed", list.path, len(items), most)})
	}
}

func (p *policy) checkEnum(n node, values []string) {
	s, ok := n.v.(string)
	if !ok || slices.Contains(values, s) {
		return
	}
	hint := "use " + strings.Join(values, ", ")
	if near := nearest(s, values); near != "" {
		hint = "did you mean " + near + "?"
	}
	p.add(n.path, n.path+" "+quoteShort(s)+" is not known", hint)
}

func (p *policy) checkNumber(n node, least, most int64) {
	if i, ok := n.v.(int64); ok && (i < least || i > most) {
		p.add(n.path, fmt.Sprintf("%s %d is not between %d and %d", n.path, i, least, most), "")
	}
}
