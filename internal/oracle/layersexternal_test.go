package oracle

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// db gives a service of blue with these facts beside an address, a private endpoint and ports. With Azure
// SQL's redirection a client goes on to 11000 to 11999.
func db(facts string) string {
	return "xsvc blue/db: {cidrs: [203.0.113.0/24], ports: [{port: 1433}, {port: 11000, endPort: 11999}]" + facts + "}\n"
}

// firewall gives a firewall with these rules and a private endpoint.
func firewall(rules string) string {
	return ", firewall: {privateEndpoints: [{address: 10.9.0.4}]" + rules + "}"
}

const (
	sql     = "203.0.113.9 tcp/1433"
	private = "10.9.0.4 tcp/1433"
)

func TestWhichService(t *testing.T) { // L30, L4
	const (
		shut     = ", firewall: {publicNetworkAccess: Disabled}"
		allowPod = ", sources: [{podAddresses: true}], firewall: {ipRules: [{first: 10.0.0.1, last: 10.0.0.1}]}"
		shutDB   = "cxsvc %s: {cidrs: [203.0.113.0/24], ports: [{port: 1433}], firewall: {publicNetworkAccess: Disabled}}\n"
		password = "cxsvc %s: {cidrs: [203.0.113.9/32], ports: [{port: 1433}], authentication: {mode: IdentityOrPassword}}\n"
		plain    = "cxsvc %s: {cidrs: [203.0.113.9/32], ports: [{port: 1433}]}\n"
		azure    = "cxsvc %s: {cidrs: [203.0.113.9/32], ports: [{port: 1433}], firewall: {allowAzureServices: true}}\n"
		onlyID   = "cxsvc %s: {cidrs: [203.0.113.9/32], ports: [{port: 1433}], authentication: {mode: IdentityOnly, admitted: []}}\n"
	)
	named := func(format, name string) string { return fmt.Sprintf(format, name) }
	cidrless := "xsvc blue/db: {names: [db], ports: [{port: 1433}], firewall: {publicNetworkAccess: Disabled, privateEndpoints: [{address: 10.9.0.4}]}}\n"
	runLayers(t, []layerCase{
		{rule: "L30", resources: db(shut), ask: "a > " + sql, want: "..d... denied"},
		{rule: "L30", resources: db(shut), ask: "a > 203.0.114.0 tcp/1433", want: "...... allowed"},
		{rule: "L30", resources: db(shut), ask: "a > 203.0.113.9 tcp/11500", want: "..d... denied"},
		{rule: "L30", resources: db(shut), ask: "a > 203.0.113.9 tcp/12000", want: "...... allowed"},
		{rule: "L30", resources: db(shut), ask: "a > 203.0.113.9 udp/1433", want: "...... allowed"},
		{rule: "L30", resources: db(shut), ask: "a > 203.0.113.9 icmp", want: "...... allowed"},
		{rule: "L30", resources: db(shut), ask: "c > " + sql, want: "...... allowed"},
		{rule: "L30", resources: db(shut), ask: "h > " + sql, want: "..d... denied"},
		{rule: "L30", resources: db(shut), ask: "n1 > " + sql, want: "...... allowed"},
		{rule: "L30", resources: db(shut), ask: "c > " + sql + " @db", want: "..d... denied"},
		{rule: "L30", resources: db(shut), ask: "n1 > " + sql + " @db", want: "..d... denied"},
		{rule: "L30", resources: named(shutDB, "db"), ask: "c > " + sql, want: "..d... denied"},
		{rule: "L30", resources: named(shutDB, "db"), ask: "n1 > " + sql, want: "..d... denied"},
		{rule: "L30", resources: named(shutDB, "db"), ask: "8.8.8.8 > " + sql, want: "..d... denied"},
		{rule: "L30", resources: cidrless, ask: "a > " + sql, want: "...... allowed"},
		{rule: "L30", resources: cidrless, ask: "a > " + sql + " @db", want: "..d... denied"},
		{rule: "L30", resources: cidrless, ask: "a > " + private, want: "..a... allowed"},
		// What all say.
		{rule: "L30", resources: named(shutDB, "d1") + named(shutDB, "d2"), ask: "a > " + sql, want: "..d... denied"},
		{rule: "L30", resources: named(azure, "d1") + named(azure, "d2"), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: db(allowPod) + "cxsvc d" + strings.TrimPrefix(db(allowPod), "xsvc blue/d"), ask: "a > " + sql, want: "..a... allowed"},
		{rule: "L30", resources: named(plain, "d1") + named(plain, "d2"), ask: "a > " + sql, want: "...... allowed"},
		// One says none, and the others none or allow.
		{rule: "L30", resources: named(plain, "d1") + db(allowPod), ask: "a > " + sql, want: "...... allowed"},
		{rule: "L30", resources: db(allowPod) + named(plain, "d1"), ask: "a > " + sql, want: "...... allowed"},
		{rule: "L30", resources: named(plain, "d1") + named(plain, "d2") + db(allowPod), ask: "a > " + sql, want: "...... allowed"},
		// All else.
		{rule: "L30", resources: db(allowPod) + named(shutDB, "d1"), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: db(allowPod) + named(azure, "d1"), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: named(plain, "d1") + named(azure, "d2"), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: named(shutDB, "d1") + named(azure, "d2"), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: named(plain, "d1") + db(allowPod) + named(shutDB, "d2"), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: named(shutDB, "d1") + named(shutDB, "d2") + named(plain, "d3"), ask: "a > " + sql, want: "..?... unknown"},
		// Only those that the connection is one to: at the port, and for the source.
		{rule: "L30", resources: named(shutDB, "d1") + db(allowPod), ask: "a > 203.0.113.9 tcp/11500", want: "..a... allowed"},
		{rule: "L30", resources: named(shutDB, "d1") + db(allowPod), ask: "c > " + sql, want: "..d... denied"},
		{rule: "L30", resources: named(shutDB, "d1") + db(allowPod), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: named(shutDB, "d1") + db(allowPod), ask: "b > " + sql, want: "..d... denied"},
		{rule: "L30", resources: named(shutDB, "d1") + db(""), ask: "a > " + sql, want: "..?... unknown"},
		{rule: "L30", resources: named(shutDB, "d1") + db(""), ask: "a > " + sql + " @d1", want: "..d... denied"},
		{rule: "L30", resources: named(password, "d1") + named(onlyID, "d2"), ask: "a > " + sql, want: "...?.? unknown"},
		{rule: "L30", resources: named(password, "d1") + named(onlyID, "d2"), ask: "a > " + sql + " @d2", want: "...d.d denied"},
		{rule: "L4", resources: strings.Replace(db(shut), "xsvc", "xsvc?", 1), ask: "a > " + sql, want: "..??.? unknown"},
		{rule: "L4", resources: strings.Replace(db(firewall("")), "xsvc", "xsvc?", 1), ask: "a > " + private, want: "..??.? unknown"},
		{rule: "L4", resources: "xsvc? blue/db: {cidrs: [wrong, 203.0.113.0/24], ports: [{port: 1433}]}", ask: "a > " + sql, want: "..??.? unknown"},
		{rule: "L4", resources: "xsvc? blue/db: {cidrs: [wrong], ports: [{port: 1433}]}", ask: "a > " + sql, want: "...... allowed"},
	})
}

