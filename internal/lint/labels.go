package lint

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/policy"
)

// labelled is what carries labels: for each key and value one that has it, by what people call it.
type labelled map[string]map[string]string

func (l labelled) add(labels map[string]string, who string) {
	for k, v := range labels {
		if l[k] == nil {
			l[k] = map[string]string{}
		}
		if _, ok := l[k][v]; !ok {
			l[k][v] = who
		}
	}
}

// with joins the labels of two namespaces; it leaves out what would be too much to look at.
func (l labelled) with(o labelled, p *population) labelled {
	if l == nil || !p.compare(len(l)+len(o)) {
		return o
	}
	out := labelled{}
	for _, from := range []labelled{l, o} {
		for key, values := range from {
			if !p.compare(len(values)) {
				return out
			}
			for v, who := range values {
				out.add(map[string]string{key: v}, who)
			}
		}
	}
	return out
}

// population is who is there to be selected.
type population struct {
	classes  map[string][]int         // by namespace
	byLabel  map[[2]string][]int      // classes by key and value
	prefixes map[string]bool          // of the keys of pods' labels
	labels   map[string]labelled      // of pods, by namespace; made when asked for
	spaces   labelled                 // of the namespaces in the input
	known    []*cluster.Namespace     // those whose labels are in the input
	matched  map[string]namespaceList // by selector
	host     map[string][]int         // hostNetwork pods by namespace
	services serviceIndex
	looked   int // labels and classes compared so far
}

// namespaceList are the namespaces that a selector matches.
type namespaceList struct{ sure, perhaps []*cluster.Namespace }

// population gives what is there to be selected; it is made once.
func (r *run) population() *population {
	if r.people != nil {
		return r.people
	}
	p := &population{classes: map[string][]int{}, byLabel: map[[2]string][]int{}, prefixes: map[string]bool{}, labels: map[string]labelled{},
		spaces: labelled{}, matched: map[string]namespaceList{}, host: map[string][]int{}, services: serviceIndex{of: map[int][]*cluster.Service{}}}
	for i := range r.Model.Classes() {
		c := &r.Model.Classes()[i]
		p.classes[c.Namespace] = append(p.classes[c.Namespace], i)
		for k, v := range c.Labels {
			p.byLabel[[2]string{k, v}] = append(p.byLabel[[2]string{k, v}], i)
			if prefix, _, ok := strings.Cut(k, "/"); ok {
				p.prefixes[prefix] = true
			}
		}
	}
	snap := r.Model.Snapshot()
	for i := range snap.Pods {
		if pod := &snap.Pods[i]; pod.HostNetwork {
			p.host[pod.Namespace] = append(p.host[pod.Namespace], i)
		}
	}
	for i := range snap.Namespaces {
		if ns := &snap.Namespaces[i]; !ns.Assumed {
			p.known = append(p.known, ns)
			p.spaces.add(ns.Labels, ns.Name)
		}
	}
	r.people = p
	return p
}

// partial tells whether parts of the input could not be read, so that nothing is known not to be there.
func (r *run) partial() bool { return len(r.Model.Snapshot().Unreadable) > 0 }

// podLabels gives the labels in use among the pods of a namespace.
func (r *run) podLabels(namespace string) labelled {
	p := r.population()
	l, ok := p.labels[namespace]
	if !ok {
		l = labelled{}
		for _, class := range p.classes[namespace] {
			c := &r.Model.Classes()[class]
			l.add(c.Labels, r.owner(class))
		}
		p.labels[namespace] = l
	}
	return l
}

// owner names a workload of a class.
func (r *run) owner(class int) string {
	return r.Model.Snapshot().Pods[r.Model.Classes()[class].Members[0]].Owner.String()
}

// namespaces lists the namespaces of the input that a selector matches, surely and perhaps.
func (r *run) namespaces(s policy.Selector) namespaceList {
	p := r.population()
	key := s.Key()
	out, ok := p.matched[key]
	if ok {
		return out
	}
	snap := r.Model.Snapshot()
	for i := range snap.Namespaces {
		ns := &snap.Namespaces[i]
		switch s.Match(ns.Labels, !ns.Assumed) {
		case policy.Yes:
			out.sure = append(out.sure, ns)
		case policy.Maybe:
			out.perhaps = append(out.perhaps, ns)
		}
	}
	p.matched[key] = out
	return out
}

// matching finds a class that a selector matches, in a namespace that is wanted; -1 if there is none,
// or if the selector asks for no value by which pods can be found.
func (r *run) matching(s policy.Selector, wanted func(namespace string) bool) int {
	p := r.population()
	var by *policy.Requirement
	fewest := 0
	for i := range s {
		if s[i].Operator != metav1.LabelSelectorOpIn {
			continue
		}
		count := 0
		for _, v := range s[i].Values {
			count += len(p.byLabel[[2]string{s[i].Key, v}])
		}
		if by == nil || count < fewest {
			by, fewest = &s[i], count
		}
	}
	if by == nil || !p.compare(fewest) {
		return -1
	}
	best := -1
	for _, v := range by.Values {
		for _, class := range p.byLabel[[2]string{by.Key, v}] {
			c := &r.Model.Classes()[class]
			if (best < 0 || class < best) && wanted(c.Namespace) && s.Match(c.Labels, true) == policy.Yes {
				best = class
			}
		}
	}
	return best
}

