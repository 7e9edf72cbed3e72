package objects

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/source/objects/owncases"
)

const (
	cnpHead  = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec: "
	anpHead  = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: p}\nspec: "
	banpHead = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\nspec: "
	okSpec   = "tier: Admin, priority: 1, subject: {namespaces: {}}"
	okAdmin  = "priority: 1, subject: {namespaces: {}}"
)

// times repeats an item of a list.
func times(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+", ", n), ", ") }

// TestClusterPolicyProblems is S43 to S45 as the schemas of the three kinds have it (C).
func TestClusterPolicyProblems(t *testing.T) {
	egress := func(rule string) string {
		return cnpHead + "{" + okSpec + ", egress: [{action: Accept, " + rule + "}]}"
	}
	ingress := func(rule string) string {
		return cnpHead + "{" + okSpec + ", ingress: [{action: Accept, " + rule + "}]}"
	}
	admin := func(rule string) string {
		return anpHead + "{" + okAdmin + ", egress: [{action: Allow, " + rule + "}]}"
	}
	anyone := "to: [{namespaces: {}}]"
	for _, tc := range []struct{ doc, want string }{
		{cnpHead + "{" + okSpec + "}", ""},
		{cnpHead + "{}", "spec.priority is missing\nspec.subject is missing\nspec.tier is missing"},
		{"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}", "spec is missing"},
		{cnpHead + "{tier: admin, priority: 1001, subject: {}}",
			"spec.priority 1001 is not between 0 and 1000\nspec.subject needs exactly one of namespaces, pods, but none is set\nspec.tier \"admin\" is not known (hint: did you mean Admin?)"},
		{cnpHead + "{tier: Admin, priority: -1, subject: {namespaces: {}, pods: {podSelector: {}}}}",
			"spec.priority -1 is not between 0 and 1000\nspec.subject needs exactly one of namespaces, pods, but set are namespaces and pods"},
		{cnpHead + "{tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}}}}", "spec.subject.pods.podSelector is missing"},
		{cnpHead + "{tier: Admin, priority: 1, subject: {namespaces: {matchExpressions: [{key: a, operator: Is}]}}}",
			"spec.subject.namespaces.matchExpressions[0].operator \"Is\": not a valid selector operator (hint: use In, NotIn, Exists or DoesNotExist)"},
		{cnpHead + "{" + okSpec + ", ingress: [" + times(26, "{action: Deny, from: [{namespaces: {}}]}") + "]}", "spec.ingress has 26 items, at most 25 are allowed"},
		{cnpHead + "{" + okSpec + ", ingress: [{}]}", "spec.ingress[0].action is missing\nspec.ingress[0].from is missing"},
		{cnpHead + "{" + okSpec + ", ingress: [{action: Allow, from: [{namespaces: {}}]}]}", "spec.ingress[0].action \"Allow\" is not known (hint: use Accept, Deny, Pass)"},
		{cnpHead + "{" + okSpec + ", ingress: [{name: " + strings.Repeat("x", 101) + ", action: Deny, from: [{namespaces: {}}]}]}", "spec.ingress[0].name is longer than 100 characters"},
		{ingress("from: []"), "spec.ingress[0].from is empty, which is not valid here"},
		{ingress("from: [" + times(26, "{namespaces: {}}") + "]"), "spec.ingress[0].from has 26 items, at most 25 are allowed"},
		{ingress("from: [{}]"), "spec.ingress[0].from[0] needs exactly one of namespaces, pods, but none is set"},
		{ingress("from: [null]"), "spec.ingress[0].from[0] needs exactly one of namespaces, pods, but none is set"},
		{ingress("from: [{networks: [10.0.0.0/8]}]"), "unknown field spec.ingress[0].from[0].networks"},
		{ingress("from: [{namespaces: {}}], protocols: []"), "spec.ingress[0].protocols is empty, which is not valid here"},
		{egress("to: [{namespaces: {}, pods: {podSelector: {}}}]"), "spec.egress[0].to[0] needs exactly one of namespaces, pods, nodes, networks, domainNames, but set are namespaces and pods"},
		{egress("to: [{networks: [10.0.0.1/8, 'fd00::/8']}, {nodes: {}}, {domainNames: [example.com, '*.example.com.']}]"), ""},
		{egress("to: [{networks: []}]"), "spec.egress[0].to[0].networks is empty, which is not valid here"},
		{egress("to: [{networks: [10.0.0.0/8, 10.0.0.0/8]}]"), "spec.egress[0].to[0].networks[1] \"10.0.0.0/8\" is in the list twice"},
		{egress("to: [{networks: [010.0.0.0/8, 10.0.0.1, '::ffff:10.0.0.0/104']}]"),
			"spec.egress[0].to[0].networks[0] \"010.0.0.0/8\" is not a CIDR\n" +
				"spec.egress[0].to[0].networks[1] \"10.0.0.1\" is not a CIDR (hint: for a single address write 10.0.0.1/32)\n" +
				"spec.egress[0].to[0].networks[2] \"::ffff:10.0.0.0/104\" is not a CIDR"},
		{egress("to: [{domainNames: ['*', 'a.*.b', 'x']}]"),
			"spec.egress[0].to[0].domainNames[0] \"*\" is not a domain name (hint: only a leading *. may stand for labels)\n" +
				"spec.egress[0].to[0].domainNames[1] \"a.*.b\" is not a domain name (hint: only a leading *. may stand for labels)\n" +
				"spec.egress[0].to[0].domainNames[2] \"x\" is not a domain name (hint: only a leading *. may stand for labels)"},
		{cnpHead + "{" + okSpec + ", egress: [{action: Deny, to: [{domainNames: [a.b]}]}]}",
			"spec.egress[0].action Deny cannot be used with domainNames, only Accept can"},
		{egress(anyone + ", protocols: [{tcp: {}}, {udp: {destinationPort: {}}}, {}, {icmp: {}}]"),
			"spec.egress[0].protocols[0].tcp needs destinationPort, but none is set\n" +
				"spec.egress[0].protocols[1].udp.destinationPort needs exactly one of number, range, but none is set\n" +
				"spec.egress[0].protocols[2] needs exactly one of tcp, udp, sctp, destinationNamedPort, but none is set\n" +
				"unknown field spec.egress[0].protocols[3].icmp"},
		{egress(anyone + ", protocols: [{tcp: {destinationPort: {number: 0}}}, {sctp: {destinationPort: {range: {start: 5, end: 5}}}}, {udp: {destinationPort: {range: {start: 5}}}}, {destinationNamedPort: ''}]"),
			"spec.egress[0].protocols[0].tcp.destinationPort.number 0 is not between 1 and 65535\n" +
				"spec.egress[0].protocols[1].sctp.destinationPort.range must start below its end (hint: for a single port give its number)\n" +
				"spec.egress[0].protocols[2].udp.destinationPort.range.end is missing\n" +
				"spec.egress[0].protocols[3].destinationNamedPort is empty"},
		{egress("to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]"),
			"spec.egress[0].protocols[0] is a named port, which cannot be used with networks: they have no named ports"},
		{anpHead + "{" + okAdmin + ", tier: Admin}", "unknown field spec.tier"},
		{anpHead + "{" + okAdmin + ", egress: [{action: Accept, to: [{namespaces: {}}]}]}", "spec.egress[0].action \"Accept\" is not known (hint: use Allow, Deny, Pass)"},
		{anpHead + "{" + okAdmin + ", ingress: [" + times(100, "{action: Deny, from: [{namespaces: {}}]}") + "]}", ""},
		{admin(anyone + ", ports: [{portNumber: {port: 80}}, {portNumber: {protocol: ICMP, port: 0}}, {portNumber: {}}, {portRange: {start: 2, end: 1}}, {namedPort: '80'}, {}]"),
			"spec.egress[0].ports[1].portNumber.port 0 is not between 1 and 65535\n" +
				"spec.egress[0].ports[1].portNumber.protocol \"ICMP\" is not known (hint: use TCP, UDP, SCTP)\n" +
				"spec.egress[0].ports[2].portNumber.port is missing\n" +
				"spec.egress[0].ports[3].portRange must start below its end (hint: for a single port give its number)\n" +
				"spec.egress[0].ports[5] needs exactly one of portNumber, namedPort, portRange, but none is set"},
		{admin("to: [{nodes: {}}], ports: [{namedPort: http}]"), "spec.egress[0].ports[0] is a named port, which cannot be used with nodes: they have no named ports"},
		{admin(anyone + ", ports: []"), "spec.egress[0].ports is empty, which is not valid here"},
		{strings.Replace(banpHead, "default", "other", 1) + "{subject: {namespaces: {}}}", "metadata.name must be default: a cluster has only one policy of this kind"},
		{banpHead + "{subject: {namespaces: {}}, priority: 5, ingress: [{action: Pass, from: [{namespaces: {}}]}], egress: [{action: Deny, to: [{domainNames: [a.b]}]}]}",
			"spec.ingress[0].action \"Pass\" is not known (hint: use Allow, Deny)\nunknown field spec.egress[0].to[0].domainNames\nunknown field spec.priority"},
		{cnpHead + "{tier: Admin, priority: '5', subject: {namespaces: {}}}", "spec.priority needs a whole number, not the string \"5\""},
	} {
		check(t, problems(t, tc.doc), tc.want)
		if t.Failed() {
			t.Fatalf("of\n%s", tc.doc)
		}
	}
}

