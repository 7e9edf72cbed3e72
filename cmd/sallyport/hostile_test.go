package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sallyport.dev/sallyport/internal/report"
)

// evil has one of everything that acts on a terminal or misleads a reader: an escape sequence, a
// carriage return, a line that looks like an answer, a bidirectional override, C1 control characters,
// an invisible character, a line separator, a byte order mark.
const evil = "a\x1b[2J\rb\nallowed  c\u202ed\u0085e\u009b31mf\u200bg\u2028h\ufeffi\x7fj\x00k\ttab"

// raw gives the first character that must not reach a terminal as it is, or "".
func raw(output string) string {
	for len(output) > 0 {
		r, size := utf8.DecodeRuneInString(output)
		bad := r == utf8.RuneError && size == 1 || r != '\n' && !unicode.IsPrint(r)
		if bad {
			return strconv.QuoteToASCII(output[:size])
		}
		output = output[size:]
	}
	return ""
}

// mustBeHarmless runs a command line and looks at all it prints. It gives the exit status.
func mustBeHarmless(t *testing.T, stdin string, args ...string) int {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(args, strings.NewReader(stdin), &stdout, &stderr)
	if c := raw(stdout.String()); c != "" {
		t.Errorf("%q: %s on stdout:\n%q", args, c, stdout.String())
	}
	if c := raw(stderr.String()); c != "" {
		t.Errorf("%q: %s on stderr:\n%q", args, c, stderr.String())
	}
	for _, line := range strings.Split(stdout.String()+stderr.String(), "\n") {
		if strings.HasPrefix(line, "allowed  c") {
			t.Errorf("%q: a name begins a line of its own: %q", args, line)
		}
	}
	if status == 1 && stdout.Len() > 0 {
		t.Errorf("%q: an error, and on stdout %q", args, stdout.String())
	}
	return status
}

