package platform

import (
	"encoding/json"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"1.7": "1.7", "1.24": "1.24", "v1.24": "1.24", "v1.24.3": "1.24", "1.31.4-eks-1": "1.31", "1.29+": "1.29",
		"v1.27.3-gke.100": "1.27", "1.30.0-beta.0+abc": "1.30", "1.999": "1.999",
	} {
		if v, err := ParseVersion(text); err != nil || v.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, v, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "write 1.31", "1": "write 1.31", "1.": "write 1.31", "latest": "write 1.31", "2.0": "write 1.31", "0.9": "write 1.31",
		"1.+24": "write 1.31", "+1.24": "write 1.31", "1.-24": "write 1.31", "1.24 ": "write 1.31", " 1.24": "write 1.31", "vv1.24": "write 1.31",
		"1.1000": "write 1.31", "1.24.\x1b[31m": "write 1.31", "1.６": "write 1.31",
		"1.6": "1.6 is before 1.7", "1.0": "1.0 is before 1.7", "1.6.99": "1.6 is before 1.7",
	} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q was read as %s", text, v)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if s := (Version{}).String(); s != "" {
		t.Errorf("no version prints %q", s)
	}
}

// FuzzParseVersion: no panic, and what is read prints as the same version.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"1.24", "v1.31.4-eks-1", "1.29+", "1..", "1.9999999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if again, err := ParseVersion(v.String()); err != nil || again != v {
			t.Errorf("%q is %s, which is read as %s, %v", s, v, again, err)
		}
	})
}

// features are those of S25. The policy, namespaces and pod stand for what the feature is about.
var features = []struct {
	name   string
	last   string // the last version that does not have it
	since  string // the first that does
	policy string // a NetworkPolicySpec
	beside string // the nearest spec that the older version understands as well
	want   string // the older version's spec; empty: the policy is refused
	note   string
}{
	{
		name: "egress", last: "1.7", since: "1.8",
		policy: `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`,
		beside: `{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}`,
		want:   `{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}`,
		note:   "egress and policyTypes are not understood and dropped",
	},
	{
		name: "egress alone", last: "1.7", since: "1.8",
		policy: `{podSelector: {}, policyTypes: [Egress]}`,
		beside: `{podSelector: {}, policyTypes: [Ingress]}`,
		want:   `{podSelector: {}, policyTypes: [Ingress]}`,
		note:   "the policy isolates its pods for ingress",
	},
	{
		name: "rules that policyTypes leaves out come to life", last: "1.7", since: "1.8",
		policy: `{podSelector: {}, policyTypes: [Egress], ingress: [{}]}`,
		beside: `{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}`,
		want:   `{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}`,
		note:   "egress and policyTypes",
	},
	{
		name: "ipBlock", last: "1.7", since: "1.8",
		policy: `{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`,
		beside: `{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}`,
		note:   "rejects the policy (ipBlock is not understood",
	},
	{
		name: "both selectors", last: "1.10", since: "1.11",
		policy: `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}, namespaceSelector: {}}]}]}`,
		beside: `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}, {namespaceSelector: {}}]}]}`,
		note:   "a peer with both selectors",
	},
	{
		name: "SCTP on ingress", last: "1.18", since: "1.19",
		policy: `{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP}, {protocol: SCTP, port: 80}]}]}`,
		beside: `{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP}, {protocol: UDP, port: 80}, {port: 80}]}]}`,
		note:   "SCTP was behind a feature gate",
	},
	{
		name: "SCTP on egress", last: "1.18", since: "1.19",
		policy: `{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{protocol: SCTP}]}]}`,
		beside: `{podSelector: {}, policyTypes: [Egress], egress: [{}]}`,
		note:   "SCTP was behind a feature gate",
	},
	{
		name: "endPort", last: "1.21", since: "1.22",
		policy: `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{protocol: TCP, port: 8000, endPort: 8100}]}], egress: [{ports: [{protocol: UDP, port: 1, endPort: 9}]}]}`,
		beside: `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{protocol: TCP, port: 8000}]}], egress: [{}]}`,
		want:   `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{protocol: TCP, port: 8000}]}], egress: [{ports: [{protocol: UDP, port: 1}]}]}`,
		note:   "endPort is not understood and dropped",
	},
}

