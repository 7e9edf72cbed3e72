package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExampleIsImported: what examples/azure-sql knows of the server in each step is what is imported, but for the lines
// that say that they are written by hand.
func TestExampleIsImported(t *testing.T) {
	t.Chdir("../..")
	byHand := regexp.MustCompile("(?m)^.*# by hand: .*\n")
	const az = "examples/azure-sql/az/"
	for step, files := range map[string][3]string{
		"1-network":  {"server-passwords.json", "rules-open.json", "none.json"},
		"2-subnet":   {"server-passwords.json", "none.json", "vnet-rules.json"},
		"3-identity": {"server-entra-only.json", "none.json", "vnet-rules.json"},
	} {
		kept, err := os.ReadFile("examples/azure-sql/" + step + "/sql.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		args := []string{"import", "azure-sql", "--server", az + files[0], "--firewall-rules", az + files[1], "--vnet-rules", az + files[2], "--aks", az + "cluster.json", "-n", "shop"}
		if status := run(args, strings.NewReader(""), &stdout, &stderr); status != 0 || stderr.Len() > 0 {
			t.Fatalf("%s: status %d: %s", step, status, stderr.String())
		}
		if !byHand.Match(kept) {
			t.Errorf("%s: nothing is written by hand, but Azure does not know everything", step)
		}
		if left := string(byHand.ReplaceAll(kept, nil)); left != stdout.String() {
			t.Errorf("%s/sql.yaml is not what is imported\n%s", step, firstDifference(left, stdout.String()))
		}
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
