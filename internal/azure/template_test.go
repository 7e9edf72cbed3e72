package azure

import (
	"strconv"
	"strings"
	"testing"
)

// templateExample is the example's template and its parameters.
func templateExample(t testing.TB) (template, parameters *File) {
	t.Helper()
	return &File{"--template", "main.json", example(t, "main.json")}, &File{"--parameters", "prod.json", example(t, "prod.parameters.json")}
}

// written makes a template of resources; parameters and variables may be empty.
func written(parameters, variables, resources string) *File {
	return &File{"--template", "t.json", []byte(`{"parameters": {` + parameters + `}, "variables": {` + variables + `}, "resources": [` + resources + `]}`)}
}

const sqlServer = `{"type": "Microsoft.Sql/servers", "name": "s", "properties": {}}`

// child is a resource of the server s with a full name.
func child(kind, properties string) string {
	return `{"type": "Microsoft.Sql/servers/` + kind + `", "name": "s/x", "properties": {` + properties + `}}`
}

// outer and inner are nested deployments of resources.
func outer(resources string) string {
	return `{"type": "Microsoft.Resources/deployments", "name": "d", "properties": {"template": {"resources": [` + resources + `], "outputs": {"id": {"type": "string", "value": "[resourceId('Microsoft.Sql/servers', variables('x'))]"}}}}}`
}

func inner(more, parameters, resources string) string {
	return `{"type": "Microsoft.Resources/deployments", "name": "d", ` + more + ` "properties": {"expressionEvaluationOptions": {"scope": "Inner"}, "parameters": {` + parameters + `},
		"template": {"parameters": {"p": {"type": "string", "defaultValue": "inner"}}, "variables": {"v": "of-inner"}, "resources": [` + resources + `], "outputs": {"id": {"type": "string", "value": "[resourceId('Microsoft.Sql/servers', parameters('p'))]"}}}}}`
}

const subnetID = `"virtualNetworkSubnetId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"`

const hidden = "[reference('s').fullyQualifiedDomainName]"

