package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects"
)

// write puts files into a new directory and gives it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// outcome writes what came of an input as lines: accounts with their places stand for every object.
func outcome(dir string, s *cluster.Snapshot, err error) string {
	var out []string
	if err != nil {
		out = append(out, err.Error())
	} else {
		for _, a := range s.Accounts {
			out = append(out, fmt.Sprintf("%s: %s/%s", a.Origin, a.Namespace, a.Name))
		}
		for _, p := range s.NetworkPolicies {
			out = append(out, fmt.Sprintf("%s: policy %s/%s%s", p.Origin, p.Object.Namespace, p.Object.Name, strings.Join(p.NotUnderstood, "; ")))
		}
		for _, u := range s.Unreadable {
			out = append(out, fmt.Sprintf("unreadable %s: %s", u.Origin, u.Why))
		}
		for _, n := range s.Notes {
			out = append(out, fmt.Sprintf("note %s: %s", n.Origin, n.Text))
		}
	}
	return strings.ReplaceAll(strings.Join(out, "\n"), dir+string(filepath.Separator), "")
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// account is a small object; what is tested here is where objects are found, not what they say.
func account(name string) string {
	return "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: " + name + "\n"
}

func accountJSON(name string) string {
	return `{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "` + name + `"}}`
}

const brokenOwn = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadIdentity
metadata: {name: web, namespace: shop}
spec:
  serviceAccountName: web
  jwt:
    audiences:
    - db
    - db
    lifetime: 2h
---
apiVersion: sallyport.dev/v1alpha1
kind: AccessPolicy
metadata: {name: db, namespace: shop}
spec:
  target:
    pods:
      podSelector:
        matchLabels:
          app:
  rules:
  - action: Allow
    from:
    - serviceAccount: {nam: web}
  -
---
apiVersion: sallyport.dev/v1alpha1
kind: ClusterExternalService
metadata: {name: sql}
spec:
  cidrs:
  - 192.0.2.0/24
  - 192.0.2.1/24
`

const brokenPolicy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
spec:
  podSelector: {}
  ingress:
  - from:
    - podSelector: {}
    - podSelectr: {}
    ports:
    - port: 80
    - port: 0
`

// TestStreams: which documents a file has, and at which lines.
func TestStreams(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"one document", account("a"), "f.yaml:1: default/a"},
		{"comments in front", "# one\n\n# two\n" + account("a"), "f.yaml:4: default/a"},
		{"many documents", "---\n" + account("a") + "---\n# empty\n---\n" + account("b") + "--- # c\n" + account("c"), "f.yaml:2: default/a\nf.yaml:9: default/b\nf.yaml:14: default/c"},
		{"windows line ends", strings.ReplaceAll(account("a")+"---\n"+account("b"), "\n", "\r\n"), "f.yaml:1: default/a\nf.yaml:6: default/b"},
		{"byte order mark", "\uFEFF" + account("a"), "f.yaml:1: default/a"},
		{"utf-16", "\xFF\xFEa\x00", "f.yaml: the file is encoded in UTF-16 (hint: save it as UTF-8)"},
		{"utf-16 without a mark", "a\x00p\x00", "f.yaml: the file is encoded in UTF-16 (hint: save it as UTF-8)"},
		{"document end", account("a") + "...\n# x\n---\n" + account("b"), "f.yaml:1: default/a\nf.yaml:8: default/b"},
		{"directive", "%YAML 1.1\n---\n" + account("a"), "f.yaml:3: default/a"},
		{"dashes in a text", account("a") + "x: |\n  ---\n  y\n", "f.yaml:1: default/a"},
		{"object on the separator's line", "--- {apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}\n", "f.yaml:1: default/a"},
		{"broken policy", account("a") + "---\n" + brokenPolicy,
			"f.yaml:15: NetworkPolicy default/p: unknown field spec.ingress[0].from[1].podSelectr (hint: did you mean podSelector?)\n" +
				"f.yaml:18: NetworkPolicy default/p: spec.ingress[0].ports[1].port 0 is not between 1 and 65535"},
		{"broken identity and access", brokenOwn,
			`f.yaml:9: WorkloadIdentity shop/web: spec.jwt.audiences[1] "db" is in the list twice
f.yaml:10: WorkloadIdentity shop/web: spec.jwt.lifetime "2h" does not lie between 1m and 1h
f.yaml:20: AccessPolicy shop/db: spec.target.pods.podSelector.matchLabels.app has no value (hint: write '' if the empty one is meant)
f.yaml:24: AccessPolicy shop/db: unknown field spec.rules[0].from[0].serviceAccount.nam (hint: did you mean name?)
f.yaml:25: AccessPolicy shop/db: spec.rules[1] is empty (hint: fill the item in or leave it out)
f.yaml:30: ClusterExternalService sql: spec.ports is missing
f.yaml:33: ClusterExternalService sql: spec.cidrs[1] "192.0.2.1/24" has host bits (hint: write 192.0.2.0/24)`},
		{"two broken documents", "a: b: c\n---\n" + account("a") + "---\n[\n", "f.yaml:1: this is not YAML: mapping values are not allowed in this context\nf.yaml:8: this is not YAML: did not find expected node content"},
		{"template", "apiVersion: v1\nkind: {{ .Values.kind }}\nmetadata: {{- include \"x\" . }}\n",
			"f.yaml:2: this is not YAML: did not find expected node content (hint: this looks like a Helm template; render it first: helm template … | sallyport … -f -)"},
		{"template that is YAML", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Values.kind }}}\n",
			"f.yaml:3: the name of a field cannot be a map or a list (hint: this looks like a Helm template; render it first: helm template … | sallyport … -f -)"},
		{"template that is no YAML", "{{- if .x }}\napiVersion: v1\n{{- end }}\n",
			"f.yaml:1: this is not YAML: did not find expected node content (hint: this looks like a Helm template; render it first: helm template … | sallyport … -f -)"},
		{"duplicate field", "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: a\n  name: b\n", "f.yaml:5: field name is given twice, first at line 4"},
		{"duplicate field of another spelling", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, labels: {1: a, \"1\": b}}\n", "f.yaml:3: field 1 is given twice, first at line 3"},
		{"field without a name", "apiVersion: v1\nkind: ServiceAccount\n? \n: x\n", "f.yaml:3: the name of a field cannot be empty"},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(account("a"), "\n", "\n  ") + "\n- {apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}\n", "f.yaml:4: default/a\nf.yaml:9: default/b"},
		{"typed list", "apiVersion: v1\nkind: ServiceAccountList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n", "f.yaml:4: default/a\nf.yaml:5: default/b"},
		{"list in a list", "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}]}]}", "f.yaml:1: default/a"},
		{"not an object", account("a") + "---\njust words\n---\nx: 1\n", "f.yaml:6: this is not a Kubernetes object but a bare value or list"},
		{"some other yaml", account("a") + "---\nx: 1\n", "f.yaml:1: default/a\nnote f.yaml:6: not read: without apiVersion and kind this is not a Kubernetes object"},
		{"merge", "apiVersion: v1\nkind: ServiceAccount\nx: &m {namespace: shop, name: z}\nmetadata:\n  <<: *m\n  name: a\n", "f.yaml:1: shop/a"},
		{"merge list", "apiVersion: v1\nkind: ServiceAccount\nx: &m {namespace: shop}\ny: &n {namespace: no, name: a}\nmetadata: {<<: [*m, *n]}\n", "f.yaml:1: shop/a"},
		{"bad merge", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {<<: 5}\n", "f.yaml:3: only a map can be merged"},
		{"alias of itself", "apiVersion: v1\nkind: ServiceAccount\nmetadata: &m {name: a, labels: *m}\n", "f.yaml:3: the anchor m contains itself"},
		{"tag", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: !!str 5, namespace: !secret x}\n", "f.yaml:3: the tag !secret is not supported"},
		{"no number", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\nx: .inf\n", "f.yaml:4: .inf has no JSON form"},
		{"json", accountJSON("a"), "f.yaml:1: default/a"},
		{"json objects", accountJSON("a") + "\n\n" + accountJSON("b"), "f.yaml:1: default/a\nf.yaml:3: default/b"},
		{"json and yaml", accountJSON("a") + "\n---\n" + accountJSON("b") + "\n---\n" + account("c"), "f.yaml:1: default/a\nf.yaml:3: default/b\nf.yaml:5: default/c"},
		{"json list as kubectl writes it", "{\n\"apiVersion\": \"v1\",\n\"items\": [\n" + accountJSON("a") + ",\n" + accountJSON("b") + "\n],\n\"kind\": \"List\"}", "f.yaml:4: default/a\nf.yaml:5: default/b"},
		{"json typed list", "{\"kind\":\"ServiceAccountList\",\"apiVersion\":\"v1\",\"items\":[\n{\"metadata\":{\"name\":\"a\"}}]}", "f.yaml:2: default/a"},
		{"json typed list, kind last", "{\"items\":[\n{\"metadata\":{\"name\":\"a\"}}],\n\"apiVersion\":\"v1\",\"kind\":\"ServiceAccountList\"}", "f.yaml:2: default/a"},
		{"json empty list", account("a") + "---\n{\"items\":null,\"kind\":\"List\",\"apiVersion\":\"v1\"}", "f.yaml:1: default/a"},
		{"items of no list", "{\"items\":[" + accountJSON("a") + "],\"kind\":\"Thing\",\"apiVersion\":\"v1\"}", "f.yaml:1: an object of kind Thing cannot have items"},
		{"json that ends early", "{\n\"apiVersion\": \"v1\",\n\"items\": [\n" + accountJSON("a"), "f.yaml:4: this is not JSON: the file ends in the middle of an object"},
		{"json that is broken", "{\n\"apiVersion\": \"v1\",\n\"kind\": oops}", "f.yaml:3: this is not JSON: invalid character 'o' looking for beginning of value"},
		{"json list without a kind", "[" + accountJSON("a") + "]", "f.yaml:1: cannot be read: a Kubernetes object must be a JSON object, not ["},
		{"json lines", "{\"apiVersion\":\"networking.k8s.io/v1\",\n\"kind\":\"NetworkPolicy\",\"metadata\":{\"name\":\"p\"},\n\"spec\":{\n\"ingress\":[\n{\"from\":[\n{\"podSelectr\":{}}]}],\n\"policyTypes\":[],\"policyTypes\":[]}}",
			"f.yaml:6: NetworkPolicy default/p: unknown field spec.ingress[0].from[0].podSelectr (hint: did you mean podSelector?)\nf.yaml:7: NetworkPolicy default/p: field spec.policyTypes is given twice"},
		{"empty", "", "no Kubernetes object in f.yaml (hint: give files or directories with -f, or a kustomize directory with -k)"},
		{"hostile text", "apiVersion: v1\nkind: \"A\\e[2J\"\nmetadata: {name: a}\n---\n" + account("a"), "f.yaml:5: default/a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := write(t, map[string]string{"f.yaml": tc.text})
			s, err := Read(Options{Files: []string{filepath.Join(dir, "f.yaml")}})
			check(t, outcome(dir, s, err), tc.want)
			s, err = Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(tc.text)})
			check(t, strings.ReplaceAll(outcome(dir, s, err), "in -", "in f.yaml"), strings.ReplaceAll(strings.ReplaceAll(tc.want, "f.yaml:", "stdin:"), "f.yaml: ", "stdin: "))
		})
	}
}

