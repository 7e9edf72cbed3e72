package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/source/objects/owncases"
)

// specs gives the specs of Sallyport's own kinds in a snapshot, by kind and name.
func specs(t *testing.T, snapshot string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for doc := range strings.SplitSeq(snapshot, "\n---\n") {
		o := fromYAML(t, doc)
		if o.text("apiVersion") == "sallyport.dev/v1alpha1" && o["spec"] != nil {
			out[o.text("kind")+" "+o.text("metadata", "name")] = o["spec"]
		}
	}
	return out
}

func fromFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestOwnKindsLive: good objects on the server are all read, with what the server filled in and nothing else, and
// what was saved of them is read again.
func TestOwnKindsLive(t *testing.T) {
	if err := definitions(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	for i, c := range owncases.All() {
		if c.Want != "" || c.Differs != "" || c.Object != "" {
			continue
		}
		name := fmt.Sprintf("case-%d", i)
		create(t, fromYAML(t, c.Document(name)))
		if c.Stored != "" {
			c.Spec = c.Stored
		}
		want[c.Kind+" "+name] = fromYAML(t, c.Document(name))["spec"]
	}
	saved, _ := sallyport(t, 0, "snapshot", "--kubeconfig", kubeconfig(t, "admin", server.URL, ""))
	again, _ := sallyport(t, 0, "snapshot", "-f", fromFile(t, saved))
	for what, got := range map[string]map[string]any{"the cluster": specs(t, saved), "its snapshot": specs(t, again)} {
		if len(got) != len(want) || len(want) < 100 {
			t.Errorf("%d of %d objects are read of %s", len(got), len(want), what)
		}
		for k := range want {
			if !reflect.DeepEqual(got[k], want[k]) {
				t.Errorf("%s has of %s %v, not %v", what, k, got[k], want[k])
			}
		}
	}
}

// columns has what people see of an object of each kind, its name and age left out.
var columns = []struct{ document, want string }{
	{`
kind: WorkloadIdentity
spec: {serviceAccountName: web}
status: {observedGeneration: 1, conditions: [{type: Ready, status: "False", reason: NoSuchAccount, message: m, lastTransitionTime: "2026-01-01T00:00:00Z"}]}`,
		"Name Service Account=web Ready=False Age"},
	{`
kind: AccessPolicy
spec: {enforcedBy: Gate, target: {pods: {podSelector: {}}}, rules: []}
status: {observedGeneration: 1, conditions: [{type: Ready, status: "True", reason: Enforced, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}`,
		"Name Mode=Enforce Enforced By=Gate Ready=True Age"},
	{`
kind: ExternalService
spec: {names: [sql.example.org, b], ports: [{port: 1433}], firewall: {}, authentication: {mode: IdentityOnly}}`,
		"Name DNS Name=sql.example.org Public Access=Enabled Authentication=IdentityOnly Age"},
	{`
kind: ClusterExternalService
spec: {cidrs: [192.0.2.0/24], ports: [{port: 1433}]}`,
		"Name DNS Name=<nil> Public Access=<nil> Authentication=<nil> Age"},
}

// TestColumns: what kubectl get shows.
func TestColumns(t *testing.T) {
	if err := definitions(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range columns {
		o := fromYAML(t, "apiVersion: sallyport.dev/v1alpha1\nmetadata: {name: shown}"+tc.document)
		create(t, o)
		_, path, err := o.path(true)
		if err != nil {
			t.Fatal(err)
		}
		data, err := server.send(http.MethodGet, path, nil, http.Header{"Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io"}})
		if err != nil {
			t.Fatal(err)
		}
		var table struct {
			ColumnDefinitions []struct{ Name string }
			Rows              []struct{ Cells []any }
		}
		if err := json.Unmarshal(data, &table); err != nil || len(table.Rows) != 1 {
			t.Fatalf("%v: %s", err, data)
		}
		var got []string
		for i, c := range table.ColumnDefinitions {
			switch c.Name {
			case "Name", "Age":
				got = append(got, c.Name)
			default:
				got = append(got, fmt.Sprintf("%s=%v", c.Name, table.Rows[0].Cells[i]))
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %q", o.text("kind"), got, tc.want)
		}
	}
}

// TestOwnKindsRights: what a user may not list of these kinds is named, and what the network says stays; where others
// of them are there, the layers above it are unknown (L1, L3).
func TestOwnKindsRights(t *testing.T) {
	if err := definitions(); err != nil {
		t.Fatal(err)
	}
	shop(t)
	create(t, fromYAML(t, "apiVersion: sallyport.dev/v1alpha1\nkind: WorkloadIdentity\nmetadata: {name: web, namespace: front}\nspec: {serviceAccountName: web}"),
		fromYAML(t, "apiVersion: sallyport.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: db, namespace: back}\nspec: {target: {pods: {podSelector: {}}}, rules: []}"))
	kinds := []string{"accesspolicies", "clusterexternalservices", "externalservices", "workloadidentities"}
	rights := append([]string{"namespaces", "nodes", "pods", "services", "networkpolicies.networking.k8s.io"}, workloads...)
	for _, denied := range append(kinds, "") { // the last user may list none of them
		t.Run(denied, func(t *testing.T) {
			granted := rights
			for _, k := range kinds {
				if denied != "" && k != denied {
					granted = append(granted, k+".sallyport.dev")
				}
			}
			config := user(t, "without-"+denied+"x", "", granted...)
			allowed := 3
			if denied == "" {
				allowed = 0
			}
			for to, status := range map[string]int{"back/db:5432": allowed, "back/db:5433": 2} {
				out, _ := sallyport(t, status, "check", "front/web", to, "--kubeconfig", config)
				words := strings.Join(strings.Fields(out), " ") // columns are as wide as the layers' names where these speak
				if (status != 2) != strings.Contains(words, "ingress allowed by back/db") || !strings.Contains(out, "not read, and may say who else is let in or kept out by identity: not allowed to list "+denied) {
					t.Errorf("%s", out)
				}
			}
			saved, _ := sallyport(t, 0, "snapshot", "--kubeconfig", config)
			var header struct{ UnreadableLayers []string }
			if err := yaml.Unmarshal([]byte(strings.Split(saved, "\n---\n")[0]), &header); err != nil {
				t.Fatal(err)
			}
			missing := strings.Join(header.UnreadableLayers, "\n")
			for _, k := range kinds {
				if strings.Contains(missing, "not allowed to list "+k+".sallyport.dev") != (denied == "" || denied == k) {
					t.Errorf("named are: %s", missing)
				}
			}
			sallyport(t, allowed, "check", "front/web", "back/db:5432", "-f", fromFile(t, saved))
		})
	}
}
