package oracle

import (
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/cluster"
)

// addAzure adds what L13 to L15 are about: "sa" a service account with its annotations, "azid", "azbind" and
// "azexc" the kinds of AAD Pod Identity, "pod" labels and the token of a pod, "addon" the add-on. ok is false for
// any other kind.
func addAzure(t *testing.T, s *cluster.Snapshot, kind, namespace, name, spec string) (ok bool) {
	t.Helper()
	switch kind {
	case "sa":
		x := cluster.ServiceAccount{Namespace: namespace, Name: name}
		parse(t, spec, &x)
		s.Accounts = append(s.Accounts, x)
	case "azid":
		x := cluster.AzureIdentity{Namespace: namespace, Name: name}
		parse(t, spec, &x)
		s.AzureIdentities = append(s.AzureIdentities, x)
	case "azbind":
		x := cluster.AzureIdentityBinding{Namespace: namespace, Name: name}
		parse(t, spec, &x)
		s.AzureBindings = append(s.AzureBindings, x)
	case "azexc":
		x := cluster.AzurePodIdentityException{Namespace: namespace, Name: name}
		parse(t, spec, &x)
		s.AzureExceptions = append(s.AzureExceptions, x)
	case "pod":
		i := slices.IndexFunc(s.Pods, func(p cluster.Pod) bool { return p.Namespace == namespace && p.Name == name })
		parse(t, spec, &s.Pods[i])
	case "addon":
		s.Facts.PodIdentityAddOn = true
	default:
		return false
	}
	return true
}

// What the service of the tables says of each identity.
const (
	azureOnly = "IdentityOnly"
	azurePass = "IdentityOrPassword"
	vault     = "https://vault.azure.net"
)

// oneAdmitted takes identities only, and client1 of tenant1 among them.
var oneAdmitted = sqlAuth(azureOnly, admits1(client1, tenant1))

// azureCase is a row whose question is the source.
type azureCase struct{ resources, from, want string }

func runAzure(t *testing.T, rule string, cases []azureCase) {
	t.Helper()
	var all []layerCase
	for _, c := range cases {
		all = append(all, layerCase{rule: rule, resources: c.resources, ask: c.from + " > " + sql + " @db", want: c.want})
	}
	runLayers(t, all)
}

// The answers of the tables.
const (
	isIn      = "...a.a allowed" // an identity is issued, and it is admitted
	isNotIn   = "...a.d denied"  // an identity is issued, and none that is admitted
	perhapsIn = "...?.? unknown"
	perhapsNo = "...?.d denied" // perhaps one is issued, and none of those is admitted
	notOne    = "...d.d denied"
)