// hostile holds objects whose every free text is evil. Names of objects are not: readers take DNS
// names only. Selectors are if the objects are said to come from a server: in files they are refused.
func hostile(t *testing.T, fromServer bool) string {
	t.Helper()
	type m = map[string]any
	meta := func(ns, name string) m {
		out := m{"name": name, "labels": m{"app": name, "tier": evil, evil: evil}, "annotations": m{evil: evil, "sallyport.dev/ignore": "no-such" + evil + " x\nselects-nothing " + evil + "\npeer-matches-nothing " + evil}}
		if ns != "" {
			out["namespace"] = ns
		}
		return out
	}
	spec := m{"nodeName": "n1", "serviceAccountName": evil, "containers": []m{{"name": evil, "image": evil,
		"ports": []m{{"name": evil, "containerPort": 80}, {"name": "web", "containerPort": 8080}}}}}
	tier, wanted := "tier", "front"
	if fromServer {
		tier, wanted = evil, evil+"!"
	}
	some := m{"matchLabels": m{tier: wanted}}
	nearly := m{"matchLabels": m{tier: wanted}, "matchExpressions": []m{{"key": tier, "operator": "In", "values": []string{wanted, "x" + wanted}}}}
	objects := []m{
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "Snapshot", "revision": evil},
		{"apiVersion": "v1", "kind": "Namespace", "metadata": meta("", "shop")},
		{"apiVersion": "v1", "kind": "Node", "metadata": meta("", "n1"), "status": m{"addresses": []m{{"type": "Hostname", "address": evil}, {"type": "InternalIP", "address": "192.168.0.1"}}}},
		{"apiVersion": "v1", "kind": "Pod", "metadata": meta("shop", "web"), "spec": spec, "status": m{"phase": "Running", "podIP": "10.1.0.1"}},
		{"apiVersion": "v1", "kind": "Pod", "metadata": meta("shop", "db"), "spec": spec, "status": m{"phase": "Running", "podIP": "10.1.0.2"}},
		{"apiVersion": "v1", "kind": "Service", "metadata": meta("shop", "web"), "spec": m{"type": "LoadBalancer", "selector": m{"app": "web"}, "ports": []m{{"name": evil, "port": 80, "targetPort": "web"}, {"name": "x", "port": 81, "targetPort": evil}, {"name": "y", "port": 82, "targetPort": "none"}}}},
		{"apiVersion": "v1", "kind": "Service", "metadata": meta("shop", "alias"), "spec": m{"type": "ExternalName", "externalName": evil}},
		{"apiVersion": "v1", "kind": "Service", "metadata": meta("shop", "nobody"), "spec": m{"selector": m{evil: evil}, "ports": []m{{"port": 80}}}},
		{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta("shop", "in"), "spec": m{"ingressClassName": evil, "rules": []m{{"host": evil, "http": m{"paths": []m{{"path": evil, "backend": m{"service": m{"name": "web", "port": m{"number": 80}}}}, {"path": evil, "backend": m{"service": m{"name": evil, "port": m{"name": evil}}}}}}}}}},
		{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta("shop", "route"), "spec": m{"hostnames": []string{evil}, "parentRefs": []m{{"name": evil}, {"name": evil, "namespace": evil, "kind": evil}}, "rules": []m{{"backendRefs": []m{{"name": "web", "port": 80}, {"name": evil, "namespace": evil, "port": 1}}}}}},
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("shop", "web"), "spec": m{"podSelector": m{"matchLabels": m{"app": "web"}}, "ingress": []m{{"from": []m{{"podSelector": nearly, "namespaceSelector": nearly}}, "ports": []m{{"port": "web"}}}}}},
		{"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": meta("", "cluster"), "spec": m{"tier": "Baseline", "priority": 5, "subject": m{"namespaces": m{}},
			"egress": []m{{"name": evil, "action": "Accept", "to": []m{{"domainNames": []string{"*.example.com"}}}}, {"name": evil, "action": "Deny", "to": []m{{"nodes": some}, {"networks": []string{"203.0.113.0/24"}}}}}}},
		{"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy", "metadata": meta("shop", "calico"), "spec": m{"selector": evil, "types": []string{"Ingress", evil}}},
		{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": meta("", "hook"), "webhooks": []m{{"name": evil, "clientConfig": m{"service": m{"name": "web", "namespace": "shop", "port": 80, "path": evil}}}, {"clientConfig": m{"service": m{"name": evil, "namespace": evil}}}}},
		{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("shop", "binding"), "roleRef": m{"name": evil}, "subjects": []m{{"kind": "ServiceAccount", "name": evil, "namespace": "shop"}, {"kind": evil, "name": evil}}},
		{"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": meta("shop", "monitor"), "spec": m{"selector": m{"matchLabels": m{tier: evil}}, "namespaceSelector": m{"matchNames": []string{evil, "shop"}}, "endpoints": []m{{"port": evil}, {"targetPort": evil}}}},
		{"apiVersion": evil, "kind": evil, "metadata": m{"name": evil}},
	}
	if !fromServer {
		objects = objects[1:]
	}
	return documents(t, objects)
}

// documents writes objects one after the other.
func documents(t *testing.T, objects []map[string]any) string {
	t.Helper()
	var out bytes.Buffer
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(data, '\n'))
	}
	return out.String()
}

// mustAnswer is mustBeHarmless for a question that has an answer.
func mustAnswer(t *testing.T, stdin string, args ...string) {
	t.Helper()
	if mustBeHarmless(t, stdin, args...) == 1 {
		var stderr bytes.Buffer
		run(args, strings.NewReader(stdin), io.Discard, &stderr)
		t.Errorf("%q is not answered: %s", args, stderr.String())
	}
}