// compare tells whether so many further comparisons may be made.
func (p *population) compare(n int) bool {
	p.looked += n
	return p.looked <= maxLooked
}

// nearLabel is a label that somebody has and that may be what a selector meant.
type nearLabel struct {
	key, value, who string
}

// String says who has what, for people.
func (n *nearLabel) String() string { return n.who + " has " + n.key + "=" + n.value }

func (n *nearLabel) fix() string {
	return "Write " + n.key + ": " + n.value + ", if that is what was meant."
}

const (
	// maxValues bounds the values of one key that are compared for likeness.
	maxValues = 2000
	// maxLooked bounds the comparisons of one Run; beyond it findings come without a likeness.
	maxLooked = 5_000_000
)

// nearest finds the label in use that is most like one that a selector asks for and nobody has; nil
// if none is alike.
func (r *run) nearest(s policy.Selector, used labelled) *nearLabel {
	var best *nearLabel
	least := unlike
	consider := func(d int, n nearLabel) {
		if d < least {
			best, least = &n, d
		}
	}
	for _, q := range s {
		if q.Operator != metav1.LabelSelectorOpIn || q.Key == cluster.MetadataNameLabel || used.holds(q) {
			continue
		}
		for _, want := range q.Values {
			r.likeValue(q, want, used[q.Key], consider)
			if used[q.Key] == nil {
				r.likeKey(q, want, used, consider)
			}
		}
	}
	return best
}

func (l labelled) holds(q policy.Requirement) bool {
	return slices.ContainsFunc(q.Values, func(v string) bool { _, ok := l[q.Key][v]; return ok })
}

func (r *run) likeValue(q policy.Requirement, want string, values map[string]string, consider func(int, nearLabel)) {
	if !r.population().compare(len(values)) {
		return
	}
	for _, v := range firstKeys(values) {
		consider(likeness(want, v), nearLabel{q.Key, v, values[v]})
	}
}

// likeKey looks for the same value under another key: one that is alike, or that ends alike, as
// app.kubernetes.io/name and name do.
func (r *run) likeKey(q policy.Requirement, want string, used labelled, consider func(int, nearLabel)) {
	if !r.population().compare(len(used)) {
		return
	}
	for _, key := range firstKeys(used) {
		who, same := used[key][want]
		if !same || key == cluster.MetadataNameLabel { // see called
			continue
		}
		d := likeness(q.Key, key)
		if path(q.Key) == path(key) {
			d = min(d, 1)
		}
		if !slices.Contains(plainValues, want) { // any other value says much by itself
			d = min(d, unlike-1)
		}
		consider(d, nearLabel{key, want, who})
	}
}

// plainValues are those that say nothing without their key.
var plainValues = []string{"", "true", "false", "yes", "no", "enabled", "disabled"}

// path gives the part of a label's key after its prefix.
func path(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

func firstKeys[V any](m map[string]V) []string {
	keys := slices.Sorted(maps.Keys(m))
	return keys[:min(len(keys), maxValues)]
}

// unlike is the likeness of texts that nobody would take for each other.
const unlike = 5

// likeness tells how alike two texts are: 0 for the same, unlike for such as have nothing in common.
// Texts that differ in digits alone are not alike: those are counted on purpose.
func likeness(a, b string) int {
	if a == b {
		return 0
	}
	limit := max(1, min(3, len(a)/4))
	switch d := names.Distance(a, b, limit); {
	case withoutDigits(a) == withoutDigits(b):
	case swapped(a, b):
		return 1
	case len(a) > 2 && d <= limit:
		return d
	case len(a) > 3 && strings.HasPrefix(b, a), len(b) > 3 && strings.HasPrefix(a, b):
		return unlike - 1
	}
	return unlike
}

func withoutDigits(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, s)
}

// swapped tells whether two texts differ only in the order of two letters that stand side by side.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// inUse lists values of a key, for people.
func (l labelled) inUse(key string) string {
	values := slices.Sorted(maps.Keys(l[key]))
	const few = 4
	if len(values) > few {
		return strings.Join(values[:few], ", ") + ", …"
	}
	return strings.Join(values, ", ")
}

// lacking gives the first requirement of a selector that nobody meets.
func (l labelled) lacking(s policy.Selector) (policy.Requirement, bool) {
	for _, q := range s {
		if q.Operator == metav1.LabelSelectorOpIn && !l.holds(q) || q.Operator == metav1.LabelSelectorOpExists && l[q.Key] == nil {
			return q, true
		}
	}
	return policy.Requirement{}, false
}