func TestAppearance(t *testing.T) { // L31
	const (
		subnets = "subnetRules: [{subnet: pool-w}]"
		onW     = "{nodeSelector: {role: w}, subnet: pool-w}"
		onX     = "{nodeSelector: {role: x}, subnet: pool-x}"
		anyW    = "{subnet: pool-w}"
		anyX    = "{subnet: pool-x}"
	)
	var cases []layerCase
	for _, c := range []struct{ sources, from, want string }{
		{onW, "a", "a"}, {onX, "a", "?"}, {onX + ", " + onW, "a", "a"}, {anyX + ", " + onW, "a", "d"}, {onW + ", " + anyX, "a", "a"},
		{onX + ", " + anyW, "a", "a"}, {onX + ", " + anyX, "a", "d"},
		{onW, "h", "a"}, {onW, "n1", "a"},
		{onW, "n2", "?"}, {onW + ", " + anyX, "n2", "?"}, {onW + ", " + anyW, "n2", "a"}, {onX + ", " + anyX + ", " + anyW, "n2", "d"},
		{onW + ", " + anyX, "t", "?"}, {onX + ", " + anyX, "t", "d"}, {onW + ", " + anyW, "g", "a"}, {onW + ", " + anyX, "u", "?"},
		{onX + ", " + onX, "t", "?"}, {"", "a", "?"}, {anyX, "203.0.114.1", "d"}, {"{podAddresses: true}", "a", "d"},
	} {
		cases = append(cases, layerCase{rule: "L31", resources: db(", firewall: {" + subnets + "}, sources: [" + c.sources + "]"),
			ask: c.from + " > " + sql + " @db", want: "..." + c.want})
	}
	for i := range cases {
		letter := strings.TrimPrefix(cases[i].want, "...")
		cases[i].want = ".." + letter + "... " + map[string]string{"a": "allowed", "d": "denied", "?": "unknown"}[letter]
	}
	runLayers(t, cases)
}