// hostileLayers holds objects of Sallyport's own kinds, whose every free text is evil as far as their kind allows in a
// file; from a server nothing in them need be valid.
func hostileLayers(t *testing.T, fromServer bool) string {
	t.Helper()
	type m = map[string]any
	azure := func(client string) m { return m{"clientID": client, "resources": []string{evil, "r"}} }
	subnet, client, id, dns, wanted := "/subscriptions/"+evil, "11111111-1111-1111-1111-111111111111", "spiffe://cluster.local/ns/shop/sa/x", "db.example", "front"
	cidrs, first, nodes := []string{"203.0.113.0/24"}, "198.51.100.1", m{"pool": "a"}
	account, gone := "web", "nothing"
	if fromServer {
		nodes, account, gone = m{evil: evil}, evil, evil
	}
	objects := []m{
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "WorkloadIdentity", "metadata": m{"namespace": "shop", "name": "web"}, "spec": m{"serviceAccountName": account, "jwt": m{"audiences": []string{evil}}, "externalIdentities": []m{{"azure": azure(client)}}}},
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "AccessPolicy", "metadata": m{"namespace": "shop", "name": "web"}, "spec": m{"target": m{"pods": m{"podSelector": m{"matchLabels": m{"app": "web"}}, "ports": []m{{"port": "web"}}}}, "enforcedBy": "Gate", "project": m{"network": true},
			"rules": []m{{"action": "Allow", "from": []m{{"serviceAccount": m{"name": account}}, {"spiffeIDPrefix": "spiffe://other"}}}}}},
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "AccessPolicy", "metadata": m{"namespace": "shop", "name": "gone"}, "spec": m{"target": m{"externalService": m{"name": gone}}, "mode": "Audit", "rules": []m{}}},
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "AccessPolicy", "metadata": m{"namespace": "shop", "name": "out"}, "spec": m{"target": m{"externalService": m{"name": "out"}}, "project": m{"network": true}, "rules": []m{{"action": "Deny", "from": []m{{"serviceAccount": m{"name": account}}}}}}},
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "ExternalService", "metadata": m{"namespace": "shop", "name": "out"}, "spec": m{"names": []string{dns}, "cidrs": cidrs, "ports": []m{{"port": 443}},
			"firewall":       m{"ipRules": []m{{"name": evil, "first": first, "last": "198.51.100.9"}}, "subnetRules": []m{{"name": evil, "subnet": subnet}}, "privateEndpoints": []m{{"name": evil, "address": "192.168.7.7"}}},
			"authentication": m{"mode": "IdentityOnly", "resource": evil, "admitted": []m{{"azure": m{"clientID": client}}, {"spiffeID": id}}},
			"sources":        []m{{"nodeSelector": nodes, "subnet": subnet}, {"addresses": []string{"198.51.100.0/24"}}}}},
		{"apiVersion": "sallyport.dev/v1alpha1", "kind": "ClusterExternalService", "metadata": m{"name": "all"}, "spec": m{"names": []string{"a.example"}, "ports": []m{{"port": 25}}, "authentication": m{"mode": "IdentityOrPassword"}}},
	}
	if fromServer {
		broken := []m{
			{"apiVersion": "sallyport.dev/v1alpha1", "kind": "WorkloadIdentity", "metadata": m{"namespace": "shop", "name": "broken"}, "spec": m{"serviceAccountName": []string{evil}, evil: evil, "externalIdentities": []m{{"azure": azure(evil)}}, "x509": m{"dnsNames": []string{evil}}, "podSelector": m{"matchLabels": m{evil: wanted + evil}}}},
			{"apiVersion": "sallyport.dev/v1alpha1", "kind": "AccessPolicy", "metadata": m{"namespace": "shop", "name": "broken"}, "spec": m{"target": evil, "mode": evil, "enforcedBy": evil, "rules": []m{{"action": evil, "from": []m{{"spiffeID": evil}, {"spiffeIDPrefix": evil}}}}}},
			{"apiVersion": "sallyport.dev/v1alpha1", "kind": "ExternalService", "metadata": m{"namespace": "shop", "name": "broken"}, "spec": m{"names": []string{evil}, "cidrs": []string{evil}, "ports": []m{{"port": 443, "protocol": evil}}, evil: evil,
				"firewall": m{"publicNetworkAccess": evil, "ipRules": []m{{"first": evil, "last": evil}}, "privateEndpoints": []m{{"address": evil}}}, "authentication": m{"mode": evil, "admitted": []m{{"spiffeID": evil}, {"azure": m{"clientID": evil, "tenantID": evil}}}},
				"sources": []m{{"addresses": []string{evil}}, {"subnet": evil}}}},
		}
		objects = append(objects, broken...)
	}
	return documents(t, objects)
}

