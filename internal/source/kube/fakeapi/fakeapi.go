// Package fakeapi serves Kubernetes objects over HTTP the way an API server does, for tests: with
// discovery in both forms, pages, continue tokens that expire, rights, and whatever faults a test adds.
//
// The product must never import it, and it must never answer anything but GET.
package fakeapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	discoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"sallyport.dev/sallyport/internal/source/objects"
)

// Kind is a kind that the server has.
type Kind struct {
	Group, Version, Kind string
	Namespaced           bool
}

// Plural gives the name in paths.
func (k Kind) Plural() string {
	plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: k.Kind})
	return plural.Resource
}

// Server is an API server. Its fields may be set before the first request.
type Server struct {
	Version string // gitVersion
	// Legacy: discovery has the older form only.
	Legacy bool
	// Kinds are served; see Builtin.
	Kinds []Kind
	// Fault may answer a request itself; it then gives true. May be nil.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	objects  map[string][]map[string]any // by plural.group, sorted by namespace and name
	revision int
	requests []string
}

// Builtin lists the kinds of Kubernetes itself that Sallyport reads; every server has them.
func Builtin() []Kind {
	var out []Kind
	for _, r := range objects.Resources() {
		version := "v1"
		switch {
		case r.Group == "autoscaling":
			version = "v2"
		case custom(r.Group):
			continue
		}
		out = append(out, Kind{r.Group, version, r.Kind, r.Namespaced})
	}
	return out
}

// custom tells whether a group's kinds are custom resources.
func custom(group string) bool {
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") || group == "policy.networking.k8s.io" || group == "gateway.networking.k8s.io"
}

// New gives a server with Kubernetes' own kinds and the objects of a YAML stream; the kinds of
// custom resources among them are served too.
func New(stream string) (*Server, error) {
	s := &Server{Version: "v1.31.4", Kinds: append(Builtin(),
		Kind{"", "v1", "Secret", true}, Kind{"", "v1", "ConfigMap", true}), objects: map[string][]map[string]any{}, revision: 100}
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(stream), 4096)
	for {
		var o map[string]any
		switch err := d.Decode(&o); {
		case err == io.EOF:
			return s, nil
		case err != nil:
			return nil, err
		case o == nil:
			continue
		}
		if err := s.Add(o); err != nil {
			return nil, err
		}
	}
}

// Add stores an object as a server would. A server refuses what it does not know; a kind of a group
// that is not Kubernetes' own counts as a custom resource.
func (s *Server) Add(o map[string]any) error {
	apiVersion, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	if items, ok := o["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		for _, item := range items {
			sub, _ := item.(map[string]any)
			if err := s.Add(sub); err != nil {
				return err
			}
		}
		return nil
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return err
	}
	m, _ := o["metadata"].(map[string]any)
	name, _ := m["name"].(string)
	if name == "" {
		return fmt.Errorf("%s %s has no name", apiVersion, kind)
	}
	k, err := s.kind(gv, kind)
	if err != nil {
		return err
	}
	if k.Namespaced && m["namespace"] == nil {
		m["namespace"] = "default"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	m["resourceVersion"] = strconv.Itoa(s.revision)
	key := k.Plural() + "." + k.Group
	list := s.objects[key]
	i, found := slices.BinarySearchFunc(list, o, func(a, b map[string]any) int { return cmp.Compare(id(a), id(b)) })
	if found {
		return fmt.Errorf("%s %s exists already", kind, id(o))
	}
	s.objects[key] = slices.Insert(list, i, o)
	return nil
}