// TestAzureFirewall are the facts of Azure SQL's firewall (L32).
func TestAzureFirewall(t *testing.T) {
	const (
		none   = "ipRules: []"
		pods   = "ipRules: [{first: 10.0.0.1, last: 10.0.0.2}, {first: 'fd00::1', last: 'fd00::1'}]"
		ranges = "ipRules: [{first: 20.0.0.0, last: 20.0.0.127}, {first: 20.0.0.128, last: 20.0.0.255}]"
		azure  = "allowAzureServices: true"
		zero   = "ipRules: [{first: 0.0.0.0, last: 0.0.0.0}]"
		subnet = "/subscriptions/1/subnets/nodes"
		v6     = "ipRules: [{first: '2001:db8::', last: '2001:db8::ffff:ffff:ffff:ffff'}]"
		sql6   = "2001:db8::9 tcp/1433 v6"
		byRule = "subnetRules: [{subnet: /Subscriptions/1/Subnets/Nodes}]"
	)
	from := func(s string) string { return "{addresses: [" + s + "]}" }
	const sub, own = "{subnet: " + subnet + "}", "{podAddresses: true}"
	var cases []layerCase
	for _, c := range []struct{ rules, source, ask, want string }{
		// Rules only allow: their union, and without any nothing is admitted.
		{none, "", "a > " + sql, "d"}, {none, sub, "a > " + sql, "d"}, {none, own, "a > " + sql, "d"}, {none, own, "t > " + sql, "d"},
		{pods, own, "a > " + sql, "a"}, {pods, own, "b > " + sql, "a"}, {pods, own, "g > " + sql, "d"}, {pods, own, "n1 > " + sql, "d"},
		{pods + ", " + byRule, sub, "a > " + sql, "a"}, {pods + ", " + byRule, own, "a > " + sql, "a"}, {pods, "", "a > " + sql, "?"},
		{"ipRules: [{first: 10.0.0.9, last: 10.0.0.0}]", own, "a > " + sql, "d"}, {"ipRules: [{first: 10.0.0.9, last: 10.0.0.0}]", "", "a > " + sql, "?"},
		// By what the server sees: a subnet is not admitted by IP rules, and the reverse.
		{"ipRules: [{first: 0.0.0.1, last: 255.255.255.255}]", sub, "a > " + sql, "d"}, {byRule, own, "a > " + sql, "d"}, {byRule, from("20.0.0.1/32"), "a > " + sql, "d"},
		// The rule for a subnet holds for everything in it, whatever the pod.
		{byRule, sub, "a > " + sql, "a"}, {byRule, sub, "b > " + sql, "a"}, {byRule, "{subnet: nodes}", "a > " + sql, "d"}, {byRule, sub + ", " + own, "a > " + sql, "a"},
		// An address after SNAT, or a range of them.
		{ranges, from("20.0.0.7/32"), "a > " + sql, "a"}, {ranges, from("20.0.0.0/24"), "a > " + sql, "a"}, {ranges, from("20.0.0.0/23"), "a > " + sql, "?"},
		{ranges, from("20.0.0.64/26, 20.0.0.128/26"), "a > " + sql, "a"}, {ranges, from("20.0.0.1/32, 21.0.0.1/32"), "a > " + sql, "?"},
		{ranges, from("21.0.0.0/24"), "a > " + sql, "d"}, {ranges, from("20.0.1.0/32"), "a > " + sql, "d"}, {ranges, from("19.255.255.255/32"), "a > " + sql, "d"},
		{"ipRules: [{first: 20.0.0.3, last: 20.0.0.4}]", from("20.0.0.0/24"), "a > " + sql, "?"}, {"ipRules: [{first: 255.0.0.0, last: 255.255.255.255}]", from("255.255.255.0/24"), "a > " + sql, "a"},
		// Of the addresses, those of the connection's family; where none is of it the address there is not known.
		{ranges, from("20.0.0.7/32, '2001:db8::/64'"), "a > " + sql, "a"}, {ranges, from("'2001:db8::/64', 21.0.0.1/32"), "a > " + sql, "d"},
		{v6, from("20.0.0.7/32, '2001:db8::/64'"), "a > " + sql, "d"}, {v6, from("20.0.0.7/32, '2001:db8::/64'"), "a > " + sql6, "a"}, {v6, from("'2001:db8::/63'"), "a > " + sql6, "?"},
		{ranges, from("20.0.0.7/32, '2001:db8::/64'"), "a > " + sql6, "d"}, {v6 + ", " + azure, from("20.0.0.7/32, '2001:db8::/64'"), "a > " + sql, "?"},
		{"ipRules: [{first: 0.0.0.1, last: 255.255.255.255}]", from("'2001:db8::/64'"), "a > " + sql, "?"}, {none, from("'2001:db8::/64'"), "a > " + sql, "d"},
		{v6, from("20.0.0.7/32"), "a > " + sql6, "?"}, {byRule, from("20.0.0.7/32"), "a > " + sql6, "?"}, {none, from("20.0.0.7/32"), "a > " + sql6, "d"},
		// A pod's own address, where it is known.
		{pods, own, "t > " + sql, "?"}, {pods, own, "a > 2001:db8::9 tcp/1433 v6", "a"}, {pods, own, "b > 2001:db8::9 tcp/1433 v6", "?"}, {byRule, own, "t > " + sql, "?"},
		// An address outside appears as itself.
		{pods, sub, "10.0.0.2 > " + sql, "a"}, {pods, sub, "9.9.9.9 > " + sql, "d"},
		// "Allow Azure services" admits every tenant; 0.0.0.0 to 0.0.0.0 is the same.
		{azure, sub, "a > " + sql, "a"}, {zero, sub, "a > " + sql, "a"}, {azure, "{subnet: nodes}", "a > " + sql, "?"},
		{azure, "{subnet: /SUBSCRIPTIONS/2/x}", "a > " + sql, "a"}, {azure, "{subnet: /subscriptions}", "a > " + sql, "?"}, {azure, "{subnet: x/subscriptions/2}", "a > " + sql, "?"}, {zero, own, "a > " + sql, "?"},
		{azure, "", "a > " + sql, "?"}, {azure, from("20.0.0.1/32"), "a > " + sql, "?"}, {azure + ", " + pods, own, "a > " + sql, "a"}, {azure, own, "9.9.9.9 > " + sql, "?"},
		{zero, from("0.0.0.0/32"), "a > " + sql, "?"}, {azure, "{subnet: subscriptions}", "a > " + sql, "?"}, {zero, sub + ", " + own, "9.9.9.9 > " + sql, "?"},
		// A private endpoint does not close the public way, and no rule closes the endpoint.
		{pods, own, "a > " + private, "a"}, {none, "", "a > " + private, "a"}, {pods, own, "g > " + private, "a"},
		// publicNetworkAccess Disabled closes the public way, whatever the rules say.
		{"publicNetworkAccess: Disabled, " + pods, own, "a > " + sql, "d"}, {"publicNetworkAccess: Disabled, " + azure, sub, "a > " + sql, "d"},
		{"publicNetworkAccess: Disabled, " + pods, own, "a > " + private, "a"}, {"publicNetworkAccess: Enabled, " + pods, own, "a > " + sql, "a"},
		// Redirection needs 11000 to 11999 too: the same rules there.
		{pods, own, "a > 203.0.113.9 tcp/11000", "a"}, {pods, own, "g > 203.0.113.9 tcp/11999", "d"},
		// Several possibilities.
		{pods, "{nodeSelector: {role: x}, subnet: nodes}, " + own, "c > " + sql, "d"}, {ranges, "{nodeSelector: {role: x}, subnet: nodes}, " + from("20.0.0.1/32"), "c > " + sql, "?"},
	} {
		resources := db(firewall(", "+c.rules) + ", sources: [" + c.source + "]")
		verdict := map[string]string{"a": "allowed", "d": "denied", "?": "unknown"}[c.want]
		cases = append(cases, layerCase{rule: "L32", resources: resources, ask: c.ask + " @db", want: ".." + c.want + "... " + verdict})
	}
	runLayers(t, append(cases, layerCase{rule: "L32", resources: db(""), ask: "a > " + sql, want: "...... allowed"}))
}

