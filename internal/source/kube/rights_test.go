package kube

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/source/kube/fakeapi"
	"sallyport.dev/sallyport/internal/source/objects"
)

// granted lists the rights of the roles in deploy/reader.yaml as "verb group/plural": those that every verb
// needs, and those for lint.
func granted(t *testing.T) (all, lint []string) {
	t.Helper()
	data, err := os.ReadFile("../../../deploy/reader.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict([]byte(doc), &role); err != nil || role.Kind != "ClusterRole" {
			t.Fatalf("%v: %s", err, doc)
		}
		list := &all
		if strings.Contains(role.Name, "lint") {
			list = &lint
		}
		for _, r := range role.Rules {
			for _, group := range r.APIGroups {
				for _, plural := range r.Resources {
					for _, verb := range r.Verbs {
						*list = append(*list, verb+" "+group+"/"+plural)
					}
				}
			}
		}
	}
	slices.Sort(all)
	slices.Sort(lint)
	return all, lint
}

// TestRights: the role in deploy grants what is read, and nothing else.
func TestRights(t *testing.T) {
	all, lint := []string{"get /namespaces"}, []string(nil)
	for _, r := range objects.Resources() {
		right := "list " + r.Group + "/" + fakeapi.Kind{Kind: r.Kind}.Plural()
		if r.Lint {
			lint = append(lint, right)
		} else {
			all = append(all, right)
		}
	}
	slices.Sort(all)
	slices.Sort(lint)
	gotAll, gotLint := granted(t)
	if diff := cmp.Diff(all, gotAll); diff != "" {
		t.Errorf("deploy/reader.yaml (-needed +granted):\n%s", diff)
	}
	if diff := cmp.Diff(lint, gotLint); diff != "" {
		t.Errorf("deploy/reader.yaml, for lint (-needed +granted):\n%s", diff)
	}
}

// TestRightsSuffice: with these rights alone a cluster that has every kind is read without a word.
func TestRightsSuffice(t *testing.T) {
	server, c := fake(t, shop)
	for _, r := range objects.Resources() {
		if !slices.ContainsFunc(server.Kinds, func(k fakeapi.Kind) bool { return k.Group == r.Group && k.Kind == r.Kind }) {
			version := "v1"
			if r.Versions != nil {
				version = r.Versions[0]
			}
			server.Kinds = append(server.Kinds, fakeapi.Kind{Group: r.Group, Version: version, Kind: r.Kind, Namespaced: r.Namespaced})
		}
	}
	rights, lint := granted(t)
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		group := ""
		if parts[0] == "apis" && len(parts) == 4 {
			group = parts[1]
		} else if parts[0] != "api" || len(parts) != 3 {
			return false // discovery
		}
		if right := "list " + group + "/" + parts[len(parts)-1]; !slices.Contains(rights, right) {
			t.Errorf("%s needs %q", r.URL, right)
		}
		return false
	}
	if s := mustRead(t, c, Options{}); unread(s)+notes(s) != "" {
		t.Errorf("%s%s", unread(s), notes(s))
	}
	rights = append(rights, lint...)
	if s := mustRead(t, c, Options{Lint: true}); unread(s)+notes(s) != "" {
		t.Errorf("%s%s", unread(s), notes(s))
	}
}
