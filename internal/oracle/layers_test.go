package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
)

// layerCase is a row of the tables. Resources are lines "kind namespace/name: spec", kinds by their short
// names; one with a question mark has a part that is not understood. "unread layers" is L3, "domain x" is
// the trust domain that the input says, and any other line is a policy as add reads it. The question may
// end with "@name", the service that was asked by name. Of the answer each layer is a letter, in the
// page's order: . for none, a, d and ? for unknown.
type layerCase struct {
	rule      string // of docs/layers.md
	resources string
	ask       string
	want      string
	o         Options
}

var letters = map[Opinion]string{None: ".", Allow: "a", Deny: "d", Unknown: "?"}

func (l Layers) letters() string {
	var b strings.Builder
	for _, o := range l.Answers {
		b.WriteString(letters[o])
	}
	return b.String() + " " + l.Verdict.String()
}

// layersBase is base with service accounts: a, c, t and h use web, b and u api. h and u have hostNetwork.
func layersBase() *cluster.Snapshot {
	s := base()
	for i := range s.Pods {
		account := map[string]string{"a": "web", "c": "web", "t": "web", "h": "web", "b": "api", "u": "api"}[s.Pods[i].Name]
		if account == "" {
			account = "default"
		}
		s.Pods[i].Account = account
	}
	return s
}

func addLayers(t *testing.T, s *cluster.Snapshot, resources string) {
	t.Helper()
	for line := range strings.Lines(resources) {
		head, spec, _ := strings.Cut(strings.TrimSpace(line), ": ")
		kind, name, _ := strings.Cut(head, " ")
		var unclear []string
		if strings.HasSuffix(kind, "?") {
			kind, unclear = strings.TrimSuffix(kind, "?"), []string{"something"}
		}
		namespace, name, cut := strings.Cut(name, "/")
		if !cut {
			namespace, name = "", namespace
		}
		if kind == "domain" {
			s.Facts.TrustDomain = name
			continue
		}
		if kind == "unread" {
			sort := map[string]cluster.Missing{"policies": cluster.MissingPolicies, "foreign": cluster.MissingForeign, "layers": cluster.MissingLayers,
				"objects": cluster.MissingObjects}[name]
			u := cluster.Unreadable{Missing: sort}
			if namespace == "beyond" {
				u.Beyond = name
			}
			s.Unreadable = append(s.Unreadable, u)
			continue
		}
		if !addLayer(t, s, kind, namespace, name, spec, unclear) && !addAzure(t, s, kind, namespace, name, spec) {
			add(t, s, line)
		}
	}
}

// addLayer adds one of the four resources; ok is false for any other kind.
func addLayer(t *testing.T, s *cluster.Snapshot, kind, namespace, name, spec string, unclear []string) (ok bool) {
	t.Helper()
	switch kind {
	case "wid":
		w := cluster.WorkloadIdentity{Namespace: namespace, Name: name, NotUnderstood: unclear}
		parse(t, spec, &w.Spec)
		s.Identities = append(s.Identities, w)
	case "acp":
		p := cluster.AccessPolicy{Namespace: namespace, Name: name, NotUnderstood: unclear}
		parse(t, spec, &p.Spec)
		s.AccessPolicies = append(s.AccessPolicies, p)
	case "xsvc", "cxsvc":
		x := cluster.ExternalService{Namespace: namespace, Name: name, NotUnderstood: unclear}
		parse(t, spec, &x.Spec)
		s.External = append(s.External, x)
	default:
		return false
	}
	return true
}

func parse(t *testing.T, spec string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(spec), into); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
}

func askLayers(t *testing.T, c layerCase) Layers {
	t.Helper()
	s := layersBase()
	addLayers(t, s, c.resources)
	ask, name, named := strings.Cut(c.ask, " @")
	service := -1
	if named {
		if service = slices.IndexFunc(s.External, func(x cluster.ExternalService) bool { return x.Name == name }); service < 0 {
			t.Fatalf("no service %q", name)
		}
	}
	return AskLayers(s, c.o, question(t, s, ask), service)
}

func runLayers(t *testing.T, cases []layerCase) {
	t.Helper()
	for i, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.rule, i), func(t *testing.T) {
			if got := askLayers(t, c).letters(); got != c.want {
				t.Errorf("%s\n%s\ngot:  %s\nwant: %s", c.ask, c.resources, got, c.want)
			}
		})
	}
}

