package cluster

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

const many = 1_200

// manyPods makes more pods than two pages hold, once.
var manyPods = sync.OnceValue(func() error {
	for i := range many {
		if err := server.Create(pod("many", fmt.Sprintf("p-%d", i), "many", fmt.Sprintf("10.9.%d.%d", i/250, i%250+1))); err != nil {
			return err
		}
	}
	return nil
})

func pod(namespace, name, app, addr string) object {
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": namespace, "name": name, "labels": map[string]any{"app": app}},
		"spec":   map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}},
		"status": map[string]any{"phase": "Running", "podIP": addr, "podIPs": []any{map[string]any{"ip": addr}}}}
}

func create(t *testing.T, list ...object) {
	t.Helper()
	for _, o := range list {
		if err := server.Create(o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Delete(o); err != nil {
				t.Error(err)
			}
		})
	}
}

func fromYAML(t *testing.T, text string) object {
	t.Helper()
	var o object
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// sallyport runs the program as a user and gives what it printed; the exit status must be the one wanted.
func sallyport(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, status, err := run(args...)
	if err != nil || status != want {
		t.Fatalf("%v: status %d, %v\n%s%s", args, status, err, stdout, stderr)
	}
	return stdout, stderr
}

func kubeconfig(t *testing.T, user, url, namespace string) string {
	t.Helper()
	path, err := server.authority.kubeconfig(user, url, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPages: lists come in pages, all of them, and nothing but GET is ever asked.
func TestPages(t *testing.T) {
	if err := manyPods(); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, nil)
	out, _ := sallyport(t, 0, "snapshot", "--kubeconfig", kubeconfig(t, "admin", p.URL, ""))
	if n := strings.Count(out, "\n  name: p-"); n != many {
		t.Errorf("%d pods of %d", n, many)
	}
	pages := p.lists("pods")
	if len(pages) != 3 {
		t.Errorf("%d pages", len(pages))
	}
	for i, r := range pages {
		if r.URL.Query().Get("limit") != "500" || (r.URL.Query().Get("continue") != "") != (i > 0) {
			t.Errorf("page %d: %s", i, r.URL.RawQuery)
		}
	}
	for _, r := range p.asked {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		if strings.Contains(r.URL.Path, "secrets") || strings.Contains(r.URL.Path, "configmaps") {
			t.Errorf("asked for %s", r.URL.Path)
		}
	}
}

// TestExpiredToken: etcd is compacted between two pages, so that the server refuses to go on with the list.
func TestExpiredToken(t *testing.T) {
	if err := manyPods(); err != nil {
		t.Fatal(err)
	}
	expired := 0
	var failed error
	p := newProxy(t, nil)
	p.before = func(r *http.Request) {
		if r.URL.Query().Get("continue") == "" || !strings.HasSuffix(r.URL.Path, "/pods") || expired > 0 {
			return
		}
		expired++
		_, failed = server.request(http.MethodPut, "/api/v1/namespaces/many", object{"apiVersion": "v1", "kind": "Namespace",
			"metadata": map[string]any{"name": "many", "labels": map[string]any{"at": "a-later-time"}}})
		if failed == nil {
			failed = server.compact()
		}
	}
	out, _ := sallyport(t, 0, "snapshot", "--kubeconfig", kubeconfig(t, "admin", p.URL, ""))
	if failed != nil {
		t.Fatal(failed)
	}
	if n := strings.Count(out, "\n  name: p-"); n != many || expired == 0 {
		t.Errorf("%d pods of %d after %d expired tokens", n, many, expired)
	}
	if len(p.lists("pods")) <= 3 {
		t.Error("the list was not begun again, so nothing was expired")
	}
}

// shop is a small world for the tests of rights.
func shop(t *testing.T) {
	create(t, object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "front", "labels": map[string]any{"team": "front"}}},
		object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "back"}},
		pod("front", "web", "web", "10.8.0.1"), pod("back", "db", "db", "10.8.0.2"), pod("back", "job", "job", "10.8.0.3"),
		fromYAML(t, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: back}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: front}}}]
    ports: [{port: 5432}]`))
}

// user issues a certificate and gives it rights; each rule is "resource.group" or "resource".
func user(t *testing.T, name, namespace string, resources ...string) string {
	t.Helper()
	if err := server.authority.issue(name, name); err != nil {
		t.Fatal(err)
	}
	var rules []any
	for _, r := range resources {
		resource, group, _ := strings.Cut(r, ".")
		rules = append(rules, map[string]any{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": []any{"get", "list"}})
	}
	kind, meta := "ClusterRole", map[string]any{"name": name}
	if namespace != "" {
		kind, meta = "Role", map[string]any{"name": name, "namespace": namespace}
	}
	create(t, object{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta, "rules": rules},
		object{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind + "Binding", "metadata": meta,
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
			"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}}})
	return kubeconfig(t, name, server.URL, namespace)
}

var workloads = []string{"deployments.apps", "statefulsets.apps", "daemonsets.apps", "replicasets.apps", "jobs.batch", "cronjobs.batch"}

// TestRights: what a user may not read is named, and answers say what follows from it.
func TestRights(t *testing.T) {
	shop(t)
	all := append([]string{"namespaces", "nodes", "pods", "services", "networkpolicies.networking.k8s.io"}, workloads...)
	question := []string{"check", "front/web", "back/db:5432"}
	ask := func(status int, config string) string {
		out, stderr := sallyport(t, status, append(question, "--kubeconfig", config)...)
		return out + stderr
	}
	if out := ask(0, kubeconfig(t, "admin", server.URL, "")); !strings.Contains(out, "back/db, spec.ingress[0].from[0]") {
		t.Errorf("the administrator: %s", out)
	}
	if out := ask(0, user(t, "reader", "", all...)); !strings.Contains(out, "endpointslices") && !strings.Contains(out, "EndpointSlice") {
		t.Errorf("without EndpointSlices, which are not named: %s", out)
	}
	if out := ask(3, user(t, "no-namespaces", "", all[1:]...)); !strings.Contains(strings.ToLower(out), "namespaces") {
		t.Errorf("without Namespaces: %s", out)
	}
	if out := ask(3, user(t, "no-policies", "", append([]string{"namespaces", "pods"}, workloads...)...)); !strings.Contains(strings.ToLower(out), "networkpolicies") {
		t.Errorf("without NetworkPolicies: %s", out)
	}
	if out := ask(1, user(t, "no-pods", "", "namespaces", "networkpolicies.networking.k8s.io")); !strings.Contains(out, "pods") {
		t.Errorf("without Pods: %s", out)
	}
	if out := ask(1, user(t, "nobody", "")); !strings.Contains(out, "forbidden") && !strings.Contains(out, "not allowed") {
		t.Errorf("without any right: %s", out)
	}
	config := user(t, "back-only", "back", "pods", "services", "networkpolicies.networking.k8s.io")
	out, _ := sallyport(t, 3, "check", "pod/job", "pod/db:5432", "--kubeconfig", config)
	if !strings.Contains(out, "only namespace back could be read") || !strings.Contains(out, "the labels of namespace back are not in the input") {
		t.Errorf("with the rights of one namespace: %s", out)
	}
}

// TestReaderRoles: the rights in deploy/reader.yaml are enough, for a whole cluster and for one namespace.
func TestReaderRoles(t *testing.T) {
	shop(t)
	text, err := os.ReadFile("../../deploy/reader.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, doc := range strings.Split(string(text), "\n---\n") {
		o := fromYAML(t, doc)
		create(t, o)
		roles = append(roles, o.text("metadata", "name"))
	}
	bind := func(user, kind, namespace, role string) {
		meta := map[string]any{"name": user + "-" + role}
		if namespace != "" {
			meta["namespace"] = namespace
		}
		create(t, object{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta,
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
			"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}}})
	}
	for _, name := range []string{"whole", "part"} {
		if err := server.authority.issue(name, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range roles {
		bind("whole", "ClusterRoleBinding", "", role)
	}
	bind("part", "RoleBinding", "back", roles[0])

	whole := kubeconfig(t, "whole", server.URL, "")
	out, _ := sallyport(t, 0, "check", "front/web", "back/db:5432", "--kubeconfig", whole)
	if strings.Contains(out, "not read") {
		t.Errorf("with the roles: %s", out)
	}
	out, stderr, status, err := run("lint", "--kubeconfig", whole)
	if err != nil || status == 1 || strings.Contains(out, "not read") || !strings.Contains(out, "uncovered-pods") {
		t.Errorf("lint: status %d, %v: %s%s", status, err, out, stderr)
	}
	out, _ = sallyport(t, 2, "check", "pod/job", "pod/db:5432", "--kubeconfig", kubeconfig(t, "part", server.URL, "back"))
	if !strings.Contains(out, "only namespace back could be read") {
		t.Errorf("with the role in one namespace: %s", out)
	}
}

// TestFilesOverCluster: a file lies over the cluster, and diff says what it would change there.
func TestFilesOverCluster(t *testing.T) {
	shop(t)
	config := kubeconfig(t, "admin", server.URL, "")
	change := filepath.Join(t.TempDir(), "change.yaml")
	if err := os.WriteFile(change, []byte("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: back}\nspec: {podSelector: {matchLabels: {app: db}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sallyport(t, 2, "check", "front/web", "back/db:5432", "--kubeconfig", config, "-f", change)
	out, _ := sallyport(t, 2, "diff", "--kubeconfig", config, "-f", change)
	if !strings.Contains(out, "front/pod/web → back/pod/db  tcp/5432") || !strings.Contains(out, "~ back/db allowed it") {
		t.Errorf("%s", out)
	}
	out, _ = sallyport(t, 2, "diff", "--kubeconfig", config, "--delete", "back/netpol/db")
	if !strings.Contains(out, "- back/db isolated it") {
		t.Errorf("%s", out)
	}
	saved, _ := sallyport(t, 0, "snapshot", "--kubeconfig", config)
	before := filepath.Join(t.TempDir(), "saved.yaml")
	if err := os.WriteFile(before, []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = sallyport(t, 0, "check", "-f", before, "front/web", "back/db:5432")
	if !strings.Contains(out, "allowed") {
		t.Errorf("%s", out)
	}
}

// TestKubectl: called as kubectl calls its plugins, the current context is read.
func TestKubectl(t *testing.T) {
	shop(t)
	plugin := filepath.Join(t.TempDir(), "kubectl-sallyport")
	if err := os.Symlink(program, plugin); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "KUBECONFIG="+kubeconfig(t, "admin", server.URL, "back"))
	out, stderr, status, err := runIn(env, plugin, "check", "pod/job", "pod/db:5432")
	if err != nil || status != 2 || !strings.Contains(out, "back/pod/job → back/pod/db") {
		t.Errorf("status %d, %v: %s%s", status, err, out, stderr)
	}
	_, stderr, status, _ = runIn(env, plugin, "check", "pod/job")
	if status != 1 || !strings.Contains(stderr, "kubectl sallyport check --help") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