// TestHostileLayers asks everything once more where every layer speaks, and about the objects that make them.
func TestHostileLayers(t *testing.T) {
	for name, fromServer := range map[string]bool{"file": false, "server": true} {
		t.Run(name, func(t *testing.T) {
			input := hostile(t, fromServer) + hostileLayers(t, fromServer)
			askEverything(t, input)
			for _, q := range [][]string{
				{"explain", "shop/wid/web"}, {"explain", "shop/acp/web"}, {"explain", "shop/acp/gone"}, {"explain", "shop/acp/out"}, {"explain", "shop/xsvc/out"}, {"explain", "cxsvc/all"},
				{"explain", "shop/web"}, {"check", "shop/web", "shop/xsvc/out:443"}, {"check", "shop/web", "shop/xsvc/out"}, {"check", "shop/web", "cxsvc/all:25"}, {"check", "shop/web", "203.0.113.9:443"},
				{"check", "shop/db", "shop/web:8080"}, {"check", "node/n1", "shop/xsvc/out"}, {"check", "external", "shop/web:8080"},
				{"who-can", "shop/web:8080"}, {"who-can", "shop/xsvc/out"}, {"who-can", "cxsvc/all"}, {"who-can", "--from", "shop/db", "--transitive"},
				{"diff", "--delete", "shop/wid/web"}, {"diff", "--delete", "shop/acp/web"}, {"diff", "--delete", "shop/acp/out"}, {"diff", "--delete", "shop/xsvc/out"},
			} {
				forms := [][]string{nil, {"-o", "json"}, {"--trust-domain", "other"}}
				if q[0] == "diff" {
					forms = append(forms, []string{"-o", "md"})
				}
				for _, form := range forms {
					mustAnswer(t, input, append(asked(q, "-"), form...)...)
				}
			}
			for _, form := range slices.Concat(reachForms, [][]string{{"-o", "mermaid"}, {"-o", "matrix", "--external"}}) {
				for _, end := range []string{"shop/xsvc/out", "cxsvc/all"} {
					mustAnswer(t, input, append([]string{"reach", "-f", "-", end}, form...)...)
				}
			}
			if !fromServer {
				return
			}
			for _, name := range []string{"shop/wid/broken", "shop/acp/broken", "shop/xsvc/broken"} {
				for _, form := range [][]string{nil, {"-o", "json"}} {
					mustAnswer(t, input, append([]string{"explain", "-f", "-", name}, form...)...)
				}
			}
		})
	}
}

// questions are asked in every form of output.
var questions = [][]string{
	{"check", "shop/db", "shop/web:8080"}, {"check", "shop/db", "shop/web:web"}, {"check", "shop/db", "shop/web:nope"},
	{"check", "shop/web", "shop/db"}, {"check", "shop/web", "203.0.113.9:443"}, {"check", "shop/web", "external:443"},
	{"check", "shop/db", "shop/svc/web:80"}, {"check", "shop/db", "shop/svc/web"}, {"check", "shop/db", "shop/svc/web:82"}, {"check", "shop/db", "shop/svc/web:9"},
	{"check", "shop/db", "shop/svc/alias"}, {"check", "shop/db", "shop/svc/nobody"}, {"check", "external", "shop/svc/web:80"},
	{"check", "shop/db", "shop/ing/in"}, {"check", "shop/db", "shop/httproute/route"}, {"check", "shop/db", "shop/gateway/gw"}, {"check", "external", "shop/ing/in"},
	{"check", "node/n1", "shop/web:8080"}, {"check", "192.168.0.1", "10.1.0.1:8080"}, {"check", "10.1.0.0/24", "10.1.0.0/24:8080"},
	{"who-can", "shop/web:8080"}, {"who-can", "shop/svc/web"}, {"who-can", "203.0.113.9:443"}, {"who-can", "--from", "shop/db", "--transitive"},
	{"who-can", "--from", "shop/db", "--transitive", "shop/web"}, {"who-can", "shop/svc/nobody"},
	{"explain", "shop/web"}, {"explain", "shop/db"}, {"explain", "shop/netpol/web"}, {"explain", "cnp/cluster"}, {"explain", "shop/netpol/nope"}, {"explain", "cnp/nope"},
	{"snapshot"},
	{"diff", "--delete", "shop/netpol/web"}, {"diff", "--delete", "shop/db"}, {"diff", "--delete", "namespace/shop"}, {"diff", "--delete", "shop/nope"},
	{"reach"}, {"reach", "shop/db"}, {"reach", "shop/nope"}, {"reach", "shop/svc/web"},
	{"lint"},
}

// lintForms are the forms of output of lint.
var lintForms = [][]string{nil, {"-o", "json"}, {"-o", "sarif"}, {"-o", "junit"}, {"--strict", "--plugin", "cilium"}, {"--kube-version", "1.10", "--plugin", "azure-npm"}, {"--plugin", "none", "--fail-on", "never"}}