const (
	widWeb = "wid blue/w: {serviceAccountName: web}\n"
	nobody = "acp blue/p: {target: {pods: {podSelector: {}}}, enforcedBy: Gate, rules: []}\n"
)

func TestLayersSpeak(t *testing.T) { // L1, L3
	const db = "xsvc blue/db: {cidrs: [203.0.113.0/24], ports: [{port: 80}]}\n"
	const bigNo = "p: {podSelector: {}, ingress: []}\n"
	runLayers(t, []layerCase{
		{rule: "L1", ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L1", resources: "unread layers", ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L1", resources: "unread policies", ask: "a > b tcp/80", want: "??.... unknown"},
		{rule: "L1", resources: widWeb, ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L3", resources: "unread layers\n" + widWeb, ask: "a > b tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > b tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + nobody, ask: "a > b tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread policies\n" + db, ask: "a > b tcp/80", want: "?????? unknown"},
		{rule: "L3", resources: "unread objects\nunread foreign\n" + db, ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > 8.8.8.8 tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > 203.0.113.1 tcp/80 @db", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "h > 8.8.8.8 tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > h tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > n1 tcp/80", want: "...... allowed"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > a tcp/80", want: "aa???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "h > a tcp/80", want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + db, ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "..???? unknown"},
		{rule: "L3", resources: "unread layers\n" + strings.Replace(nobody, "rules", "project: {network: true}, rules", 1), ask: "a > b tcp/80", want: ".????? unknown"},
		{rule: "L3", resources: "unread beyond/red\n" + db, ask: "a > b tcp/80", want: "??.... unknown"},
		{rule: "L3", resources: "unread beyond/blue\n" + db, ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L3", resources: "unread layers\n" + bigNo + db, ask: "c > a tcp/80", want: ".d???? denied"},
	})
}

func TestIdentities(t *testing.T) { // L10 to L12, at a pod that admits nobody in particular
	const (
		open    = "acp blue/p: {target: {pods: {podSelector: {}}}, enforcedBy: Gate, rules: [{action: Allow, from: [{spiffeIDPrefix: spiffe://cluster.local}]}]}\n"
		exact   = "acp blue/p: {target: {pods: {podSelector: {}}}, enforcedBy: Gate, rules: [{action: Allow, from: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]}]}\n"
		noNet   = "wid blue/w: {serviceAccountName: web, require: {networkEnforced: false}}\n"
		needNet = "wid blue/v: {serviceAccountName: web, require: {networkEnforced: true}}\n"
	)
	runLayers(t, []layerCase{
		{rule: "L10", resources: widWeb + exact, ask: "a > b tcp/80", want: "...aa. allowed"},
		{rule: "L10", resources: widWeb + exact, ask: "a > b tcp/80", o: Options{TrustDomain: "example.org"}, want: "...ad. denied"},
		{rule: "L10", resources: widWeb + strings.Replace(exact, "cluster.local", "example.org", 1), ask: "a > b tcp/80", o: Options{TrustDomain: "example.org"}, want: "...aa. allowed"},
		{rule: "L10", resources: widWeb + exact + "domain example.org", ask: "a > b tcp/80", want: "...ad. denied"},
		{rule: "L10", resources: widWeb + exact + "domain example.org", ask: "a > b tcp/80", o: Options{TrustDomain: "cluster.local"}, want: "...aa. allowed"},
		{rule: "L10", resources: widWeb + exact, ask: "t > b tcp/80", want: "...aa. allowed"},
		{rule: "L11", resources: open, ask: "a > b tcp/80", want: "...da. denied"},
		{rule: "L11", resources: open + widWeb, ask: "b > a tcp/80", want: "...da. denied"},
		{rule: "L11", resources: open + "wid red/w: {serviceAccountName: web}", ask: "a > b tcp/80", want: "...da. denied"},
		{rule: "L11", resources: open + "wid red/w: {serviceAccountName: web}", ask: "c > b tcp/80", want: "...aa. allowed"},
		{rule: "L11", resources: open + "wid blue/w: {serviceAccountName: web, podSelector: {matchLabels: {app: t}}}", ask: "a > b tcp/80", want: "...da. denied"},
		{rule: "L11", resources: open + "wid blue/w: {serviceAccountName: web, podSelector: {matchLabels: {app: t}}}", ask: "t > b tcp/80", want: "...aa. allowed"},
		{rule: "L11", resources: open + "wid blue/w: {serviceAccountName: web, podSelector: {}}", ask: "a > b tcp/80", want: "...aa. allowed"},
		{rule: "L11", resources: open + widWeb + "wid blue/v: {serviceAccountName: web, podSelector: {matchLabels: {app: t}}}", ask: "a > b tcp/80", want: "...aa. allowed"},
		{rule: "L12", resources: open + widWeb, ask: "h > b tcp/80", want: "...dd. denied"},
		{rule: "L12", resources: open + widWeb, ask: "n1 > b tcp/80", want: "...dd. denied"},
		{rule: "L12", resources: open + widWeb, ask: "1.2.3.4 > b tcp/80", want: "...dd. denied"},
		{rule: "L12", resources: open + widWeb, ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "...da. denied"},
		{rule: "L12", resources: open + needNet, ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "...da. denied"},
		{rule: "L12", resources: open + noNet, ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "...aa. allowed"},
		{rule: "L12", resources: open + noNet + needNet, ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "...aa. allowed"},
		{rule: "L4", resources: open + "wid? blue/w: {serviceAccountName: web}", ask: "a > b tcp/80", want: "...?a. unknown"},
		{rule: "L4", resources: open + "wid? blue/w: {serviceAccountName: web}", ask: "b > a tcp/80", want: "...da. denied"},
		{rule: "L4", resources: open + "wid? blue/w: {serviceAccountName: web}", ask: "h > b tcp/80", want: "...dd. denied"},
		{rule: "L4", resources: open + "wid? blue/w: {serviceAccountName: ''}", ask: "b > a tcp/80", want: "...?a. unknown"},
		{rule: "L4", resources: open + "wid? blue/w: {serviceAccountName: ''}", ask: "c > a tcp/80", want: "...da. denied"},
		{rule: "L4", resources: open + widWeb + "wid? blue/v: {serviceAccountName: ''}", ask: "a > b tcp/80", want: "...aa. allowed"},
		{rule: "L4", resources: open + "wid? blue/w: {serviceAccountName: web, podSelector: {matchLabels: {app: none}}}", ask: "a > b tcp/80", o: Options{NotEnforced: true}, want: "...?a. unknown"},
	})
}

// gate gives a policy of blue about every pod, with these rules.
func gate(rules string) string {
	return "acp blue/p: {target: {pods: {podSelector: {}}}, enforcedBy: Gate, rules: [" + rules + "]}\n"
}

// about gives a policy of blue that admits nobody at this target of pods.
func about(target string) string {
	return "acp blue/p: {target: {pods: {podSelector: {}, " + target + "}}, enforcedBy: Application, rules: []}\n"
}

func TestTargets(t *testing.T) { // L20
	const none, denied = "...... allowed", "...dd. denied"
	var cases []layerCase
	for _, c := range []struct{ target, ask, want string }{
		{"ports: [{port: 80}]", "c > a tcp/80", denied},
		{"ports: [{port: 80}]", "c > a tcp/81", none},
		{"ports: [{port: 80}]", "c > a udp/80", none},
		{"ports: [{port: 80, protocol: UDP}]", "c > a udp/80", denied},
		{"ports: [{port: 80, protocol: UDP}]", "c > a tcp/80", none},
		{"ports: [{port: 80, protocol: SCTP}]", "c > a sctp/80", denied},
		{"ports: [{port: 80, endPort: 82}]", "c > a tcp/80", denied},
		{"ports: [{port: 80, endPort: 82}]", "c > a tcp/82", denied},
		{"ports: [{port: 80, endPort: 82}]", "c > a tcp/83", none},
		{"ports: [{port: 80, endPort: 82}]", "c > a tcp/79", none},
		{"ports: [{port: 1}, {port: 80}]", "c > a tcp/80", denied},
		{"ports: [{port: 80}]", "c > a icmp", none},
		{"ports: [{port: http}]", "c > a tcp/80", denied},
		{"ports: [{port: http}]", "c > a tcp/8080", denied},
		{"ports: [{port: http}]", "c > a tcp/81", none},
		{"ports: [{port: http, protocol: UDP}]", "c > a udp/81", denied},
		{"ports: [{port: none}]", "c > a tcp/80", none},
		{"ports: [{port: http}]", "c > h tcp/80", denied},
	} {
		cases = append(cases, layerCase{rule: "L20", resources: about(c.target), ask: c.ask, want: c.want})
	}
	const some = "acp blue/p: {target: {pods: {podSelector: {matchLabels: {app: a}}}}, enforcedBy: Gate, rules: []}\n"
	runLayers(t, append(cases, []layerCase{
		{rule: "L20", resources: gate(""), ask: "c > a icmp", want: denied},
		{rule: "L20", resources: gate(""), ask: "c > h tcp/80", want: denied},
		{rule: "L20", resources: gate(""), ask: "a > c tcp/80", want: none},
		{rule: "L20", resources: gate(""), ask: "c > n1 tcp/80", want: none},
		{rule: "L20", resources: gate(""), ask: "c > 1.2.3.4 tcp/80", want: none},
		{rule: "L20", resources: some, ask: "c > a tcp/80", want: denied},
		{rule: "L20", resources: some, ask: "c > b tcp/80", want: none},
	}...))
}

func TestAccess(t *testing.T) { // L21, L25, L4
	const (
		allow    = "{action: Allow, from: [{serviceAccount: {name: web}}]}"
		allowRed = "{action: Allow, from: [{serviceAccount: {namespace: red, name: web}}]}"
		denyWeb  = "{action: Deny, from: [{spiffeID: 'spiffe://cluster.local/ns/blue/sa/web'}]}"
		other    = "acp blue/q: {target: {pods: {podSelector: {}}}, rules: [" + allowRed + "]}\n"
		port81   = "acp blue/q: {target: {pods: {podSelector: {}, ports: [{port: 81}]}}, rules: [" + denyWeb + "]}\n"
	)
	const yes, no = "...aa. allowed", "...ad. denied"
	prefix := func(p string) string { return widWeb + gate("{action: Allow, from: [{spiffeIDPrefix: '"+p+"'}]}") }
	runLayers(t, []layerCase{
		{rule: "L21", resources: widWeb + gate(allow), ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: widWeb + gate(""), ask: "a > b tcp/80", want: no},
		{rule: "L21", resources: widWeb + gate(allow+", "+denyWeb), ask: "a > b tcp/80", want: no},
		{rule: "L21", resources: widWeb + gate(denyWeb+", "+allow), ask: "a > b tcp/80", want: no},
		{rule: "L21", resources: widWeb + gate("{action: Allow, from: [{serviceAccount: {name: x}}, {serviceAccount: {name: web}}]}"), ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: widWeb + gate("") + "acp blue/q: {target: {pods: {podSelector: {}}}, rules: [" + allow + "]}", ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: widWeb + gate(allow) + port81, ask: "a > b tcp/81", want: no},
		{rule: "L21", resources: widWeb + gate(allow) + port81, ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: "wid red/w: {serviceAccountName: web}\n" + gate(allow), ask: "c > b tcp/80", want: no},
		{rule: "L21", resources: "wid red/w: {serviceAccountName: web}\n" + gate("") + other, ask: "c > b tcp/80", want: yes},
		{rule: "L21", resources: widWeb + gate(allow), ask: "a > b tcp/80", o: Options{TrustDomain: "example.org"}, want: yes},
		{rule: "L21", resources: prefix("spiffe://cluster.local"), ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: prefix("spiffe://cluster.local/ns/blue"), ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: prefix("spiffe://cluster.local/ns/blu"), ask: "a > b tcp/80", want: no},
		{rule: "L21", resources: prefix("spiffe://cluster.local/ns/blue/sa/web"), ask: "a > b tcp/80", want: yes},
		{rule: "L21", resources: prefix("spiffe://cluster.local/ns/blue/sa/we"), ask: "a > b tcp/80", want: no},
		{rule: "L21", resources: prefix("spiffe://cluster.loca"), ask: "a > b tcp/80", want: no},
		{rule: "L21", resources: widWeb + gate("{action: Allow, from: [{spiffeID: 'spiffe://cluster.local/ns/blue'}]}"), ask: "a > b tcp/80", want: no},
		{rule: "L25", resources: widWeb + gate(allow) + "acp blue/q: {target: {pods: {podSelector: {}}}, mode: Audit, rules: [" + denyWeb + "]}", ask: "a > b tcp/80", want: yes},
		{rule: "L25", resources: widWeb + "acp? blue/q: {target: {pods: {podSelector: {}}}, mode: Audit, enforcedBy: Gate, rules: []}", ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L4", resources: widWeb + strings.Replace(gate(allow), "acp", "acp?", 1), ask: "a > b tcp/80", want: no},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {pods: {podSelector: {}}}, enforcedBy: Gate, mode: Both, rules: [" + allow + "]}", ask: "a > b tcp/80", want: no},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {pods: {podSelector: {matchLabels: {app: a}}}}, enforcedBy: Gate, rules: [" + allow + "]}", ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {pods: {podSelector: {}, ports: [{port: 81}]}}, enforcedBy: Gate, rules: [" + allow + "]}", ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {externalService: {name: db}}, rules: [" + allow + "]}", ask: "a > b tcp/80", want: "...... allowed"},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {}, enforcedBy: Gate, rules: [" + allow + "]}", ask: "a > b icmp", want: no},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {}, enforcedBy: Gate, rules: []}", ask: "a > c icmp", want: "...... allowed"},
		{rule: "L4", resources: widWeb + "acp? blue/q: {target: {pods: {podSelector: {matchLabels: {app: x}}}, externalService: {name: db}}, enforcedBy: Gate, rules: []}", ask: "a > b icmp", want: no},
	})
}

