package owncases

import "strings"

const uuid = "12345678-90ab-cdef-1234-567890ABCDEF"

// jwt, azure and x509 give a WorkloadIdentity in which only one part is of interest.
func jwt(text string) string {
	return "{serviceAccountName: web, jwt: {audiences: [db], " + text + "}}"
}
func x509(text string) string { return "{serviceAccountName: web, x509: {" + text + "}}" }
func azure(text string) string {
	return "{serviceAccountName: web, externalIdentities: [{azure: {" + text + "}}]}"
}

var identities = []Case{
	{Kind: identity, Spec: "{serviceAccountName: web}"},
	{Kind: identity, Spec: "{serviceAccountName: web.v2}"},
	{Kind: identity, Spec: "{}", Want: "spec.serviceAccountName is missing"},
	{Kind: identity, Spec: "null", Want: "spec is missing"},
	{Kind: identity, Spec: "[]", Want: "spec needs a map, not a list"},
	{Kind: identity, Spec: "{serviceAccountName: null}", Want: "spec.serviceAccountName is missing"},
	{Kind: identity, Spec: "{serviceAccountName: ''}", Want: "spec.serviceAccountName is empty"},
	{Kind: identity, Spec: "{serviceAccountName: 5}", Want: "spec.serviceAccountName needs a string, not the number 5 (hint: put it in quotes)"},
	{Kind: identity, Spec: "{serviceAccountName: shop/web}", Want: `spec.serviceAccountName "shop/web" is not a service account's name`},
	{Kind: identity, Spec: "{serviceAccountName: 'system:serviceaccount:shop:web'}", Want: `spec.serviceAccountName "system:serviceaccount:shop:web" is not a service account's name`},
	{Kind: identity, Spec: "{serviceAccountName: Web}", Want: `spec.serviceAccountName "Web" is not a service account's name`},
	{Kind: identity, Spec: "{serviceAccountName: web-}", Want: `spec.serviceAccountName "web-" is not a service account's name`},
	{Kind: identity, Spec: "{serviceAccountName: " + strings.Repeat("w", 253) + "}"},
	{Kind: identity, Spec: "{serviceAccountName: " + strings.Repeat("w", 254) + "}", Want: "spec.serviceAccountName has 254 characters, at most 253 are allowed"},
	{Kind: identity, Spec: "{serviceAccountname: web}", Want: "spec.serviceAccountName is missing\n" +
		"unknown field spec.serviceAccountname (hint: did you mean serviceAccountName?)"},
	{Kind: identity, Spec: "{serviceAccountName: web, secret: s}", Want: "unknown field spec.secret"},

	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: null}", Stored: "{serviceAccountName: web}"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [a, b]}, {key: old, operator: DoesNotExist}]}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchLabels: {app: 1}}}", Want: "spec.podSelector.matchLabels.app needs a string, not the number 1 (hint: put it in quotes)"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchLabels: {app: null}}}", Want: "spec.podSelector.matchLabels.app has no value (hint: write '' if the empty one is meant)", Differs: nullLabel},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {app: web}}", Want: "unknown field spec.podSelector.app"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [{operator: Exists}]}}", Want: "spec.podSelector.matchExpressions[0].key \"\": name part must be non-empty\n" +
		"spec.podSelector.matchExpressions[0].key \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [{key: a}]}}", Want: `spec.podSelector.matchExpressions[0].operator "": not a valid selector operator (hint: use In, NotIn, Exists or DoesNotExist)`},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [null]}}", Want: "spec.podSelector.matchExpressions[0] is empty (hint: fill the item in or leave it out)"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [{key: a, operator: In, values: [1]}]}}", Want: "spec.podSelector.matchExpressions[0].values[0] needs a string, not the number 1 (hint: put it in quotes)"},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchLabels: {'a b': web}}}", Want: `spec.podSelector.matchLabels "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`, Differs: selectors},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchLabels: {app: 'web!'}}}", Want: `spec.podSelector.matchLabels "web!": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue', or 'my_value', or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`, Differs: selectors},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}}", Want: `spec.podSelector.matchExpressions[0].operator "Is": not a valid selector operator (hint: use In, NotIn, Exists or DoesNotExist)`, Differs: selectors},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [{key: a, operator: In}]}}", Want: "spec.podSelector.matchExpressions[0].values: must be specified when `operator` is 'In' or 'NotIn'", Differs: selectors},
	{Kind: identity, Spec: "{serviceAccountName: web, podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}", Want: "spec.podSelector.matchExpressions[0].values: may not be specified when `operator` is 'Exists' or 'DoesNotExist'", Differs: selectors},

	{Kind: identity, Spec: x509("")},
	{Kind: identity, Spec: "{serviceAccountName: web, x509: null}", Stored: "{serviceAccountName: web}"},
	{Kind: identity, Spec: "{serviceAccountName: web, x509: true}", Want: "spec.x509 needs a map, not true"},
	{Kind: identity, Spec: x509("lifetime: 5m")},
	{Kind: identity, Spec: x509("lifetime: null"), Stored: x509("")},
	{Kind: identity, Spec: x509("lifetime: 24h")},
	{Kind: identity, Spec: x509("lifetime: 23h59m60s")},
	{Kind: identity, Spec: x509("lifetime: 000900s")},
	{Kind: identity, Spec: x509("lifetime: 4m59s"), Want: `spec.x509.lifetime "4m59s" does not lie between 5m and 24h`},
	{Kind: identity, Spec: x509("lifetime: 24h1s"), Want: `spec.x509.lifetime "24h1s" does not lie between 5m and 24h`},
	{Kind: identity, Spec: x509("lifetime: 999999h999999h999999h"), Want: `spec.x509.lifetime needs a duration, not the string "999999h999999h999999h"`},
	{Kind: identity, Spec: x509("lifetime: -15m"), Want: `spec.x509.lifetime "-15m" is not a duration (hint: write it as 15m or 1h)`},
	{Kind: identity, Spec: x509("lifetime: 1.5h"), Want: `spec.x509.lifetime "1.5h" is not a duration (hint: write it as 15m or 1h)`},
	{Kind: identity, Spec: x509("lifetime: 900000ms"), Want: `spec.x509.lifetime "900000ms" is not a duration (hint: write it as 15m or 1h)`},
	{Kind: identity, Spec: x509("lifetime: 1d"), Want: `spec.x509.lifetime needs a duration, not the string "1d"`},
	{Kind: identity, Spec: x509("lifetime: 1h 5m"), Want: `spec.x509.lifetime needs a duration, not the string "1h 5m"`},
	{Kind: identity, Spec: x509("lifetime: '15'"), Want: `spec.x509.lifetime needs a duration, not the string "15"`},
	{Kind: identity, Spec: x509("lifetime: 900"), Want: "spec.x509.lifetime needs a duration, not the number 900"},
	{Kind: identity, Spec: x509("lifetime: ''"), Want: `spec.x509.lifetime needs a duration, not the string ""`},
	{Kind: identity, Spec: x509("dnsNames: []")},
	{Kind: identity, Spec: x509("dnsNames: null"), Stored: x509("")},
	{Kind: identity, Spec: x509("dnsNames: [web, web.shop.svc, '*.shop.example.org']")},
	{Kind: identity, Spec: x509("dnsNames: [web, web]"), Want: `spec.x509.dnsNames[1] "web" is in the list twice`},
	{Kind: identity, Spec: x509("dnsNames: web"), Want: `spec.x509.dnsNames needs a list, not the string "web"`},
	{Kind: identity, Spec: x509("dnsNames: [null]"), Want: "spec.x509.dnsNames[0] is empty (hint: fill the item in or leave it out)"},
	{Kind: identity, Spec: x509("dnsNames: ['']"), Want: `spec.x509.dnsNames[0] "" is not a DNS name`},
	{Kind: identity, Spec: x509("dnsNames: [7]"), Want: "spec.x509.dnsNames[0] needs a string, not the number 7 (hint: put it in quotes)"},
	{Kind: identity, Spec: x509("dnsNames: ['*']"), Want: `spec.x509.dnsNames[0] "*" is not a DNS name`},
	{Kind: identity, Spec: x509("dnsNames: ['web.*.org']"), Want: `spec.x509.dnsNames[0] "web.*.org" is not a DNS name`},
	{Kind: identity, Spec: x509("dnsNames: [Web.example.org]"), Want: `spec.x509.dnsNames[0] "Web.example.org" is not a DNS name`},
	{Kind: identity, Spec: x509("dnsNames: [web.example.org.]"), Want: `spec.x509.dnsNames[0] "web.example.org." is not a DNS name`},
	{Kind: identity, Spec: x509("dnsNames: [\"web\\n\"]"), Want: `spec.x509.dnsNames[0] "web\n" is not a DNS name`},
	{Kind: identity, Spec: x509("dnsNames: [" + strings.Repeat("w", 253) + "]")},
	{Kind: identity, Spec: x509("dnsNames: [" + strings.Repeat("w", 254) + "]"), Want: "spec.x509.dnsNames[0] has 254 characters, at most 253 are allowed"},
	{Kind: identity, Spec: x509("dnsNames: [" + times(16, "w#") + "]")},
	{Kind: identity, Spec: x509("dnsNames: [" + times(17, "w#") + "]"), Want: "spec.x509.dnsNames has 17 items, at most 16 are allowed"},
	{Kind: identity, Spec: x509("commonName: web"), Want: "unknown field spec.x509.commonName"},

	{Kind: identity, Spec: jwt("")},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: null}", Stored: "{serviceAccountName: web}"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {}}", Want: "spec.jwt.audiences is missing"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: null}}", Want: "spec.jwt.audiences is missing"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: []}}", Want: "spec.jwt.audiences is empty, at least 1 is needed"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: ['']}}", Want: "spec.jwt.audiences[0] is empty"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: [a, b, a]}}", Want: `spec.jwt.audiences[2] "a" is in the list twice`},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: db}}", Want: `spec.jwt.audiences needs a list, not the string "db"`},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: ['any thing at all ✓']}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: [" + strings.Repeat("ä", 512) + "]}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: [" + strings.Repeat("ä", 513) + "]}}", Want: "spec.jwt.audiences[0] has 513 characters, at most 512 are allowed"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: [" + times(32, "a#") + "]}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, jwt: {audiences: [" + times(33, "a#") + "]}}", Want: "spec.jwt.audiences has 33 items, at most 32 are allowed"},
	{Kind: identity, Spec: jwt("lifetime: 1m")},
	{Kind: identity, Spec: jwt("lifetime: 60m")},
	{Kind: identity, Spec: jwt("lifetime: 59s"), Want: `spec.jwt.lifetime "59s" does not lie between 1m and 1h`},
	{Kind: identity, Spec: jwt("lifetime: 1h1s"), Want: `spec.jwt.lifetime "1h1s" does not lie between 1m and 1h`},
	{Kind: identity, Spec: jwt("lifetime: 5 m"), Want: `spec.jwt.lifetime needs a duration, not the string "5 m"`},
	{Kind: identity, Spec: jwt("subject: web"), Want: "unknown field spec.jwt.subject"},

	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: []}"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: null}", Stored: "{serviceAccountName: web}"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: [null]}", Want: "spec.externalIdentities[0] is empty (hint: fill the item in or leave it out)"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: [{}]}", Want: "spec.externalIdentities[0] needs azure, but none is set"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: [{azure: null}]}", Want: "spec.externalIdentities[0] needs azure, but none is set"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: [{aws: {role: r}}]}", Want: "unknown field spec.externalIdentities[0].aws"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: {azure: {}}}", Want: "spec.externalIdentities needs a list, not a map (hint: begin each item with a dash)"},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: ['https://database.windows.net/']")},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", tenantID: " + uuid + ", resources: [r]")},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", tenantID: null, resources: [r]"), Stored: azure("clientID: " + uuid + ", resources: [r]")},
	{Kind: identity, Spec: azure(""), Want: "spec.externalIdentities[0].azure.clientID is missing\n" +
		"spec.externalIdentities[0].azure.resources is missing"},
	{Kind: identity, Spec: azure("clientID: " + uuid), Want: "spec.externalIdentities[0].azure.resources is missing"},
	{Kind: identity, Spec: azure("resources: [r]"), Want: "spec.externalIdentities[0].azure.clientID is missing"},
	{Kind: identity, Spec: azure("clientID: my-app, resources: [r]"), Want: `spec.externalIdentities[0].azure.clientID "my-app" is not a UUID`},
	{Kind: identity, Spec: azure("clientID: '', resources: [r]"), Want: `spec.externalIdentities[0].azure.clientID "" is not a UUID`},
	{Kind: identity, Spec: azure("clientID: '{" + uuid + "}', resources: [r]"), Want: "spec.externalIdentities[0].azure.clientID has 38 characters, at most 36 are allowed"},
	{Kind: identity, Spec: azure("clientID: 1234567890abcdef1234567890abcdef, resources: [r]"), Want: `spec.externalIdentities[0].azure.clientID "1234567890abcdef1234567890abcdef" is not a UUID`},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", tenantID: contoso.onmicrosoft.com, resources: [r]"), Want: `spec.externalIdentities[0].azure.tenantID "contoso.onmicrosoft.com" is not a UUID`},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", tenantID: '', resources: [r]"), Want: `spec.externalIdentities[0].azure.tenantID "" is not a UUID`},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: []"), Want: "spec.externalIdentities[0].azure.resources is empty, at least 1 is needed"},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: ['']"), Want: "spec.externalIdentities[0].azure.resources[0] is empty"},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: [a, a]"), Want: `spec.externalIdentities[0].azure.resources[1] "a" is in the list twice`},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: [" + strings.Repeat("r", 513) + "]"), Want: "spec.externalIdentities[0].azure.resources[0] has 513 characters, at most 512 are allowed"},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: [" + times(32, "r#") + "]")},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: [" + times(33, "r#") + "]"), Want: "spec.externalIdentities[0].azure.resources has 33 items, at most 32 are allowed"},
	{Kind: identity, Spec: azure("clientID: " + uuid + ", resources: [r], clientSecret: s"), Want: "unknown field spec.externalIdentities[0].azure.clientSecret"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: [" + times(16, "{azure: {clientID: "+uuid+", resources: [r]}}") + "]}"},
	{Kind: identity, Spec: "{serviceAccountName: web, externalIdentities: [" + times(17, "{azure: {clientID: "+uuid+", resources: [r]}}") + "]}", Want: "spec.externalIdentities has 17 items, at most 16 are allowed"},

	{Kind: identity, Spec: "{serviceAccountName: web, require: {}}", Stored: "{serviceAccountName: web, require: {networkEnforced: true}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, require: null}", Stored: "{serviceAccountName: web}"},
	{Kind: identity, Spec: "{serviceAccountName: web, require: {networkEnforced: false}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, require: {networkEnforced: null}}", Stored: "{serviceAccountName: web, require: {networkEnforced: true}}"},
	{Kind: identity, Spec: "{serviceAccountName: web, require: {networkEnforced: 'false'}}", Want: `spec.require.networkEnforced needs true or false, not the string "false"`},
	{Kind: identity, Spec: "{serviceAccountName: web, require: {networkEnforcd: false}}", Want: "unknown field spec.require.networkEnforcd (hint: did you mean networkEnforced?)"},
	{Kind: identity, Spec: "{serviceAccountName: web, require: [networkEnforced]}", Want: "spec.require needs a map, not a list"},
}

const (
	nullLabel = "a server drops a label without a value before anything is checked, and so selects more than was meant"
	selectors = "the schema of a CRD has no rule for labels and selectors; Kubernetes' own CRDs with selectors leave them open too"
)