func spec(t *testing.T, text string) networkingv1.NetworkPolicySpec {
	t.Helper()
	var out networkingv1.NetworkPolicySpec
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func withPolicy(t *testing.T, text string) *cluster.Snapshot {
	np := &networkingv1.NetworkPolicy{Spec: spec(t, text)}
	np.Namespace, np.Name = "shop", "db"
	return &cluster.Snapshot{NetworkPolicies: []cluster.NetworkPolicy{{Origin: cluster.Origin{File: "db.yaml", Line: 3}, Object: np}}}
}

func asText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// apply runs Apply and sees that the input stays as it was.
func apply(t *testing.T, version string, s *cluster.Snapshot) (*cluster.Snapshot, []cluster.Note) {
	t.Helper()
	v, err := ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	before := asText(t, s)
	out, notes := v.Apply(s)
	if after := asText(t, s); after != before {
		t.Errorf("on %s Apply changed its input:\n%s\n%s", version, before, after)
	}
	return out, notes
}

func TestApplyToPolicies(t *testing.T) {
	for _, c := range features {
		out, notes := apply(t, c.last, withPolicy(t, c.policy))
		switch {
		case len(notes) != 1 || !strings.Contains(notes[0].Text, c.note):
			t.Errorf("%s on %s: notes %+v, want %q", c.name, c.last, notes, c.note)
		case !strings.HasPrefix(notes[0].Text, "Kubernetes "+c.last+": shop/db: ") || notes[0].Origin.String() != "db.yaml:3":
			t.Errorf("%s on %s: the note does not name version, policy and place: %+v", c.name, c.last, notes[0])
		}
		switch {
		case c.want == "" && len(out.NetworkPolicies) > 0:
			t.Errorf("%s on %s: the policy should be refused", c.name, c.last)
		case c.want != "" && (len(out.NetworkPolicies) != 1 || asText(t, out.NetworkPolicies[0].Object.Spec) != asText(t, spec(t, c.want))):
			t.Errorf("%s on %s: %s", c.name, c.last, asText(t, out.NetworkPolicies))
		}
		for version, text := range map[string]string{c.since: c.policy, c.last: c.beside} {
			out, notes := apply(t, version, withPolicy(t, text))
			if len(notes) > 0 || len(out.NetworkPolicies) != 1 || asText(t, out.NetworkPolicies[0].Object.Spec) != asText(t, spec(t, text)) {
				t.Errorf("%s on %s: %s should stay as it is: %s %+v", c.name, version, text, asText(t, out.NetworkPolicies), notes)
			}
		}
	}
}

// TestChanges: what Apply says of a policy, with the part that is meant.
func TestChanges(t *testing.T) {
	for _, c := range []struct{ version, policy, path, lacks string }{
		{"1.7", `{"podSelector": {}, "egress": [{}]}`, "spec.egress", "egress and policyTypes are not understood"},
		{"1.10", `{"podSelector": {}, "ingress": [{}, {"from": [{"podSelector": {}}, {"podSelector": {}, "namespaceSelector": {}}]}]}`, "spec.ingress[1].from[1]", "both selectors"},
		{"1.18", `{"podSelector": {}, "egress": [{"ports": [{"port": 1}, {"protocol": "SCTP"}]}]}`, "spec.egress[0].ports[1]", "SCTP"},
		{"1.21", `{"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}, {"ports": [{"port": 1, "endPort": 2}, {"port": 5, "endPort": 7}]}]}`, "spec.ingress[1].ports[0]", "endPort"},
		{"1.27", `{"podSelector": {}, "ingress": [{"ports": [{"port": 1, "endPort": 2}]}]}`, "", ""},
	} {
		v, err := ParseVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		s := withPolicy(t, c.policy)
		got := v.Changes(s)
		_, notes := v.Apply(s)
		if len(got) != len(notes) || len(got) > 1 || len(got) == 0 && c.path != "" {
			t.Fatalf("on %s: %+v and %+v", c.version, got, notes)
		}
		for _, g := range got {
			if g.Path != c.path || !strings.Contains(g.Lacks, c.lacks) || g.Then == "" || g.Policy.Name != "db" || g.Origin.String() != "db.yaml:3" {
				t.Errorf("on %s: %+v", c.version, g)
			}
		}
	}
}

// TestApplyTakesNothingElse: a refused policy takes no other with it, and versions that know
// everything give the Snapshot itself.
func TestApplyTakesNothingElse(t *testing.T) {
	s := withPolicy(t, features[4].policy)
	s.NetworkPolicies = append(s.NetworkPolicies, withPolicy(t, features[4].beside).NetworkPolicies...)
	s.ClusterPolicies = []cluster.ClusterPolicy{{Kind: "ClusterNetworkPolicy"}}
	s.Services = []cluster.Service{{Name: "db"}}
	out, notes := apply(t, "1.10", s)
	if len(out.NetworkPolicies) != 1 || len(notes) != 1 || len(out.ClusterPolicies) != 1 || len(out.Services) != 1 {
		t.Errorf("%+v %+v", out, notes)
	}
	for _, v := range []Version{{}, {1, 28}, {1, 33}} {
		if out, notes := v.Apply(s); out != s || notes != nil {
			t.Errorf("%q gives another Snapshot, or notes: %v", v, notes)
		}
	}
}

func TestApplyToNamespaces(t *testing.T) {
	name := func(n string) map[string]string { return map[string]string{cluster.MetadataNameLabel: n, "team": "x"} }
	s := &cluster.Snapshot{Namespaces: []cluster.Namespace{
		{Name: "auto", Labels: name("auto")},
		{Name: "absent", Labels: map[string]string{cluster.MetadataNameLabel: "absent"}, Assumed: true},
		{Name: "written", Labels: name("written"), NameLabelWritten: true},
	}}
	out, notes := apply(t, "1.20", s)
	for i, want := range []bool{false, false, true} {
		if _, has := out.Namespaces[i].Labels[cluster.MetadataNameLabel]; has != want {
			t.Errorf("1.20: namespace %s carries its name: %v, want %v", out.Namespaces[i].Name, has, want)
		}
	}
	if out.Namespaces[0].Labels["team"] != "x" || !out.Namespaces[1].Assumed {
		t.Errorf("1.20: more than the name label is gone: %+v", out.Namespaces)
	}
	if len(notes) != 1 || !strings.HasPrefix(notes[0].Text, "Kubernetes 1.20: 2 namespaces do not carry") {
		t.Errorf("1.20: %+v", notes)
	}
	out, notes = apply(t, "1.21", s)
	if asText(t, out.Namespaces) != asText(t, s.Namespaces) || notes != nil {
		t.Errorf("1.21: %+v %+v", out.Namespaces, notes)
	}
	if _, notes = apply(t, "1.20", &cluster.Snapshot{Namespaces: s.Namespaces[2:]}); notes != nil {
		t.Errorf("every label is written, and yet: %+v", notes)
	}
}

func TestApplyToPods(t *testing.T) {
	s := &cluster.Snapshot{Pods: []cluster.Pod{
		{Namespace: "shop", Name: "plain", Ports: []cluster.ContainerPort{{Name: "http", Proto: netset.TCP, Port: 80}}},
		{Origin: cluster.Origin{File: "pods.yaml", Line: 9}, Namespace: "shop", Name: "sidecar", Ports: []cluster.ContainerPort{
			{Name: "metrics", Proto: netset.TCP, Port: 9090, RestartableInit: true}, {Name: "http", Proto: netset.TCP, Port: 80}}},
	}}
	out, notes := apply(t, "1.27", s)
	if len(out.Pods[0].Ports) != 1 || len(out.Pods[1].Ports) != 1 || out.Pods[1].Ports[0].Name != "http" {
		t.Errorf("1.27: %+v", out.Pods)
	}
	if len(notes) != 1 || notes[0].Origin.String() != "pods.yaml:9" || !strings.Contains(notes[0].Text, "shop/pod/sidecar: init containers cannot keep running") {
		t.Errorf("1.27: %+v", notes)
	}
	if out, notes = apply(t, "1.28", s); len(out.Pods[1].Ports) != 2 || notes != nil {
		t.Errorf("1.28: %+v %+v", out.Pods, notes)
	}
}
