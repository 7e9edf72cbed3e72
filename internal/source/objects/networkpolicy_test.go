package objects

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// np gives a NetworkPolicy with a spec.
func np(spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: " + spec
}

// problems gives the messages about one document, without place and object.
func problems(t *testing.T, doc string) string {
	t.Helper()
	_, err := buildAll(Options{}, docs(t, doc))
	if err == nil {
		return ""
	}
	var out []string
	for _, e := range err.(InputErrors) {
		bare := InputError{Problem: e.Problem, Hint: e.Hint}
		out = append(out, bare.Error())
	}
	return strings.Join(out, "\n")
}

// TestNetworkPolicyProblems: what an API server refuses (V), and what strict reading adds (S2).
func TestNetworkPolicyProblems(t *testing.T) {
	for _, tc := range []struct{ spec, want string }{
		{"{podSelector: {}}", ""},
		{"{podSelector: {}, egres: []}", "unknown field spec.egres (hint: did you mean egress?)"},
		{"{podselector: {}}", "unknown field spec.podselector (hint: did you mean podSelector?)"},
		{"{nonsense: {}}", "unknown field spec.nonsense"},
		{"{ingress: {from: []}}", "spec.ingress needs a list, not a map (hint: begin each item with a dash)"},
		{"{ingress: [5]}", "spec.ingress[0] needs a map, not the number 5"},
		{"[]", "spec needs a map, not a list"},
		{"{podSelector: {matchLabels: {a: 1, b: true, c: x}}}",
			"spec.podSelector.matchLabels.a needs a string, not the number 1 (hint: put it in quotes)\n" +
				"spec.podSelector.matchLabels.b needs a string, not true (hint: put it in quotes)"},
		{"{ingress: [{podSelector: {}}, {ports: [], port: 80}]}",
			"unknown field spec.ingress[0].podSelector (hint: it belongs into an item of from)\n" +
				"unknown field spec.ingress[1].port (hint: it belongs into an item of ports)"},
		{"{egress: [{from: []}, {ipBlock: {}}]}",
			"unknown field spec.egress[0].from (hint: a rule of this direction has to)\n" +
				"unknown field spec.egress[1].ipBlock (hint: it belongs into an item of to)"},
		{"{ingress: [{from: [{}]}]}",
			"spec.ingress[0].from[0] names no peer (hint: set podSelector, namespaceSelector or ipBlock; for every peer leave the list out)"},
		{"{ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}", ""},
		{"{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
			"spec.ingress[0].from[0] has ipBlock beside a selector, which is not valid (hint: make them two items of the list)"},
		{"{ingress: [{ports: [{port: 0}, {port: 65536}, {port: http}, {port: '80'}, {port: HTTP}, {port: 80, endPort: 79}, {port: 80, endPort: 80}, {port: http, endPort: 81}, {endPort: 9}, {port: 1, endPort: 65536}]}]}",
			`spec.ingress[0].ports[0].port 0 is not between 1 and 65535
spec.ingress[0].ports[1].port 65536 is not between 1 and 65535
spec.ingress[0].ports[3].port "80" is not a port name: must contain at least one letter (a-z) (hint: write the number without quotes)
spec.ingress[0].ports[4].port "HTTP" is not a port name: must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-); must contain at least one letter (a-z)
spec.ingress[0].ports[5].endPort 79 is not between port 80 and 65535
spec.ingress[0].ports[7].endPort needs a port number, not a name
spec.ingress[0].ports[8].endPort needs a port beside it
spec.ingress[0].ports[9].endPort 65536 is not between port 1 and 65535`},
		{"{ingress: [{ports: [{port: 3000000000}, {port: 8.5}]}]}",
			"spec.ingress[0].ports[0].port needs a number or a name, not the number 3000000000\n" +
				"spec.ingress[0].ports[1].port needs a number or a name, not the number 8.5"},
		{"{ingress: [{ports: [{protocol: tcp}, {protocol: ICMP}, {protocol: SCTP}]}]}",
			"spec.ingress[0].ports[0].protocol \"tcp\" is not known (hint: use TCP, UDP or SCTP)\n" +
				"spec.ingress[0].ports[1].protocol \"ICMP\" is not known (hint: use TCP, UDP or SCTP)"},
		{"{policyTypes: [ingress, Both]}", "spec.policyTypes[0] \"ingress\" is not known (hint: did you mean Ingress?)\n" +
			"spec.policyTypes[1] \"Both\" is not known (hint: use Ingress or Egress)"},
		{"{policyTypes: [Ingress, Egress, Ingress]}", "spec.policyTypes has more than two items"},
		{"{egress: [{to: [{ipBlock: {cidr: 10.0.0.1}}, {ipBlock: {cidr: '::1'}}, {ipBlock: {cidr: x}}, {ipBlock: {}}]}]}",
			`spec.egress[0].to[0].ipBlock.cidr "10.0.0.1" is not a CIDR (hint: for a single address write 10.0.0.1/32)
spec.egress[0].to[1].ipBlock.cidr "::1" is not a CIDR (hint: for a single address write ::1/128)
spec.egress[0].to[2].ipBlock.cidr "x" is not a CIDR
spec.egress[0].to[3].ipBlock.cidr is missing`},
		{"{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.0/8, 11.0.0.0/16, 'fd00::/8', 10.0.0.0/7]}}]}]}",
			`spec.egress[0].to[0].ipBlock.except[1] "10.0.0.0/8" is not a strict part of "10.0.0.0/8" (hint: except can only take away from its own cidr)
spec.egress[0].to[0].ipBlock.except[2] "11.0.0.0/16" is not a strict part of "10.0.0.0/8" (hint: except can only take away from its own cidr)
spec.egress[0].to[0].ipBlock.except[3] "fd00::/8" is not a strict part of "10.0.0.0/8" (hint: except can only take away from its own cidr)
spec.egress[0].to[0].ipBlock.except[4] "10.0.0.0/7" is not a strict part of "10.0.0.0/8" (hint: except can only take away from its own cidr)`},
		{"{podSelector: {matchExpressions: [{key: a, operator: Equals}, {key: a, operator: In}, {key: a, operator: Exists, values: [b]}]}}",
			`spec.podSelector.matchExpressions[0].operator "Equals": not a valid selector operator (hint: use In, NotIn, Exists or DoesNotExist)
spec.podSelector.matchExpressions[1].values: must be specified when ` + "`operator`" + ` is 'In' or 'NotIn'
spec.podSelector.matchExpressions[2].values: may not be specified when ` + "`operator`" + ` is 'Exists' or 'DoesNotExist'`},
		{"{podSelector: {matchLabels: {a: 'b c', ' ': x}}}",
			`spec.podSelector.matchLabels " ": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
spec.podSelector.matchLabels "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue', or 'my_value', or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`},
	} {
		t.Run(tc.spec[:min(40, len(tc.spec))], func(t *testing.T) {
			got := problems(t, np(tc.spec))
			check(t, got, tc.want)
		})
	}
}

