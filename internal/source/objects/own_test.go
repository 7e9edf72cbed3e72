package objects

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects/owncases"
)

// ownOf gives the spec of the one object of Sallyport's own kinds, and what was not understood of it.
func ownOf(t testing.TB, s *cluster.Snapshot) (spec any, unclear []string) {
	t.Helper()
	switch {
	case len(s.Identities)+len(s.AccessPolicies)+len(s.External) != 1:
		t.Fatalf("not one object: %v %v %v", s.Identities, s.AccessPolicies, s.External)
	case len(s.Identities) == 1:
		return s.Identities[0].Spec, s.Identities[0].NotUnderstood
	case len(s.AccessPolicies) == 1:
		return s.AccessPolicies[0].Spec, s.AccessPolicies[0].NotUnderstood
	}
	return s.External[0].Spec, s.External[0].NotUnderstood
}

// TestOwnProblems: what is said of every case; test/cluster puts the same ones to an API server.
func TestOwnProblems(t *testing.T) {
	for _, c := range owncases.All() {
		t.Run(c.String(), func(t *testing.T) { check(t, problems(t, c.Document("case")), c.Want) })
	}
}

// TestOwnDefaults: an object as it was written, and as an API server stores it, are read as the same.
func TestOwnDefaults(t *testing.T) {
	compared := 0
	for _, c := range owncases.All() {
		if c.Stored == "" {
			continue
		}
		compared++
		written, _ := ownOf(t, mustBuild(t, docs(t, c.Document("case"))))
		c.Spec = c.Stored
		stored, _ := ownOf(t, mustBuild(t, docs(t, c.Document("case"))))
		if diff := cmp.Diff(written, stored); diff != "" {
			t.Errorf("%s (-written +stored):\n%s", c.String(), diff)
		}
	}
	if compared < 20 {
		t.Errorf("only %d were compared", compared)
	}
}

// TestServerOwn is L4: what a server holds and nobody here has a word for is no error, and is named.
func TestServerOwn(t *testing.T) {
	for _, c := range owncases.All() {
		if c.Object != "" {
			continue
		}
		document := strings.Replace(c.Document("case"), "{name: case}", "{name: case, namespace: d}", 1)
		spec, unclear := ownOf(t, mustBuild(t, fromServer(docs(t, document))))
		if c.Want == "" && unclear != nil {
			t.Errorf("%s is good, and not understood is %v", c.String(), unclear)
		}
		for _, line := range strings.Split(c.Want, "\n") {
			problem, _, _ := strings.Cut(line, " (hint: ")
			if problem != "" && !slices.Contains(unclear, problem) {
				t.Errorf("%s: not understood is %q, without %q", c.String(), unclear, problem)
			}
		}
		if reflect.ValueOf(spec).IsNil() {
			t.Errorf("%s: no spec", c.String())
		}
	}
}

// TestServerOwnKeepsTheRest: what was understood stays where it was.
func TestServerOwnKeepsTheRest(t *testing.T) {
	read := func(kind, spec string) (any, []string) {
		return ownOf(t, mustBuild(t, fromServer(docs(t, "{apiVersion: sallyport.dev/v1alpha1, kind: "+kind+", metadata: {name: a, namespace: d}, spec: "+spec+"}"))))
	}
	for _, tc := range []struct{ kind, newer, left, unclear string }{
		{"AccessPolicy", "{beyond: 1, target: {pods: {podSelector: {}, zone: a}}, rules: [{action: Deny, from: [{passport: x}]}, {action: Allow, weekday: 1, from: [{serviceAccount: {name: web}}]}]}",
			"{target: {pods: {podSelector: {}}}, rules: [{action: Deny, from: [{}]}, {action: Allow, from: [{serviceAccount: {name: web}}]}]}",
			"unknown field spec.beyond\nunknown field spec.rules[0].from[0].passport\nunknown field spec.rules[1].weekday\nunknown field spec.target.pods.zone"},
		{"AccessPolicy", "{target: {pods: {podSelector: {}, ports: [{port: {named: a}, protocol: TCP}]}}, rules: [5]}",
			"{target: {pods: {podSelector: {}, ports: [{protocol: TCP}]}}, rules: [{}]}",
			"spec.rules[0] needs a map, not the number 5\nspec.target.pods.ports[0].port needs a number or a name, not a map"},
		{"WorkloadIdentity", "{serviceAccountName: web, x509: {lifetime: 1y, dnsNames: [a]}}", "{serviceAccountName: web, x509: {dnsNames: [a]}}",
			`spec.x509.lifetime needs a duration, not the string "1y"`},
		{"ClusterExternalService", "{names: [a], ports: [{port: 1, quic: true}], firewall: {tags: [a], allowAzureServices: true}}",
			"{names: [a], ports: [{port: 1}], firewall: {allowAzureServices: true}}", "unknown field spec.firewall.tags\nunknown field spec.ports[0].quic"},
	} {
		got, unclear := read(tc.kind, tc.newer)
		check(t, strings.Join(unclear, "\n"), tc.unclear)
		want, _ := read(tc.kind, tc.left)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.newer, diff)
		}
	}
}