// reachForms are the forms of output that TestHostileOwners looks at too.
var reachForms = [][]string{nil, {"-o", "json", "--all"}, {"-o", "csv"}, {"-o", "md", "--external"}, {"-o", "matrix"}, {"--by", "namespace", "--plugin", "none"}, {"--to-port", "80", "--strict", "-o", "md"}}

// TestHostileOwners: ownerReferences are checked by nobody. An owner that no object can be counts as none, so
// that no pod can print like another workload.
func TestHostileOwners(t *testing.T) {
	pod := func(name, kind, owner string) string {
		data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": "shop", "name": name,
			"ownerReferences": []any{map[string]any{"apiVersion": "x/v1", "kind": kind, "name": owner, "controller": true, "uid": "u"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data) + "\n"
	}
	input := pod("a", evil, evil) + pod("b", "Deployment", "web/../x") + pod("c", "deployment/db", "c") + pod("d", "Deployment", "web")
	for _, form := range reachForms {
		args := append([]string{"reach", "-f", "-"}, form...)
		if status := mustBeHarmless(t, input, args...); status != 0 {
			t.Errorf("%v: status %d", args, status)
		}
	}
	var stdout, stderr bytes.Buffer
	run([]string{"reach", "-f", "-", "-o", "json"}, strings.NewReader(input), &stdout, &stderr)
	var d reachDocument
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	var from []string
	for _, c := range d.Connections {
		from = append(from, c.From)
	}
	slices.Sort(from)
	if want := []string{"shop/deployment/web", "shop/pod/a", "shop/pod/b", "shop/pod/c"}; !slices.Equal(slices.Compact(from), want) {
		t.Errorf("the workloads are %q, want %q", from, want)
	}
}

func TestHostileObjects(t *testing.T) {
	for name, fromServer := range map[string]bool{"file": false, "server": true} {
		t.Run(name, func(t *testing.T) { askEverything(t, hostile(t, fromServer)) })
	}
}

// asked makes a command line of a question about an input.
func asked(q []string, input string) []string {
	if q[0] == "diff" {
		return append([]string{q[0], input}, q[1:]...)
	}
	return append([]string{q[0], "-f", input}, q[1:]...)
}

func askEverything(t *testing.T, input string) {
	answered := 0
	for _, q := range questions {
		forms := [][]string{nil, {"-o", "json"}}
		switch q[0] {
		case "check":
			forms = [][]string{nil, {"--trace", "--suggest"}, {"--trace", "--suggest", "-o", "json"}, {"--strict", "--plugin", "cilium"}, {"--kube-version", "1.20"}, {"--plugin", "none", "-o", "json"}}
		case "snapshot":
			forms = [][]string{nil}
		case "diff":
			forms = [][]string{nil, {"-o", "json"}, {"-o", "md"}, {"-o", "md", "--strict", "--plugin", "none"}}
		case "reach":
			forms = reachForms
		case "lint":
			forms = lintForms
		}
		for _, form := range forms {
			args := append(asked(q, "-"), form...)
			if mustBeHarmless(t, input, args...) != 1 {
				answered++
			}
		}
	}
	if answered < 60 {
		t.Errorf("only %d answers: the objects were not read", answered)
	}
}

// TestHostileNames: what is no name never was an object, and the message about it is harmless.
func TestHostileNames(t *testing.T) {
	for _, object := range []map[string]any{
		{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": evil}},
		{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "namespace": evil}},
		{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"clusterIP": evil, "ports": []any{map[string]any{"protocol": evil}}}},
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{evil: evil}},
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"podSelector": evil}},
		{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{"a": evil}}, "ingress": []any{map[string]any{"from": []any{map[string]any{"ipBlock": map[string]any{"cidr": evil}}}}}}},
	} {
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range [][]string{{"check", "a/b", "a/c"}, {"explain", "a/b"}, {"snapshot"}, {"reach"}, {"reach", "a/b"}, {"who-can", "a/b"}, {"lint"}} {
			for _, skip := range []bool{false, true} {
				args := append([]string{verb[0], "-f", "-"}, verb[1:]...)
				if skip && verb[0] != "snapshot" {
					args = append(args, "--skip-unreadable")
				}
				mustBeHarmless(t, string(data), args...)
			}
		}
	}
	for _, text := range []string{"# sallyport:ignore \u202ex \u2066y\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "{" + evil, "a: " + evil + "\n- b", "kind: \xff\xfe", "\x1b]0;title\a"} {
		mustBeHarmless(t, text, "check", "-f", "-", "a/b", "a/c")
		mustBeHarmless(t, text, "check", "-f", "-", "--aks", "/dev/stdin", "a/b", "a/c")
		mustBeHarmless(t, text, "lint", "-f", "-")
	}
}