// TestNames: what the API server asks of names, and hints for the commonest slips.
func TestNames(t *testing.T) {
	for _, tc := range []struct{ doc, want string }{
		{"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {generateName: p-}}",
			"f.yaml:1: NetworkPolicy: metadata.name is missing: generateName alone names nothing yet (hint: give the object a name)"},
		{"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy}", "f.yaml:1: NetworkPolicy: metadata.name is missing"},
		{"{apiVersion: v1, kind: Pod, metadata: {name: 'a/b'}}", `f.yaml:1: Pod: metadata.name "a/b" is not valid: a lowercase RFC 1123 subdomain`},
		{"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: a.b}}", `f.yaml:1: Pod: metadata.namespace "a.b" is not valid: must not contain dots`},
		{"{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}", `f.yaml:1: Namespace: metadata.name "a.b" is not valid: must not contain dots`},
		{"{apiVersion: v1, kind: Pod, metadata: {name: \"\\e[31m\"}}", `f.yaml:1: Pod: metadata.name "\x1b[31m" is not valid`},
		{"{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {kubernetes.io/metadata.name: b}}}",
			`f.yaml:1: Namespace a: label kubernetes.io/metadata.name is "b", but a server always sets it to the namespace's own name (hint: leave the label out)`},
		{"{apiVersion: extensions/v1beta1, kind: NetworkPolicy, metadata: {name: p}}",
			"f.yaml:1: NetworkPolicy: cannot be read as extensions/v1beta1 (hint: use networking.k8s.io/v1)"},
		{"{apiVersion: v1, kind: NetworkPolicy, metadata: {name: p}}", "f.yaml:1: NetworkPolicy: cannot be read as v1 (hint: use networking.k8s.io/v1)"},
		{"{apiVersion: networking.k8s.io/v1, kind: Networkpolicy, metadata: {name: p}}",
			"f.yaml:1: Networkpolicy: cannot be read as networking.k8s.io/v1 (hint: did you mean NetworkPolicy?)"},
		{"{apiVersion: policy.networking.k8s.io/v1alpha1, kind: ClusterNetworkPolicy, metadata: {name: p}}",
			"f.yaml:1: ClusterNetworkPolicy: cannot be read as policy.networking.k8s.io/v1alpha1 (hint: use policy.networking.k8s.io/v1alpha2)"},
		{"{apiVersion: policy.networking.k8s.io/v1, kind: SomethingNew, metadata: {name: p}}",
			"f.yaml:1: SomethingNew: cannot be read as policy.networking.k8s.io/v1"},
		{"{kind: NetworkPolicy, metadata: {name: p}}", "f.yaml:1: NetworkPolicy: apiVersion is missing (hint: apiVersion: networking.k8s.io/v1)"},
		{"{apiVersion: v1}", "f.yaml:1: an object of v1 has no kind"},
		{"{apiVersion: v1, kind: [Pod]}", "f.yaml:1: apiVersion and kind must be strings"},
		{"[1, 2]", "f.yaml:1: this is not a Kubernetes object but a bare value or list"},
		{"{apiVersion: v1, kind: List, items: {}}", "f.yaml:1: List: items must be a list of objects"},
		{"{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 70000}], clusterIP: x}}",
			"f.yaml:1: Service default/s: spec.clusterIPs[0] \"x\" is not an address\nf.yaml:1: Service default/s: spec.ports[0].port 70000 is not between 1 and 65535"},
		{"{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{ports: [{containerPort: 0}, {containerPort: 1, protocol: icmp}]}]}, status: {podIPs: [{ip: 10.0.0.300}]}}",
			"f.yaml:1: Pod default/p: spec.containers[0].ports[0].containerPort 0 is not between 1 and 65535\n" +
				"f.yaml:1: Pod default/p: spec.containers[0].ports[1].protocol \"icmp\" is not TCP, UDP or SCTP\n" +
				"f.yaml:1: Pod default/p: status.podIPs[0].ip \"10.0.0.300\" is not an address"},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}", "f.yaml:1: Deployment default/d: spec.template is missing"},
		{"{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostNetwork: 'yes'}}",
			`f.yaml:1: Pod default/p: spec.hostNetwork needs true or false, not the string "yes"`},
		{"{apiVersion: sallyport.dev/v9, kind: Snapshot}", "f.yaml:1: Snapshot: cannot be read as sallyport.dev/v9 (hint: it was saved by another version of sallyport)"},
		{"{apiVersion: sallyport.dev/v1alpha1, kind: Snapshot, podCIDRs: [x]}", `f.yaml:1: Snapshot snapshot: podCIDRs[0] "x" is not a CIDR`},
		{"{apiVersion: sallyport.dev/v1alpha1, kind: Snapshot, plugin: a}\n---\n{apiVersion: sallyport.dev/v1alpha1, kind: Snapshot, plugin: b}",
			"f.yaml:2: Snapshot snapshot: this object is in the input twice with different content; the other one is at f.yaml:1 (hint: give only one of the two)"},
	} {
		_, err := buildAll(Options{}, docs(t, tc.doc))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s:\n got %v\nwant %s", tc.doc, err, tc.want)
		}
	}
}