// TestOwnHeaders: an object that was meant to be one of Sallyport's kinds is never passed over.
func TestOwnHeaders(t *testing.T) {
	for _, tc := range []struct{ head, want string }{
		{"apiVersion: sallyport.dev/v1, kind: AccessPolicy", "AccessPolicy: cannot be read as sallyport.dev/v1 (hint: use sallyport.dev/v1alpha1)"},
		{"apiVersion: sallyport.dev/v1beta1, kind: WorkloadIdentity", "WorkloadIdentity: cannot be read as sallyport.dev/v1beta1 (hint: use sallyport.dev/v1alpha1)"},
		{"apiVersion: networking.k8s.io/v1, kind: AccessPolicy", "AccessPolicy: cannot be read as networking.k8s.io/v1 (hint: use sallyport.dev/v1alpha1)"},
		{"apiVersion: v1, kind: ExternalService", "ExternalService: cannot be read as v1 (hint: use sallyport.dev/v1alpha1)"},
		{"apiVersion: sallyport.dev/v1alpha1, kind: AccesPolicy", "AccesPolicy: cannot be read as sallyport.dev/v1alpha1 (hint: did you mean AccessPolicy?)"},
		{"apiVersion: sallyport.dev/v1alpha1, kind: ExternalServices", "ExternalServices: cannot be read as sallyport.dev/v1alpha1 (hint: did you mean ExternalService?)"},
		{"apiVersion: sallyport.dev/v1alpha1, kind: workloadidentity", "workloadidentity: cannot be read as sallyport.dev/v1alpha1 (hint: did you mean WorkloadIdentity?)"},
		{"apiVersion: sallyport.dev/v1alpha1, kind: Trust", "Trust: cannot be read as sallyport.dev/v1alpha1"},
		{"kind: ClusterExternalService", "ClusterExternalService: apiVersion is missing (hint: apiVersion: sallyport.dev/v1alpha1)"},
		{"kind: WorkloadIdentity", "WorkloadIdentity: apiVersion is missing (hint: apiVersion: sallyport.dev/v1alpha1)"},
		{"apiVersion: sallyport.dev/v1alpha1", "an object of sallyport.dev/v1alpha1 has no kind"},
	} {
		_, err := buildAll(Options{}, docs(t, "{"+tc.head+", metadata: {name: a}, spec: {}}"))
		if err == nil || err.Error() != "f.yaml:1: "+tc.want {
			t.Errorf("%s:\n got %v\nwant %s", tc.head, err, tc.want)
		}
	}
	// Other groups may have kinds of these names.
	s := mustBuild(t, docs(t, "{apiVersion: networking.gke.io/v1, kind: AccessPolicy, metadata: {name: a}, spec: {}}"))
	check(t, digest(s), "note f.yaml:1: AccessPolicy of networking.gke.io/v1 is not evaluated; if it filters traffic, the answers do not show it")
}