func (s *Server) kind(gv schema.GroupVersion, kind string) (Kind, error) {
	for _, k := range s.Kinds {
		if k.Group == gv.Group && k.Kind == kind {
			if k.Version != gv.Version && k.Group != "autoscaling" {
				return Kind{}, fmt.Errorf("no %s in %s", kind, gv)
			}
			return k, nil
		}
	}
	namespaced, served := true, !custom(gv.Group) // Kubernetes has kinds that nobody here reads
	for _, r := range objects.Resources() {
		if r.Group == gv.Group && r.Kind == kind {
			namespaced, served = r.Namespaced, true
		}
	}
	if kind == "" || !served {
		return Kind{}, fmt.Errorf("no kind %s in %s", kind, gv)
	}
	k := Kind{gv.Group, gv.Version, kind, namespaced}
	s.Kinds = append(s.Kinds, k)
	return k, nil
}

func id(o map[string]any) string {
	m, _ := o["metadata"].(map[string]any)
	namespace, _ := m["namespace"].(string)
	name, _ := m["name"].(string)
	return namespace + "/" + name
}

// Requests lists what was asked so far: method, path and query.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	s.mu.Unlock()
	if r.Method != http.MethodGet {
		Refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
		return
	}
	if s.Fault != nil && s.Fault(w, r) {
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/version":
		send(w, map[string]string{"gitVersion": s.Version})
	case r.URL.Path == "/api" || r.URL.Path == "/apis":
		s.discovery(w, r)
	case parts[0] == "api" && len(parts) >= 2:
		s.group(w, r, "", parts[1], parts[2:])
	case parts[0] == "apis" && len(parts) >= 3:
		s.group(w, r, parts[1], parts[2], parts[3:])
	default:
		Refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
	}
}

func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	core := r.URL.Path == "/api"
	if !s.Legacy && strings.Contains(r.Header.Get("Accept"), "as=APIGroupDiscoveryList") {
		w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		_ = json.NewEncoder(w).Encode(s.aggregated(core))
		return
	}
	if core {
		send(w, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
		return
	}
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for _, g := range s.groups() {
		if g == "" {
			continue
		}
		group := metav1.APIGroup{Name: g}
		for _, v := range s.versions(g) {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: g + "/" + v, Version: v})
		}
		group.PreferredVersion = group.Versions[0]
		list.Groups = append(list.Groups, group)
	}
	send(w, list)
}

func (s *Server) groups() []string {
	var out []string
	for _, k := range s.Kinds {
		out = append(out, k.Group)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Server) versions(group string) []string {
	var out []string
	for _, k := range s.Kinds {
		if k.Group == group && !slices.Contains(out, k.Version) {
			out = append(out, k.Version)
		}
	}
	return out
}

func (s *Server) aggregated(core bool) discoveryv2.APIGroupDiscoveryList {
	list := discoveryv2.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"}}
	for _, g := range s.groups() {
		if (g == "") != core {
			continue
		}
		item := discoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g}}
		for _, v := range s.versions(g) {
			version := discoveryv2.APIVersionDiscovery{Version: v, Freshness: discoveryv2.DiscoveryFreshnessCurrent}
			for _, k := range s.Kinds {
				if k.Group != g || k.Version != v {
					continue
				}
				scope := discoveryv2.ScopeCluster
				if k.Namespaced {
					scope = discoveryv2.ScopeNamespace
				}
				version.Resources = append(version.Resources, discoveryv2.APIResourceDiscovery{Resource: k.Plural(), Scope: scope,
					ResponseKind: &metav1.GroupVersionKind{Group: g, Version: v, Kind: k.Kind}, Verbs: []string{"get", "list"}})
			}
			item.Versions = append(item.Versions, version)
		}
		list.Items = append(list.Items, item)
	}
	return list
}

