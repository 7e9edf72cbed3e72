package main

import (
	"bytes"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/source/kube/fakeapi"
	"sallyport.dev/sallyport/policytest"
)

// alone keeps the kubeconfig of whoever runs the tests out of them.
func alone(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
}

// serve starts an API server with what files hold; it gives "" where a server would not take it.
func serve(t *testing.T, s *fakeapi.Server) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

// answer runs a command line.
func answer(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

var (
	places = regexp.MustCompile(` \(([^()\n]*\.(yaml|yml|json)(:\d+)?|resource version \d+)\)`)
	inText = regexp.MustCompile(`([^ \n]*\.(yaml|yml|json):\d+|resource version \d+): `)
)

// bare takes places and notes away, which are all that may differ between files and a cluster.
func bare(text string) string {
	text = inText.ReplaceAllString(places.ReplaceAllString(text, ""), "")
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, "  note: ") })
	return strings.TrimRight(strings.Join(lines, "\n"), "\n ")
}

// TestCorpusLive: the scenarios answer the same over a server as over the files. Those that no server
// would take (they are errors, or snapshots, or name their namespace by -n) are left out and counted.
func TestCorpusLive(t *testing.T) {
	alone(t)
	dir := os.DirFS("../../policytest/corpus")
	compared, left := 0, 0
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		text, err := fs.ReadFile(dir, path)
		if err != nil {
			return err
		}
		s, err := policytest.Parse(path, text)
		if err != nil {
			return err
		}
		stream := ""
		files := t.TempDir()
		for _, f := range s.Files {
			if strings.HasSuffix(f.Name, ".yaml") || strings.HasSuffix(f.Name, ".json") {
				stream += "\n---\n" + f.Content
			}
			name := filepath.Join(files, f.Name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(name, []byte(f.Content), 0o644); err != nil {
				return err
			}
		}
		server, err := fakeapi.New(stream)
		if err != nil {
			left++
			return nil
		}
		url := serve(t, server)
		for _, q := range s.Asked {
			args := strings.Fields(q.Question)
			if slices.Contains(args, "-n") || slices.Contains(args, "--aks") {
				left++
				continue
			}
			given := []string{"--plugin", "sallyport", "--kube-version", "1.31"}
			status, want, _ := answer(slices.Concat(args[:1], []string{"-f", files}, given, args[1:])...)
			if status == 1 {
				left++
				continue
			}
			gotStatus, got, errs := answer(slices.Concat(args[:1], []string{"--server", url}, given, args[1:])...)
			if gotStatus != status || bare(got) != bare(want) {
				t.Errorf("%s: %s: status %d %s\n%s\nover files: status %d\n%s", path, strings.Join(args, " "), gotStatus, errs, bare(got), status, bare(want))
			}
			compared++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if compared < 500 {
		t.Errorf("only %d answers compared, %d left out", compared, left)
	}
	t.Logf("%d answers compared, %d left out", compared, left)
}

const liveShop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.244.0.0/24}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {kind: Deployment, name: web}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: l7, namespace: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-flannel-ds, namespace: kube-flannel}
spec: {template: {metadata: {labels: {app: flannel}}, spec: {hostNetwork: true, containers: [{name: kube-flannel, image: "ghcr.io/flannel-io/flannel:v0.26.1"}]}}}
status: {desiredNumberScheduled: 1, numberReady: 1}
`

func liveServer(t *testing.T) (*fakeapi.Server, string) {
	t.Helper()
	alone(t)
	s, err := fakeapi.New(liveShop)
	if err != nil {
		t.Fatal(err)
	}
	return s, serve(t, s)
}

// TestLiveSnapshot: a saved snapshot answers as the cluster did, missing kinds, version, plugin and
// notes included, and saves the same again.
func TestLiveSnapshot(t *testing.T) {
	for name, missing := range map[string][]string{
		"everything": nil,
		"policies":   {"networkpolicies.networking.k8s.io"},
		"others":     {"nodes", "ciliumnetworkpolicies.cilium.io", "daemonsets.apps"},
	} {
		t.Run(name, func(t *testing.T) {
			server, url := liveServer(t)
			server.Fault = fakeapi.Forbid(nil, missing...)
			status, saved, errs := answer("snapshot", "--server", url)
			if status != 0 {
				t.Fatalf("status %d: %s", status, errs)
			}
			file := filepath.Join(t.TempDir(), "cluster.yaml")
			if err := os.WriteFile(file, []byte(saved), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, again, errs := answer("snapshot", "-f", file); again != saved {
				t.Errorf("saved again: %s%s\nat first: %s", again, errs, saved)
			}
			for _, q := range [][]string{{"check", "shop/web", "shop/db:5432"}, {"check", "--strict", "shop/web", "shop/db:5432"}, {"reach"}, {"explain", "shop/db"}} {
				places := func(s string) string { return places.ReplaceAllString(inText.ReplaceAllString(s, ""), "") }
				liveStatus, live, errs := answer(append(q, "--server", url)...)
				fileStatus, file, _ := answer(append(q, "-f", file)...)
				if liveStatus != fileStatus || places(live) != places(file) || live == "" {
					t.Errorf("%v: live %d %s%s\nsaved %d %s", q, liveStatus, live, errs, fileStatus, file)
				}
			}
		})
	}
}

// TestLive asks a cluster on the command line; want is part of the answer.
func TestLive(t *testing.T) {
	server, url := liveServer(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := file("config", `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "`+url+`"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: prod, context: {cluster: c, user: u, namespace: shop}}]
