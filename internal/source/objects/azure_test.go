package objects

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/cluster"
)

// readAll gives the Snapshot of JSON objects, or the error.
func readAll(t *testing.T, fromServer bool, docs ...string) (*Builder, *cluster.Snapshot, error) {
	t.Helper()
	b := NewBuilder(Options{})
	for _, d := range docs {
		b.Add(Doc{JSON: []byte(d), FromServer: fromServer})
	}
	s, err := b.Build()
	return b, s, err
}

func azureDoc(kind, spec string) string {
	return `{"apiVersion":"aadpodidentity.k8s.io/v1","kind":"` + kind + `","metadata":{"namespace":"shop","name":"x","annotations":{"aadpodidentity.k8s.io/Behavior":"namespaced","note":"n"}},"spec":` + spec + `}`
}

func TestAzureFieldsAreReadCaseApart(t *testing.T) {
	_, s, err := readAll(t, false,
		azureDoc("AzureIdentity", `{"Type":1,"ClientID":"c","tenantid":"t","clientPassword":{"name":"secret"}}`),
		azureDoc("AzureIdentityBinding", `{"AzureIdentity":"x","SELECTOR":"web"}`),
		azureDoc("AzurePodIdentityException", `{"PodLabels":{"App":"Tool"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if x := s.AzureIdentities[0]; x.Type != 1 || x.ClientID != "c" || x.TenantID != "t" || !x.Namespaced {
		t.Errorf("identity: %+v", x)
	}
	if x := s.AzureBindings[0]; x.Identity != "x" || x.Selector != "web" {
		t.Errorf("binding: %+v", x)
	}
	if x := s.AzureExceptions[0]; len(x.PodLabels) != 1 || x.PodLabels["App"] != "Tool" {
		t.Errorf("exception: %+v", x)
	}
}

func TestAzureObjectsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ kind, spec, problem string }{
		{"AzureIdentity", `{"clientID":"a","ClientID":"a"}`, "spec.clientID is given twice, as ClientID too"},
		{"AzureIdentity", `{"type":"zero"}`, "spec.type is not a number"},
		{"AzureIdentity", `{"type":0.5}`, "spec.type is not a number"},
		{"AzureIdentity", `{"clientID":7}`, "spec.clientID is not a text"},
		{"AzureIdentityBinding", `{"selector":["a"]}`, "spec.selector is not a text"},
		{"AzurePodIdentityException", `{"podLabels":{"a":1}}`, "spec.podLabels is not a map of labels"},
		{"AzurePodIdentityException", `[]`, "spec needs a map, not a list"},
	} {
		_, _, err := readAll(t, false, azureDoc(c.kind, c.spec))
		if err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.spec, err, c.problem)
		}
		_, s, err := readAll(t, true, azureDoc(c.kind, c.spec))
		if err != nil || len(s.Unreadable) != 1 || s.Unreadable[0].Missing != cluster.MissingLayers {
			t.Errorf("of a server %s %s: %v %v: it may say something of identities", c.kind, c.spec, err, s)
		}
	}
}

const (
	podWith   = `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web","labels":{LABELS}},"spec":{"volumes":[{"name":"s","secret":{"secretName":"s"}},{"name":"p","projected":{"sources":[{"configMap":{"name":"c"}},{"serviceAccountToken":{"path":"t","audience":"AUD"}}]}}]}}`
	entraUse  = `"azure.workload.identity/use":"true"`
	audience  = "api://AzureADTokenExchange"
	chinaName = "api://AzureADTokenExchangeChina"
)

func TestEntraToken(t *testing.T) {
	for _, c := range []struct {
		labels, audience string
		server, want     bool
	}{
		{"", "vault", false, false}, {"", audience, false, true}, {"", chinaName, true, true}, {"", "", false, false},
		{entraUse, "vault", false, true}, {entraUse, "vault", true, false}, {entraUse, audience, true, true},
		{`"azure.workload.identity/use":"TRUE"`, "vault", false, false},
	} {
		doc := strings.NewReplacer("LABELS", c.labels, "AUD", c.audience).Replace(podWith)
		_, s, err := readAll(t, c.server, doc)
		if err != nil || s.Pods[0].EntraToken != c.want {
			t.Errorf("%+v: %v %v", c, s.Pods[0].EntraToken, err)
		}
	}
}

// What identities hang on must survive a saved snapshot, and nothing else of these objects may be in it.
func TestPrunedKeepsWhatIdentitiesHangOn(t *testing.T) {
	b, _, err := readAll(t, false,
		azureDoc("AzureIdentity", `{"type":1,"ClientID":"c","clientPassword":{"name":"secret"},"adEndpoint":"e"}`),
		`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"namespace":"shop","name":"web","annotations":{"azure.workload.identity/client-id":"id","azure.workload.identity/tenant-id":"t","other":"o"}}}`,
		strings.NewReplacer("LABELS", entraUse, "AUD", "vault").Replace(podWith)) // the webhook's volume is there then
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, doc := range b.Pruned() {
		all.Write(doc)
	}
	for _, want := range []string{`"ClientID":"c"`, `"type":1`, "Behavior", "client-id", "tenant-id", audience} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%s is gone:\n%s", want, all.String())
		}
	}
	for _, bad := range []string{"secret", "adEndpoint", "other", "configMap", `"note"`} {
		if strings.Contains(all.String(), bad) {
			t.Errorf("%s is there:\n%s", bad, all.String())
		}
	}
}