func TestWorkloadIdentityOfAzure(t *testing.T) { // L13
	const (
		token     = "pod blue/a: {EntraToken: true}\n"
		hostToken = "pod blue/h: {EntraToken: true}\n"
	)
	account := func(name, client, tenant string) string {
		return "sa " + name + ": {EntraClient: " + client + ", EntraTenant: " + tenant + "}\n"
	}
	web := func(client, tenant string) string { return account("blue/web", client, tenant) }
	good := web(client1, tenant1)
	admitted := func(list string) string { return sqlAuth(azureOnly, ", admitted: "+list) }
	runAzure(t, "L13", []azureCase{
		{token + good + oneAdmitted, "a", isIn},
		{token + web(client2, tenant1) + oneAdmitted, "a", "...a.? unknown"},
		{token + web(client1, tenant2) + oneAdmitted, "a", "...a.? unknown"},
		{token + web(client1, "null") + oneAdmitted, "a", isIn},
		{token + web(strings.ToUpper(client1), strings.ToUpper(tenant1)) + oneAdmitted, "a", isIn},
		// A pod has a token, or none of this.
		{good + oneAdmitted, "a", notOne},
		{token + good + oneAdmitted, "t", notOne},
		{"pod blue/t: {EntraToken: true}\n" + good + oneAdmitted, "t", isIn},
		// With hostNetwork or without.
		{hostToken + good + oneAdmitted, "h", isIn},
		{hostToken + oneAdmitted, "h", perhapsIn},
		{hostToken + good + oneAdmitted, "n1", notOne},
		// For every resource.
		{token + good + strings.Replace(oneAdmitted, "https://database.windows.net/", vault, 1), "a", isIn},
		// The account is that of the pod: of its namespace, by its name.
		{token + account("blue/api", client1, tenant1) + oneAdmitted, "a", perhapsIn},
		{token + account("red/web", client1, tenant1) + oneAdmitted, "a", perhapsIn},
		{token + account("red/web", client2, tenant1) + good + account("blue/api", client2, tenant1) + oneAdmitted, "a", isIn},
		// Not in the input, without the annotation, or one of the two no UUID.
		{token + oneAdmitted, "a", perhapsIn},
		{token + "sa blue/web: {}\n" + oneAdmitted, "a", perhapsIn},
		{token + web("null", tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web("null", "x") + oneAdmitted, "a", perhapsIn},
		{token + web("web", tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web("''", tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web(client2, "''") + oneAdmitted, "a", perhapsIn},
		{token + web(client2, "example.org") + oneAdmitted, "a", perhapsIn},
		{token + web("0a000000000000000000000000000002", tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web("'{"+client2+"}'", tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web("urn:uuid:"+client2, tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web("' "+client2+"'", tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web(`"`+client2+`\n"`, tenant1) + oneAdmitted, "a", perhapsIn},
		{token + web(strings.Replace(client2, "0a", "0g", 1), tenant1) + oneAdmitted, "a", perhapsIn},
		// Perhaps any Azure identity: one that is admitted only where one is.
		{token + admitted("[]"), "a", perhapsNo},
		{token + admitted("[{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]"), "a", perhapsNo},
		{token + sqlAuth(azureOnly, ""), "a", perhapsIn},
		{token + good + sqlAuth(azureOnly, ""), "a", "...a.? unknown"},
		{token + sqlAuth(azurePass, admits1(client1, "")), "a", perhapsIn},
		{token + good + sqlAuth(azurePass, admits1(client1, "")), "a", isIn},
		{token + good + sqlAuth(azurePass, admits1(client2, "")), "a", "...a.? unknown"},
		// Several add up (L11).
		{token + web(client2, tenant1) + azureWID(client1, tenant1, "https://database.windows.net") + oneAdmitted, "a", isIn},
		{token + good + azureWID(client2, tenant1, "https://database.windows.net") + oneAdmitted, "a", isIn},
		{token + azureWID(client1, tenant1, "https://database.windows.net") + oneAdmitted, "a", isIn},
		{token + azureWID(client2, tenant1, "https://database.windows.net") + oneAdmitted, "a", "...a.? unknown"},
		// No SPIFFE ID is issued by this.
		{token + good + db(", authentication: {mode: IdentityOnly, admitted: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]}"), "a", notOne},
		{token + good + db(", authentication: {mode: IdentityOnly"+admits1(client1, tenant1)+"}"), "a", notOne},
		// An address is no workload.
		{token + good + oneAdmitted, "9.9.9.9", perhapsIn},
	})
	runLayers(t, []layerCase{
		{rule: "L13", resources: token + good + gate("{action: Allow, from: [{serviceAccount: {name: web}}]}"), ask: "a > b tcp/80", want: "...da. denied"},
		// It does not hang on the network (L12 is about a WorkloadIdentity).
		{rule: "L12", resources: token + good + oneAdmitted, ask: "a > " + sql, o: Options{NotEnforced: true}, want: isIn},
		// Layers do not speak because of it (L1).
		{rule: "L1", resources: token + good, ask: "a > " + sql, want: "...... allowed"},
		{rule: "L1", resources: token + good + "unread layers\n", ask: "a > " + sql, want: "...... allowed"},
		{rule: "L3", resources: token + good + oneAdmitted + "unread layers\n", ask: "a > " + sql, want: "..???? unknown"},
	})
}

// The objects of AAD Pod Identity in the tables: two identities of blue, and a's label.
const (
	labelA    = "pod blue/a: {Labels: {aadpodidbinding: one}}\n"
	labelC    = "pod red/c: {Labels: {aadpodidbinding: one}}\n"
	labelH    = "pod blue/h: {Labels: {aadpodidbinding: one}}\n"
	bindOne   = "azbind blue/b: {Identity: x, Selector: one}\n"
	identity1 = "azid blue/x: {ClientID: " + client1 + "}\n"
	identity2 = "azid blue/z: {ClientID: " + client2 + "}\n"
)

func TestPodIdentity(t *testing.T) { // L14
	all := labelA + bindOne + identity1 + oneAdmitted
	with := func(spec string) string { return labelA + bindOne + "azid blue/x: {" + spec + "}\n" + oneAdmitted }
	namespaced := "azid blue/x: {Namespaced: true, ClientID: " + client1 + "}\n"
	runAzure(t, "L14", []azureCase{
		{all, "a", isIn},
		{all, "b", notOne},
		{all, "n1", perhapsIn}, // L15
		{all, "9.9.9.9", perhapsIn},
		// For every resource.
		{strings.Replace(all, "https://database.windows.net/", vault, 1), "a", isIn},
		// By the value of the label, as it is written and not empty.
		{strings.Replace(all, "aadpodidbinding: one", "aadpodidbinding: two", 1), "a", notOne},
		{strings.Replace(all, "aadpodidbinding: one", "aadpodidbinding: One", 1), "a", notOne},
		{strings.Replace(all, "aadpodidbinding: one", "aadPodIdBinding: one", 1), "a", notOne},
		{strings.Replace(all, "Selector: one", "Selector: ONE", 1), "a", notOne},
		{strings.Replace(all, "Selector: one", "Selector: aadpodidbinding", 1), "a", notOne},
		{strings.Replace(strings.Replace(all, ": one}", ": ''}", 2), "Selector: one", "Selector: ''", 1), "a", notOne},
		{strings.Replace(all, "Selector: one", "Selector: ''", 1), "b", notOne},
		// Which the binding names and that is in its namespace.
		{labelA + bindOne + identity2 + oneAdmitted, "a", notOne},
		{labelA + identity1 + oneAdmitted, "a", notOne},
		{labelA + bindOne + oneAdmitted, "a", notOne},
		{labelA + "azbind red/b: {Identity: x, Selector: one}\n" + identity1 + oneAdmitted, "a", notOne},
		{labelA + bindOne + "azid red/x: {ClientID: " + client1 + "}\n" + oneAdmitted, "a", notOne},
		// Each: several bindings, and several identities.
		{all + "azbind blue/c: {Identity: z, Selector: one}\n" + identity2, "a", isIn},
		{strings.Replace(all, "Identity: x", "Identity: z", 1) + identity2, "a", isNotIn},
		{labelA + "azbind blue/b: {Identity: z, Selector: one}\nazbind red/b: {Identity: x, Selector: one}\n" + identity2 +
			"azid red/x: {ClientID: " + client1 + "}\n" + oneAdmitted, "a", isIn},
		// The pod may be in any namespace.
		{labelC + bindOne + identity1 + oneAdmitted, "c", isIn},
		// Unless the identity is namespaced, or the add-on is on.
		{labelC + bindOne + namespaced + oneAdmitted, "c", notOne},
		{labelA + bindOne + namespaced + oneAdmitted, "a", isIn},
		{labelC + bindOne + identity1 + "addon\n" + oneAdmitted, "c", notOne},
		{labelA + bindOne + identity1 + "addon\n" + oneAdmitted, "a", isIn},
		{labelC + "azbind red/b: {Identity: x, Selector: one}\nazid red/x: {Namespaced: true, ClientID: " + client1 + "}\naddon\n" + oneAdmitted, "c", isIn},
		// By its client ID, and for service principals by tenant.
		{with("ClientID: " + strings.ToUpper(client1)), "a", isIn},
		{with("ClientID: " + client2), "a", isNotIn},
		{with("Type: 0, TenantID: " + tenant2 + ", ClientID: " + client1), "a", isIn},
		{with("Type: 0, TenantID: example.org, ClientID: " + client1), "a", isIn},
		{with("Type: 0, TenantID: example.org, ClientID: " + client2), "a", isNotIn},
		{with("Type: 1, TenantID: " + tenant2 + ", ClientID: " + client1), "a", isNotIn},
		{with("Type: 2, TenantID: " + tenant2 + ", ClientID: " + client1), "a", isNotIn},
		{with("Type: 1, TenantID: " + tenant1 + ", ClientID: " + client1), "a", isIn},
		{with("Type: 2, TenantID: " + strings.ToUpper(tenant1) + ", ClientID: " + client1), "a", isIn},
		{with("Type: 1, ClientID: " + client1), "a", isIn},
		{with("Type: 2, ClientID: " + client2), "a", isNotIn},
		// Perhaps any Azure identity.
		{with("ClientID: ''"), "a", perhapsIn},
		{with("ClientID: web"), "a", perhapsIn},
		{with("Type: 1, TenantID: " + tenant2 + ", ClientID: web"), "a", perhapsIn},
		{with("Type: 1, TenantID: example.org, ClientID: " + client2), "a", perhapsIn},
		{with("Type: 2, TenantID: example.org, ClientID: " + client2), "a", perhapsIn},
		{with("Type: 3, ClientID: " + client2), "a", perhapsIn},
		{with("Type: -1, TenantID: " + tenant2 + ", ClientID: " + client2), "a", perhapsIn},
		{labelA + bindOne + "azid blue/x: {Type: 3}\n" + sqlAuth(azureOnly, ", admitted: []"), "a", perhapsNo},
		// Beside what others issue.
		{with("ClientID: "+client2) + azureWID(client1, tenant1, "https://database.windows.net"), "a", isIn},
		{with("ClientID: "+client2) + "pod blue/a: {EntraToken: true}\nsa blue/web: {EntraClient: " + client1 + "}\n", "a", isIn},
		{with("ClientID: "+client2) + "pod blue/a: {EntraToken: true}\n", "a", "...a.? unknown"},
		// Without a resource it is the SPIFFE ID that counts.
		{labelA + bindOne + identity1 + db(", authentication: {mode: IdentityOnly"+admits1(client1, "")+"}"), "a", notOne},
	})
	runLayers(t, []layerCase{
		{rule: "L14", resources: all, ask: "a > " + sql, o: Options{NotEnforced: true}, want: isIn},
		{rule: "L1", resources: labelA + bindOne + identity1, ask: "a > " + sql, want: "...... allowed"},
	})
}

func TestNodesIdentities(t *testing.T) { // L15
	except := func(namespace, labels string) string {
		return "azexc " + namespace + "/e: {PodLabels: {" + labels + "}}\n"
	}
	bound := labelA + bindOne + identity1 // admitted, so that to take it away shows
	appA := "pod blue/a: {Labels: {app: a, env: Test}}\n"
	runAzure(t, "L15", []azureCase{
		// One of the labels is enough, its key as written, its value case apart.
		{appA + except("blue", "app: a") + oneAdmitted, "a", perhapsIn},
		{appA + except("blue", "app: A") + oneAdmitted, "a", perhapsIn},
		{appA + except("blue", "env: tEST") + oneAdmitted, "a", perhapsIn},
		{appA + except("blue", "app: none, env: test") + oneAdmitted, "a", perhapsIn},
		{appA + except("blue", "App: a") + oneAdmitted, "a", notOne},
		{appA + except("blue", "app: none, env: none") + oneAdmitted, "a", notOne},
		{appA + except("blue", "app: aa") + oneAdmitted, "a", notOne},
		{appA + except("blue", "other: ''") + oneAdmitted, "a", notOne},
		{"pod blue/a: {Labels: {other: ''}}\n" + except("blue", "other: ''") + oneAdmitted, "a", perhapsIn},
		{appA + except("blue", "") + oneAdmitted, "a", notOne},
		{appA + except("blue", "app: none") + "azexc blue/f: {PodLabels: {app: a}}\n" + oneAdmitted, "a", perhapsIn},
		// To the pods of its namespace.
		{appA + except("red", "app: a") + oneAdmitted, "a", notOne},
		{except("red", "app: c") + oneAdmitted, "c", perhapsIn},
		// Instead of what L14 says, but not of anything else.
		{bound + oneAdmitted, "a", isIn},
		{bound + except("blue", "aadpodidbinding: ONE") + oneAdmitted, "a", perhapsIn},
		{bound + except("blue", "app: a") + sqlAuth(azureOnly, ", admitted: []"), "a", perhapsNo},
		{appA + except("blue", "app: a") + azureWID(client1, tenant1, "https://database.windows.net") + oneAdmitted, "a", isIn},
		{appA + except("blue", "app: a") + "pod blue/a: {EntraToken: true}\nsa blue/web: {EntraClient: " + client1 + "}\n" + oneAdmitted, "a", isIn},
		{appA + except("blue", "app: a") + "pod blue/a: {EntraToken: true}\nsa blue/web: {EntraClient: " + client2 + "}\n" + oneAdmitted, "a", "...a.? unknown"},
		// Where there is an AzureIdentity: every node, and every pod with hostNetwork.
		{identity2 + oneAdmitted, "n1", perhapsIn},
		{identity2 + oneAdmitted, "n2", perhapsIn},
		{identity2 + oneAdmitted, "h", perhapsIn},
		{identity2 + oneAdmitted, "u", perhapsIn},
		{identity2 + oneAdmitted, "b", notOne},
		{"azid red/z: {ClientID: web, Type: 9}\n" + oneAdmitted, "n1", perhapsIn},
		{identity2 + "addon\n" + oneAdmitted, "h", perhapsIn},
		{bindOne + appA + except("blue", "app: a") + "addon\n" + oneAdmitted, "n1", notOne},
		{bindOne + labelH + oneAdmitted, "h", notOne},
		// It is the node's that a hostNetwork pod has, not what a binding names.
		{labelH + bindOne + identity1 + oneAdmitted, "h", perhapsIn},
		{labelH + bindOne + identity1 + sqlAuth(azureOnly, ", admitted: []"), "h", perhapsNo},
		// An exception speaks of pods, those with hostNetwork too.
		{except("blue", "app: h") + oneAdmitted, "h", perhapsIn},
		{except("blue", "app: none") + oneAdmitted, "h", notOne},
		// Which these are is not known, and they are Azure's.
		{identity1 + sqlAuth(azurePass, admits1(client1, "")), "n1", perhapsIn},
		{identity1 + sqlAuth(azureOnly, ""), "n1", perhapsIn},
		{identity1 + sqlAuth(azureOnly, ", admitted: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]"), "n1", perhapsNo},
		{identity1 + db(", authentication: {mode: IdentityOnly"+admits1(client1, "")+"}"), "n1", notOne},
		{identity1 + db(""), "n1", "...... allowed"},
		{identity1 + oneAdmitted, "9.9.9.9", perhapsIn},
	})
	runLayers(t, []layerCase{
		// L36: a source without identity is issued no more than this.
		{rule: "L36", resources: identity1 + azureWID(client1, tenant1, "https://database.windows.net") + oneAdmitted, ask: "h > " + sql, want: perhapsIn},
		{rule: "L36", resources: azureWID(client1, tenant1, "https://database.windows.net") + oneAdmitted, ask: "h > " + sql, want: notOne},
		{rule: "L36", resources: identity1 + widWeb + gate("{action: Allow, from: [{serviceAccount: {name: web}}]}"), ask: "h > b tcp/80", want: "...dd. denied"},
		{rule: "L15", resources: identity1 + oneAdmitted, ask: "h > " + sql, o: Options{NotEnforced: true}, want: perhapsIn},
		{rule: "L1", resources: identity1, ask: "h > " + sql, want: "...... allowed"},
		{rule: "L3", resources: identity1 + oneAdmitted + "unread layers\n", ask: "h > " + sql, want: "..???? unknown"},
	})
}