current-context: prod
`)
	change := file("change.yaml", `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
`)
	tests := file("shop.test.yaml", `apiVersion: sallyport.dev/v1alpha1
kind: PolicyTest
tests:
- allow: {from: shop/web, to: shop/db:5432}
`)
	forbid := fakeapi.Forbid
	for _, c := range []struct {
		args   string
		fault  []string // kinds that may not be listed
		in     []string // but in these namespaces
		status int
		want   string
	}{
		{args: "check --kubeconfig CONFIG --context prod pod/web pod/db:5432", want: "nothing enforces this on Kubernetes 1.31: flannel only routes"},
		{args: "check --kubeconfig CONFIG --plugin calico pod/web pod/db:5432", want: "(resource version 107)\n\n  enforced by calico on Kubernetes 1.31"},
		{args: "check --kubeconfig CONFIG -A --plugin calico pod/web pod/db:5432", want: "allowed "},
		{args: "check --kubeconfig CONFIG --plugin calico -n shop external pod/db:5432", status: 2, want: "denied "},
		{args: "check --kubeconfig CONFIG --plugin calico --kube-version 1.22 pod/web pod/db:5432", want: "enforced by calico on Kubernetes 1.22"},
		{args: "check --kubeconfig CONFIG --plugin calico -f CHANGE pod/web pod/db:5432", status: 2, want: "denied "},
		{args: "check --kubeconfig CONFIG --plugin calico pod/web pod/db:5432", fault: []string{"networkpolicies.networking.k8s.io"}, status: 3,
			want: "not read, and may hold a policy: not allowed to list networkpolicies.networking.k8s.io"},
		{args: "check --kubeconfig CONFIG --plugin calico pod/web pod/db:5432", fault: []string{"ciliumnetworkpolicies.cilium.io"},
			want: "note: not read, and may hold policies of another engine, which may decide otherwise: not allowed to list ciliumnetworkpolicies.cilium.io"},
		{args: "check --kubeconfig CONFIG --plugin calico --strict pod/web pod/db:5432", fault: []string{"ciliumnetworkpolicies.cilium.io"}, status: 3, want: "unknown "},
		{args: "check --kubeconfig CONFIG pod/web pod/db:5432", fault: []string{"daemonsets.apps"}, want: "say which with --plugin"},
		{args: "check --kubeconfig CONFIG pod/web pod/db:5432", fault: []string{"*"}, in: []string{"shop"}, want: "only namespace shop could be read"},
		{args: "check --kubeconfig CONFIG -A pod/web pod/db:5432", fault: []string{"*"}, in: []string{"shop"}, status: 1, want: "not allowed to list pods in all namespaces"},
		{args: "check --kubeconfig CONFIG -n other shop/web shop/db:5432", fault: []string{"*"}, in: []string{"shop"}, status: 1, want: "deploy/reader.yaml"},
		{args: "explain --kubeconfig CONFIG netpol/db", want: "NetworkPolicy shop/db (resource version 107)"},
		{args: "reach --kubeconfig CONFIG --plugin calico -o json", want: `{"from":"shop/pod/web","to":"shop/pod/db"`},
		{args: "who-can --kubeconfig CONFIG --plugin calico pod/db:5432", want: "shop/pod/web"},
		{args: "diff --kubeconfig CONFIG --plugin calico -f CHANGE", status: 2, want: "~ shop/db allowed it"},
		{args: "diff --kubeconfig CONFIG --plugin calico --delete netpol/db", status: 2, want: "open"},
		{args: "diff --kubeconfig CONFIG --plugin calico SAVED", want: "nothing opens or closes"},
		{args: "diff --kubeconfig CONFIG --plugin calico SAVED -f CHANGE", status: 1, want: "BEFORE is given"},
		{args: "diff --kubeconfig CONFIG SAVED SAVED", status: 1, want: "nothing to compare a live cluster with"},
		{args: "diff --kubeconfig CONFIG", status: 1, want: "nothing to compare the cluster with"},
		{args: "test --kubeconfig CONFIG --plugin calico TESTS", want: "1 test: 1 holds"},
		{args: "test --init --kubeconfig CONFIG --plugin calico", want: "PolicyTest"},
	} {
		server.Fault = nil
		_, saved, _ := answer("snapshot", "--kubeconfig", config)
		named := map[string]string{"CONFIG": config, "CHANGE": change, "TESTS": tests, "SAVED": file("saved.yaml", saved)}
		server.Fault = forbid(c.in, c.fault...)
		args := strings.Fields(c.args)
		for i, a := range args {
			if path, ok := named[a]; ok {
				args[i] = path
			}
		}
		status, stdout, stderr := answer(args...)
		if status != c.status || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s (without %v)\nstatus %d, want %d with %q\n%s%s", c.args, c.fault, status, c.status, c.want, stdout, stderr)
		}
	}
}

// TestLiveOnce: a diff of the cluster with what it becomes reads the cluster one time.
func TestLiveOnce(t *testing.T) {
	server, url := liveServer(t)
	if status, _, errs := answer("diff", "--server", url, "--plugin", "calico", "--delete", "shop/netpol/db"); status != 2 {
		t.Fatalf("status %d: %s", status, errs)
	}
	seen := map[string]bool{}
	for _, r := range server.Requests() {
		if seen[r] {
			t.Errorf("asked twice: %s", r)
		}
		seen[r] = true
	}
}

// TestLiveLintKeepsStill: what may lie in a namespace that could not be read contradicts a finding, so that
// there is none.
func TestLiveLintKeepsStill(t *testing.T) {
	alone(t)
	server, err := fakeapi.New(liveShop + `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: metrics, namespace: shop}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}, podSelector: {matchLabels: {app: prom}}}]}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, server)
	_, all, _ := answer("lint", "--server", url, "--plugin", "calico", "-n", "shop", "--fail-on", "never")
	server.Fault = fakeapi.Forbid([]string{"shop"}, "*")
	_, one, errs := answer("lint", "--server", url, "--plugin", "calico", "-n", "shop", "--fail-on", "never")
	const finding = "shop/metrics"
	if !strings.Contains(all, finding) {
		t.Errorf("with the whole cluster nothing is found: %s", all)
	}
	if strings.Contains(one, finding) || !strings.Contains(one, "only namespace shop could be read") {
		t.Errorf("with one namespace: %s%s", one, errs)
	}
}