// sqlAuth gives authentication for Azure SQL, whose tokens come from Entra only, for its own resource.
func sqlAuth(mode, more string) string {
	return db(", authentication: {mode: " + mode + ", resource: 'https://database.windows.net/'" + more + "}")
}

const (
	client1 = "0a000000-0000-0000-0000-000000000001"
	client2 = "0a000000-0000-0000-0000-000000000002"
	tenant1 = "0b000000-0000-0000-0000-000000000001"
	tenant2 = "0b000000-0000-0000-0000-000000000002"
)

// azureWID gives a WorkloadIdentity for web with one Azure identity.
func azureWID(client, tenant, resource string) string {
	return "wid blue/w: {serviceAccountName: web, externalIdentities: [{azure: {clientID: " + client + ", tenantID: '" + tenant + "', resources: ['" + resource + "']}}]}\n"
}

func admits1(client, tenant string) string {
	return ", admitted: [{azure: {clientID: " + client + ", tenantID: '" + tenant + "'}}]"
}

// TestAzureAuthentication are the facts of Azure SQL's authentication (L33 to L36, L11).
func TestAzureAuthentication(t *testing.T) {
	const only, pass, resource = "IdentityOnly", "IdentityOrPassword", "https://database.windows.net"
	granted := azureWID(client1, tenant1, resource)
	unclear := "wid? blue/w: {serviceAccountName: web}\n"
	var cases []layerCase
	for _, c := range []struct{ rule, resources, ask, want string }{
		{"L33", granted + sqlAuth(only, admits1(client1, tenant1)), "a", "...a.a allowed"},
		{"L33", widWeb + sqlAuth(only, admits1(client1, tenant1)), "a", "...d.d denied"},
		{"L33", azureWID(client1, tenant1, "https://vault.azure.net") + sqlAuth(only, admits1(client1, tenant1)), "a", "...d.d denied"},
		{"L11", azureWID(client1, tenant1, resource+"//") + sqlAuth(only, admits1(client1, tenant1)), "a", "...a.a allowed"},
		{"L11", azureWID(client1, tenant1, "HTTPS://database.windows.net") + sqlAuth(only, admits1(client1, tenant1)), "a", "...d.d denied"},
		{"L11", azureWID(client2, "", resource) + strings.Replace(granted, "blue/w", "blue/v", 1) + sqlAuth(only, admits1(client1, "")), "a", "...a.a allowed"},
		{"L33", granted + sqlAuth(only, ", admitted: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]"), "a", "...a.d denied"},
		{"L33", granted + db(", authentication: {mode: IdentityOnly, admitted: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]}"), "a", "...a.a allowed"},
		{"L33", granted + db(", authentication: {mode: IdentityOnly, admitted: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/api'}]}"), "a", "...a.d denied"},
		{"L33", granted + db(", authentication: {mode: IdentityOnly"+admits1(client1, tenant1)+"}"), "a", "...a.d denied"},
		{"L34", granted + sqlAuth(only, ""), "b", "...d.d denied"},
		{"L34", unclear + sqlAuth(only, ""), "a", "...?.? unknown"},
		{"L34", granted + sqlAuth(pass, ""), "b", ".....? unknown"},
		{"L34", unclear + sqlAuth(pass, ""), "a", "...?.? unknown"},
		{"L34", granted + db(""), "a", "...... allowed"},
		{"L34", granted + sqlAuth(only, admits1(client1, "")), "9.9.9.9", "...?.? unknown"},
		{"L34", granted + sqlAuth(pass, ""), "9.9.9.9", "...?.? unknown"},
		{"L34", db(""), "9.9.9.9", "...... allowed"},
		{"L35", granted + sqlAuth(only, admits1(strings.ToUpper(client1), strings.ToUpper(tenant1))), "a", "...a.a allowed"},
		{"L35", granted + sqlAuth(only, admits1(client1, tenant2)), "a", "...a.d denied"},
		{"L35", granted + sqlAuth(only, admits1(client1, "")), "a", "...a.a allowed"},
		{"L35", azureWID(client1, "", resource) + sqlAuth(only, admits1(client1, tenant2)), "a", "...a.a allowed"},
		{"L35", granted + sqlAuth(only, admits1(client2, tenant1)), "a", "...a.d denied"},
		{"L35", granted + sqlAuth(only, ""), "a", "...a.? unknown"},
		{"L35", granted + sqlAuth(only, ", admitted: []"), "a", "...a.d denied"},
		{"L35", unclear + sqlAuth(only, admits1(client1, "")), "a", "...?.? unknown"},
		{"L35", unclear + sqlAuth(only, ", admitted: []"), "a", "...?.d denied"},
		{"L35", unclear + strings.Replace(granted, "blue/w", "blue/v", 1) + sqlAuth(only, admits1(client1, "")), "a", "...a.a allowed"},
		// A login with a password goes around every identity, unless identity is the only way.
		{"L35", granted + sqlAuth(pass, admits1(client1, "")), "a", "...a.a allowed"},
		{"L35", granted + sqlAuth(pass, admits1(client2, "")), "a", "...a.? unknown"},
		{"L35", sqlAuth(pass, ", admitted: []"), "b", ".....? unknown"},
		{"L35", sqlAuth(only, ", admitted: []"), "b", "...d.d denied"},
		// Whatever an address outside may hold, an empty list admits nobody.
		{"L35", sqlAuth(only, ", admitted: []"), "9.9.9.9", "...?.d denied"},
		{"L35", db(", authentication: {mode: IdentityOnly, admitted: []}"), "9.9.9.9", "...?.d denied"},
		{"L35", sqlAuth(only, ""), "9.9.9.9", "...?.? unknown"},
		{"L35", sqlAuth(pass, ", admitted: []"), "9.9.9.9", "...?.? unknown"},
		{"L4", strings.Replace(sqlAuth(only, ", admitted: []"), "xsvc", "xsvc?", 1), "9.9.9.9", "..??.? unknown"},
		{"L36", granted + sqlAuth(only, admits1(client1, "")), "h", "...d.d denied"},
		{"L36", granted + sqlAuth(pass, admits1(client1, "")), "h", ".....? unknown"},
		{"L36", granted + sqlAuth(only, admits1(client1, "")), "n1", "...d.d denied"},
	} {
		cases = append(cases, layerCase{rule: c.rule, resources: c.resources, ask: c.ask + " > " + sql + " @db", want: c.want})
	}
	runLayers(t, append(cases, layerCase{rule: "L12", resources: granted + sqlAuth(only, admits1(client1, "")), ask: "a > " + sql, o: Options{NotEnforced: true}, want: "...d.d denied"}))
}