// wantSpec compares a policy's spec with YAML.
func wantSpec(t *testing.T, got any, want string) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := yaml.YAMLToJSON([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	check(t, sortedJSON(t, g), sortedJSON(t, w))
}

// TestConversion is the last sentence of S40: the older kinds as the one model, at the same indices.
func TestConversion(t *testing.T) {
	s := mustBuild(t, docs(t, anpHead+`
  priority: 7
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}
  ingress:
  - {name: one, action: Allow, from: [{namespaces: {}}, {pods: {namespaceSelector: {}, podSelector: {}}}]}
  - {action: Pass, from: [{namespaces: {}}], ports: [{namedPort: http}, {portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 1, end: 9}}, {portNumber: {protocol: SCTP, port: 5}}]}
  egress:
  - {action: Deny, to: [{nodes: {}}, {networks: [10.0.0.0/8]}]}
  - {action: Allow, to: [{domainNames: [a.b]}]}
---
`+banpHead+"{subject: {namespaces: {}}, egress: [{action: Allow, to: [{networks: [10.0.0.0/8]}]}]}"))
	wantSpec(t, s.ClusterPolicies[0].Object.Spec, `
  tier: Admin
  priority: 7
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}
  ingress:
  - {name: one, action: Accept, from: [{namespaces: {}}, {pods: {namespaceSelector: {}, podSelector: {}}}]}
  - action: Pass
    from: [{namespaces: {}}]
    protocols:
    - {destinationNamedPort: http}
    - {tcp: {destinationPort: {number: 80}}}
    - {udp: {destinationPort: {range: {start: 1, end: 9}}}}
    - {sctp: {destinationPort: {number: 5}}}
  egress:
  - {action: Deny, to: [{nodes: {}}, {networks: [10.0.0.0/8]}]}
  - {action: Accept, to: [{domainNames: [a.b]}]}`)
	wantSpec(t, s.ClusterPolicies[1].Object.Spec,
		"{tier: Baseline, priority: 0, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [10.0.0.0/8]}]}]}")
	if s.ClusterPolicies[0].Kind != "AdminNetworkPolicy" || s.ClusterPolicies[1].Kind != "BaselineAdminNetworkPolicy" {
		t.Error("the kinds are not those written")
	}
}

// TestServerClusterPolicy is S43: what was not understood is left so that its rule fails closed.
func TestServerClusterPolicy(t *testing.T) {
	for _, tc := range []struct{ doc, want string }{
		{cnpHead + "{" + okSpec + ", ingress: [{action: Accept, from: [{planet: {}}, {namespaces: {}}]}]}",
			"{" + okSpec + ", ingress: [{action: Accept, from: [{}, {namespaces: {}}]}]}"},
		{cnpHead + "{" + okSpec + ", egress: [{action: Deny, to: [{namespaces: {}}], protocols: [{quic: {}}, {tcp: {destinationPort: {number: 80}}}]}]}",
			"{" + okSpec + ", egress: [{action: Deny, to: [{namespaces: {}}], protocols: [{}, {tcp: {destinationPort: {number: 80}}}]}]}"},
		{cnpHead + "{" + okSpec + ", egress: [{action: Deny, to: [{namespaces: {}}], weather: rain}, {action: Divert, to: [{namespaces: {}}]}]}",
			"{" + okSpec + ", egress: [{action: Deny, to: null}, {action: Divert, to: null}]}"},
		{cnpHead + "{tier: Cosmic, priority: 5000, subject: {galaxy: {}}}", "{tier: Admin, priority: 1000, subject: {}}"},
		{cnpHead + "{" + okSpec + ", ingress: 7}", "{" + okSpec + ", ingress: [{action: Deny, from: null}]}"},
		{cnpHead + "7", "{tier: Admin, priority: 0, subject: {}, ingress: [{action: Deny, from: null}], egress: [{action: Deny, to: null}]}"},
		{anpHead + "{" + okAdmin + ", egress: [{action: Allow, to: [{namespaces: {}}], ports: [{portNumber: {protocol: QUIC, port: 80}}, {portNumber: {port: 80}}]}]}",
			"{" + okSpec + ", egress: [{action: Accept, to: [{namespaces: {}}], protocols: [{}, {tcp: {destinationPort: {number: 80}}}]}]}"},
		{cnpHead + "{" + okSpec + ", ingress: [{action: Deny, from: [" + times(26, "{namespaces: {}}") + "]}]}",
			"{" + okSpec + ", ingress: [{action: Deny, from: [" + times(26, "{namespaces: {}}") + "]}]}"},
		{cnpHead + "{" + okSpec + ", ingress: [{action: Deny, from: [" + times(25, "{namespaces: {}}") + ", {planet: {}}]}]}",
			"{" + okSpec + ", ingress: [{action: Deny, from: [" + times(25, "{namespaces: {}}") + ", {}]}]}"},
	} {
		s := mustBuild(t, fromServer(docs(t, tc.doc)))
		p := s.ClusterPolicies[0]
		if len(p.NotUnderstood) == 0 {
			t.Errorf("understood: %s", tc.doc)
		}
		wantSpec(t, p.Object.Spec, tc.want)
		if t.Failed() {
			t.Fatalf("of\n%s", tc.doc)
		}
	}
}

func TestClusterPolicyNotes(t *testing.T) {
	s := mustBuild(t, docs(t, cnpHead+"{"+okSpec+", egress: [{action: Deny, to: [{networks: [10.0.0.1/8]}]}, {action: Deny, to: [{namespaces: {}}], protocols: [{destinationNamedPort: HTTP}]}]}"))
	check(t, digest(s), `
note f.yaml:1: ClusterNetworkPolicy p: spec.egress[0].to[0].networks[0] "10.0.0.1/8" has host bits and is read as 10.0.0.0/8
note f.yaml:1: ClusterNetworkPolicy p: spec.egress[1].protocols[0].destinationNamedPort "HTTP" matches nothing, because no port can have this name`)
}

// FuzzBuilder: whatever an object says, reading it ends, without a panic, in a Snapshot or in errors,
// and a Snapshot that was saved reads the same again.
func FuzzBuilder(f *testing.F) {
	for _, part := range strings.Split(world+hopeless, "\n---\n") {
		if data, err := yaml.YAMLToJSON([]byte(part)); err == nil {
			f.Add(data, true)
			f.Add(data, false)
		}
	}
	for _, c := range owncases.All() {
		if data, err := yaml.YAMLToJSON([]byte(c.Document("case"))); err == nil && len(data) < 10_000 {
			f.Add(data, true)
			f.Add(data, false)
		}
	}
	for _, s := range []string{"", "{", "[]", "null", `{"apiVersion":"v1","kind":"List","items":[null,{},[]]}`,
		`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p","namespace":"d"},"spec":{"ingress":[null,{"from":[null],"ports":[null,{"port":1e9}]}]}}`} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, server bool) {
		b := NewBuilder(Options{SkipUnreadable: server})
		b.Add(Doc{JSON: data, FromServer: server})
		s, err := b.Build()
		if err != nil {
			_ = fmt.Sprint(err)
			return
		}
		for _, pruned := range b.Pruned() {
			again := NewBuilder(Options{})
			again.Add(Doc{JSON: pruned, FromServer: true})
			s2, err := again.Build()
			if err != nil {
				t.Fatalf("cannot be read again: %v\n%s", err, pruned)
			}
			if len(s2.NetworkPolicies) != len(s.NetworkPolicies) || len(s2.Pods) != len(s.Pods) || len(s2.ClusterPolicies) != len(s.ClusterPolicies) ||
				!cmp.Equal(s.Identities, s2.Identities) || !cmp.Equal(s.AccessPolicies, s2.AccessPolicies) || !cmp.Equal(s.External, s2.External) {
				t.Fatalf("something got lost:\n%s", pruned)
			}
		}
	})
}