// TestScalars compares with the library that kubectl uses (YAML 1.1: yes and on are booleans).
func TestScalars(t *testing.T) {
	for _, v := range []string{"yes", "No", "on", "OFF", "y", "N", "true", "True", "TRUE", "tRUE", "null", "Null", "~", "", "010", "0o10", "0x1F", "0b11", "1_000",
		"-5", "+5", "-0", "0", "00", "8.0", "8.5", "1e3", "1E400", ".5", "5.", "-.5", "1.2.3", "10.0.0.0/8", "::1", "12:30:45", "2001-01-01", "2001-01-01T00:00:00Z",
		"9223372036854775807", "9223372036854775808", "18446744073709551616", "123456789012345678", "=", "<<x", "--", "+", ".", "..", "nope", "yessir", "off-site",
		"'yes'", "\"5\"", "!!str 5", "!!int 5", "!!bool yes", "!!float 5", "|\n  5", "ff", "0xZZ", "1x", "e5", "inf", "nan", "a b", "1 2"} {
		text := "v: " + v + "\n"
		want, wantErr := sigsyaml.YAMLToJSON([]byte(text))
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(text), &n); err != nil {
			t.Fatalf("%q: %v", v, err)
		}
		c := &converter{}
		got, err := c.json(n.Content[0])
		if (err != nil) != (wantErr != nil) {
			t.Errorf("%q: error %v, want %v", v, err, wantErr)
			continue
		}
		if err == nil && strings.TrimSpace(string(want)) != string(got) {
			t.Errorf("%q is %s, want %s", v, got, want)
		}
	}
}