func TestFromTemplate(t *testing.T) {
	for _, c := range []struct {
		fact
		parameters, variables, resources string
	}{
		{fact: fact{name: "names", path: "names", want: `["s.database.windows.net"]`, notes: []string{"spec.names: a template does not say the server's DNS name", "database.usgovcloudapi.net", "in another way are not in it"}}, resources: sqlServer},
		{fact: fact{name: "in lower case", path: "names", want: `["s-1.database.windows.net"]`}, resources: `{"type": "microsoft.sql/SERVERS", "name": "S-1"}`},
		{fact: fact{name: "ports", path: "ports", want: `[{"port":1433},{"endPort":11999,"port":11000}]`, notes: []string{"conn-policy show"}}, resources: sqlServer},
		{fact: fact{name: "Proxy", path: "ports", want: `[{"port":1433}]`, not: []string{"spec.ports"}}, resources: sqlServer + "," + child("connectionPolicies", `"connectionType": "proxy"`)},
		{fact: fact{name: "Redirect", path: "ports", want: `[{"port":1433},{"endPort":11999,"port":11000}]`, not: []string{"spec.ports"}}, resources: sqlServer + "," + child("connectionPolicies", `"connectionType": "Redirect"`)},
		{fact: fact{name: "not public", path: "firewall.publicNetworkAccess", want: `"Disabled"`}, parameters: `"public": {"type": "bool", "defaultValue": false}`,
			resources: `{"type": "Microsoft.Sql/servers", "name": "s", "properties": {"publicNetworkAccess": "[if(parameters('public'), 'Enabled', 'Disabled')]"}}`},
		{fact: fact{name: "properties that are a variable", path: "firewall.publicNetworkAccess", want: `"Disabled"`}, variables: `"p": {"publicNetworkAccess": "[variables('a')]"}, "a": "Disabled"`,
			resources: `{"type": "Microsoft.Sql/servers", "name": "s", "properties": "[variables('p')]"}`},
		{fact: fact{name: "nested children", path: "firewall.ipRules", want: `[{"first":"192.0.2.1","last":"192.0.2.1","name":"a"}]`},
			resources: `{"type": "Microsoft.Sql/servers", "name": "s", "resources": [{"type": "firewallRules", "name": "a", "properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}]}`},
		{fact: fact{name: "flat children", path: "firewall.ipRules", want: `[{"first":"192.0.2.1","last":"192.0.2.1","name":"x"},{"first":"2001:db8::","last":"2001:db8::1","name":"x"}]`},
			resources: sqlServer + "," + child("firewallRules", `"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"`) + "," + child("ipv6FirewallRules", `"startIPv6Address": "2001:db8::", "endIPv6Address": "2001:db8::1"`)},
		{fact: fact{name: "Azure's own services", path: "firewall.allowAzureServices", want: "true"}, resources: sqlServer + "," + child("firewallRules", `"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"`)},
		{fact: fact{name: "a condition that does not hold", path: "firewall.ipRules"}, resources: sqlServer + `, {"condition": "[equals('a', 'b')]", "type": "Microsoft.Sql/servers/firewallRules", "name": "` + hidden + `"}`},
		{fact: fact{name: "a subnet", path: "firewall.subnetRules", want: `[{"name":"x","subnet":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}]`, not: []string{"subnetRules"}}, resources: sqlServer + "," + child("virtualNetworkRules", subnetID)},
		{fact: fact{name: "a subnet somewhere", path: "firewall.subnetRules", want: `[{"name":"x","subnet":"/subscriptions/\u003csubscription\u003e/resourceGroups/\u003cresource-group\u003e/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}]`, notes: []string{"spec.firewall.subnetRules[0]: a template does not say where", "<subscription> and <resource-group>; until then it is refused"}},
			resources: sqlServer + "," + child("virtualNetworkRules", `"virtualNetworkSubnetId": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 'n')]"`)},
		{fact: fact{name: "a subnet of a group", path: "firewall.subnetRules", want: `[{"name":"x","subnet":"/subscriptions/1/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}]`, not: []string{"subnetRules"}},
			resources: sqlServer + "," + child("virtualNetworkRules", `"virtualNetworkSubnetId": "[resourceId('1', 'g', 'Microsoft.Network/virtualNetworks/subnets', 'v', 'n')]"`)},
		{fact: fact{name: "Entra only", path: "authentication.mode", want: `"IdentityOnly"`, notes: []string{"Entra administrator me."}, not: []string{"passwords"}},
			resources: `{"type": "Microsoft.Sql/servers", "name": "s", "properties": {"administrators": {"azureADOnlyAuthentication": true, "login": "me", "tenantId": "` + hidden + `"}}}`},
		{fact: fact{name: "Entra only as a child", path: "authentication.mode", want: `"IdentityOnly"`, notes: []string{"Entra administrator me."}},
			resources: sqlServer + "," + child("azureADOnlyAuthentications", `"azureADOnlyAuthentication": true`) + "," + child("administrators", `"login": "me"`)},
		{fact: fact{name: "an administrator that is not known", path: "authentication.mode", want: `"IdentityOrPassword"`, notes: []string{"was not said"}, not: []string{"administrator"}},
			resources: `{"type": "Microsoft.Sql/servers", "name": "s", "properties": {"administrators": {"login": "` + hidden + `"}}}`},
		{fact: fact{name: "a private endpoint without an address", path: "firewall.privateEndpoints", notes: []string{"MISSING", "private endpoint pe ", "once it is deployed"}, not: []string{"az network"}},
			resources: sqlServer + `, {"type": "Microsoft.Network/privateEndpoints", "name": "pe", "properties": {"privateLinkServiceConnections": [{"properties": {"privateLinkServiceId": "[resourceId('Microsoft.Sql/servers', 's')]"}}]}}`},
		{fact: fact{name: "a private endpoint that asks", path: "firewall.privateEndpoints", notes: []string{"pe (Pending)"}},
			resources: sqlServer + `, {"type": "Microsoft.Network/privateEndpoints", "name": "pe", "properties": {"manualPrivateLinkServiceConnections": [{"properties": {"privateLinkServiceId": "[resourceId('Microsoft.Sql/servers', 's')]"}}]}}`},
		{fact: fact{name: "two without an ID", path: "firewall.privateEndpoints", want: `[{"address":"10.0.0.1","name":"a"},{"address":"10.0.0.2","name":"b"}]`},
			resources: sqlServer + `, ` + staticEndpoint("a", "10.0.0.1") + `, ` + staticEndpoint("b", "10.0.0.2")},
		{fact: fact{name: "rules of a server that exists", path: "firewall.ipRules", notes: []string{"rules for servers that it does not deploy: other"}},
			resources: sqlServer + `, {"type": "Microsoft.Sql/servers/firewallRules", "name": "other/x", "properties": {"startIpAddress": "192.0.2.1", "endIpAddress": "192.0.2.1"}}`},
		{fact: fact{name: "what does not matter is not evaluated", path: "names", want: `["s.database.windows.net"]`},
			resources: sqlServer + `, {"type": "Microsoft.Storage/storageAccounts", "name": "` + hidden + `", "copy": {}}, {"type": "Microsoft.Resources/deployments", "name": "d", "condition": "` + hidden + `", "copy": {}, "properties": {"template": {"resources": [{"type": "Microsoft.Storage/storageAccounts"}]}}}`},
		{fact: fact{name: "endpoints of something else are not evaluated", path: "names", want: `["s.database.windows.net"]`},
			resources: sqlServer + `, {"type": "Microsoft.Network/privateEndpoints", "name": "` + hidden + `", "copy": {}, "properties": {"privateLinkServiceConnections": [{"properties": {"privateLinkServiceId": "` + hidden + `", "groupIds": ["vault"]}}]}}`},
		{fact: fact{name: "outer scope", path: "names", want: `["of-outer.database.windows.net"]`}, variables: `"v": "of-outer"`, resources: outer(`{"type": "Microsoft.Sql/servers", "name": "[variables('v')]"}`)},
		{fact: fact{name: "inner scope", path: "names", want: `["of-inner.database.windows.net"]`}, variables: `"v": "of-outer"`, resources: inner("", "", `{"type": "Microsoft.Sql/servers", "name": "[variables('v')]"}`)},
		{fact: fact{name: "inner default", path: "names", want: `["inner.database.windows.net"]`}, resources: inner("", "", `{"type": "Microsoft.Sql/servers", "name": "[parameters('p')]"}`)},
		{fact: fact{name: "a value from outside", path: "names", want: `["of-outer.database.windows.net"]`}, variables: `"v": "of-outer"`, resources: inner("", `"p": {"value": "[variables('v')]"}`, `{"type": "Microsoft.Sql/servers", "name": "[parameters('p')]"}`)},
		{fact: fact{name: "an output of a deployment", path: "firewall.privateEndpoints", want: `[{"address":"10.0.0.1","name":"pe"}]`},
			resources: inner("", `"p": {"value": "s"}`, `{"type": "Microsoft.Sql/servers", "name": "[parameters('p')]"}`) + "," + connected("[reference(resourceId('Microsoft.Resources/deployments', 'd'), '2025-04-01').outputs.id.value]")},
		{fact: fact{name: "an output of an outer deployment", path: "firewall.privateEndpoints", want: `[{"address":"10.0.0.1","name":"pe"}]`}, variables: `"x": "s"`,
			resources: outer(sqlServer) + "," + connected("[reference('D').outputs.id.value]")},
		{fact: fact{name: "where a deployment goes", path: "firewall.subnetRules", want: `[{"name":"x","subnet":"/subscriptions/1-2/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/n"}]`}, variables: `"g": "net"`,
			resources: sqlServer + "," + inner(`"subscriptionId": "1-2", "resourceGroup": "[variables('g')]",`, "", child("virtualNetworkRules", `"virtualNetworkSubnetId": "[format('{0}/providers/Microsoft.Network/virtualNetworks/v/subnets/n', resourceGroup().id)]"`))},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := FromTemplate(written(c.parameters, c.variables, c.resources), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 1 {
				t.Fatalf("%d servers", len(list))
			}
			c.check(t, list[0])
		})
	}
}

