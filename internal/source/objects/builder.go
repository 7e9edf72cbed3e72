package objects

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"

	"sallyport.dev/sallyport/internal/cluster"
)

// Options say how objects are read.
type Options struct {
	// DefaultNamespace is for objects of files that name none; empty means "default" (S1).
	DefaultNamespace string
	// SkipUnreadable turns every object that would be an error into an entry of Snapshot.Unreadable (S2).
	SkipUnreadable bool
}

// Doc is one object as JSON.
type Doc struct {
	JSON   []byte // one object; may be reused by the caller once Add has returned
	Origin cluster.Origin
	// Lines gives the line of every path inside the object; it is asked for policies and for objects
	// with a problem only. May be nil.
	Lines func() map[string]int
	// Ignores are the comments that begin with IgnoreMarker.
	Ignores []IgnoreComment
	// FromServer: the object was accepted by an API server, so that a policy which is not understood
	// is news about Sallyport's age and not the user's mistake (S32).
	FromServer bool
	// Layer: the object lies over those of the same kind and name in lower layers (S2).
	Layer int
	// APIVersion and Kind are for items of a typed list, which may not say so themselves.
	APIVersion, Kind string
}

// Builder collects objects. The zero value is not usable; see NewBuilder. It is not safe for
// concurrent use.
type Builder struct {
	opts       Options
	items      map[key][]*item
	headers    []*item // of a saved snapshot or a server, at most one for each layer, the lowest first
	kept       []*item // what Build used, for Pruned
	seen       int     // see Seen
	errors     InputErrors
	unreadable []cluster.Unreadable
	notes      []cluster.Note
	unneeded   map[groupKind]*unneeded
}

// key names an object among all others.
type key struct {
	groupKind
	namespace, name string
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.kind, o.kind),
		cmp.Compare(k.name, o.name), cmp.Compare(k.group, o.group))
}

func (k key) String() string {
	if k.namespace == "" {
		return Safe(k.kind) + " " + Safe(k.name)
	}
	return Safe(k.kind) + " " + Safe(k.namespace) + "/" + Safe(k.name)
}

// item is one object that was read.
type item struct {
	key        key
	origin     cluster.Origin
	fromServer bool
	layer      int
	hash       uint64
	slim       slim    // nil for a policy
	policy     *policy // nil for everything else
	problems   []problem
	notes      []problem
	ignores    []IgnoreComment
}

// unneeded counts the objects of a kind that nothing here reads.
type unneeded struct {
	count int
	first cluster.Origin
}

// NewBuilder gives an empty Builder.
func NewBuilder(o Options) *Builder {
	if o.DefaultNamespace == "" {
		o.DefaultNamespace = "default"
	}
	return &Builder{opts: o, items: map[key][]*item{}, unneeded: map[groupKind]*unneeded{}}
}

// Seen counts what was found so far: Kubernetes objects, those included that the model does not
// need, and problems. It tells an empty input from one that only has nothing to say.
func (b *Builder) Seen() int { return b.seen }

// Note adds something that people should know.
func (b *Builder) Note(o cluster.Origin, text string) {
	b.notes = append(b.notes, cluster.Note{Origin: withoutLines(o), Text: text})
}

// Fail adds a problem of the input; Build reports it with all others, or lists it as unreadable
// where the options say so (S2).
func (b *Builder) Fail(e *InputError) {
	e.Origin = withoutLines(e.Origin)
	b.seen++
	if b.opts.SkipUnreadable {
		b.unreadable = append(b.unreadable, unreadable(e))
		return
	}
	b.errors = append(b.errors, e)
}

// Absorb takes over everything that was added to another Builder, which must not be used after it.
// It lets a source add objects by whole pages or lists, or not at all.
func (b *Builder) Absorb(o *Builder) {
	for k, items := range o.items {
		b.items[k] = append(b.items[k], items...)
	}
	for _, it := range o.headers {
		b.addHeader(it)
	}
	for gk, u := range o.unneeded {
		if have := b.unneeded[gk]; have != nil {
			u = &unneeded{count: have.count + u.count, first: have.first}
		}
		b.unneeded[gk] = u
	}
	b.seen += o.seen
	b.errors = append(b.errors, o.errors...)
	b.unreadable = append(b.unreadable, o.unreadable...)
	b.notes = append(b.notes, o.notes...)
}

func unreadable(e *InputError) cluster.Unreadable {
	u := InputError{Object: e.Object, Problem: e.Problem, Hint: e.Hint}
	return cluster.Unreadable{Origin: e.Origin, Why: u.Error()}
}

func withoutLines(o cluster.Origin) cluster.Origin {
	o.Lines = nil
	return o
}

// Add reads one object. It never fails by itself: problems are kept until Build, so that all of
// them are reported at once.
func (b *Builder) Add(d Doc) { b.add(d, 0) }

