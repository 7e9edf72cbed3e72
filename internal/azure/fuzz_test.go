package azure_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"sallyport.dev/sallyport/internal/azure"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/report"
	"sallyport.dev/sallyport/internal/source/manifest"
	"sallyport.dev/sallyport/internal/source/objects"
)

// filler does what notes ask people to do before the file is read.
var filler = strings.NewReplacer("/<subscription>", "/s", "/<resource-group>", "/g")

// readable prints services and has them read again: whatever is imported must be taken without a word, once the places that
// a template leaves open are filled in.
func readable(t *testing.T, list []*azure.Service, namespace string) {
	t.Helper()
	var imported []report.Imported
	for _, s := range list {
		imported = append(imported, report.Imported{By: "a test", Files: []string{"a\nb"}, Namespace: namespace, Name: s.Name, Spec: s.Spec, Notes: s.Notes})
	}
	var out bytes.Buffer
	if err := report.ExternalServices(&out, imported); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%q is printed", out.String()[i:])
	}
	if strings.Contains(out.String(), ": null") {
		t.Errorf("something is null:\n%s", out.String())
	}
	b := objects.NewBuilder(objects.Options{})
	if err := manifest.Load(b, manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(filler.Replace(out.String()))}); err != nil {
		t.Fatal(err)
	}
	snap, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if len(snap.External) != len(list) || len(snap.Notes) > 0 {
		t.Errorf("%d of %d read, with notes %v", len(snap.External), len(list), snap.Notes)
	}
}

// TestExamplesAreReadable: what the examples give is read again.
func TestExamplesAreReadable(t *testing.T) {
	read := func(flag, name string) azure.File {
		data, err := os.ReadFile(filepath.Join("../../docs/azure-sql", name))
		if err != nil {
			t.Fatal(err)
		}
		return azure.File{Flag: flag, Path: name, Data: data}
	}
	s, err := azure.FromAz(&azure.Az{Server: read("--server", "server.json"), FirewallRules: []azure.File{read("--firewall-rules", "rules.json")}, VnetRules: read("--vnet-rules", "vnet-rules.json"),
		PrivateEndpoints: []azure.File{read("--private-endpoints", "endpoints.json"), read("--private-endpoints", "nics.json")}})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := platform.ParseAKS(read("--aks", "cluster.json").Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddSources(cluster); err != nil {
		t.Fatal(err)
	}
	template, parameters := read("--template", "main.json"), read("--parameters", "prod.parameters.json")
	planned, err := azure.FromTemplate(&template, &parameters)
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"", "shop"} {
		readable(t, append(planned, s), namespace)
	}
}

func short(t *testing.T, err error) {
	t.Helper()
	if len(err.Error()) > 2000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// FuzzFromAz: nothing makes it panic, and what it gives is read again.
func FuzzFromAz(f *testing.F) {
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft."
	const subnet = id + "Network/virtualNetworks/v/subnets/n"
	f.Add([]byte(`{"id":"`+id+`Sql/servers/a","fullyQualifiedDomainName":"a.b","privateEndpointConnections":[{"properties":{"privateEndpoint":{"id":"/pe"},"privateLinkServiceConnectionState":{"status":"Approved"}}}],"administrators":{"azureAdOnlyAuthentication":true,"login":"x"}}`),
		[]byte(`[{"name":"r","startIpAddress":"0.0.0.0","endIpAddress":"1.0.0.0"}]`), []byte(`[{"state":"Ready","virtualNetworkSubnetId":"`+subnet+`"}]`),
		[]byte(`[{"id":"/pe","networkInterfaces":[{"id":"/n"}],"privateLinkServiceConnections":[{"privateLinkServiceId":"`+id+`Sql/servers/a"}]}]`), []byte(`[{"id":"/n","ipConfigurations":[{"privateIPAddress":"10.0.0.1"}]}]`),
		[]byte(`{"networkProfile":{},"agentPoolProfiles":[{"name":"a","vnetSubnetId":"`+subnet+`"}]}`))
	f.Add([]byte(`{"type": "Microsoft.Sql/servers", "fullyQualifiedDomainName": "a.b"}`), []byte(`[{"startIPv6Address": "::", "endIPv6Address": "::1%a"}]`), []byte("[]"), []byte(`{"value": []}`), []byte(`{"ipConfigurations": [], "id": "x"}`), []byte("{}"))
	f.Fuzz(func(t *testing.T, server, rules, vnet, endpoints, cards, aks []byte) {
		file := func(data []byte) azure.File { return azure.File{Flag: "--flag", Path: "file", Data: data} }
		s, err := azure.FromAz(&azure.Az{Server: file(server), FirewallRules: []azure.File{file(rules)}, VnetRules: file(vnet), PrivateEndpoints: []azure.File{file(endpoints), file(cards)}})
		if err != nil {
			short(t, err)
			return
		}
		if a, err := platform.ParseAKS(aks); err == nil {
			if err := s.AddSources(a); err != nil {
				short(t, err)
				return
			}
		}
		readable(t, []*azure.Service{s}, "shop")
	})
}

// FuzzFromTemplate: nothing makes it panic, and what it gives is read again.
func FuzzFromTemplate(f *testing.F) {
	f.Add([]byte(`{"parameters":{"p":{}},"variables":{"v":"s"},"resources":{"d":{"type":"Microsoft.Resources/deployments","properties":{"expressionEvaluationOptions":{"scope":"inner"},"parameters":{"n":{"value":"[concat(parameters('p'),variables('v'))]"}},
		"template":{"parameters":{"n":{}},"resources":[{"type":"Microsoft.Sql/servers","name":"[parameters('n')]","resources":[{"type":"firewallRules","name":"x","properties":{"startIpAddress":"::","endIpAddress":"::1"}}]}]}}}}}`), []byte(`{"parameters":{"p":{"value":"a"}}}`))
	f.Add([]byte(`{"resources": [{"type": "Microsoft.Sql/servers", "name": "[format('{0}', toLower('A'))]"}]}`), []byte(`{"parameters": {}}`))
	f.Fuzz(func(t *testing.T, template, parameters []byte) {
		list, err := azure.FromTemplate(&azure.File{Flag: "--template", Path: "t", Data: template}, &azure.File{Flag: "--parameters", Path: "p", Data: parameters})
		if err != nil {
			short(t, err)
			return
		}
		readable(t, list, "")
	})
}

// FuzzExpression puts a text where a subnet stands.
func FuzzExpression(f *testing.F) {
	for _, e := range []string{"[resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 'n')]", "[variables('a').b[0]]", "[[x]", "[if(equals(1, 1), format('{0}', 'x'), null())]", "[parameters('p')]"} {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, e string) {
		text := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(e)
		template := `{"parameters": {"p": {"defaultValue": "` + text + `"}}, "variables": {"a": {"b": ["` + text + `"]}}, "resources": [{"type": "Microsoft.Sql/servers", "name": "s"},
			{"type": "Microsoft.Sql/servers/virtualNetworkRules", "name": "s/[x", "properties": {"virtualNetworkSubnetId": "` + text + `"}}]}`
		list, err := azure.FromTemplate(&azure.File{Flag: "--template", Path: "t", Data: []byte(template)}, nil)
		if err != nil {
			short(t, err)
			return
		}
		readable(t, list, "a")
	})
}