// TestDefaults is S1 and S13: what a server would fill in, and what it would leave as it is.
func TestDefaults(t *testing.T) {
	for _, tc := range []struct{ spec, want string }{
		{"{}", "{podSelector: {}, policyTypes: [Ingress]}"},
		{"{podSelector: {}, egress: []}", "{podSelector: {}, policyTypes: [Ingress]}"},
		{"{podSelector: {}, egress: [{}]}", "{podSelector: {}, egress: [{}], policyTypes: [Ingress, Egress]}"},
		{"{podSelector: {}, policyTypes: []}", "{podSelector: {}, policyTypes: [Ingress]}"},
		{"{podSelector: {}, policyTypes: [Egress], egress: null}", "{podSelector: {}, policyTypes: [Egress]}"},
		{"{podSelector: {}, ingress: [{ports: [{port: 80}, {protocol: UDP}, {}]}]}",
			"{podSelector: {}, ingress: [{ports: [{port: 80, protocol: TCP}, {protocol: UDP}, {protocol: TCP}]}], policyTypes: [Ingress]}"},
	} {
		s := mustBuild(t, docs(t, np(tc.spec)))
		got, err := json.Marshal(s.NetworkPolicies[0].Object.Spec)
		if err != nil {
			t.Fatal(err)
		}
		want, err := yaml.YAMLToJSON([]byte(tc.want))
		if err != nil {
			t.Fatal(err)
		}
		check(t, sortedJSON(t, got), sortedJSON(t, want))
	}
	s := mustBuild(t, docs(t, np("{podSelector: {}, ingress: [], egress: [{to: []}, {ports: []}]}")))
	spec := s.NetworkPolicies[0].Object.Spec
	if spec.Ingress == nil || spec.Egress[0].To == nil || spec.Egress[0].Ports != nil || spec.Egress[1].Ports == nil {
		t.Errorf("empty and absent lists are mixed up: %#v", spec)
	}
	s, err := buildAll(Options{DefaultNamespace: "mine"}, docs(t, np("{}")))
	if err != nil || s.NetworkPolicies[0].Object.Namespace != "mine" || s.NamespaceByName("mine") == nil {
		t.Errorf("the namespace is not the default: %+v, %v", s, err)
	}
}