func TestAccessAtServices(t *testing.T) { // L26, L34
	const (
		target  = "acp blue/p: {target: {externalService: {name: db}}, rules: [%s]}\n"
		allow   = "{action: Allow, from: [{serviceAccount: {name: web}}]}"
		foreign = "{action: Allow, from: [{spiffeIDPrefix: 'spiffe://other.org'}]}"
		only    = ", authentication: {mode: IdentityOnly}"
		pass    = ", authentication: {mode: IdentityOrPassword}"
	)
	policy := func(rules string) string { return fmt.Sprintf(target, rules) }
	cluster := func(rules string) string {
		return strings.Replace(policy(rules), "{name: db}", "{kind: ClusterExternalService, name: db}", 1)
	}
	wide := func(facts string) string { return strings.Replace(db(facts), "xsvc blue/db", "cxsvc db", 1) }
	webs := widWeb + "wid red/w: {serviceAccountName: web}\n"
	runLayers(t, []layerCase{
		{rule: "L26", resources: webs + policy(allow) + db(only), ask: "a > " + sql, want: "...aa? unknown"},
		{rule: "L26", resources: webs + policy("") + db(only), ask: "a > " + sql, want: "...ad? denied"},
		{rule: "L26", resources: webs + policy("") + db(pass), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + policy(allow) + db(pass), ask: "a > " + sql, want: "...aa? unknown"},
		{rule: "L26", resources: webs + policy("") + db(""), ask: "a > " + sql, want: "...a?. unknown"},
		{rule: "L26", resources: webs + policy(allow) + db(""), ask: "a > " + sql, want: "...aa. allowed"},
		{rule: "L26", resources: webs + policy(allow) + db(only), ask: "c > " + sql + " @db", want: "...ad? denied"},
		{rule: "L26", resources: webs + policy(allow) + db(only), ask: "n1 > " + sql + " @db", want: "...ddd denied"},
		{rule: "L26", resources: webs + policy(allow) + db(only), ask: "9.9.9.9 > " + sql + " @db", want: "...?.? unknown"},
		{rule: "L26", resources: webs + policy(foreign) + db(only), ask: "9.9.9.9 > " + sql + " @db", want: "...?.? unknown"},
		{rule: "L26", resources: webs + policy(allow) + wide(only), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + cluster(allow) + wide(only), ask: "a > " + sql, want: "...aa? unknown"},
		{rule: "L26", resources: webs + cluster("") + wide(only), ask: "a > " + sql, want: "...ad? denied"},
		{rule: "L26", resources: webs + cluster("") + wide(only), ask: "h > " + sql, want: "...ddd denied"},
		{rule: "L26", resources: webs + cluster("") + wide(only), ask: "c > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + cluster("") + wide(only), ask: "n1 > " + sql, want: "...d.d denied"},
		{rule: "L26", resources: webs + cluster("") + db(only), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + strings.Replace(policy(""), "blue/p", "red/p", 1) + db(only), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + strings.Replace(policy(allow), "acp", "acp?", 1) + db(only), ask: "a > " + sql, want: "...ad? denied"},
		{rule: "L26", resources: webs + strings.Replace(policy(""), "rules", "mode: Audit, rules", 1) + db(only), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + policy("") + strings.Replace(db(only), "xsvc", "xsvc?", 1), ask: "a > " + sql, want: "..???? unknown"},
		{rule: "L26", resources: webs + policy(allow) + strings.Replace(db(only), "xsvc", "xsvc?", 1), ask: "a > " + sql, want: "..??a? unknown"},
		{rule: "L26", resources: webs + "acp? blue/p: {target: {}, rules: []}\n" + db(only), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L26", resources: webs + "acp? blue/p: {target: {pods: {podSelector: {}}, externalService: {name: db}}, rules: []}\n" + db(only), ask: "a > " + sql, want: "...a.? unknown"},
		{rule: "L34", resources: policy(allow) + db(""), ask: "a > " + sql, want: "...?a. unknown"},
		{rule: "L34", resources: "wid? blue/w: {serviceAccountName: ''}\n" + policy(allow) + db(""), ask: "a > " + sql, want: "...?a. unknown"},
		{rule: "L34", resources: policy(allow) + db(""), ask: "9.9.9.9 > " + sql + " @db", want: "...... allowed"},
	})
}

func TestAddrRange(t *testing.T) {
	for cidr, want := range map[string]string{"20.0.0.0/24": "20.0.0.255", "20.0.0.7/32": "20.0.0.7", "0.0.0.0/0": "255.255.255.255", "20.0.0.128/26": "20.0.0.191", "fd00::/120": "fd00::ff"} {
		if got := rangeOf(netip.MustParsePrefix(cidr)).last.String(); got != want {
			t.Errorf("%s ends at %s, want %s", cidr, got, want)
		}
	}
}