// TestNoPasswords: no message shows the password of an address in a kubeconfig or on the command line.
func TestNoPasswords(t *testing.T) {
	alone(t)
	config := filepath.Join(t.TempDir(), "config")
	for _, cluster := range []string{
		`server: "https://jane:hunter2@h:port"`, `server: "https://jane:hunter2@127.0.0.1:1/%zz"`, `server: "https://jane:hunter2` + strings.Repeat("x", 400) + ` @h"`, `server: "http://jane:hunter2@127.0.0.1:1"`,
		`server: "https://h:1", proxy-url: "http://jane:hunter2@h:po rt"`, `server: "https://h:1", proxy-url: "ftp://jane:a/hunter2@h"`,
		`server: "https://h:1", proxy-url: "http://jane:hunter2@127.0.0.1:1"`,
	} {
		text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {" + cluster + "}}]\n" +
			"users: [{name: u, user: {token: hunter2}}]\ncontexts: [{name: prod, context: {cluster: c, user: u}}]\ncurrent-context: prod\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := answer("check", "--kubeconfig", config, "a/b", "c/d:1")
		if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "sallyport: ") || strings.Contains(stderr, "ter2") {
			t.Errorf("%s: status %d, %s%s", cluster, status, stdout, stderr)
		}
	}
}

// TestOneNamespaceAndFiles: over one namespace of a cluster lie files with a pod in another, whose policies could not
// be read: what they could change is unknown, now and in a saved snapshot; what they could not is not.
func TestOneNamespaceAndFiles(t *testing.T) {
	server, url := liveServer(t)
	deny := map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "deny", "namespace": "store"},
		"spec": map[string]any{"podSelector": map[string]any{}, "policyTypes": []any{"Ingress"}}}
	if err := server.Add(deny); err != nil {
		t.Fatal(err)
	}
	more := filepath.Join(t.TempDir(), "more.yaml")
	if err := os.WriteFile(more, []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: pay, namespace: store}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(to string, want int, input ...string) {
		t.Helper()
		args := append([]string{"check", "--plugin", "calico", "-n", "shop", "pod/web", to}, input...)
		status, stdout, stderr := answer(args...)
		if status != want || want == 3 && !strings.Contains(stdout, "may hold a policy: NetworkPolicies of other namespaces than shop") {
			t.Errorf("%v: status %d, want %d\n%s%s", args, status, want, stdout, stderr)
		}
	}
	check("store/pay:80", 2, "--server", url, "-f", more)
	server.Fault = fakeapi.Forbid([]string{"shop"}, "*")
	check("store/pay:80", 3, "--server", url, "-f", more)
	check("shop/db:80", 0, "--server", url, "-f", more)
	_, saved, _ := answer("snapshot", "--server", url, "-n", "shop", "-f", more)
	file := filepath.Join(t.TempDir(), "saved.yaml")
	if err := os.WriteFile(file, []byte(saved), 0o644); err != nil {
		t.Fatal(err)
	}
	check("store/pay:80", 3, "-f", file)
	check("shop/db:80", 0, "-f", file)
}