func staticEndpoint(name, address string) string {
	return `{"type": "Microsoft.Network/privateEndpoints", "name": "` + name + `", "properties": {"ipConfigurations": [{"properties": {"privateIPAddress": "` + address + `"}}],
		"privateLinkServiceConnections": [{"properties": {"privateLinkServiceId": "[resourceId('Microsoft.Sql/servers', 's')]"}}]}}`
}

// connected is an endpoint of what an expression says.
func connected(to string) string {
	return strings.Replace(staticEndpoint("pe", "10.0.0.1"), "[resourceId('Microsoft.Sql/servers', 's')]", to, 1)
}

// TestBicep: what Bicep makes of a module, by symbolic names and with parameters.
func TestBicep(t *testing.T) {
	list, err := FromTemplate(templateExample(t))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %d servers", err, len(list))
	}
	for _, f := range []fact{
		{path: "names", want: `["contoso-shop-prod.database.windows.net"]`},
		{path: "firewall", want: `{"privateEndpoints":[{"address":"10.1.4.9","name":"pe-sql"}],"publicNetworkAccess":"Enabled","subnetRules":[{"name":"aks","subnet":"/subscriptions/\u003csubscription\u003e/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-hub/subnets/snet-aks"}]}`},
		{path: "ports", want: `[{"port":1433}]`},
		{path: "authentication.mode", want: `"IdentityOnly"`, notes: []string{"administrator sql-admins"}},
	} {
		f.check(t, list[0])
	}
}

