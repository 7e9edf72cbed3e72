package azure

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/platform"
)

const examples = "../../docs/azure-sql"

func example(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// azExample is what az says of the server of the examples, with its private endpoints.
func azExample(t testing.TB) *Az {
	t.Helper()
	file := func(flag, name string) File { return File{flag, name, example(t, name)} }
	return &Az{
		Server:           file("--server", "server.json"),
		FirewallRules:    []File{file("--firewall-rules", "rules.json")},
		VnetRules:        file("--vnet-rules", "vnet-rules.json"),
		PrivateEndpoints: []File{file("--private-endpoints", "endpoints.json"), file("--private-endpoints", "nics.json")},
	}
}

// edit is a change of one file of the example.
type edit struct{ file, old, new string }

// with applies edits; old "" stands for the whole file. Each must change something.
func with(t testing.TB, in *Az, edits []edit) {
	t.Helper()
	files := map[string]*File{"server": &in.Server, "rules": &in.FirewallRules[0], "vnet": &in.VnetRules, "endpoints": &in.PrivateEndpoints[0], "nics": &in.PrivateEndpoints[1]}
	for _, e := range edits {
		f := files[e.file]
		before := f.Data
		if f.Data = []byte(e.new); e.old != "" {
			f.Data = bytes.ReplaceAll(before, []byte(e.old), []byte(e.new))
		}
		if bytes.Equal(before, f.Data) {
			t.Fatalf("%s has no %q", e.file, e.old)
		}
	}
}

// at gives a part of the spec as JSON; "" where there is none.
func at(t testing.TB, s *Service, path string) string {
	t.Helper()
	data, err := json.Marshal(s.Spec)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(path, ".") {
		if v, _ = v.(map[string]any)[name]; v == nil {
			return ""
		}
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// has tells whether a note, with its command, has a text.
func has(s *Service, text string) bool {
	return slices.ContainsFunc(s.Notes, func(n Note) bool { return strings.Contains(n.Text+" "+n.Command, text) })
}

// fact is one thing that must come out of files.
type fact struct {
	name       string
	edits      []edit
	path, want string // a part of the spec; no path where only the notes matter
	notes      []string
	not        []string // notes that must not be there
}

func (f *fact) check(t *testing.T, s *Service) {
	t.Helper()
	if f.path != "" {
		if got := at(t, s, f.path); got != f.want {
			t.Errorf("%s is\n  %s\nand not\n  %s", f.path, got, f.want)
		}
	}
	for _, n := range f.notes {
		if !has(s, n) {
			t.Errorf("no note has %q: %q", n, s.Notes)
		}
	}
	for _, n := range f.not {
		if has(s, n) {
			t.Errorf("a note has %q: %q", n, s.Notes)
		}
	}
}

const noConnections = `"privateEndpointConnections": null, "was": [`

var azFacts = []fact{
	{name: "names", path: "names", want: `["contoso-shop.database.windows.net"]`},
	{name: "names in lower case", edits: []edit{{"server", "contoso-shop.database", "Contoso-Shop.DATABASE"}}, path: "names", want: `["contoso-shop.database.windows.net"]`},
	{name: "resource", path: "authentication.resource", want: `"https://database.windows.net"`},
	{name: "resource in a sovereign cloud", edits: []edit{{"server", "database.windows.net", "database.usgovcloudapi.net"}}, path: "authentication.resource", want: `"https://database.usgovcloudapi.net"`},
	{name: "ports", path: "ports", want: `[{"port":1433},{"endPort":11999,"port":11000}]`, notes: []string{"the connection policy is Proxy", "conn-policy show -g GROUP -s contoso-shop", "every port from 1433 up"}},
	{name: "addresses are never known", path: "cidrs"},
	{name: "public", path: "firewall.publicNetworkAccess", want: `"Enabled"`},
	{name: "not public", edits: []edit{{"server", `"publicNetworkAccess": "Enabled"`, `"publicNetworkAccess": "disabled"`}}, path: "firewall.publicNetworkAccess", want: `"Disabled"`, not: []string{"database_firewall_rules", "allowAzureServices"}},
	{name: "public by default", edits: []edit{{"server", `"publicNetworkAccess": "Enabled"`, `"publicNetworkAccess": null`}}, path: "firewall.publicNetworkAccess", want: `"Enabled"`},
	{name: "IP rules", path: "firewall.ipRules", want: `[{"first":"192.0.2.1","last":"192.0.2.9","name":"office"}]`, notes: []string{"ipv6-firewall-rule list", "sys.database_firewall_rules"}},
	{name: "IPv6 rules", edits: []edit{{"rules", "", `{"value": [{"name": "v6", "properties": {"startIPv6Address": "2001:DB8::1", "endIPv6Address": "2001:db8::ff"}}]}`}}, path: "firewall.ipRules", want: `[{"first":"2001:db8::1","last":"2001:db8::ff","name":"v6"}]`},
	{name: "every address", edits: []edit{{"rules", "192.0.2.1", "0.0.0.0"}, {"rules", "192.0.2.9", "255.255.255.255"}}, notes: []string{"spec.firewall.ipRules[0]: this admits every address"}},
	{name: "Azure's own services", path: "firewall.allowAzureServices", want: "true", notes: []string{"other people's tenants"}},
	{name: "no rules", edits: []edit{{"rules", "", "[]"}, {"vnet", "", "[]"}}, path: "firewall.allowAzureServices", not: []string{"tenants"}},
	{name: "no rules in a list of the API", edits: []edit{{"rules", "", `{"value": [], "nextLink": null}`}}, path: "firewall.ipRules"},
	{name: "a hostile name", edits: []edit{{"rules", `"office"`, `"a\u001b[2J\n# b\u202ec"`}}, path: "firewall.ipRules", want: `[{"first":"192.0.2.1","last":"192.0.2.9","name":"a\\x1b[2J\\n# b\\u202ec"}]`},
	{name: "subnet rules", path: "firewall.subnetRules", want: `[{"name":"aks","subnet":"/subscriptions/3b7f6c5a-4d21-4c2b-9d0e-6f1e0c1a52a1/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-hub/subnets/snet-aks"}]`, not: []string{"subnetRules"}},
	{name: "a subnet rule that failed", edits: []edit{{"vnet", `"Ready"`, `"Failed"`}}, path: "firewall.subnetRules", want: `[{"name":"aks","subnet":"/subscriptions/3b7f6c5a-4d21-4c2b-9d0e-6f1e0c1a52a1/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-hub/subnets/snet-aks"}]`, notes: []string{"spec.firewall.subnetRules[0]: Azure says that its state is Failed"}},
	{name: "a subnet rule that was not checked", edits: []edit{{"vnet", "false", "true"}}, notes: []string{"spec.firewall.subnetRules[0]: it was made without asking"}},
	{name: "nested as the API gives it", edits: []edit{{"vnet", "", `{"value": [{"name": "n", "properties": {"state": "Ready", "virtualNetworkSubnetId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}}]}`}}, path: "firewall.subnetRules", want: `[{"name":"n","subnet":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}]`},
	{name: "Entra only", path: "authentication.mode", want: `"IdentityOnly"`, notes: []string{"the Entra administrator sql-admins"}, not: []string{"passwords"}},
	{name: "Entra only as the API spells it", edits: []edit{{"server", "azureAdOnly", "azureADOnly"}}, path: "authentication.mode", want: `"IdentityOnly"`},
	{name: "passwords", edits: []edit{{"server", `"azureAdOnlyAuthentication": true`, `"azureAdOnlyAuthentication": false`}}, path: "authentication.mode", want: `"IdentityOrPassword"`, not: []string{"was not said"}},
	{name: "passwords not said", edits: []edit{{"server", `"administrators": {`, `"administrators": null, "was": {`}}, path: "authentication.mode", want: `"IdentityOrPassword"`, notes: []string{"passwords are off was not said", "az sql server ad-only-auth get -g GROUP -n contoso-shop"}, not: []string{"administrator sql-admins"}},
	{name: "admitted is never known", path: "authentication.admitted", notes: []string{"admitted: [{azure: {clientID: ID}}]"}},
	{name: "private endpoint by its interface", path: "firewall.privateEndpoints", want: `[{"address":"10.1.4.5","name":"pe-sql-hub"}]`, notes: []string{"not approved: pe-sql-partner (Pending)", "of other services: 1"}, not: []string{"MISSING"}},
	{name: "by the interface's word", edits: []edit{{"endpoints", "", "[]"}}, path: "firewall.privateEndpoints", want: `[{"address":"10.1.4.5","name":"pe-sql-hub"}]`, not: []string{"MISSING"}},
	{name: "by DNS", edits: []edit{{"nics", "", "[]"}, {"endpoints", `"customDnsConfigs": []`, `"customDnsConfigs": [{"fqdn": "contoso-shop.database.windows.net", "ipAddresses": ["10.1.4.6"]}]`}}, path: "firewall.privateEndpoints", want: `[{"address":"10.1.4.6","name":"pe-sql-hub"}]`},
	{name: "static", edits: []edit{{"nics", "", "[]"}, {"endpoints", `"ipConfigurations": []`, `"ipConfigurations": [{"name": "x", "properties": {"privateIPAddress": "10.1.4.7"}}]`}}, path: "firewall.privateEndpoints", want: `[{"address":"10.1.4.7","name":"pe-sql-hub"}]`},
	{name: "interface missing", edits: []edit{{"nics", "", "[]"}}, path: "firewall.privateEndpoints", notes: []string{"MISSING here is a way in: the address of the private endpoint pe-sql-hub", "az network nic show --ids /subscriptions/3b7f6c5a-4d21-4c2b-9d0e-6f1e0c1a52a1/resourceGroups/rg-network/providers/Microsoft.Network/networkInterfaces/pe-sql-hub.nic.8c2b6f1e -o json"}},
	{name: "known by the server only", edits: []edit{{"nics", "", "[]"}, {"endpoints", "", "[]"}}, path: "firewall.privateEndpoints", notes: []string{"private endpoint pe-sql-hub is in no file", "az network private-endpoint show --ids /subscriptions/3b7f6c5a-4d21-4c2b-9d0e-6f1e0c1a52a1/resourceGroups/rg-network/providers/Microsoft.Network/privateEndpoints/pe-sql-hub -o json"}},
	{name: "an ID that is no argument", edits: []edit{{"nics", "", "[]"}, {"endpoints", "networkInterfaces/pe-sql", "x; rm $(y)'"}}, notes: []string{"az network nic show --ids ID -o json"}},
	{name: "approved on one side only", edits: []edit{{"endpoints", `"status": "Approved"`, `"status": "Pending"`}}, path: "firewall.privateEndpoints", want: `[{"address":"10.1.4.5","name":"pe-sql-hub"}]`},
	{name: "approved on no side", edits: []edit{{"server", `"Approved"`, `"Rejected"`}, {"endpoints", `"status": "Approved"`, `"status": "Disconnected"`}}, path: "firewall.privateEndpoints", notes: []string{"pe-sql-hub (Rejected), pe-sql-partner (Pending)"}},
	{name: "the server lists none", edits: []edit{{"server", `"privateEndpointConnections": [`, noConnections}}, path: "firewall.privateEndpoints", want: `[{"address":"10.1.4.5","name":"pe-sql-hub"}]`},
	{name: "asked by hand", edits: []edit{{"server", `"privateEndpointConnections": [`, noConnections}, {"endpoints", `"privateLinkServiceConnections": [`, `"manualPrivateLinkServiceConnections": [`}, {"endpoints", `"manualPrivateLinkServiceConnections": [],`, ""}, {"endpoints", `"status": "Approved"`, `"status": null`}}, path: "firewall.privateEndpoints", notes: []string{"pe-sql-hub (Pending)"}},
	{name: "another server whose name begins alike", edits: []edit{{"server", `"privateEndpointConnections": [`, noConnections}, {"endpoints", "servers/contoso-shop", "servers/contoso-shop2"}}, path: "firewall.privateEndpoints", notes: []string{"of other services: 2"}},
}

func TestFromAz(t *testing.T) {
	for _, c := range azFacts {
		t.Run(c.name, func(t *testing.T) {
			in := azExample(t)
			with(t, in, c.edits)
			s, err := FromAz(in)
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, s)
		})
	}
}

// TestMissingComesFirst: a way in that the result does not have is what people must read.
func TestMissingComesFirst(t *testing.T) {
	in := azExample(t)
	in.PrivateEndpoints = nil
	s, err := FromAz(in)
	if err != nil || len(s.Notes) == 0 || !strings.Contains(s.Notes[0].Text, "MISSING") {
		t.Errorf("%v, %q", err, s.Notes)
	}
}

func many(n int, item func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = item(i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestFromAzErrors(t *testing.T) {
	rule := func(int) string { return `{"name": "r", "startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}` }
	const showRules = " (hint: az sql server firewall-rule list -g GROUP -s SERVER -o json)"
	const showServer = " (hint: az sql server show -g GROUP -n SERVER --expand-ad-admin -o json)"
	for _, c := range []struct {
		name, file, old, new, want string
	}{
		{"empty", "server", "", " ", "--server: server.json: cannot be read as JSON: line 1: unexpected end of JSON input" + showServer},
		{"cut off", "server", "", "{\n\"a\": [1", "--server: server.json: cannot be read as JSON: line 2: unexpected end of JSON input" + showServer},
		{"cut off in a name", "server", "", `{"a": 1, "b`, "--server: server.json: cannot be read as JSON: line 1: unexpected EOF" + showServer},
		{"a message", "server", "", "\nERROR: (ResourceNotFound)", "--server: server.json: cannot be read as JSON: line 2: invalid character 'E' looking for beginning of value" + showServer},
		{"more", "server", "", "{}\n{}", "--server: server.json: cannot be read as JSON: line 2: something follows the JSON value" + showServer},
		{"UTF-16", "rules", "", "\xff\xfe[\x00]\x00", "--firewall-rules: rules.json: the file is UTF-16, as PowerShell's > writes it: write it with az sql server firewall-rule list -g GROUP -s SERVER -o json | Out-File -Encoding utf8"},
		{"a list", "server", "", "[{}]", "--server: server.json: a list of 1, where one is wanted" + showServer},
		{"null", "server", "", "null", "--server: server.json: null, where an object is wanted" + showServer},
		{"another kind", "server", `"Microsoft.Sql/servers"`, `"Microsoft.Sql/managedInstances"`, `--server: server.json: type: "Microsoft.Sql/managedInstances" is not Microsoft.Sql/servers` + showServer},
		{"no server", "server", "", `{"name": "x"}`, "--server: server.json: type or fullyQualifiedDomainName is missing: this is not a SQL server" + showServer},
		{"no host", "server", "contoso-shop.database.windows.net", "contoso shop.net", `--server: server.json: fullyQualifiedDomainName: "contoso shop.net" is not the DNS name of a server`},
		{"no domain", "server", "contoso-shop.database.windows.net", "contoso-shop", `--server: server.json: fullyQualifiedDomainName: "contoso-shop" is not the DNS name of a server`},
		{"a perimeter", "server", `"publicNetworkAccess": "Enabled"`, `"publicNetworkAccess": "SecuredByPerimeter"`, "--server: server.json: publicNetworkAccess: a network security perimeter decides who reaches this server, and its rules are none that an ExternalService can state (hint: describe the server by hand, see docs/resources.md)"},
		{"another access", "server", `"publicNetworkAccess": "Enabled"`, `"publicNetworkAccess": "Sometimes"`, `--server: server.json: publicNetworkAccess: "Sometimes" is neither Enabled nor Disabled, and what it lets through is not known here`},
		{"a text for a truth", "server", `"azureAdOnlyAuthentication": true`, `"azureAdOnlyAuthentication": "true"`, `--server: server.json: administrators.azureADOnlyAuthentication: true or false is wanted, not "true"`},
		{"twice", "server", `"kind": "v12.0"`, `"PublicNetworkAccess": "Disabled"`, `--server: server.json: cannot be read as JSON: line 62: the name "publicNetworkAccess" is given twice in one object` + showServer},
		{"rules of another server", "rules", "servers/contoso-shop/", "servers/other/", `--firewall-rules: rules.json: [0].id: this is of the server "other", and not of contoso-shop`},
		{"one rule", "rules", "", rule(0), "--firewall-rules: rules.json: an object, where a list is wanted" + showRules},
		{"half a list", "rules", "", `{"value": [], "nextLink": "https://x"}`, "--firewall-rules: rules.json: nextLink: the list goes on there, and is not whole" + showRules},
		{"no rule", "rules", "", "[{}]", "--firewall-rules: rules.json: [0]: not a firewall rule: startIpAddress or endIpAddress is missing" + showRules},
		{"rules that are none", "rules", "", "[1]", "--firewall-rules: rules.json: [0]: an object is wanted, not 1"},
		{"no address", "rules", "192.0.2.1", "192.0.2", `--firewall-rules: rules.json: [1].startIpAddress: "192.0.2" is not an IP address`},
		{"a mapped address", "rules", "192.0.2.1", "::ffff:1.2.3.4", `--firewall-rules: rules.json: [1].startIpAddress: "::ffff:1.2.3.4" is not an IP address`},
		{"two families", "rules", "192.0.2.1", "2001:db8::", `--firewall-rules: rules.json: [1]: startIpAddress 2001:db8:: and endIpAddress 192.0.2.9 are of two families`},
		{"backwards", "rules", "192.0.2.1", "192.0.2.10", `--firewall-rules: rules.json: [1]: endIpAddress 192.0.2.9 is before startIpAddress 192.0.2.10`},
		{"a long name", "rules", `"office"`, `"` + strings.Repeat("o", 129) + `"`, "--firewall-rules: rules.json: [1]: its name has more than 128 characters"},
		{"too many rules", "rules", "", many(257, rule), "--firewall-rules: rules.json: [256]: more than 256 firewall rules, which is all that an ExternalService holds (hint: join neighbouring ranges in the file)"},
		{"too many subnets", "vnet", "", many(129, func(int) string {
			return `{"virtualNetworkSubnetId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}`
		}), "--vnet-rules: vnet-rules.json: [128]: more than 128 virtual network rules, which is all that an ExternalService holds"},
		{"no subnet", "vnet", "/subnets/snet-aks", "", `--vnet-rules: vnet-rules.json: [0].virtualNetworkSubnetId: "/subscriptions/3b7f6c5a-4d21-4c2b-9d0e-6f1e0c1a52a1/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-hub" is not the resource ID of a subnet`},
		{"the wrong list", "vnet", "", "[" + rule(0) + "]", "--vnet-rules: vnet-rules.json: [0]: not a virtual network rule: virtualNetworkSubnetId is missing (hint: az sql server vnet-rule list -g GROUP -s SERVER -o json)"},
		{"too many endpoints", "nics", `"10.1.4.5"`, `"10.1.4.5"}, ` + strings.Trim(many(32, func(i int) string {
			return `{"privateIPAddress": "10.2.0.` + strconv.Itoa(i) + `"}`
		}), "[]") + `, {"privateIPAddress": "10.3.0.1"`, `--private-endpoints: endpoints.json: [0]: more than 32 addresses of private endpoints, which is all that an ExternalService holds`},
		{"no endpoint", "endpoints", "", `[{"name": "vm"}]`, "--private-endpoints: endpoints.json: [0]: neither a private endpoint nor a network interface (hint: az network private-endpoint list -o json, or az network nic list -o json)"},
		{"very many values", "nics", "", many(maxValues, func(int) string { return "1" }), "--private-endpoints: nics.json: cannot be read as JSON: line 1: more than 1000000 values (hint: az network private-endpoint list -o json)"},
		{"deep", "nics", "", strings.Repeat("[", 1000), "--private-endpoints: nics.json: cannot be read as JSON: line 1: values lie more than 100 levels deep (hint: az network private-endpoint list -o json)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := azExample(t)
			with(t, in, []edit{{c.file, c.old, c.new}})
			s, err := FromAz(in)
			if err == nil {
				t.Fatalf("read as %+v", s)
			}
			if err.Error() != c.want {
				t.Errorf("\n got %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestAddSources(t *testing.T) {
	const aks = "/subscriptions/3b7f6c5a-4d21-4c2b-9d0e-6f1e0c1a52a1/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-hub/subnets/snet-aks"
	entry := func(pool string) string {
		return `{"nodeSelector":{"kubernetes.azure.com/agentpool":"` + pool + `"},"subnet":"` + aks + `"}`
	}
	one := platform.AgentPool{Name: "a", NodeSubnet: aks}
	two := platform.AgentPool{Name: "b", NodeSubnet: strings.ToUpper(aks)}
	for _, c := range []struct {
		fact
		pools []platform.AgentPool
	}{
		{fact{name: "all the same", path: "sources", want: `[{"subnet":"` + aks + `"}]`, not: []string{"spec.sources"}}, []platform.AgentPool{one, two}},
		{fact{name: "pods in the nodes' subnet", path: "sources", want: `[{"subnet":"` + aks + `"}]`}, []platform.AgentPool{{Name: "a", NodeSubnet: aks, PodSubnet: aks}}},
		{fact{name: "pods in another", path: "sources", want: "[" + entry("a") + "]", notes: []string{"the agent pools c: their pods leave by a subnet of their own"}}, []platform.AgentPool{one, {Name: "c", NodeSubnet: aks, PodSubnet: aks + "2"}}},
		{fact{name: "no subnet", path: "sources", want: "[" + entry("a") + "," + entry("b") + "]", notes: []string{"the agent pools c: the file names no subnet"}}, []platform.AgentPool{one, two, {Name: "c"}}},
		{fact{name: "a subnet without a rule", path: "sources", want: "[" + entry("a") + "]", notes: []string{"the agent pools c: no virtual network rule that is in force", "--query serviceEndpoints"}}, []platform.AgentPool{one, {Name: "c", NodeSubnet: aks + "2"}}},
		{fact{name: "a rule that is not in force", edits: []edit{{"vnet", `"Ready"`, `"Failed"`}}, path: "sources", notes: []string{"the agent pools a: no virtual network rule"}}, []platform.AgentPool{one}},
		{fact{name: "a rule that was not checked", edits: []edit{{"vnet", "false", "true"}}, path: "sources", notes: []string{"the agent pools a: no virtual network rule"}}, []platform.AgentPool{one}},
		{fact{name: "no pools", path: "sources", notes: []string{"no agent pools"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := azExample(t)
			with(t, in, c.edits)
			s, err := FromAz(in)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.AddSources(&platform.AKS{Pools: c.pools}); err != nil {
				t.Fatal(err)
			}
			c.check(t, s)
		})
	}
	s, err := FromAz(azExample(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddSources(&platform.AKS{Pools: []platform.AgentPool{{Name: "a b", NodeSubnet: aks}}}); err == nil || err.Error() != `"a b" cannot be the name of an agent pool` {
		t.Error(err)
	}
	pools := []platform.AgentPool{{Name: "x"}}
	for i := range 33 {
		pools = append(pools, platform.AgentPool{Name: "p" + strings.Repeat("x", i), NodeSubnet: aks})
	}
	if err := s.AddSources(&platform.AKS{Pools: pools}); err == nil || err.Error() != "33 agent pools are more than the 32 sources that an ExternalService holds" {
		t.Error(err)
	}
}