// TestHostileArguments puts evil text wherever a command line has room for text.
func TestHostileArguments(t *testing.T) {
	input := hostile(t, false)
	for _, e := range []string{evil, "x\xffy", "\u202e", "a\nsallyport: allowed"} {
		for _, args := range [][]string{
			{e}, {"help", e}, {"completion", e}, {"--" + e}, {"-" + e}, {"check", "--" + e}, {"check", "-" + e}, {"explain", "--" + e},
			{"check", "-f", e, "a/b", "a/c"}, {"check", "-k", e, "a/b", "a/c"}, {"check", "-f", "-", "-o", e, "a/b", "a/c"},
			{"check", "-f", "-", "-n", e, "pod/b", "a/c"}, {"check", "-f", "-", "--pod-cidr", e, "a/b", "a/c"}, {"check", "-f", "-", "--plugin", e, "a/b", "a/c"},
			{"check", "-f", "-", "--plugin", "cilium@" + e, "a/b", "a/c"}, {"check", "-f", "-", "--kube-version", e, "a/b", "a/c"}, {"check", "-f", "-", "--aks", e, "a/b", "a/c"},
			{"check", "-f", "-", "--strict=" + e, "a/b", "a/c"},
			{"check", "-f", "-", e, "shop/web"}, {"check", "-f", "-", "shop/web", e}, {"check", "-f", "-", "shop/" + e, "shop/web"}, {"check", "-f", "-", e + "/web", "shop/web"},
			{"check", "-f", "-", "shop/" + e + "/web", "shop/web"}, {"check", "-f", "-", "shop/pod/" + e, "shop/web"}, {"check", "-f", "-", "node/" + e, "shop/web"},
			{"check", "-f", "-", "shop/web@" + e, "shop/db"}, {"check", "-f", "-", "fe80::1%" + e, "shop/db"}, {"check", "-f", "-", "shop/db", "[" + e},
			{"check", "-f", "-", "shop/db", "shop/web:" + e}, {"check", "-f", "-", "shop/db", "shop/web:80/" + e}, {"check", "-f", "-", "shop/db", "shop/svc/" + e + ":80"},
			{"who-can", "-f", "-", "shop/" + e}, {"who-can", "-f", "-", "shop/db:" + e}, {"who-can", "-f", "-", "--transitive", "--from", e}, {"who-can", "-f", "-", "-o", e, "shop/db"},
			{"check", "-f", "-", "shop/db", "shop/ing/" + e}, {"check", "-f", "-", "shop/db", "shop/gateway/" + e},
			{"explain", "-f", "-", e}, {"explain", "-f", "-", "netpol/" + e}, {"explain", "-f", "-", e + "/netpol/a"}, {"explain", "-f", "-", "cnp/" + e}, {"explain", "-f", "-", "shop/web:" + e},
			{"reach", "-f", "-", e}, {"reach", "-f", "-", "shop/" + e}, {"reach", "-f", "-", "shop/web@" + e}, {"reach", "-f", "-", "-o", e}, {"reach", "-f", "-", "--by", e},
			{"reach", "-f", "-", "--direction", e, "shop/web"}, {"reach", "-f", "-", "--to-port", e}, {"reach", "-f", "-", "--to-port", "80/" + e}, {"reach", "--" + e},
			{"diff", e, "-"}, {"diff", "-", e}, {"diff", "-", "-f", e}, {"diff", "-", "-k", e}, {"diff", "-", "--delete", e}, {"diff", "-", "--delete", "ns/" + e}, {"diff", "-", "--delete", "shop/netpol/" + e},
			{"lint", e}, {"lint", "-f", e}, {"lint", "-f", "-", "-o", e}, {"lint", "-f", "-", "--fail-on", e}, {"lint", "-f", "-", "--plugin", e},
			{"test", e}, {"test", "--init", "-f", e}, {"test", e, "-o", e}, {"test", "testdata/expect.test.yaml", "-f", e},
			{"snapshot", e}, {"snapshot", "-f", e}, {"snapshot", "-f", "-", "--plugin", e},
		} {
			if status := mustBeHarmless(t, input, args...); status != 1 && args[0] != "completion" && !strings.HasPrefix(args[len(args)-1], "shop/gateway/") {
				t.Errorf("%q: status %d", args, status)
			}
		}
	}
}