func TestTwoServers(t *testing.T) {
	list, err := FromTemplate(written("", "", sqlServer+`, {"type": "Microsoft.Sql/servers", "name": "t"},`+child("virtualNetworkRules", subnetID)), nil)
	if err != nil || len(list) != 2 || list[0].Name != "s" || list[1].Name != "t" {
		t.Fatalf("%v, %+v", err, list)
	}
	if at(t, list[0], "firewall.subnetRules") == "" || at(t, list[1], "firewall.subnetRules") != "" {
		t.Error("the rule is not where it belongs")
	}
}

// TestComments: Azure takes them in templates; in a text they are part of it.
func TestComments(t *testing.T) {
	f := written("", "", "// the server\n"+`{"type": /* so */"Microsoft.Sql/servers", "name": "s", "tags": {"a": "/* \" // "}} /**/`)
	if list, err := FromTemplate(f, nil); err != nil || len(list) != 1 {
		t.Error(err, list)
	}
	f.Data = []byte("/* a\nb */ x // y")
	if _, err := FromTemplate(f, nil); err == nil || !strings.Contains(err.Error(), "line 2: invalid character 'x'") {
		t.Error(err)
	}
	f.Data = []byte("{} /* open")
	if _, err := FromTemplate(f, nil); err == nil {
		t.Error("read")
	}
}

