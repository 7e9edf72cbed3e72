package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKustomize: the result of a kustomization, with the places of the files it was made from.
func TestKustomize(t *testing.T) {
	dir := write(t, map[string]string{
		"base/kustomization.yaml": "resources: [all.yaml]\n",
		"base/all.yaml":           account("a") + "---\n" + strings.NewReplacer("    - podSelectr: {}\n", "", "    - port: 0\n", "").Replace(brokenPolicy),
		"over/kustomization.yml":  "resources: [../base, own.yaml]\nnamespace: shop\nnamePrefix: x-\nbuildMetadata: [managedByLabel]\nconfigMapGenerator: [{name: c, literals: [a=https://example.com]}]\n",
		"over/own.yaml":           account("own"),
		"patched/kustomization.yaml": "resources: [../base]\npatches:\n- target: {kind: NetworkPolicy}\n" +
			"  patch: |\n    - {op: add, path: /spec/egres, value: []}\n",
	})
	s, err := Read(Options{Kustomize: []string{filepath.Join(dir, "over")}})
	check(t, outcome(dir, s, err), "base/all.yaml:1: shop/x-a\nover/own.yaml:1: shop/x-own\nbase/all.yaml:6: policy shop/x-p")
	if err == nil {
		if at := s.NetworkPolicies[0].Origin.At("spec.ingress[0].from[0]"); at.Line != 14 {
			t.Errorf("the peer is at %s", at)
		}
		if a := s.NetworkPolicies[0].Object.Annotations; a != nil {
			t.Errorf("annotations are left: %v", a)
		}
	}
	_, err = Read(Options{Kustomize: []string{filepath.Join(dir, "patched")}})
	check(t, outcome(dir, nil, err), "base/all.yaml:6: NetworkPolicy default/p: unknown field spec.egres (hint: did you mean egress?)")
}

// TestKustomizeProblems: what is not there, not allowed, or not to be run.
func TestKustomizeProblems(t *testing.T) {
	dir := write(t, map[string]string{
		"none/a.yaml":                account("a"),
		"broken/kustomization.yaml":  "resources: [missing.yaml]\n",
		"outside/kustomization.yaml": "resources: [../none/a.yaml]\n",
		"bad/kustomization.yaml":     "resources: [\n",
		"helm/kustomization.yaml":    "helmCharts: [{name: x}]\n",
		"plugin/kustomization.yaml":  "generators: [g.yaml]\n",
		"plugin/g.yaml":              "apiVersion: example.com/v1\nkind: Evil\nmetadata: {name: x, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}}\n",
	})
	for name, want := range map[string]string{
		"bad":     "bad/kustomization.yaml: this is not YAML: line 1: did not find expected",
		"gone":    "gone: not a directory",
		"none":    "none: no kustomization.yaml in this directory (hint: use -f to read its files as they are)",
		"broken":  "broken/kustomization.yaml: kustomize: accumulating resources",
		"outside": "outside/kustomization.yaml: kustomize: accumulating resources",
		"helm":    "helm/kustomization.yaml:1: this kustomization needs Helm, which is not run (hint: render it first: kustomize build --enable-helm … | sallyport … -f -)",
		"plugin":  "plugin/kustomization.yaml: kustomize: ",
	} {
		s, err := Read(Options{Kustomize: []string{filepath.Join(dir, name)}})
		if got := outcome(dir, s, err); !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// TestKustomizeFetchesNothing: whatever could make kustomize call git or a server is refused before it
// runs. A git that is found in PATH would leave a mark.
func TestKustomizeFetchesNothing(t *testing.T) {
	bin := t.TempDir()
	mark := filepath.Join(bin, "called")
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\necho called > "+mark+"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for name, k := range map[string]string{
		"resource over https":     "resources: [https://127.0.0.1:1/x.yaml]",
		"upper case":              "resources: [HTTPS://127.0.0.1:1/x.yaml]",
		"no slashes":              "resources: ['http:x.yaml']",
		"github":                  "resources: [github.com/a/b]",
		"github with a colon":     "resources: ['GitHub.com:a/b']",
		"ssh":                     "resources: ['git@example.com:a/b']",
		"forced git":              "resources: ['git::https://example.com/a/b']",
		"file scheme":             "resources: ['file:///tmp/x.git']",
		"base":                    "bases: [github.com/a/b]",
		"component":               "components: [\"github.com/a/b?ref=main\"]",
		"field in another case":   "Resources: [github.com/a/b]",
		"alias":                   "namePrefix: &x github.com/a/b\nresources: [*x]",
		"patch":                   "resources: [a.yaml]\npatches: [{path: https://127.0.0.1:1/p.yaml}]",
		"strategic merge patch":   "resources: [a.yaml]\npatchesStrategicMerge: [https://127.0.0.1:1/p.yaml]",
		"json patch":              "resources: [a.yaml]\npatchesJson6902: [{path: https://127.0.0.1:1/p.yaml, target: {kind: ServiceAccount, name: a, version: v1}}]",
		"config map":              "configMapGenerator: [{name: c, files: ['k=https://127.0.0.1:1/p']}]",
		"environment":             "secretGenerator: [{name: c, envs: [https://127.0.0.1:1/p]}]",
		"crds":                    "crds: [https://127.0.0.1:1/p]",
		"configurations":          "configurations: [https://127.0.0.1:1/p]",
		"schema":                  "openapi: {path: https://127.0.0.1:1/p}",
		"replacements":            "replacements: [{path: https://127.0.0.1:1/p}]",
		"transformer":             "transformers: [https://127.0.0.1:1/p]",
		"local base":              "resources: [sub]",
		"local component":         "components: [comp]",
		"plugin in a file":        "resources: [a.yaml]\ntransformers: [plugin.yaml]",
		"plugin in place":         "resources: [a.yaml]\ntransformers: [\"apiVersion: builtin\\nkind: PatchTransformer\\nmetadata: {name: x}\\npath: https://127.0.0.1:1/p\\n\"]",
		"plugin in a directory":   "resources: [a.yaml]\ntransformers: [plugins]",
		"second document of file": "resources: [a.yaml]\ntransformers: [two.yaml]",
	} {
		dir := write(t, map[string]string{
			"kustomization.yaml":         k + "\n",
			"a.yaml":                     account("a"),
			"sub/kustomization.yaml":     "resources: [deeper]\n",
			"sub/deeper/Kustomization":   "resources: [github.com/a/b]\n",
			"comp/kustomization.yaml":    "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [github.com/a/b]\n",
			"plugin.yaml":                "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: https://127.0.0.1:1/p\n",
			"two.yaml":                   "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: x, namespace: y}\n---\napiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: https://127.0.0.1:1/p\n",
			"plugins/kustomization.yaml": "resources: [../plugins/x.yaml]\n",
			"plugins/x.yaml":             "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: https://127.0.0.1:1/p\n",
		})
		_, err := Read(Options{Kustomize: []string{dir}})
		if err == nil || !strings.Contains(err.Error(), "is remote, and nothing is ever fetched") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("git was called")
	}
	_, err := Read(Options{Kustomize: []string{"https://github.com/a/b"}})
	if err == nil || !strings.Contains(err.Error(), "nothing is ever fetched; clone it first") {
		t.Errorf("remote directory: %v", err)
	}
}