func TestAtPods(t *testing.T) { // L22, L23
	const (
		allow   = "{action: Allow, from: [{serviceAccount: {name: web}}]}"
		foreign = "{action: Allow, from: [{spiffeID: 'spiffe://other.org/x'}]}"
		prefix  = "{action: Allow, from: [{spiffeIDPrefix: 'spiffe://other.org'}]}"
		denies  = "{action: Deny, from: [{spiffeIDPrefix: 'spiffe://other.org'}]}"
	)
	unenforced := func(rules string) string { return strings.Replace(gate(rules), "enforcedBy: Gate, ", "", 1) }
	runLayers(t, []layerCase{
		{rule: "L22", resources: gate(allow), ask: "a > b tcp/80", want: "...da. denied"},
		{rule: "L22", resources: gate(""), ask: "a > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: widWeb + gate(allow), ask: "a > a tcp/80", want: "aa.aa. allowed"},
		{rule: "L22", resources: widWeb + gate(allow), ask: "h > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: widWeb + gate(allow), ask: "1.2.3.4 > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: widWeb + gate(foreign), ask: "1.2.3.4 > b tcp/80", want: "...??. unknown"},
		{rule: "L22", resources: widWeb + gate(prefix), ask: "1.2.3.4 > b tcp/80", want: "...??. unknown"},
		{rule: "L22", resources: widWeb + gate(denies), ask: "1.2.3.4 > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: widWeb + gate(foreign), ask: "1.2.3.4 > b tcp/80", o: Options{TrustDomain: "other.org"}, want: "...dd. denied"},
		{rule: "L22", resources: widWeb + gate(foreign), ask: "n1 > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: widWeb + gate(foreign), ask: "h > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: gate(foreign) + "acp? blue/q: {target: {}, rules: []}", ask: "1.2.3.4 > b tcp/80", want: "...dd. denied"},
		{rule: "L22", resources: gate(foreign) + gate(prefix+", "+denies), ask: "1.2.3.4 > b tcp/80", want: "...??. unknown"},
		{rule: "L23", resources: widWeb + unenforced(allow), ask: "a > b tcp/80", want: "...aa. allowed"},
		{rule: "L23", resources: widWeb + unenforced(""), ask: "a > b tcp/80", want: "...a?. unknown"},
		{rule: "L23", resources: unenforced(allow), ask: "a > b tcp/80", want: "...?a. unknown"},
		{rule: "L23", resources: unenforced(""), ask: "1.2.3.4 > b tcp/80", want: "...??. unknown"},
		{rule: "L23", resources: unenforced("") + about("ports: [{port: 80}]"), ask: "a > b tcp/80", want: "...dd. denied"},
		{rule: "L23", resources: unenforced("") + about("ports: [{port: 80}]"), ask: "a > b tcp/81", want: "...??. unknown"},
		{rule: "L23", resources: "acp? blue/q: {target: {}, rules: []}", ask: "a > b tcp/80", want: "...??. unknown"},
	})
}