// maxListDepth is how deep lists may lie in lists; kubectl makes none, but they are legal.
const maxListDepth = 4

func (b *Builder) add(d Doc, depth int) {
	var head typeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.JSON, &head); err != nil {
		b.failDoc(d, notAnObject(d.JSON, err))
		return
	}
	head.APIVersion, head.Kind = cmp.Or(head.APIVersion, d.APIVersion), cmp.Or(head.Kind, d.Kind)
	group, version := splitAPIVersion(head.APIVersion)
	gk := groupKind{group, head.Kind}
	info, known := kinds[gk]
	switch {
	case head.Kind == "" || head.APIVersion == "":
		b.addUntyped(d, head)
	case IsList(head.Kind) && b.addList(d, head, depth):
	case known && info.accepts(version):
		b.seen++
		b.addKnown(d, gk, head.APIVersion)
	default:
		b.seen++
		b.addUnknown(d, gk, head)
	}
}

func notAnObject(data []byte, err error) InputError {
	if t := bytes.TrimLeft(data, " \t\r\n"); len(t) > 0 && t[0] != '{' && json.Valid(data) {
		return InputError{Problem: "this is not a Kubernetes object but a bare value or list"}
	}
	if isSyntax, _ := kjson.SyntaxErrorOffset(err); isSyntax {
		return InputError{Problem: "this is not JSON: " + SafeText(err.Error())}
	}
	return InputError{Problem: "apiVersion and kind must be strings"}
}

// failDoc reports a problem of a document whose name is not known.
func (b *Builder) failDoc(d Doc, e InputError) {
	e.Origin = withoutLines(d.Origin)
	b.failFrom(d.FromServer, &e, cluster.MissingPolicies)
}

// failPolicy is failDoc for what was meant to be one of the kinds that are read strictly.
func (b *Builder) failPolicy(d Doc, gk groupKind, e InputError) {
	e.Origin = withoutLines(d.Origin)
	missing := cluster.MissingPolicies
	if gk.group == groupOwn || slices.Contains(ownKinds, gk.kind) {
		missing = cluster.MissingLayers
	}
	b.failFrom(d.FromServer, &e, missing)
}

// failFrom reports a problem of a file's object as an error. One odd object of a server must not
// hide the whole cluster, so that is listed as unreadable instead.
func (b *Builder) failFrom(server bool, e *InputError, missing cluster.Missing) {
	if server {
		b.seen++
		u := unreadable(e)
		u.Missing = missing
		b.unreadable = append(b.unreadable, u)
		return
	}
	b.Fail(e)
}

// addUntyped handles an object without apiVersion or kind. Without both it is some other YAML file
// (S2), but half a header on a policy is a mistake that must not be skipped.
func (b *Builder) addUntyped(d Doc, head typeMeta) {
	for _, kind := range policyKinds {
		if head.Kind == kind {
			b.failPolicy(d, groupKind{kind: kind}, InputError{Object: kind, Problem: "apiVersion is missing", Hint: "apiVersion: " + apiVersionOf(kind)})
			return
		}
	}
	switch {
	case head.APIVersion != "":
		b.failDoc(d, InputError{Problem: "an object of " + Safe(head.APIVersion) + " has no kind"})
	case head.Kind != "":
		b.Note(d.Origin, "not read: "+Safe(head.Kind)+" has no apiVersion, so this is not a Kubernetes object")
	default:
		b.Note(d.Origin, "not read: without apiVersion and kind this is not a Kubernetes object")
	}
}

// IsList tells whether a kind is a list of objects by its name.
func IsList(kind string) bool { return strings.HasSuffix(kind, "List") }

// ItemType gives the apiVersion and kind of the items of a typed list, or nothing for kind: List.
func ItemType(listAPIVersion, listKind string) (apiVersion, kind string) {
	if kind = strings.TrimSuffix(listKind, "List"); kind == "" {
		return "", ""
	}
	return listAPIVersion, kind
}

