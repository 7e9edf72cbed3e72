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

// readable prints services and has them read again: whatever is imported must be taken without a word.
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
	if err := manifest.Load(b, manifest.Options{Files: []string{"-"}, Stdin: &out}); err != nil {
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

func seed(f *testing.F, name string) []byte {
	f.Helper()
	data, err := os.ReadFile(filepath.Join("../../examples/azure-sql", name))
	if err != nil {
		f.Fatal(err)
	}
	return data
}

func short(t *testing.T, err error) {
	t.Helper()
	if len(err.Error()) > 2000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// FuzzFromAz: nothing makes it panic, and what it gives is read again.
func FuzzFromAz(f *testing.F) {
	f.Add(seed(f, "az/server.json"), seed(f, "az/rules.json"), seed(f, "az/vnet-rules.json"), seed(f, "az/endpoints.json"), seed(f, "az/nics.json"), seed(f, "az/cluster.json"))
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
	f.Add(seed(f, "template/main.json"), seed(f, "template/prod.parameters.json"))
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
