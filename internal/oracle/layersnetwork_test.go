package oracle

import (
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/flow"
)

func TestProjection(t *testing.T) { // L24
	const (
		allow   = "{action: Allow, from: [{serviceAccount: {name: web}}]}"
		foreign = "{action: Allow, from: [{spiffeIDPrefix: 'spiffe://other.org'}]}"
		denies  = "{action: Deny, from: [{serviceAccount: {name: web}}]}"
		open    = "n: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}\n"
		shut    = "n: {podSelector: {}, policyTypes: [Ingress, Egress]}\n"
		webs    = widWeb + "wid red/w: {serviceAccountName: web}\n"
	)
	pods := func(rules string) string {
		return "acp blue/p: {target: {pods: {podSelector: {}}}, enforcedBy: Gate, project: {network: true}, rules: [" + rules + "]}\n"
	}
	plain := func(rules string) string { return strings.Replace(gate(rules), "blue/p", "blue/q", 1) }
	service := func(rules string) string {
		return "acp blue/p: {target: {externalService: {name: db}}, project: {network: true}, rules: [" + rules + "]}\n" + db("")
	}
	cidrless := "xsvc blue/db: {names: [db], ports: [{port: 1433}]}\n"
	second := "xsvc blue/db2: {cidrs: [203.0.113.9/32], ports: [{port: 1433}]}\n"
	secondShut := strings.ReplaceAll("acp blue/p2: {target: {externalService: {name: db}}, project: {network: true}, rules: []}\n", "name: db", "name: db2") + second
	ofCluster := strings.NewReplacer("{name: db}", "{kind: ClusterExternalService, name: db}", "xsvc blue/db", "cxsvc db").Replace(service(""))
	runLayers(t, []layerCase{
		{rule: "L24", resources: webs + pods(allow), ask: "a > b tcp/80", want: "...aa. allowed"},
		{rule: "L24", resources: pods(allow), ask: "a > b tcp/80", want: "...da. denied"}, // the network does not ask what is issued
		{rule: "L24", resources: webs + pods(allow), ask: "c > b tcp/80", want: ".d.ad. denied"},
		{rule: "L24", resources: webs + pods(allow+", "+denies), ask: "a > b tcp/80", want: ".d.ad. denied"},
		{rule: "L24", resources: webs + pods("") + plain(allow), ask: "a > b tcp/80", want: ".d.aa. denied"}, // these policies alone
		{rule: "L24", resources: webs + pods(allow) + plain(denies), ask: "a > b tcp/80", want: "...ad. denied"},
		{rule: "L24", resources: webs + strings.Replace(pods(""), "enforcedBy: Gate", "mode: Audit", 1), ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L24", resources: webs + strings.Replace(pods(""), "enforcedBy: Gate, ", "", 1), ask: "a > b tcp/80", want: ".d.a?. denied"},
		{rule: "L24", resources: webs + strings.Replace(pods(allow), "acp", "acp?", 1), ask: "a > b tcp/80", want: ".d.ad. denied"},
		{rule: "L24", resources: webs + pods(allow) + open, ask: "a > b tcp/80", want: "aa.aa. allowed"},
		{rule: "L24", resources: webs + pods("") + open, ask: "a > b tcp/80", want: "ad.ad. denied"},
		{rule: "L24", resources: webs + pods(allow) + shut, ask: "c > b tcp/80", want: ".d.ad. denied"},
		{rule: "L24", resources: webs + pods(allow) + shut, ask: "a > b tcp/80", want: "dd.aa. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "a > h tcp/80", want: "...aa. allowed"},
		{rule: "L24", resources: webs + pods(denies), ask: "a > h tcp/80", want: "...ad. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "1.2.3.4 > b tcp/80", want: ".d.dd. denied"},
		{rule: "L24", resources: webs + pods(foreign), ask: "1.2.3.4 > b tcp/80", want: ".d.??. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "n2 > b tcp/80", want: ".d.dd. denied"},
		{rule: "L24", resources: webs + pods(denies), ask: "a > a tcp/80", want: "aa.ad. denied"},
		{rule: "L24", resources: webs + pods(denies), ask: "a > a tcp/80 via service", want: ".d.ad. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "n1 > a tcp/80", want: "...dd. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "h > a tcp/80", want: "...dd. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "u > a tcp/80", want: ".?.dd. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "n1 > t tcp/80", want: ".?.dd. denied"},
		{rule: "L24", resources: strings.Replace(pods(allow), "enforcedBy: Gate, ", "", 1), ask: "n1 > t tcp/80", want: ".?.??. unknown"},
		{rule: "L24", resources: webs + pods(allow) + shut, ask: "n1 > t tcp/80", want: ".?.dd. denied"},
		{rule: "L24", resources: webs + pods(allow), ask: "c > b tcp/80", o: Options{NotEnforced: true}, want: "...dd. denied"},
		{rule: "L24", resources: webs + service(allow), ask: "a > " + sql, want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow), ask: "b > " + sql, want: "d..??. denied"},
		{rule: "L24", resources: webs + service(allow) + open, ask: "a > " + sql, want: "a..aa. allowed"},
		{rule: "L24", resources: webs + service("") + open, ask: "b > " + sql, want: "d..??. denied"},
		{rule: "L24", resources: webs + service(""), ask: "b > 203.0.113.9 tcp/1434", want: "...... allowed"},
		{rule: "L24", resources: webs + service(""), ask: "b > 203.0.114.9 tcp/1433", want: "...... allowed"},
		{rule: "L24", resources: webs + service(""), ask: "h > " + sql, want: "...??. unknown"},
		{rule: "L24", resources: webs + service(""), ask: "n1 > " + sql + " @db", want: "...??. unknown"},
		{rule: "L24", resources: webs + service(""), ask: "c > " + sql, want: "d..... denied"},
		{rule: "L24", resources: webs + service(""), ask: "c > " + sql + " @db", want: "d..a?. denied"},
		{rule: "L24", resources: webs + service(""), ask: "a > " + sql, o: Options{NotEnforced: true}, want: "...??. unknown"},
		{rule: "L24", resources: webs + strings.Replace(service(""), db(""), cidrless, 1), ask: "a > " + sql + " @db", want: "...a?. unknown"},
		{rule: "L24", resources: webs + strings.Replace(service(""), db(""), db(", authentication: {mode: IdentityOrPassword}"), 1), ask: "a > " + sql, want: "d..a.? denied"},
		{rule: "L30", resources: webs + service("") + second, ask: "a > " + sql, want: "....?. unknown"},
		{rule: "L30", resources: webs + service("") + second, ask: "a > " + sql + " @db", want: "...a?. unknown"},
		{rule: "L30", resources: webs + service("") + secondShut, ask: "a > " + sql, want: "d..a?. denied"},
		{rule: "L30", resources: webs + service(allow) + secondShut, ask: "a > " + sql, want: "...a?. unknown"},
		// However it was asked: all services that name the address and port must deny.
		{rule: "L24", resources: webs + service("") + second, ask: "a > " + sql + " @db2", want: "...... allowed"},
		{rule: "L24", resources: webs + service(allow) + secondShut, ask: "a > " + sql + " @db", want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + secondShut, ask: "a > 203.0.113.8 tcp/1433 @db", want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + secondShut, ask: "a > 203.0.113.9 tcp/11500 @db", want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + strings.Replace(secondShut, "xsvc", "xsvc?", 1), ask: "a > " + sql + " @db", want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + strings.ReplaceAll(secondShut, "blue/", "red/"), ask: "a > " + sql, want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + strings.Replace(secondShut, "project: {network: true}, ", "", 1), ask: "a > " + sql + " @db", want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + strings.Replace(secondShut, "project", "mode: Audit, project", 1), ask: "a > " + sql + " @db", want: "...aa. allowed"},
		{rule: "L24", resources: webs + service(allow) + secondShut, ask: "h > " + sql + " @db", want: "...??. unknown"},
		{rule: "L24", resources: webs + service(allow) + secondShut, ask: "a > " + sql + " @db", o: Options{NotEnforced: true}, want: "...?a. unknown"},
		{rule: "L24", resources: webs + cidrless + secondShut, ask: "a > " + sql + " @db", want: "d..... denied"},
		{rule: "L24", resources: webs + strings.Replace(service(""), db(""), db(firewall("")), 1) + second, ask: "a > " + private, want: "d.aa?. denied"},
		{rule: "L24", resources: "unread layers\n" + webs + service("") + second, ask: "a > " + sql + " @db2", want: "..???? unknown"},
		{rule: "L24", resources: webs + ofCluster, ask: "a > " + sql, want: "d..a?. denied"},
		{rule: "L24", resources: webs + ofCluster, ask: "c > " + sql, want: "...... allowed"}, // L26: it counts for pods of its own namespace only
		{rule: "L24", resources: webs + ofCluster + second, ask: "b > " + sql + " @db2", want: "...... allowed"},
	})
}

func TestTogether(t *testing.T) { // L40, L41
	const (
		open      = "n: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}\n"
		shut      = "n: {podSelector: {}, policyTypes: [Egress]}\n"
		ambiguous = "A: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}]}]}\n" +
			"B: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}]}]}\n"
		unclear = "n: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}]}]}\n"
		allow   = "{action: Allow, from: [{serviceAccount: {name: web}}]}"
	)
	unenforced := strings.Replace(gate(""), "enforcedBy: Gate, ", "", 1)
	runLayers(t, []layerCase{
		{rule: "L40", resources: widWeb, ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L40", resources: widWeb + shut, ask: "a > b tcp/80", want: "d..... denied"},
		{rule: "L40", resources: widWeb + open, ask: "a > b tcp/80", want: "aa.... allowed"},
		{rule: "L40", resources: widWeb + open, ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "...... allowed"},
		{rule: "L40", resources: widWeb + open, ask: "h > a tcp/80", want: ".a.... allowed"},
		{rule: "L40", resources: widWeb, ask: "a > a tcp/80", want: "aa.... allowed"},
		{rule: "L40", resources: widWeb, ask: "a > 169.254.169.254 tcp/80", o: Options{BlockMetadata: true}, want: "d..... denied"},
		{rule: "L40", resources: widWeb, ask: "a > b tcp/80 from 10.9.9.9", want: "d..... denied"},
		{rule: "L40", resources: widWeb + unclear, ask: "g > a tcp/80", want: ".?.... unknown"},
		{rule: "L40", resources: widWeb + ambiguous, ask: "a > b tcp/80", want: "?..... ambiguous"},
		{rule: "L41", resources: widWeb + ambiguous + gate(allow), ask: "a > b tcp/80", want: "?..aa. ambiguous"},
		{rule: "L41", resources: widWeb + ambiguous + gate(""), ask: "a > b tcp/80", want: "?..ad. denied"},
		{rule: "L41", resources: widWeb + ambiguous + unenforced, ask: "a > b tcp/80", want: "?..a?. unknown"},
		{rule: "L41", resources: widWeb + ambiguous + unclear, ask: "g > a tcp/80", want: "??.... unknown"},
		{rule: "L41", resources: ambiguous, ask: "a > b tcp/80", want: "?..... ambiguous"},
		{rule: "L41", resources: widWeb + shut + ambiguous + "acp? blue/p: {target: {}, rules: []}\n", ask: "b > a tcp/80", want: "?..??. unknown"},
	})
}

// TestGates: L42.
func TestGates(t *testing.T) {
	for _, c := range []struct {
		answers [6]Opinion
		want    int
	}{
		{[6]Opinion{Allow, None, Unknown}, 0},
		{[6]Opinion{NetworkEgress: Deny}, 1},
		{[6]Opinion{NetworkEgress: Deny, NetworkIngress: Deny}, 2},
		{[6]Opinion{IdentityIssued: Deny, AccessPolicy: Deny, ExternalAuthentication: Deny}, 1},
		{[6]Opinion{Deny, Deny, Deny, Deny, Deny, Deny}, 4},
		{[6]Opinion{ExternalFirewall: Deny, ExternalAuthentication: Deny}, 2},
	} {
		if got := (Layers{Answers: c.answers}).Gates(); got != c.want {
			t.Errorf("%v: %d gates, want %d", c.answers, got, c.want)
		}
	}
}

// TestSkippedLayers: a flow that the oracle of network policies skips is skipped here too.
func TestSkippedLayers(t *testing.T) {
	s := layersBase()
	addLayers(t, s, widWeb)
	for range MaxUnknowns + 1 {
		add(t, s, "n: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}]}]}\n")
	}
	if got := AskLayers(s, Options{}, question(t, s, "g > a tcp/80"), -1); !got.Skipped || got.Verdict != flow.Verdict(0) {
		t.Errorf("%+v", got)
	}
}
