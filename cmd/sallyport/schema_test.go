package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/policytest"
)

// schemaOf compiles the schema of a verb's JSON.
func schemaOf(t *testing.T, verb string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../docs/schema/" + verb + ".v1.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, document []byte) error {
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return s.Validate(tree)
}

// corpusFolders writes every scenario to a folder of its own, and adds the examples.
func corpusFolders(t *testing.T, each func(dir string, s *policytest.Scenario)) {
	t.Helper()
	base := t.TempDir()
	corpus := policytest.Corpus()
	err := fs.WalkDir(corpus, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		data, err := fs.ReadFile(corpus, path)
		if err != nil {
			return err
		}
		s, err := policytest.Parse(path, data)
		if err != nil {
			return err
		}
		dir := filepath.Join(base, strings.TrimSuffix(path, ".txtar"))
		for _, f := range s.Files {
			name := filepath.Join(dir, filepath.FromSlash(f.Name))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(name, []byte(f.Content), 0o644); err != nil {
				return err
			}
		}
		each(dir, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// asJSON runs a command line and validates what it prints; a refusal must print nothing there.
func asJSON(t *testing.T, s *jsonschema.Schema, args ...string) bool {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "-o", "json")
	if run(args, strings.NewReader(""), &stdout, &stderr) == 1 {
		if stdout.Len() > 0 {
			t.Errorf("%v: a refusal printed %s", args, stdout.String())
		}
		return false
	}
	if err := validate(s, stdout.Bytes()); err != nil {
		t.Errorf("%v: %v\n%s", args, err, stdout.String())
	}
	return true
}

// checks lists the command lines that ask a scenario's questions.
func checks(dir string, s *policytest.Scenario) [][]string {
	var out [][]string
	for _, q := range s.Asked {
		if words := policytest.Words(q.Question); words[0] == "check" {
			out = append(out, slices.Concat([]string{"check", "-f", dir}, words[1:]))
		}
	}
	return out
}

func TestCheckJSONSchema(t *testing.T) {
	schema := schemaOf(t, "check")
	answered, refused := 0, 0
	ask := func(args []string) {
		for _, more := range [][]string{nil, {"--trace", "--suggest"}} {
			if asJSON(t, schema, slices.Concat(args, more)...) {
				answered++
			} else {
				refused++
			}
		}
	}
	corpusFolders(t, func(dir string, s *policytest.Scenario) {
		for _, args := range checks(dir, s) {
			ask(args)
		}
	})
	for _, from := range shopEnds {
		for _, to := range shopEnds {
			ask([]string{"check", "-f", "../../examples/shop", from, to})
			ask([]string{"check", "-f", "../../examples/shop-mistakes", from, to + ":8080"})
		}
	}
	for _, from := range layeredEnds {
		for _, to := range layeredEnds {
			ask([]string{"check", "-f", "testdata/layers", from, to})
			ask([]string{"check", "-f", "testdata/layers", from, to + ":8080", "--trust-domain", "partner.example"})
		}
	}
	t.Logf("%d answers, %d refusals", answered, refused)
	if answered < 2000 {
		t.Errorf("only %d answers: the corpus was not asked", answered)
	}
}

var shopEnds = []string{"shop/web", "shop/api", "shop/db", "shop/cache", "shop/worker", "shop/nightly-report", "monitoring/prometheus",
	"ingress-nginx/ingress-nginx-controller", "kube-system/coredns", "external", "203.0.113.7", "198.51.100.0/24"}

// layeredEnds are those of testdata/layers, where every layer speaks.
var layeredEnds = []string{"shop/web", "shop/report", "shop/api", "shop/queue", "shop/agent", "ops/batch", "node/n1", "external", "20.42.65.65", "10.1.0.5",
	"shop/xsvc/orders-db", "cxsvc/mail", "cxsvc/archive"}

func TestExplainJSONSchema(t *testing.T) {
	schema := schemaOf(t, "explain")
	answered := 0
	explainAll := func(dir string, flags ...string) {
		in := input{files: []string{dir}, namespace: "default", skipUnreadable: true}
		w, err := in.load(&cobra.Command{})
		if err != nil {
			return // a scenario of what cannot be read
		}
		flags = append([]string{"explain", "-f", dir, "--skip-unreadable"}, flags...)
		for _, p := range w.model.Policies() {
			name := strings.ToLower(p.Ref.Kind) + "/" + p.Ref.Name
			if p.Ref.Namespace != "" {
				name = p.Ref.Namespace + "/" + name
			}
			if !asJSON(t, schema, slices.Concat(flags, []string{name})...) {
				t.Errorf("%s: policy %s is not explained", dir, name)
			}
			answered++
		}
		seen := map[string]bool{}
		for i := range w.snap.Pods {
			for _, name := range []string{w.snap.Pods[i].Owner.String(), w.snap.Pods[i].String()} {
				if seen[name] {
					continue
				}
				seen[name] = true
				answered++
				asJSON(t, schema, slices.Concat(flags, []string{name})...)
			}
		}
		for kind := range ownKinds {
			all, _ := w.ownRefs(ownKinds[kind])
			for _, r := range all {
				answered++
				if !asJSON(t, schema, slices.Concat(flags, []string{strings.TrimPrefix(r.Namespace+"/"+kind+"/"+r.Name, "/")})...) {
					t.Errorf("%s: %v is not explained as %s", dir, r, kind)
				}
			}
		}
	}
	corpusFolders(t, func(dir string, s *policytest.Scenario) { explainAll(dir) })
	explainAll("../../examples/shop", "--plugin", "cilium", "--kube-version", "1.20")
	explainAll("../../examples/shop-mistakes")
	explainAll("testdata/layers")
	explainAll("testdata/layers", "--plugin", "none")
	server := filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(server, []byte(hostile(t, true)+hostileLayers(t, true)), 0o644); err != nil {
		t.Fatal(err)
	}
	before := answered
	explainAll(server)
	if answered < before+20 {
		t.Errorf("only %d answers about what a server has and is not understood", answered-before)
	}
	t.Logf("%d answers", answered)
	if answered < 1000 {
		t.Errorf("only %d answers: the corpus was not explained", answered)
	}
}

func TestReachJSONSchema(t *testing.T) {
	schema := schemaOf(t, "reach")
	answered := 0
	ask := func(dir string) {
		for _, form := range [][]string{nil, {"--external"}, {"--all"}, {"--by", "namespace"}, {"--by", "namespace", "--all", "--external"}} {
			var stdout, stderr bytes.Buffer
			args := slices.Concat([]string{"reach", "-f", dir, "-o", "json"}, form)
			if run(args, strings.NewReader(""), &stdout, &stderr) != 0 {
				return // a scenario of what cannot be read
			}
			answered++
			if err := validate(schema, stdout.Bytes()); err != nil {
				t.Errorf("%v: %v\n%s", args, err, stdout.String())
			}
			if err := rowsAreDisjoint(stdout.Bytes(), slices.Contains(form, "--all"), slices.Contains(form, "namespace")); err != nil {
				t.Errorf("%v: %v", args, err)
			}
		}
	}
	scenarios := 0
	corpusFolders(t, func(dir string, s *policytest.Scenario) {
		if scenarios++; scenarios%5 == 0 {
			ask(dir)
		}
	})
	for _, dir := range []string{"../../examples/shop", "../../examples/shop-mistakes", "testdata/world", "testdata/layers"} {
		before := answered
		if ask(dir); answered != before+5 {
			t.Errorf("%s is not answered", dir)
		}
	}
	t.Logf("%d answers", answered)
	if answered < 100 {
		t.Errorf("only %d answers: the corpus was not asked", answered)
	}
}

// TestWhoCanJSONSchema asks who can reach each workload of the examples, and what each reaches.
func TestWhoCanJSONSchema(t *testing.T) {
	who, spread := schemaOf(t, "who-can"), schemaOf(t, "spread")
	answered := 0
	for _, dir := range []string{"../../examples/shop", "../../examples/shop-mistakes", "testdata/world", "testdata/layers"} {
		for _, end := range workloadsOf(t, dir) {
			for schema, args := range map[*jsonschema.Schema][]string{who: {"who-can", "-f", dir, end}, spread: {"who-can", "-f", dir, "--from", end, "--transitive"}} {
				var stdout, stderr bytes.Buffer
				if run(append(args, "-o", "json"), strings.NewReader(""), &stdout, &stderr) != 0 {
					t.Fatalf("%v: %s", args, stderr.String())
				}
				answered++
				if err := validate(schema, stdout.Bytes()); err != nil {
					t.Errorf("%v: %v\n%s", args, err, stdout.String())
				}
			}
		}
	}
	if answered < 40 {
		t.Errorf("only %d answers", answered)
	}
	for _, service := range []string{"shop/xsvc/orders-db", "cxsvc/mail", "cxsvc/archive:443"} {
		if !asJSON(t, who, "who-can", "-f", "testdata/layers", service) {
			t.Errorf("%s is not answered", service)
		}
	}
}

// TestLintJSONSchema lints every scenario and example, on several platforms.
func TestLintJSONSchema(t *testing.T) {
	schema := schemaOf(t, "lint")
	answered := 0
	ask := func(dir string, flags ...string) {
		if asJSON(t, schema, slices.Concat([]string{"lint", "-f", dir}, flags)...) {
			answered++
		}
	}
	corpusFolders(t, func(dir string, s *policytest.Scenario) {
		ask(dir)
		ask(dir, "--kube-version", "1.10", "--plugin", "cilium")
	})
	for _, dir := range []string{"../../examples/shop", "../../examples/shop-mistakes", "../../examples/aks/app.yaml", "testdata/world", "testdata/lint/ignored.yaml"} {
		before := answered
		ask(dir)
		ask(dir, "--plugin", "azure-npm", "--pod-cidr", "10.244.0.0/16")
		ask(dir, "--aks", "../../examples/aks/cluster.json")
		if answered != before+3 {
			t.Errorf("%s is not linted", dir)
		}
	}
	if answered < 400 {
		t.Errorf("only %d answers: the corpus was not linted", answered)
	}
}

// workloadsOf lists the ends that reach speaks of.
func workloadsOf(t *testing.T, dir string) []string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if run([]string{"reach", "-f", dir, "-o", "json", "--all"}, strings.NewReader(""), &stdout, &stderr) != 0 {
		t.Fatal(stderr.String())
	}
	var d reachDocument
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range d.Connections {
		out = append(out, c.From)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rowsAreDisjoint tells what the schema cannot: rows of one pair stand together, one for each verdict,
// their ports are sorted and disjoint, and with all they are every port.
func rowsAreDisjoint(document []byte, all, byNamespace bool) error {
	var d reachDocument
	if err := json.Unmarshal(document, &d); err != nil {
		return err
	}
	done := map[[2]string]bool{}
	for i := 0; i < len(d.Connections); {
		pair := [2]string{d.Connections[i].From, d.Connections[i].To}
		if done[pair] {
			return fmt.Errorf("rows of %v do not stand together", pair)
		}
		done[pair] = true
		if pair[0] == pair[1] && !all && !byNamespace {
			return fmt.Errorf("%s and itself without --all", pair[0])
		}
		var sum netset.PortSet
		verdicts := map[string]bool{}
		for ; i < len(d.Connections) && [2]string{d.Connections[i].From, d.Connections[i].To} == pair; i++ {
			c := &d.Connections[i]
			ports, err := portSet(c.Ports)
			switch {
			case err != nil:
				return err
			case !slices.Equal(ports.Strings(), c.Ports):
				return fmt.Errorf("%v: ports %v are not sorted and merged", pair, c.Ports)
			case !sum.Intersect(ports).Empty():
				return fmt.Errorf("%v: %v again in %s", pair, sum.Intersect(ports), c.Verdict)
			case verdicts[c.Verdict]:
				return fmt.Errorf("%v: two rows are %s", pair, c.Verdict)
			case c.Verdict == "denied" && !all:
				return fmt.Errorf("%v: a denied row without --all", pair)
			}
			sum, verdicts[c.Verdict] = sum.Union(ports), true
		}
		if all && !sum.Equal(netset.EveryPort()) {
			return fmt.Errorf("%v: no verdict on %v", pair, netset.EveryPort().Minus(sum))
		}
	}
	return nil
}

// TestTestJSONSchema writes first tests for each scenario of the corpus and runs them over the one before it.
func TestTestJSONSchema(t *testing.T) {
	schema := schemaOf(t, "test")
	file := filepath.Join(t.TempDir(), "first.yaml")
	before, valid := "", 0
	corpusFolders(t, func(dir string, _ *policytest.Scenario) {
		was := before
		before = dir
		var stdout, stderr bytes.Buffer
		if run([]string{"test", "--init", "-f", dir}, strings.NewReader(""), &stdout, &stderr) != 0 {
			return
		}
		if err := os.WriteFile(file, stdout.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, input := range []string{dir, was} {
			if input != "" && asJSON(t, schema, "test", file, "-f", input) {
				valid++
			}
		}
	})
	if valid < 200 {
		t.Errorf("only %d runs", valid)
	}
}

// TestDiffJSON compares each scenario of the corpus with the one before it: the document is valid, and the
// changes applied to what reach gave before give what it gives after.
func TestDiffJSON(t *testing.T) {
	schema := schemaOf(t, "diff")
	before, compared, changed := "", 0, 0
	corpusFolders(t, func(dir string, _ *policytest.Scenario) {
		was := before
		before = dir
		if was == "" {
			return
		}
		var stdout, stderr bytes.Buffer
		switch run([]string{"diff", was, dir, "-o", "json"}, strings.NewReader(""), &stdout, &stderr) {
		case 1:
			return // a scenario that shows an error
		case 2:
			changed++
		}
		if err := validate(schema, stdout.Bytes()); err != nil {
			t.Errorf("%s and %s: %v", was, dir, err)
		}
		compared++
		if err := appliesTo(t, was, dir, stdout.Bytes()); err != nil {
			t.Errorf("%s and %s: %v", was, dir, err)
		}
	})
	for _, own := range []string{"shop/acp/api", "shop/acp/queue", "shop/acp/orders-db", "shop/wid/web", "shop/wid/leader", "shop/xsvc/orders-db", "cxsvc/archive", "cxsvc/mail"} {
		if !asJSON(t, schema, "diff", "testdata/layers", "--delete", own) {
			t.Errorf("--delete %s is not answered", own)
		}
	}
	if !asJSON(t, schema, "diff", "testdata/layers", "-f", "testdata/layers-change.yaml") {
		t.Error("another service account is not answered")
	}
	if compared < 200 || changed < 150 {
		t.Errorf("%d scenarios were compared, %d differ", compared, changed)
	}
}

// appliesTo applies a diff to the rows of workloads among themselves; pieces of the outside are divided
// by both inputs there and by one in reach.
func appliesTo(t *testing.T, was, is string, document []byte) error {
	var d struct {
		Changes []struct {
			From, To, Ports []string
			Before, After   string
		}
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return err
	}
	rows, want := openRows(t, was), openRows(t, is)
	for _, c := range d.Changes {
		if strings.HasPrefix(c.From[0], "external/") || strings.HasPrefix(c.To[0], "external/") {
			continue
		}
		ports, err := portSet(c.Ports)
		if err != nil {
			return err
		}
		old, now := rowKey{c.From[0], c.To[0], c.Before}, rowKey{c.From[0], c.To[0], c.After}
		if c.Before != "denied" && c.Before != "absent" && !ports.Minus(rows[old]).Empty() {
			return fmt.Errorf("%v: %v were not all %s", old, ports, c.Before)
		}
		rows[old], rows[now] = rows[old].Minus(ports), rows[now].Union(ports)
	}
	for k, ports := range rows {
		if k.verdict != "denied" && k.verdict != "absent" && !ports.Equal(want[k]) {
			return fmt.Errorf("%v: %v, and reach says %v", k, ports, want[k])
		}
	}
	for k, ports := range want {
		if !ports.Equal(rows[k]) {
			return fmt.Errorf("%v: %v, and reach says %v", k, rows[k], ports)
		}
	}
	return nil
}

type rowKey struct{ from, to, verdict string }

// openRows gives what reach lists, pairs of a workload with itself included.
func openRows(t *testing.T, dir string) map[rowKey]netset.PortSet {
	var stdout, stderr bytes.Buffer
	if run([]string{"reach", "-f", dir, "-o", "json", "--all"}, strings.NewReader(""), &stdout, &stderr) != 0 {
		t.Fatal(stderr.String())
	}
	var d reachDocument
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	out := map[rowKey]netset.PortSet{}
	for _, c := range d.Connections {
		ports, err := portSet(c.Ports)
		if err != nil {
			t.Fatal(err)
		}
		if c.Verdict != "denied" {
			out[rowKey{c.From, c.To, c.Verdict}] = ports
		}
	}
	return out
}

// TestSinglePointsJSONSchema asks about every end of scenarios and examples, and about some by name.
func TestSinglePointsJSONSchema(t *testing.T) {
	schema := schemaOf(t, "single-points")
	answered, scenarios := 0, 0
	ask := func(args ...string) {
		var stdout, stderr bytes.Buffer
		args = slices.Concat([]string{"single-points", "-o", "json"}, args)
		if run(args, strings.NewReader(""), &stdout, &stderr) != 0 {
			return // a scenario of what cannot be read
		}
		answered++
		if err := validate(schema, stdout.Bytes()); err != nil {
			t.Errorf("%v: %v\n%s", args, err, stdout.String())
		}
	}
	corpusFolders(t, func(dir string, s *policytest.Scenario) {
		if scenarios++; scenarios%10 == 0 || strings.HasPrefix(s.Path, "layers/") && scenarios%3 == 0 {
			ask("-f", dir)
		}
	})
	for _, dir := range []string{"../../examples/shop", "testdata/layers"} {
		before := answered
		if ask("-f", dir); answered != before+1 {
			t.Errorf("%s is not answered", dir)
		}
	}
	if answered < 20 {
		t.Errorf("only %d questions were answered", answered)
	}
}

// TestSchemasAreStrict adds a field to every object of every sort of answer, and spoils enums:
// the schemas have to notice each.
func TestSchemasAreStrict(t *testing.T) {
	for verb, args := range map[string][][]string{
		"check": {
			{"check", "-f", "../../examples/shop", "shop/web", "shop/db:5432", "--trace", "--suggest", "--plugin", "cilium"},
			{"check", "-f", "../../examples/shop", "external", "shop/web", "--trace"},
			{"check", "-f", "testdata/layers", "shop/report", "shop/api"}, {"check", "-f", "testdata/layers", "shop/queue", "shop/xsvc/orders-db"},
		},
		"single-points": {{"single-points", "-f", "testdata/layers", "shop/queue:5672"}, {"single-points", "-f", "testdata/layers", "shop/xsvc/orders-db:1433"}},
		"explain": {
			{"explain", "-f", "../../examples/shop", "shop/db"},
			{"explain", "-f", "../../examples/shop", "shop/networkpolicy/api"},
			{"explain", "-f", "testdata/layers", "shop/api"}, {"explain", "-f", "testdata/layers", "shop/web"}, {"explain", "-f", "testdata/layers", "shop/acp/metrics"},
			{"explain", "-f", "testdata/layers", "shop/acp/orders-db"}, {"explain", "-f", "testdata/layers", "shop/wid/web"}, {"explain", "-f", "testdata/layers", "shop/xsvc/orders-db"},
		},
		"reach": {
			{"reach", "-f", "testdata/world", "--all", "shop/db", "--plugin", "cilium"},
			{"reach", "-f", "testdata/world", "--by", "namespace"},
			{"reach", "-f", "testdata/layers", "cxsvc/mail"},
		},
		"who-can": {{"who-can", "-f", "testdata/world", "shop/db:5432"}, {"who-can", "-f", "testdata/layers", "shop/api:8080"}},
		"lint":    {{"lint", "-f", "../../examples/shop-mistakes"}, {"lint", "-f", "testdata/lint/ignored.yaml"}},
		"test":    {{"test", "testdata/expect.test.yaml"}},
		"diff": {{"diff", "testdata/world", "--delete", "shop/netpol/api"}, {"diff", "../../examples/shop", "--delete", "namespace/ingress-nginx"},
			{"diff", "testdata/layers", "--delete", "shop/acp/api"}, {"diff", "testdata/layers", "-f", "testdata/layers-change.yaml"}},
		"spread": {{"who-can", "-f", "testdata/world", "--from", "shop/api", "--transitive"}},
	} {
		schema := schemaOf(t, verb)
		for _, a := range args {
			var stdout, stderr bytes.Buffer
			if run(append(a, "-o", "json"), strings.NewReader(""), &stdout, &stderr) == 1 {
				t.Fatalf("%v: %s", a, stderr.String())
			}
			var tree any
			if err := json.Unmarshal(stdout.Bytes(), &tree); err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(tree); err != nil {
				t.Fatalf("%v: %v", a, err)
			}
			if doc, ok := tree.(map[string]any); ok && verb == "single-points" { // all of its paths look alike
				paths := doc["paths"].([]any)
				doc["paths"] = []any{paths[0], paths[len(paths)-1]}
			}
			spoil(tree, "", func(where string) {
				free := verb == "lint" && strings.HasPrefix(where, "another word") && strings.HasSuffix(where, ".reason") // a sentence there
				if schema.Validate(tree) == nil && !free {
					t.Errorf("%s: the schema does not notice %s", verb, where)
				}
			})
		}
	}
}

// free are the objects whose keys are not ours: labels, and specs of suggested manifests.
var free = map[string]bool{"labels": true, "spec": true}

// closed are the fields that hold one of a few words.
var closed = map[string]bool{"schema": true, "verdict": true, "reason": true, "kind": true, "match": true, "tier": true, "action": true, "part": true, "what": true, "effect": true, "says": true, "change": true, "direction": true, "severity": true,
	"layer": true, "answer": true, "issued": true, "mode": true, "enforcedBy": true}

// spoil changes a tree in one place after the other, calls noticed each time, and mends it again.
func spoil(tree any, path string, noticed func(string)) {
	switch v := tree.(type) {
	case map[string]any:
		v["unheardOf"] = "x"
		noticed("an unknown field in " + path)
		delete(v, "unheardOf")
		for _, k := range slices.Collect(maps.Keys(v)) {
			was := v[k]
			if free[k] {
				continue
			}
			v[k] = map[string]any{"another": "shape"}
			noticed("another shape of " + path + "." + k)
			if closed[k] {
				v[k] = "unheard-of"
				noticed("another word in " + path + "." + k)
			}
			v[k] = was
			spoil(was, path+"."+k, noticed)
		}
	case []any:
		for i := range v {
			spoil(v[i], fmt.Sprintf("%s[%d]", path, i), noticed)
		}
	}
}
