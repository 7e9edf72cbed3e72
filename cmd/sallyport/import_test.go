package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exampleImport is the command of docs/resources.md.
var exampleImport = []string{"import", "azure-sql", "--server", "docs/azure-sql/server.json", "--firewall-rules", "docs/azure-sql/rules.json", "--vnet-rules", "docs/azure-sql/vnet-rules.json",
	"--private-endpoints", "docs/azure-sql/endpoints.json", "--private-endpoints", "docs/azure-sql/nics.json", "--aks", "docs/azure-sql/cluster.json", "-n", "shop"}

// TestExampleIsImported: examples/azure-sql/sql.yaml is what is imported, with one line of what Azure does not know.
func TestExampleIsImported(t *testing.T) {
	t.Chdir("../..")
	kept, err := os.ReadFile("examples/azure-sql/sql.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const added = "    admitted: [{azure: {clientID: 6f1e0c1a-52a1-4c2b-9d0e-3b7f6c5a4d21}}] # the api\n"
	var stdout, stderr bytes.Buffer
	if status := run(exampleImport, strings.NewReader(""), &stdout, &stderr); status != 0 || stderr.Len() > 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	before, after, _ := strings.Cut(string(kept), added)
	if before+after != stdout.String() || after == "" {
		t.Errorf("examples/azure-sql/sql.yaml is not what is imported with the line\n%s\n%s", added, firstDifference(before+after, stdout.String()))
	}
}

// TestHostileImport: names and texts that Azure's files bring along are harmless wherever they are printed.
func TestHostileImport(t *testing.T) {
	type m = map[string]any
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft."
	const server = id + "Sql/servers/a"
	write := func(name string, v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	subnet := id + "Network/virtualNetworks/v/subnets/n"
	files := map[string]any{
		"--server": m{"id": server, "fullyQualifiedDomainName": "a.b", "type": "Microsoft.Sql/servers", "administrators": m{"login": evil},
			"privateEndpointConnections": []m{{"privateEndpoint": m{"id": "/x/" + evil}, "privateLinkServiceConnectionState": m{"status": "Approved"}}}},
		"--firewall-rules":    []m{{"name": evil, "startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.2"}},
		"--vnet-rules":        []m{{"name": evil, "state": evil, "virtualNetworkSubnetId": subnet}},
		"--private-endpoints": []m{{"name": evil, "id": evil, "networkInterfaces": []m{{"id": evil}}, "privateLinkServiceConnections": []m{{"privateLinkServiceId": server, "privateLinkServiceConnectionState": m{"status": evil}}}}},
		"--aks":               m{"name": evil, "networkProfile": m{}, "agentPoolProfiles": []m{{"name": evil, "vnetSubnetId": subnet}, {"name": evil, "podSubnetId": evil}}},
	}
	args := []string{"import", "azure-sql"}
	for flag, v := range files {
		args = append(args, flag, write("file.json", v))
	}
	mustAnswer(t, "", args...)
	for flag, v := range map[string]any{ // each is an error that repeats what is wrong
		"--server":            m{"fullyQualifiedDomainName": evil, "type": "Microsoft.Sql/servers"},
		"--firewall-rules":    []m{{"startIpAddress": evil, "endIpAddress": evil}},
		"--vnet-rules":        []m{{"virtualNetworkSubnetId": evil}},
		"--private-endpoints": []m{{"id": evil, evil: evil}},
		"--aks":               evil,
	} {
		if mustBeHarmless(t, "", append(args, flag, write("bad.json", v))...) != 1 {
			t.Errorf("%s is taken", flag)
		}
	}
	for _, v := range []any{
		m{"resources": []m{{"type": "Microsoft.Sql/servers", "name": evil}}},
		m{"resources": []m{{"type": "Microsoft.Sql/servers", "name": "[" + evil + "]"}}},
		m{"resources": m{evil: m{"type": "Microsoft.Sql/servers", "name": 1}}},
		m{"resources": []m{{"type": "Microsoft.Sql/servers/" + evil}}},
	} {
		if mustBeHarmless(t, "", "import", "azure-sql", "--template", write("main.json", v)) != 1 {
			t.Errorf("%v is taken", v)
		}
	}
}