func sortedJSON(t *testing.T, data []byte) string {
	t.Helper()
	tree, _ := decodeTree(data)
	out, err := json.MarshalIndent(tree, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestPolicyNotes(t *testing.T) {
	s := mustBuild(t, docs(t, np("{podSelector: {}, ingress: [null, {from: [{ipBlock: {cidr: 010.0.0.0/8}}, {ipBlock: {cidr: '::ffff:10.0.0.0/104'}}], ports: [null]}]}")))
	check(t, digest(s), `
namespace default map[kubernetes.io/metadata.name:default] assumed
note f.yaml:1: NetworkPolicy default/p: spec.ingress[0] is empty, which a server reads as {} and so as everything
note f.yaml:1: NetworkPolicy default/p: spec.ingress[1].from[0].ipBlock.cidr "010.0.0.0/8" is written in an old way and read as 10.0.0.0/8
note f.yaml:1: NetworkPolicy default/p: spec.ingress[1].from[1].ipBlock.cidr "::ffff:10.0.0.0/104" is an IPv4 range written as IPv6
note f.yaml:1: NetworkPolicy default/p: spec.ingress[1].ports[0] is empty, which a server reads as {} and so as everything`)
}

// TestDuplicateFields: JSON can say a field twice, which nobody means.
func TestDuplicateFields(t *testing.T) {
	d := Doc{JSON: []byte(`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p"},"spec":{"podSelector":{"matchLabels":{"a":"b","a":"c"}},"ingress":[],"ingress":[{}]}}`)}
	_, err := buildAll(Options{}, []Doc{d})
	want := "NetworkPolicy default/p: field spec.ingress is given twice\nNetworkPolicy default/p: field spec.podSelector.matchLabels.a is given twice"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// TestServerNetworkPolicy is S32: what is left of a policy that is not fully understood.
func TestServerNetworkPolicy(t *testing.T) {
	for _, tc := range []struct{ spec, want, unclear string }{
		{"{podSelector: {}, ingress: [{from: [{podSelector: {}}]}], status: {}}", "", "unknown field spec.status"},
		{"{podSelector: {galaxy: 1, matchLabels: {a: b}}, policyTypes: [Egress]}", "{podSelector: {}, policyTypes: [Egress]}", "unknown field spec.podSelector.galaxy"},
		{"{podSelector: {matchLabels: {a: b}}, policyTypes: [Ingress], ingress: [{from: [{planet: {}}, {podSelector: {}}]}]}",
			"{podSelector: {matchLabels: {a: b}}, policyTypes: [Ingress], ingress: [{from: [{}, {podSelector: {}}]}]}", "unknown field spec.ingress[0].from[0].planet"},
		{"{podSelector: {}, policyTypes: [Ingress], ingress: [{fromMars: true}, {ports: [{port: 80, quic: true}]}, {from: [{podSelector: {}}]}]}",
			"{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{}]}, {from: [{}]}, {from: [{podSelector: {}}]}]}",
			"unknown field spec.ingress[0].fromMars\nunknown field spec.ingress[1].ports[0].quic"},
		{"{podSelector: {}, ingress: [{fromMars: true}]}", "{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{}]}]}", "unknown field spec.ingress[0].fromMars"},
		{"{podSelector: {}, beyond: []}", "{podSelector: {}, policyTypes: [Ingress, Egress]}", "unknown field spec.beyond"},
		{"{podSelector: {}, policyTypes: [Ingress, Sideways]}", "{podSelector: {}, policyTypes: [Ingress, Egress]}", `spec.policyTypes[1] "Sideways" is not known`},
		{"{podSelector: {}, ingress: 5}", "{podSelector: {}, policyTypes: [Ingress, Egress]}", "spec.ingress needs a list, not the number 5"},
		{"7", "{podSelector: {}, policyTypes: [Ingress, Egress]}", "spec needs a map, not the number 7"},
	} {
		list := fromServer(docs(t, strings.Replace(np(tc.spec), "{name: p}", "{name: p, namespace: d}", 1)))
		s := mustBuild(t, list)
		p := s.NetworkPolicies[0]
		check(t, strings.Join(p.NotUnderstood, "\n"), tc.unclear)
		if tc.want == "" {
			continue
		}
		got, err := json.Marshal(p.Object.Spec)
		if err != nil {
			t.Fatal(err)
		}
		want, err := yaml.YAMLToJSON([]byte(tc.want))
		if err != nil {
			t.Fatal(err)
		}
		check(t, sortedJSON(t, got), sortedJSON(t, want))
	}
}

// TestServerStatus: the status that servers wrote for a while is no reason to isolate anybody.
func TestServerStatus(t *testing.T) {
	s := mustBuild(t, fromServer(docs(t, strings.Replace(np("{podSelector: {}}\nstatus: {conditions: []}"), "{name: p}", "{name: p, namespace: d}", 1))))
	if got := s.NetworkPolicies[0].NotUnderstood; got != nil {
		t.Errorf("not understood: %v", got)
	}
}

// TestServerObjects: one odd object of a server is named and does not hide the others.
func TestServerObjects(t *testing.T) {
	s := mustBuild(t, fromServer(docs(t, `
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: d}, status: {podIP: x}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p}}
---
{apiVersion: policy.networking.k8s.io/v1, kind: ClusterNetworkPolicy, metadata: {name: p}}
---
{apiVersion: v1, kind: Pod, metadata: {name: q, namespace: d}, status: {podIP: 10.0.0.1}}`)))
	check(t, digest(s), `
namespace d map[kubernetes.io/metadata.name:d] assumed
pod q of d/pod/q map[] [10.0.0.1] on "" as default
unreadable f.yaml:1: Pod d/p: status.podIP "x" is not an address
unreadable f.yaml:2: Pod p: metadata.namespace is missing
unreadable f.yaml:3: ClusterNetworkPolicy: cannot be read as policy.networking.k8s.io/v1 (hint: use policy.networking.k8s.io/v1alpha2)`)
}

// TestSkipUnreadable is the last sentence of S2.
func TestSkipUnreadable(t *testing.T) {
	s, err := buildAll(Options{SkipUnreadable: true}, docs(t, np("{egres: []}")+"\n---\n"+fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostNetwork: %s}}", "3")))
	if err != nil {
		t.Fatal(err)
	}
	check(t, digest(s), `
unreadable f.yaml:1: NetworkPolicy default/p: unknown field spec.egres (hint: did you mean egress?)
unreadable f.yaml:2: Pod default/p: spec.hostNetwork needs true or false, not the number 3`)
}

// TestLargePolicy: size alone is no problem.
func TestLargePolicy(t *testing.T) {
	var values, blocks []string
	for i := range 10_000 {
		values = append(values, fmt.Sprintf("v%d", i))
		blocks = append(blocks, fmt.Sprintf("{ipBlock: {cidr: 10.%d.%d.0/24}}", i/250, i%250))
	}
	s := mustBuild(t, docs(t, np("{podSelector: {matchExpressions: [{key: a, operator: In, values: ["+strings.Join(values, ", ")+
		"]}]}, ingress: [{from: ["+strings.Join(blocks, ", ")+"]}]}")))
	spec := s.NetworkPolicies[0].Object.Spec
	if len(spec.PodSelector.MatchExpressions[0].Values) != 10_000 || len(spec.Ingress[0].From) != 10_000 {
		t.Error("something got lost")
	}
}