// TestHostileTests puts evil text wherever a file of tests has room for text; what is refused is harmless, and
// so is what fails.
func TestHostileTests(t *testing.T) {
	dir := t.TempDir()
	quoted := strconv.QuoteToASCII(strings.ToValidUTF8(evil, "?"))
	quoted = strings.NewReplacer(`\x00`, `\0`).Replace(quoted)
	head := "apiVersion: sallyport.dev/v1alpha1\nkind: PolicyTest\ninput: hostile.json\n"
	if err := os.WriteFile(filepath.Join(dir, "hostile.json"), []byte(hostile(t, false)), 0o644); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for i, text := range []string{
		head + "tests: [{name: " + quoted + ", deny: {from: '*/*', to: '*/*'}}, {name: " + quoted + ", only: {from: '*/*', to: '*/*'}}]",
		head + "tests: [{deny: {from: {namespace: shop, pods: " + quoted + "}, to: shop/web}}]",
		head + "tests: [{deny: {from: " + quoted + ", to: " + quoted + "}}]",
		head + "tests: [{deny: {from: shop/db, to: {namespaces: " + quoted + "}}}]",
		head + "tests: [{deny: {from: shop/db, to: {namespace: " + quoted + ", port: " + quoted + "}}}]",
		head + "tests: [{" + quoted + ": x}]",
		head + quoted + ": x",
		strings.Replace(head, "hostile.json", quoted, 1) + "tests: [{deny: {from: a/b, to: a/c}}]",
		"kind: PolicyTest\napiVersion: " + quoted,
		head + "tests: &a [*a]", head + "tests: [{deny: &d {from: *d, to: *d}}]", "\x1b]0;title\a", "{", "\xff\xfe",
	} {
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, format := range report.TestFormats {
			if mustBeHarmless(t, "", "test", file, "-o", format) != 1 {
				ran++
			}
		}
	}
	if ran != len(report.TestFormats) {
		t.Errorf("%d files ran", ran)
	}
	mustBeHarmless(t, hostile(t, true), "test", "--init", "-f", "-")
}

// TestHostileFileNames reads hostile objects from files whose names are hostile too.
func TestHostileFileNames(t *testing.T) {
	dir := t.TempDir()
	name := strings.NewReplacer("/", "", "\x00", "").Replace(evil) + "\xff"
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Skip("this file system takes no such names: ", err)
	}
	write := func(base, text string) {
		if err := os.WriteFile(filepath.Join(folder, base), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(name+".json", hostile(t, false))
	for _, q := range questions {
		for _, form := range [][]string{nil, {"-o", "json"}} {
			if q[0] == "snapshot" {
				form = nil
			}
			mustBeHarmless(t, "", append(asked(q, dir), form...)...)
		}
	}
	write("broken"+name+".yaml", "{")
	write("kustomization.yaml", "resources: [\"\\e[31m\"]")
	write("aks.json", `{"name": `+strconv.Quote("\u202e")+`, "networkProfile": {"networkPolicy": "none", "networkPlugin": "\u001b[31m"}, "agentPoolProfiles": [{"name": "\u001b", "osType": "windows"}]}`)
	mustBeHarmless(t, "", "check", "-f", dir, "shop/web", "shop/db:80")
	mustBeHarmless(t, "", "check", "-f", dir, "--skip-unreadable", "shop/web", "shop/db:80")
	mustBeHarmless(t, "", "check", "-f", dir, "--skip-unreadable", "-o", "json", "shop/web", "shop/db:80")
	mustBeHarmless(t, "", "check", "-k", folder, "shop/web", "shop/db:80")
	mustBeHarmless(t, "", "check", "-f", filepath.Join(folder, name+".json"), "--aks", filepath.Join(folder, "aks.json"), "shop/web", "shop/db:80")
	mustBeHarmless(t, "", "check", "-f", filepath.Join(folder, name+".json"), "--aks", folder, "shop/web", "shop/db:80")
	empty := filepath.Join(folder, name)
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	mustBeHarmless(t, "", "check", "-f", empty, "shop/web", "shop/db:80")
}