func TestFromTemplateErrors(t *testing.T) {
	const hint = " (hint: give the value in a parameters file, or use --server and its kind with the output of az for what is deployed)"
	const loop = "loops (copy) are not evaluated (hint: use --server and its kind with the output of az for what is deployed)"
	named := func(e string) string { return `{"type": "Microsoft.Sql/servers", "name": "` + e + `"}` }
	for _, c := range []struct{ name, parameters, variables, resources, want string }{
		{"no server", "", "", "", "no Microsoft.Sql/servers is deployed by it"},
		{"a server that exists", "", "", `{"type": "Microsoft.Sql/servers", "name": "s", "existing": true}`, "no Microsoft.Sql/servers is deployed by it"},
		{"twice", "", "", sqlServer + "," + sqlServer, "resources[1].name: the server s is in the template twice"},
		{"a loop", "", "", `{"type": "Microsoft.Sql/servers", "name": "s", "copy": {"name": "x", "count": 2}}`, "resources[0].copy: " + loop},
		{"a loop of values", "", "", `{"type": "Microsoft.Sql/servers", "name": "s", "properties": {"copy": []}}`, "resources[0].properties.copy: " + loop},
		{"a loop of modules", "", "", `{"type": "Microsoft.Resources/deployments", "copy": {}, "properties": {"template": {"resources": [` + sqlServer + `]}}}`, "resources[0].copy: " + loop},
		{"a link", "", "", sqlServer + `, {"type": "Microsoft.Resources/deployments", "properties": {"templateLink": {"uri": "https://example.com"}}}`, "resources[1].properties: linked templates are not fetched (hint: put its template in, as az bicep build does, or use --server and its kind)"},
		{"an unknown function", "", "", named("[uniqueString('x')]"), `resources[0].name: "[uniqueString('x')]": the function uniqueString is not evaluated here` + hint},
		{"a place that is not known", "", "", named("[concat('s', resourceGroup().name)]"), `resources[0].name: "s<resource-group>" hangs on the subscription or resource group, which a template does not say` + hint},
		{"a comparison with it", "", "", `{"type": "Microsoft.Sql/servers", "name": "s", "condition": "[equals(subscription().subscriptionId, '1')]"}`, `resources[0].condition: "[equals(subscription().subscriptionId, '1')]": it hangs on the subscription or resource group, which a template does not say` + hint},
		{"what is not known before", "", "", named("[reference('x').name]"), `resources[0].name: "[reference('x').name]": what "x" is will be known once it is deployed` + hint},
		{"an output that is not there", "", "", sqlServer + "," + outer("") + "," + connected("[reference(resourceId('Microsoft.Resources/deployments', 'd')).outputs.x.value]"), `resources[2].properties.privateLinkServiceConnections[0].properties.privateLinkServiceId: "[reference(resourceId('Microsoft.Resources/deployments', 'd')).outputs.x.value]": there is no "x" in the object, or its value is not known before it is deployed` + hint},
		{"a circle of deployments", "", "", inner("", `"p": {"value": "[reference(resourceId('Microsoft.Resources/deployments', 'd')).outputs.id.value]"}`, `{"type": "Microsoft.Sql/servers", "name": "[parameters('p')]"}`), `resources[0].properties.parameters.p.value: "[resourceId('Microsoft.Sql/servers', parameters('p'))]": it refers to itself, or is nested too deep` + hint},
		{"a secret", `"p": {"type": "string"}`, "", named("[parameters('p')]"), `resources[0].name: "[parameters('p')]": the parameter "p" has neither a value nor a default` + hint},
		{"a parameter that is not there", "", "", named("[parameters('p')]"), `resources[0].name: "[parameters('p')]": there is no parameter "p"` + hint},
		{"a variable that is not there", "", "", named("[variables('p')]"), `resources[0].name: "[variables('p')]": there is no variable "p" (those made by copy are not evaluated)` + hint},
		{"a circle", "", `"a": "[variables('b')]", "b": "[variables('a')]"`, named("[variables('a')]"), `variables.b: "[variables('a')]": it refers to itself, or is nested too deep` + hint},
		{"no name", "", "", named("a b"), `resources[0].name: "a b" cannot be the name of a server`},
		{"a short name for a child", "", "", sqlServer + `, {"type": "Microsoft.Sql/servers/firewallRules", "name": "x"}`, `resources[1].name: "x" is not a name for microsoft.sql/servers/firewallrules: there is one for each part of the type`},
		{"two words on passwords", "", "", `{"type": "Microsoft.Sql/servers", "name": "s", "properties": {"administrators": {"azureADOnlyAuthentication": false}}}, ` + child("azureADOnlyAuthentications", `"azureADOnlyAuthentication": true`), "resources[1].properties.azureADOnlyAuthentication: it says true, and another place of the template false"},
		{"an unknown policy", "", "", sqlServer + "," + child("connectionPolicies", `"connectionType": "Best"`), `resources[1].properties.connectionType: "Best" is none of Default, Proxy, Redirect`},
		{"a condition that is no truth", "", "", `{"type": "Microsoft.Sql/servers", "name": "s", "condition": "yes"}`, `resources[0].condition: true or false is wanted, not "yes"`},
		{"no resources", "", "", `1`, "resources[0]: an object is wanted, not 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := FromTemplate(written(c.parameters, c.variables, c.resources), nil)
			if err == nil {
				t.Fatalf("read as %+v", list[0])
			}
			if want := "--template: t.json: " + c.want; err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		})
	}
}