// addList adds the items of a list; it tells whether the object was one at all.
func (b *Builder) addList(d Doc, head typeMeta, depth int) bool {
	var list struct {
		Items *[]json.RawMessage `json:"items"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.JSON, &list); err != nil {
		b.failDoc(d, InputError{Object: Safe(head.Kind), Problem: "items must be a list of objects"})
		return true
	}
	if list.Items == nil {
		return head.Kind == "List"
	}
	if depth == maxListDepth {
		b.failDoc(d, InputError{Object: Safe(head.Kind), Problem: "lists lie too deep in lists"})
		return true
	}
	for _, raw := range *list.Items {
		sub := Doc{JSON: raw, Origin: d.Origin, FromServer: d.FromServer, Layer: d.Layer}
		sub.APIVersion, sub.Kind = ItemType(head.APIVersion, head.Kind)
		b.add(sub, depth+1)
	}
	return true
}

func (b *Builder) addKnown(d Doc, gk groupKind, apiVersion string) {
	info := kinds[gk]
	if !info.policy && info.slim == nil {
		return
	}
	it := &item{origin: withoutLines(d.Origin), fromServer: d.FromServer, layer: d.Layer, hash: contentHash(d.JSON), ignores: d.Ignores}
	it.key.groupKind = gk
	var names *nameMeta
	if info.policy {
		it.policy = readPolicy(gk.kind, d.JSON)
		it.problems, it.notes = it.policy.problems, it.policy.notes
		names = &it.policy.names
	} else {
		if it.slim, it.problems = readSlim(d.JSON, gk, apiVersion); len(it.problems) == 0 && idle(it.slim) {
			return
		}
		names = it.slim.names()
	}
	it.problems = append(it.problems, b.fillNames(it, names, info)...)
	if d.Lines != nil && (info.policy || info.layer || len(it.problems) > 0 || len(it.notes) > 0) {
		it.origin.Lines = d.Lines()
	}
	it.ignores = append(it.ignores, annotatedIgnores(names.Annotations, it.origin)...)
	if o, ok := it.slim.(*azureObject); ok {
		o.respell(it)
	}
	if it.key.name == "" { // it cannot be told from others, so it is reported right here
		b.report(it)
		return
	}
	if gk == (groupKind{groupOwn, "Snapshot"}) {
		b.addHeader(it)
		return
	}
	b.items[it.key] = append(b.items[it.key], it)
}

// readSlim decodes what the model reads of an object; fields it does not know are no concern of it.
// The type is given, because an item of a list may not say it.
func readSlim(data []byte, gk groupKind, apiVersion string) (slim, []problem) {
	obj := kinds[gk].slim()
	problems := decodeInto(data, obj, false)
	obj.setType(typeMeta{APIVersion: apiVersion, Kind: gk.kind})
	trim(obj)
	return obj, problems
}

func joinAPIVersion(group, version string) string {
	if group == "" {
		return version
	}
	return group + "/" + version
}

// report turns an item's problems into errors, in the same words for every kind.
func (b *Builder) report(it *item) {
	for _, p := range it.problems {
		e := &InputError{Origin: it.origin.At(p.path), Object: it.key.String(), Problem: p.text, Hint: p.hint}
		if it.key.name == "" {
			e.Object = it.key.kind
		}
		b.failFrom(it.fromServer, e, it.missing())
	}
}

// missing tells what is not known where an object of this kind could not be read. Of what is no policy only
// pods, namespaces and nodes have labels and addresses that verdicts on others may hang on.
func (it *item) missing() cluster.Missing {
	switch {
	case kinds[it.key.groupKind].layer:
		return cluster.MissingLayers
	case it.policy != nil:
		return cluster.MissingPolicies
	}
	switch it.slim.(type) {
	case *podObject, *namespaceObject, *nodeObject, *headerObject:
		return cluster.MissingPolicies
	case *foreignObject:
		return cluster.MissingForeign
	}
	return cluster.MissingObjects
}

// chosen gives the item that counts for every key, sorted by key: what lies on top replaces what is
// below, and within one layer an object may be repeated but not contradicted (S2).
func (b *Builder) chosen() []*item {
	var out []*item
	for _, k := range slices.SortedFunc(maps.Keys(b.items), key.compare) {
		top := 0
		for _, it := range b.items[k] {
			top = max(top, it.layer)
		}
		layer := slices.DeleteFunc(slices.Clone(b.items[k]), func(it *item) bool { return it.layer < top })
		slices.SortStableFunc(layer, func(a, c *item) int { return compareOrigin(a.origin, c.origin) })
		for _, it := range layer[1:] {
			if it.hash != layer[0].hash {
				b.errors = append(b.errors, twice(k, layer[0], it))
			}
		}
		out = append(out, layer[0])
	}
	return out
}

func twice(k key, first, second *item) *InputError {
	where := place(withoutLines(first.origin))
	if where == "" {
		where = "another place of the input"
	}
	return &InputError{
		Origin:  withoutLines(second.origin),
		Object:  k.String(),
		Problem: fmt.Sprintf("this object is in the input twice with different content; the other one is at %s", where),
		Hint:    "give only one of the two",
	}
}

// fillNames checks the object's names, fills in the namespace (S1) and sets the item's key.
func (b *Builder) fillNames(it *item, m *nameMeta, info kindInfo) []problem {
	var out []problem
	switch {
	case !info.namespaced:
		m.Namespace = ""
	case m.Namespace == "" && it.fromServer:
		out = append(out, problem{path: "metadata", text: "metadata.namespace is missing"})
	case m.Namespace == "":
		m.Namespace = b.opts.DefaultNamespace
	}
	if p := checkNames(it.key.kind, m, info.namespaced); p != nil {
		return append(out, p...)
	}
	it.key.namespace, it.key.name = m.Namespace, m.Name
	return out
}