// group answers below /api/v1 and /apis/GROUP/VERSION.
func (s *Server) group(w http.ResponseWriter, r *http.Request, group, version string, rest []string) {
	if len(rest) == 0 {
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}}
		for _, k := range s.Kinds {
			if k.Group == group && k.Version == version {
				list.APIResources = append(list.APIResources, metav1.APIResource{Name: k.Plural(), Kind: k.Kind, Namespaced: k.Namespaced, Verbs: []string{"get", "list"}})
			}
		}
		send(w, list)
		return
	}
	namespace := ""
	if rest[0] == "namespaces" && len(rest) > 2 {
		namespace, rest = rest[1], rest[2:]
	}
	i := slices.IndexFunc(s.Kinds, func(k Kind) bool { return k.Group == group && k.Version == version && k.Plural() == rest[0] })
	if i < 0 || len(rest) > 2 {
		Refuse(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	s.answer(w, r, s.Kinds[i], namespace, rest[1:])
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, k Kind, namespace string, name []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []map[string]any
	for _, o := range s.objects[k.Plural()+"."+k.Group] {
		if have, _, _ := strings.Cut(id(o), "/"); namespace == "" || have == namespace {
			items = append(items, o)
		}
	}
	if len(name) == 1 {
		i := slices.IndexFunc(items, func(o map[string]any) bool { return id(o) == namespace+"/"+name[0] })
		if i < 0 {
			Refuse(w, http.StatusNotFound, "NotFound", name[0]+" not found")
			return
		}
		send(w, items[i])
		return
	}
	s.list(w, r, k, items)
}

// list sends a page. Items of Kubernetes' own kinds do not say their kind, as those of real servers.
func (s *Server) list(w http.ResponseWriter, r *http.Request, k Kind, items []map[string]any) {
	from, limit := 0, len(items)
	if token := r.URL.Query().Get("continue"); token != "" {
		var err error
		if from, err = strconv.Atoi(strings.TrimPrefix(token, "from-")); err != nil || from > len(items) {
			Refuse(w, http.StatusBadRequest, "BadRequest", "continue key is not valid")
			return
		}
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && n > 0 {
		limit = n
	}
	to := min(from+limit, len(items))
	m := map[string]any{"resourceVersion": strconv.Itoa(s.revision)}
	if to < len(items) {
		m["continue"], m["remainingItemCount"] = "from-"+strconv.Itoa(to), len(items)-to
	}
	page := []any{}
	for _, o := range items[from:to] {
		bare := map[string]any{}
		for key, v := range o {
			if custom(k.Group) || key != "apiVersion" && key != "kind" {
				bare[key] = v
			}
		}
		page = append(page, bare)
	}
	send(w, map[string]any{"kind": k.Kind + "List", "apiVersion": schema.GroupVersion{Group: k.Group, Version: k.Version}.String(), "metadata": m, "items": page})
}

func send(w http.ResponseWriter, v any) {
	var out bytes.Buffer
	_ = json.NewEncoder(&out).Encode(v)
	w.Header().Set("Content-Type", "application/json")
	_, _ = out.WriteTo(w)
}

// Refuse answers with a Status, as API servers do.
func Refuse(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure",
		Reason: metav1.StatusReason(reason), Message: message, Code: int32(code)})
}

// Forbid gives a Fault that refuses to list kinds by plural.group: cluster-wide, and in namespaces
// too unless they are among those allowed.
func Forbid(allowed []string, kinds ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		group := ""
		if parts[0] == "apis" && len(parts) > 3 {
			group, parts = parts[1], parts[1:]
		}
		if len(parts) < 3 || parts[0] == "apis" {
			return false
		}
		namespace, rest := "", parts[2:]
		if rest[0] == "namespaces" && len(rest) > 1 {
			namespace = rest[1]
			if len(rest) > 2 {
				rest = rest[2:]
			}
		}
		name := strings.TrimSuffix(rest[0]+"."+group, ".")
		if !slices.Contains(kinds, name) && !slices.Contains(kinds, "*") || namespace != "" && slices.Contains(allowed, namespace) {
			return false
		}
		Refuse(w, http.StatusForbidden, "Forbidden", fmt.Sprintf("%s is forbidden: User \"jane\" cannot list resource %q at the cluster scope", name, rest[0]))
		return true
	}
}