func TestParameterFiles(t *testing.T) {
	template := written(`"name": {"type": "string", "allowedValues": ["a", "[concat('a')]", {}]}, "more": {"type": "string", "nullable": true}`, "", `{"type": "Microsoft.Sql/servers", "name": "[concat(parameters('name'), coalesce(parameters('more'), '-x'))]"}`)
	for _, c := range []struct{ data, want string }{
		{`{"parameters": {"NAME": {"value": "a"}}}`, "a-x"},
		{`{"parameters": {"name": {"value": "a"}, "more": {"value": "-y"}}}`, "a-y"},
		{`{"parameters": {"name": {"value": "A"}}}`, "a-x"},
		{`{"parameters": {"name": {"value": "b"}}}`, `"b" is none of the values that the parameter "name" may have`},
		{`{"parameters": {"name": {"value": "[concat('a')]"}}}`, `--template: t.json: resources[0].name: "[concat('a')]-x" cannot be the name of a server`}, // no expression there
		{`{"parameters": {"nam": {"value": "a"}}}`, "--parameters: p.json: parameters.nam: the template has no parameter of this name"},
		{`{"parameters": {"name": {"reference": {}}}}`, `the parameter "name" is kept in a key vault`},
		{`{"parameters": {"name": {"value": {}}}}`, "a text is wanted, not an object"},
		{`{"parameters": {"name": {"type": "string"}}}`, `--parameters: p.json: parameters.name: it has no value (hint: write {"value": …})`},
		{`{"parameters": {"name": "a"}}`, `--parameters: p.json: parameters.name: an object is wanted, not "a"`},
		{`{"name": {"value": "a"}}`, "--parameters: p.json: parameters are missing: this is not a file of parameters"},
	} {
		list, err := FromTemplate(template, &File{"--parameters", "p.json", []byte(c.data)})
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", c.data, err, c.want)
		case err == nil && list[0].Name != c.want:
			t.Errorf("%s: %s, want %s", c.data, list[0].Name, c.want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	const variables = `{"object": {"a": {"B": ["zero", "one"]}, "e": "[concat('x', 'y')]"}, "list": [1, "[variables('object').e]"], "empty": ""}`
	for _, c := range []struct{ text, want string }{
		{"plain", "plain"},
		{"[[not one]", "[not one]"},
		{"[open", "[open"},
		{"['it''s']", "it's"},
		{"[ concat ( 'a' , 'b' ) ]", "ab"},
		{"[concat('a', 1, -2)]", "a1-2"},
		{"[CONCAT('a')]", "a"},
		{"[concat('[x]')]", "[x]"},
		{"[format('{0}-{1}-{0}', 'a', 7)]", "a-7-a"},
		{"[format('{{0}} {0}', 'a')]", "{0} a"},
		{"[toLower('AbC')]", "abc"},
		{"[toUpper('AbC')]", "ABC"},
		{"[if(true(), 'a', reference('never'))]", "a"},
		{"[if(not(true()), reference('never'), 'b')]", "b"},
		{"[if(and(true(), false(), reference('x')), 'a', 'b')]", "b"},
		{"[if(or(false(), true(), reference('x')), 'a', 'b')]", "a"},
		{"[if(and(true(), true()), 'a', 'b')]", "a"},
		{"[if(or(false(), false()), 'a', 'b')]", "b"},
		{"[if(equals('a', 'A'), 'a', 'b')]", "b"},
		{"[if(equals(1, 1), 'a', 'b')]", "a"},
		{"[if(equals(null(), null()), 'a', 'b')]", "a"},
		{"[if(equals('1', 1), 'a', 'b')]", "b"},
		{"[if(empty(variables('empty')), 'a', 'b')]", "a"},
		{"[if(empty(variables('list')), 'a', 'b')]", "b"},
		{"[variables('OBJECT').A.b[1]]", "one"},
		{"[variables('object')['a']['B'][0]]", "zero"},
		{"[variables('object').e]", "xy"},
		{"[variables('list')[1]]", "xy"},
		{"[coalesce(null(), 'c')]", "c"},
		{"[resourceId('g', 'N.x/a', 'b')]", "/subscriptions/<subscription>/resourceGroups/g/providers/N.x/a/b"},
		{"[resourceGroup().id]", "/subscriptions/<subscription>/resourceGroups/<resource-group>"},
		{"[subscription().id]", "/subscriptions/<subscription>"},
		{"[extensionResourceId('/x', 'N.x/a/c', 'b', 'd')]", "/x/providers/N.x/a/b/c/d"},
		{"[]", "error: a value is wanted"},
		{"[x]", `error: "x" is neither a value nor a call`},
		{"[concat('a'", "[concat('a'"},
		{"[concat('a']", "error: a parenthesis is not closed"},
		{"[concat('a)]", "error: a quote is not closed"},
		{"[concat('a'))]", "error: \")\" is too much"},
		{"[concat('a').]", "error: a name is wanted after the dot"},
		{"[variables('list')[1]", "error: a bracket is not closed"},
		{"[concat(" + strings.Repeat("concat(", 60) + "'a'" + strings.Repeat(")", 61) + "]", "error: nested more than 50"},
		{"[variables('object')" + strings.Repeat(".a", 60) + "]", "error: more than 50 accesses"},
		{"['" + strings.Repeat("a", maxExpression) + "']", "error: longer than 24576 characters"},
		{"[not()]", "error: the function not is called with 0 arguments"},
		{"[if('a', 'b', 'c')]", "error: true or false is wanted, not \"a\""},
		{"[concat(variables('object'))]", "error: a text is wanted, not an object"},
		{"[variables('object').c]", "error: there is no \"c\" in the object"},
		{"[resourceGroup().location]", "error: there is no \"location\" in the object"},
		{"[variables('list')[2]]", "error: there is no entry 2 in a list of 2"},
		{"[variables('list').a]", "error: there is no entry \"a\" in a list of 2"},
		{"[concat('a')[0]]", "error: \"a\" has no parts"},
		{"[equals(variables('list'), 'a')]", "error: lists and objects are not compared"},
		{"[format('{1}', 'a')]", "error: {1} stands for none of the 1 arguments"},
		{"[format('{0', 'a')]", "error: a brace is not closed"},
		{"[resourceId('a', 'b')]", "error: resourceId has no type"},
		{"[resourceId('a', 'b', 'c', 'N/x', 'y')]", "error: resourceId has no type"},
		{"[resourceId('N.x/a/b', 'c')]", `error: "N.x/a/b" needs 2 names, and has 1`},
		{"[empty(1)]", "error: 1 is neither empty nor not"},
		{"[toUpper(resourceGroup().name)]", "error: it hangs on the subscription or resource group"},
	} {
		v, err := decode([]byte(variables))
		if err != nil {
			t.Fatal(err)
		}
		r, f := &reader{}, &File{"--template", "t.json", nil}
		s := &scope{variables: node{reader: r, file: f, v: v}, resources: node{reader: r}, given: node{reader: r}, declared: node{reader: r}, subscription: node{reader: r}, group: node{reader: r}}
		s.variables.scope = s
		got := node{reader: r, file: f, path: "at", v: c.text, scope: s}.id()
		wanted, fails := strings.CutPrefix(c.want, "error: ")
		switch {
		case fails && (r.err == nil || !strings.Contains(r.err.Error(), wanted) || len(r.err.Error()) > 1000):
			t.Errorf("%.80s: %q, %v, want %s", c.text, got, r.err, wanted)
		case !fails && (r.err != nil || got != wanted):
			t.Errorf("%.80s: %q, %v, want %q", c.text, got, r.err, wanted)
		}
	}
}

// doubling makes variables v0 to v40, each of which uses the one before twice, where a % is.
func doubling(expression, first string) string {
	out := `"v0": ` + first
	for i := 1; i <= 40; i++ {
		out += `, "v` + strconv.Itoa(i) + `": "[` + strings.ReplaceAll(expression, "%", "v"+strconv.Itoa(i-1)) + `]"`
	}
	return out
}

// TestBounds: expressions that double themselves end, and so does everything that is made large on purpose.
func TestBounds(t *testing.T) {
	var servers []string
	for i := range maxServers + 1 {
		servers = append(servers, `{"type": "Microsoft.Sql/servers", "name": "s`+strconv.Itoa(i)+`"}`)
	}
	for _, c := range []struct{ name, variables, resources, want string }{
		{"a text that doubles", doubling("concat(variables('%'), variables('%'))", `"0123456789"`), `{"type": "Microsoft.Sql/servers", "name": "[variables('v40')]"}`, "it makes a text of more than 65536 bytes"},
		{"work that doubles", doubling("or(variables('%'), variables('%'))", "false"), `{"type": "Microsoft.Sql/servers", "name": "s", "condition": "[variables('v40')]"}`, "takes more than 100000 steps"},
		{"a long text that is asked again and again", `"v": "` + strings.Repeat("<", 1<<20) + `"`,
			`{"type": "Microsoft.Sql/servers", "name": "s", "condition": "[and(` + strings.Repeat("not(equals(variables('v'), 'x')), ", 100) + `false())]"}`, "takes more than 100000 steps"},
		{"a long list that is read again and again", `"v": [{}` + strings.Repeat(", {}", 9_999) + `]`,
			strings.Repeat(`{"type": "Microsoft.Network/privateEndpoints", "name": "p", "properties": {"privateLinkServiceConnections": "[variables('v')]"}}, `, 1000) + sqlServer, "takes more than 100000 steps"},
		{"servers without end", "", strings.Join(servers, ","), "more than 100 servers"},
		{"resources without end", "", strings.Repeat(sqlServer+",", maxResources) + sqlServer, "resources[5000]: more than 5000 resources that would be read"},
	} {
		_, err := FromTemplate(written("", c.variables, c.resources), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestBoundOfParameters: the values that a parameter may have are compared only so often.
func TestBoundOfParameters(t *testing.T) {
	values := strings.Repeat(`"a", `, 10_000) + `"v"`
	rule := `{"type": "Microsoft.Sql/servers/firewallRules", "name": "s/r", "condition": "[equals(parameters('p'), 'x')]"}, `
	template := &File{"--template", "t.json", []byte(`{"parameters": {"p": {"allowedValues": [` + values + `]}}, "resources": [` + strings.Repeat(rule, 1000) + sqlServer + `]}`)}
	_, err := FromTemplate(template, &File{"--parameters", "p.json", []byte(`{"parameters": {"p": {"value": "v"}}}`)})
	if want := "takes more than 100000 steps"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