// TestOwnNames: the namespace is filled in, and a cluster-wide kind has none.
func TestOwnNames(t *testing.T) {
	const external = "spec: {names: [a], ports: [{port: 1}]}"
	s, err := buildAll(Options{DefaultNamespace: "mine"}, docs(t, "{apiVersion: sallyport.dev/v1alpha1, kind: ExternalService, metadata: {name: a}, "+external+"}\n---\n"+
		"{apiVersion: sallyport.dev/v1alpha1, kind: ClusterExternalService, metadata: {name: a, namespace: dropped}, "+external+"}\n---\n"+
		"{apiVersion: sallyport.dev/v1alpha1, kind: ExternalService, metadata: {name: a, namespace: other}, "+external+"}"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range s.External {
		got = append(got, s.External[i].String())
	}
	check(t, strings.Join(got, " "), "clusterexternalservice/a mine/externalservice/a other/externalservice/a")
}

// TestOwnOverlay: a file lies over the cluster, and nothing is contradicted within a layer.
func TestOwnOverlay(t *testing.T) {
	one := func(account, file string, layer int) Doc {
		d := docs(t, "{apiVersion: sallyport.dev/v1alpha1, kind: WorkloadIdentity, metadata: {name: a, namespace: d}, spec: {serviceAccountName: "+account+"}}")[0]
		d.Layer, d.FromServer, d.Origin = layer, layer == 0, cluster.Origin{File: file, Line: 3}
		return d
	}
	s := mustBuild(t, []Doc{one("new", "n.yaml", 1), one("old", "", 0), one("new", "m.yaml", 1)})
	if len(s.Identities) != 1 || s.Identities[0].Spec.ServiceAccountName != "new" {
		t.Errorf("the file does not lie over the cluster: %+v", s.Identities)
	}
	_, err := buildAll(Options{}, []Doc{one("b", "b.yaml", 1), one("a", "a.yaml", 1)})
	want := "b.yaml:3: WorkloadIdentity d/a: this object is in the input twice with different content; the other one is at a.yaml:3 (hint: give only one of the two)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestPruneOwn: the spec stays as it was written, what was not understood of it too; nothing else does.
func TestPruneOwn(t *testing.T) {
	for _, c := range owncases.All() {
		if c.Object != "" {
			continue
		}
		document := strings.Replace(c.Document("case"), "{name: case}", "{name: case, namespace: d, uid: hunter2, labels: {a: hunter2}, annotations: {a: hunter2, sallyport.dev/b: c}}\nstatus: {conditions: [{message: hunter2}]}", 1)
		if c.Kind == "ClusterExternalService" {
			document = strings.Replace(document, ", namespace: d", "", 1)
		}
		doc := docs(t, document)[0].JSON
		got, ok := Prune(doc)
		if !ok {
			t.Fatalf("%s is dropped", c.String())
		}
		want, _ := decodeTree(doc)
		m := want.(map[string]any)
		delete(m, "status")
		meta := m["metadata"].(map[string]any)
		delete(meta, "labels")
		delete(meta, "uid")
		meta["annotations"] = map[string]any{"sallyport.dev/b": "c"}
		if pruned, _ := decodeTree(got); !reflect.DeepEqual(pruned, want) {
			t.Errorf("%s is pruned to %s", c.String(), got)
		}
	}
}

// TestUnreadableOwn: what is missing of these kinds is no gap in what is known of packets.
func TestUnreadableOwn(t *testing.T) {
	for _, doc := range []string{
		"{apiVersion: sallyport.dev/v1, kind: AccessPolicy, metadata: {name: a, namespace: d}}",
		"{apiVersion: sallyport.dev/v1alpha1, kind: Trust, metadata: {name: a, namespace: d}}",
		"{apiVersion: sallyport.dev/v1alpha1, kind: AccessPolicy, metadata: {name: A, namespace: d}}",
		"{kind: AccessPolicy, metadata: {name: a, namespace: d}}",
	} {
		s := mustBuild(t, fromServer(docs(t, doc)))
		if len(s.AccessPolicies) != 0 || len(s.Unreadable) == 0 {
			t.Errorf("%s: %+v, %+v", doc, s.AccessPolicies, s.Unreadable)
		}
		for _, u := range s.Unreadable {
			if u.Missing != cluster.MissingLayers {
				t.Errorf("%s: %+v", doc, u)
			}
		}
	}
}

// TestServerMetadata: fields of the metadata that came after this program are no reason to doubt the spec.
func TestServerMetadata(t *testing.T) {
	spec, unclear := ownOf(t, mustBuild(t, fromServer(docs(t, "{apiVersion: sallyport.dev/v1alpha1, kind: WorkloadIdentity, metadata: {name: a, namespace: d, galaxy: x}, spec: {serviceAccountName: web}}"))))
	if unclear != nil {
		t.Errorf("not understood of %+v: %q", spec, unclear)
	}
}

// TestOwnNotes: what is legal and surprising.
func TestOwnNotes(t *testing.T) {
	s := mustBuild(t, docs(t, "{apiVersion: sallyport.dev/v1alpha1, kind: ClusterExternalService, metadata: {name: a}, spec: {names: [a], ports: [{port: 1}], firewall: {ipRules: [{first: 192.0.2.9, last: 192.0.2.1}]}}}"))
	check(t, digest(s), "note f.yaml:1: ClusterExternalService a: spec.firewall.ipRules[0] ends before it begins and admits nothing")
}

// TestManyOwnProblems: an object that is nothing but problems does not keep anybody waiting, and is not understood.
func TestManyOwnProblems(t *testing.T) {
	const many = 100_000
	labels := make([]string, many)
	for i := range labels {
		labels[i] = fmt.Sprintf("'a b%d': null", i)
	}
	target := "target: {pods: {podSelector: {}}}"
	for _, text := range []string{
		"{" + target + ", rules: [" + times(many, "{a: 1}") + "]}",
		"{" + target + ", rules: [" + times(many, "null") + "]}",
		"{" + target + ", rules: [{action: Allow, from: [" + times(many, "{a: 1}") + "]}]}",
		"{mode: Audit, target: {pods: {podSelector: {matchLabels: {" + strings.Join(labels, ", ") + "}}}}, rules: []}",
	} {
		doc := "{apiVersion: sallyport.dev/v1alpha1, kind: AccessPolicy, metadata: {name: a, namespace: d}, spec: " + text + "}"
		spec, unclear := ownOf(t, mustBuild(t, fromServer(docs(t, doc))))
		if len(unclear) == 0 || len(unclear) > maxOwnProblems+1 || !slices.Contains(unclear, "it has more problems than are listed") {
			t.Errorf("%.60s: %d problems", doc, len(unclear))
		}
		all := &v1alpha1.AccessPolicySpec{Mode: v1alpha1.ModeEnforce, Target: v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{}}}
		if diff := cmp.Diff(all, spec); diff != "" {
			t.Errorf("something is left that may not be all (-want +got):\n%s", diff)
		}
	}
}
