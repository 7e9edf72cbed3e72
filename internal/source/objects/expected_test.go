package objects

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/internal/cluster"
)

// expectations are objects that say which connections somebody counts on, and some that say nothing.
const expectations = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: checks, annotations: {note: hunter2}}
webhooks:
- {name: a.example.com, clientConfig: {caBundle: aHVudGVyMg==, service: {namespace: hooks, name: hook, path: /hunter2}}}
- {name: b.example.com, clientConfig: {service: {namespace: hooks, name: hook, port: 443}}}
- {name: c.example.com, clientConfig: {service: {namespace: hooks, name: hook, port: 8443}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: elsewhere}
webhooks: [{name: a.example.com, clientConfig: {url: "https://hunter2.example.com"}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.apps}
spec: {group: apps, version: v1}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics.example.com}
spec: {service: {namespace: monitoring, name: adapter, port: 6443}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: plains.example.com}
spec: {conversion: {strategy: None}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {service: {namespace: hooks, name: converter}}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:hunter2:people"}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: User, name: hunter2}, {kind: Group, name: hunter2}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: "operator:leader", namespace: ops}
roleRef: {kind: Role, name: leader}
subjects: [{kind: ServiceAccount, name: operator}, {kind: ServiceAccount, name: other, namespace: tools}, {kind: User, name: hunter2}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: again}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: operator, namespace: ops}]
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: db, namespace: monitoring}
spec:
  selector: {matchLabels: {app: db}}
  namespaceSelector: {matchNames: [shop, data]}
  endpoints: [{port: metrics, basicAuth: {password: {name: hunter2, key: k}}}, {targetPort: 9188}, {targetPort: second}, {targetPort: 70000}]
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: all, namespace: monitoring}
spec: {selector: {}, namespaceSelector: {any: true}, podMetricsEndpoints: [{port: metrics}, {portNumber: 9000}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: silent, namespace: ops}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: ops, annotations: {prometheus.io/scrape: "true", prometheus.io/port: "9102", prometheus.io/path: /hunter2}}
spec: {serviceAccountName: silent}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: ops, annotations: {prometheus.io/scrape: "true", prometheus.io/port: "hunter2"}}
spec: {serviceAccountName: silent, automountServiceAccountToken: true}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: ops, annotations: {prometheus.io/scrape: "hunter2", prometheus.io/port: "1"}}
spec: {automountServiceAccountToken: false}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ops, annotations: {prometheus.io/scrape: "true"}}
spec:
  template:
    metadata: {annotations: {prometheus.io/scrape: "true", prometheus.io/port: "70000", note: hunter2}}
    spec:
      containers:
      - name: hunter2
        ports: [{name: http, containerPort: 8080}]
        livenessProbe: {periodSeconds: 5, httpGet: {path: /hunter2, port: http, httpHeaders: [{name: a, value: hunter2}]}}
        readinessProbe: {tcpSocket: {port: 8080}}
        startupProbe: {grpc: {port: 9090, service: hunter2}}
      - livenessProbe: {httpGet: {port: http}} # another container's name
        readinessProbe: {httpGet: {host: hunter2.example.com, port: 1}}
        startupProbe: {exec: {command: [hunter2]}}
      - livenessProbe: {tcpSocket: {port: "7000"}}
        readinessProbe: {tcpSocket: {port: 70000}}
        startupProbe: {httpGet: {port: hunter2}}
      initContainers:
      - {restartPolicy: Always, startupProbe: {httpGet: {port: 15021}}}
      - {livenessProbe: {httpGet: {port: 2}}} # it runs once
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: ops, labels: {app: db}}
spec: {ports: [{port: 80}]}
`

// expected writes what of a Snapshot connections are counted on by.
func expected(s *cluster.Snapshot) string {
	var out strings.Builder
	for _, c := range s.Callbacks {
		fmt.Fprintf(&out, "%s %s calls %v\n", c.Kind, c.Name, c.Backends)
	}
	for _, a := range s.Granted {
		fmt.Fprintf(&out, "granted %s/%s\n", a.Namespace, a.Name)
	}
	for _, m := range s.Monitors {
		fmt.Fprintf(&out, "%s %s/%s of %v %v in %v %v: %v\n", m.Kind, m.Namespace, m.Name, m.Selector.MatchLabels, m.Selector.MatchExpressions, m.EveryNamespace, m.Namespaces, m.Ports)
	}
	for _, p := range s.Pods {
		fmt.Fprintf(&out, "pod %s: no token %v, scraped %v %d, probed %v\n", p.Name, p.NoToken, p.Scraped, p.ScrapePort, p.Probed)
	}
	for _, v := range s.Services {
		fmt.Fprintf(&out, "service %s %v\n", v.Name, v.Labels)
	}
	for _, n := range s.Namespaces {
		fmt.Fprintf(&out, "namespace %s\n", n.Name)
	}
	return out.String()
}

// TestExpected reads what lint wants to know of connections, saves it, and reads it again.
func TestExpected(t *testing.T) {
	const want = `ValidatingWebhookConfiguration checks calls [{hooks hook 443 } {hooks hook 8443 }]
CustomResourceDefinition things.example.com calls [{hooks converter 443 }]
APIService v1.metrics.example.com calls [{monitoring adapter 6443 }]
granted ops/operator
granted tools/other
PodMonitor monitoring/all of map[] [] in true [monitoring]: [{metrics 0 } { 9000 }]
ServiceMonitor monitoring/db of map[app:db] [] in false [data shop]: [{metrics 0 } { 9188 } { 0 second} { 0 }]
pod d: no token false, scraped true 0, probed [7000 8080 9090 15021]
pod a: no token true, scraped true 9102, probed []
pod b: no token false, scraped true 0, probed []
pod c: no token true, scraped false 0, probed []
service db map[app:db]
namespace monitoring
namespace ops
`
	b := NewBuilder(Options{})
	for _, d := range docs(t, expectations) {
		b.Add(d)
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	got := expected(s)
	lines := func(text string) map[string]bool {
		out := map[string]bool{}
		for line := range strings.Lines(text) {
			out[line] = true
		}
		return out
	}
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, got)
	}
	var saved bytes.Buffer
	if err := b.WriteSnapshot(&saved, s); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(saved.String(), "hunter2") || strings.Contains(saved.String(), "plains") || strings.Contains(saved.String(), "v1.apps") {
		t.Errorf("too much is saved:\n%s", saved.String())
	}
	if n := strings.Count(saved.String(), "Probe:"); n != 4 {
		t.Errorf("%d probes are saved, not one for each port:\n%s", n, saved.String())
	}
	again := expected(mustBuild(t, docs(t, saved.String())))
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("not the same after saving and reading (-want +got):\n%s", diff)
	}
}

// TestExpectedProblems: what cannot be what it says is an error with its place, as everywhere.
func TestExpectedProblems(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"port of a webhook", "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: a}\nspec: {service: {namespace: x, name: s, port: 0}}", "service.port 0 is not between 1 and 65535"},
		{"subjects of a binding", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nsubjects: x", "subjects needs a list"},
		{"name of a binding", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a/b}\nsubjects: [{kind: ServiceAccount, name: x}]", "may not contain '/'"},
		{"probe", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{livenessProbe: {tcpSocket: {port: [1]}}}]}", "livenessProbe.tcpSocket.port"},
		{"selector of a monitor", "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: a}\nspec: {selector: []}", "spec.selector needs a map"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := buildAll(Options{}, docs(t, c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %s", err, c.want)
			}
		})
	}
}