// TestBombs: a few lines must not describe more than a machine can hold.
func TestBombs(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	merges := "a0: &a0 {k0: x}\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
		merges += fmt.Sprintf("a%d: &a%d {<<: [%s]}\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	big := "a: &a \"" + strings.Repeat("x", 1<<20) + "\"\nb: [" + strings.TrimSuffix(strings.Repeat("*a, ", 200), ", ") + "]\n"
	head := "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n"
	for name, text := range map[string]string{"laughs": laughs, "merges": merges, "big": big, "deep": "x: " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "\n"} {
		_, err := Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(head + text)})
		if err == nil || !strings.Contains(err.Error(), "aliases of this document") && !strings.Contains(err.Error(), "deep in each other") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDirectories: what is read of a directory, and what is said where there is nothing.
func TestDirectories(t *testing.T) {
	dir := write(t, map[string]string{
		"m/b.yaml": account("b"), "m/a.yml": account("a"), "m/sub/deep/c.json": accountJSON("c"), "m/.hidden.yaml": "{{", "m/.git/x.yaml": "{{",
		"m/readme.md": "{{", "m/kustomization.yaml": "resources: [b.yaml]\n", "empty/readme.md": "", "k/kustomization.yaml": "resources: []\n",
		"one": account("one"), "notes/x.yaml": "just: notes\n",
	})
	for link, target := range map[string]string{"m/loop": "..", "m/sub/again.yaml": "../b.yaml", "m/sub/up": "../sub"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		files []string
		want  string
	}{
		{[]string{"m"}, "m/a.yml:1: default/a\nm/b.yaml:1: default/b\nm/sub/deep/c.json:1: default/c\nm/loop/one"},
		{[]string{"one"}, "one:1: default/one"},
		{[]string{"one", "one"}, "one:1: default/one"},
		{[]string{"missing.yaml", "empty", "k"}, "missing.yaml: no such file or directory\nempty: no manifest in this directory (hint: only *.yaml, *.yml and *.json files are read)\nk: no manifest in this directory (hint: use -k DIR/k)"},
		{[]string{"notes"}, "no Kubernetes object in notes (hint: give files or directories with -f, or a kustomize directory with -k)"},
	} {
		var paths []string
		for _, f := range tc.files {
			paths = append(paths, filepath.Join(dir, f))
		}
		s, err := Read(Options{Files: paths})
		got := strings.ReplaceAll(outcome(dir, s, err), "use -k "+dir+"/", "use -k DIR/")
		got = strings.ReplaceAll(got, "use -k k)", "use -k DIR/k)")
		if tc.files[0] == "m" { // the loop leads to the other directories of this test too
			for _, line := range []string{"m/a.yml:1: default/a", "m/b.yaml:1: default/b", "m/sub/deep/c.json:1: default/c",
				"note m/kustomization.yaml: not read: this is a kustomization; use -k to apply it"} {
				if strings.Count(got, line) != 1 {
					t.Errorf("%q is not in\n%s", line, got)
				}
			}
			continue
		}
		check(t, got, tc.want)
	}
	_, err := Read(Options{})
	if err == nil || !strings.Contains(err.Error(), "nothing was given") {
		t.Errorf("no input: %v", err)
	}
	_, err = Read(Options{Files: []string{"-"}})
	if err == nil || !strings.Contains(err.Error(), "no standard input") {
		t.Errorf("no stdin: %v", err)
	}
}

// TestSkipUnreadable: a file that is no YAML hides nothing but itself (S2).
func TestSkipUnreadable(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": account("a") + "---\n{{ x }}\n---\n" + account("b"), "b.yaml": brokenPolicy})
	s, err := Read(Options{Files: []string{dir}, SkipUnreadable: true, DefaultNamespace: "mine"})
	check(t, outcome(dir, s, err), `
a.yaml:1: mine/a
a.yaml:8: mine/b
unreadable a.yaml:6: the name of a field cannot be a map or a list (hint: this looks like a Helm template; render it first: helm template … | sallyport … -f -)
unreadable b.yaml:10: NetworkPolicy mine/p: unknown field spec.ingress[0].from[1].podSelectr (hint: did you mean podSelector?)
unreadable b.yaml:13: NetworkPolicy mine/p: spec.ingress[0].ports[1].port 0 is not between 1 and 65535`)
	var es objects.InputErrors
	if _, err = Read(Options{Files: []string{dir, filepath.Join(dir, "none")}, SkipUnreadable: true}); !errors.As(err, &es) {
		t.Errorf("a missing file is skipped: %v", err)
	}
}

// TestSaved: a saved snapshot is a cluster, over which other files lie (S2), and whose policies came
// from a server (S32).
func TestSaved(t *testing.T) {
	policy := "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: shop}\nspec: {podSelector: {}%s}\n"
	dir := write(t, map[string]string{
		"saved.yaml": "apiVersion: sallyport.dev/v1alpha1\nkind: Snapshot\nkubeVersion: v1.31\n" + fmt.Sprintf(policy, "kept", ", beyond: 1") + fmt.Sprintf(policy, "replaced", ", beyond: 1"),
		"new.yaml":   fmt.Sprintf(policy, "replaced", ""),
	})
	for _, files := range [][]string{{"saved.yaml", "new.yaml"}, {"new.yaml", "saved.yaml"}} {
		s, err := Read(Options{Files: []string{filepath.Join(dir, files[0]), filepath.Join(dir, files[1])}})
		check(t, outcome(dir, s, err), "saved.yaml:5: policy shop/keptunknown field spec.beyond\nnew.yaml:2: policy shop/replaced")
		if err == nil && s.Facts.KubeVersion != "v1.31" {
			t.Errorf("facts: %+v", s.Facts)
		}
	}
}

// TestLines: every path of a policy leads to its line, in YAML and in JSON.
func TestLines(t *testing.T) {
	text := strings.Replace(brokenPolicy, "podSelectr", "namespaceSelector", 1)
	text = strings.Replace(text, "port: 0", "port: 81", 1)
	asJSON, err := sigsyaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var indented any
	if err := json.Unmarshal(asJSON, &indented); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(map[string]any{"kind": "List", "apiVersion": "v1", "items": []any{indented}}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for name, input := range map[string]string{"yaml": account("a") + "---\n" + text, "json": string(pretty)} {
		s, err := Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(input)})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(input, "\n")
		for path, word := range map[string]string{"metadata.name": "name", "spec.podSelector": "podSelector", "spec.ingress[0].from[0]": "podSelector", "spec.ingress[0].from[1]": "namespaceSelector",
			"spec.ingress[0].ports[1]": "port", "spec.ingress[0].ports[1].port": "81", "spec.ingress[0]": "from"} {
			at := s.NetworkPolicies[0].Origin.At(path).Line
			if name == "json" && strings.HasSuffix(path, "]") { // an item begins with its brace
				word = "{"
			}
			if !strings.Contains(lines[at-1], word) {
				t.Errorf("%s: %s is line %d: %q", name, path, at, lines[at-1])
			}
		}
	}
}
