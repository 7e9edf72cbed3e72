package objects

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"net/netip"

	"sallyport.dev/sallyport/internal/cluster"
)

// docs turns YAML documents into Docs; the origin's line is the document's number.
func docs(t testing.TB, text string) []Doc {
	t.Helper()
	var out []Doc
	for i, part := range strings.Split(text, "\n---\n") {
		data, err := yaml.YAMLToJSON([]byte(part))
		if err != nil {
			t.Fatalf("document %d: %v\n%s", i+1, err, part)
		}
		out = append(out, Doc{JSON: data, Origin: cluster.Origin{File: "f.yaml", Line: i + 1}})
	}
	return out
}

func fromServer(list []Doc) []Doc {
	for i := range list {
		list[i].FromServer = true
	}
	return list
}

func buildAll(o Options, list []Doc) (*cluster.Snapshot, error) {
	b := NewBuilder(o)
	for _, d := range list {
		b.Add(d)
	}
	return b.Build()
}

func mustBuild(t testing.TB, list []Doc) *cluster.Snapshot {
	t.Helper()
	s, err := buildAll(Options{}, list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var compareSnapshots = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// withoutOrigins leaves out where things came from.
var withoutOrigins = append(cmp.Options{cmpopts.IgnoreTypes(cluster.Origin{})}, compareSnapshots...)

// world has an object of every kind that is read.
const world = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {kubernetes.io/os: windows}, annotations: {secret: hunter2}}
spec: {podCIDRs: [10.244.1.7/24, "fd00:1::/64"]}
status:
  addresses:
  - {type: ExternalIP, address: 203.0.113.9}
  - {type: InternalIP, address: 10.0.0.1}
  - {type: Hostname, address: n1}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2, sallyport.dev/note: kept}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}, annotations: {token: hunter2}}
    spec:
      nodeSelector: {kubernetes.io/os: windows, disk: hunter2}
      containers:
      - name: main
        image: registry/hunter2
        args: [--password=hunter2]
        command: [hunter2]
        env: [{name: PASSWORD, value: hunter2}]
        ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]
      initContainers:
      - {name: once, ports: [{name: once, containerPort: 1}]}
      - {name: side, restartPolicy: Always, ports: [{name: side, containerPort: 15090}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: api-5d4
  namespace: shop
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: api, controller: true}]
spec: {template: {metadata: {labels: {app: api}}, spec: {containers: []}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec: {template: {metadata: {labels: {app: api}}, spec: {}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: api-5d4-x
  namespace: shop
  labels: {app: api, pod-template-hash: 5d4}
  deletionTimestamp: "2024-01-01T00:00:00Z"
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: api-5d4, controller: true, uid: u}]
  managedFields: [{manager: hunter2}]
spec:
  nodeName: n1
  serviceAccountName: robot
  containers: [{name: c, env: [{name: A, value: hunter2}], ports: [{name: http, containerPort: 80}]}]
  volumes: [{name: v, secret: {secretName: hunter2}}]
status: {phase: Running, podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}, {ip: "fd00:1::5"}], hostIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: proxy, namespace: kube-system, ownerReferences: [{apiVersion: v1, kind: Node, name: n2, controller: true}]}
spec: {nodeName: n2, hostNetwork: true}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}], hostIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: shop}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: soon, namespace: shop}
status: {phase: Pending}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: db}, minReplicas: 1}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {template: {metadata: {labels: {app: db}}, spec: {serviceAccountName: db}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec: {jobTemplate: {spec: {parallelism: 3, template: {metadata: {labels: {app: nightly}}, spec: {hostNetwork: true}}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {a: hunter2}}
spec:
  type: NodePort
  clusterIP: 10.96.0.9
  clusterIPs: [10.96.0.9]
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}, {name: dns, port: 53, protocol: UDP}, {name: alt, port: 81, targetPort: 8081}]
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: shop}
spec: {clusterIP: None, ports: [{port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ext-1, namespace: shop, labels: {kubernetes.io/service-name: ext}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.9], targetRef: {kind: Pod, name: p}}, {addresses: [192.0.2.1]}]
ports: [{name: pg, port: 5432, protocol: TCP}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: shop}
secrets: [{name: hunter2}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: in, namespace: shop}
spec:
  ingressClassName: nginx
  defaultBackend: {service: {name: web, port: {name: http}}}
  rules:
  - {host: b.example, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}
  - {host: a.example, http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}, {path: /b, backend: {resource: {kind: Bucket, name: b}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: gw, namespace: infra}]
  hostnames: [c.example]
  rules: [{backendRefs: [{name: web, port: 80}, {name: other, namespace: far, port: 81}, {kind: Thing, group: x, name: z}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: shop, labels: {a: b}, annotations: {x: hunter2, sallyport.dev/why: because}}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}], ports: [{port: 80}]}], egress: [{}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: cnp}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress: [{name: e, action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec: {subject: {pods: {namespaceSelector: {}, podSelector: {}}}, ingress: [{action: Allow, from: [{namespaces: {}}], ports: [{namedPort: http}]}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: c, namespace: shop}
spec: {endpointSelector: {}, egress: [{toEntities: [world]}]}
---
apiVersion: crd.projectcalico.org/v1
kind: GlobalNetworkPolicy
metadata: {name: g}
spec: {selector: all()}
---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadIdentity
metadata: {name: web, namespace: shop, labels: {a: hunter2}, annotations: {x: hunter2, sallyport.dev/why: because}}
spec: {serviceAccountName: web, jwt: {audiences: [db], lifetime: 10m}, x509: {dnsNames: [web.shop]}}
---
apiVersion: sallyport.dev/v1alpha1
kind: AccessPolicy
metadata: {name: db, namespace: shop, annotations: {x: hunter2}, managedFields: [{manager: hunter2}]}
spec: {target: {pods: {podSelector: {matchLabels: {app: db}}, ports: [{port: pg}, {port: 80, endPort: 90}]}}, rules: [{action: Allow, from: [{serviceAccount: {name: web}}]}]}
status: {conditions: [{type: Ready, status: "True", reason: R, message: hunter2, lastTransitionTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: ExternalService
metadata: {name: sql, namespace: shop, annotations: {x: hunter2}}
spec: {names: [sql.example.org], ports: [{port: 1433}], firewall: {}, authentication: {mode: IdentityOnly, admitted: []}}
---
apiVersion: sallyport.dev/v1alpha1
kind: ClusterExternalService
metadata: {name: registry, annotations: {x: hunter2}}
spec: {cidrs: [192.0.2.0/24], ports: [{port: 443}], sources: [{podAddresses: true}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
data: {password: aHVudGVyMg==}
`

// TestOrderDoesNotCount is S61: the same objects give the same Snapshot whatever their order.
func TestOrderDoesNotCount(t *testing.T) {
	list := docs(t, world)
	want := mustBuild(t, list)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if diff := cmp.Diff(want, mustBuild(t, list), compareSnapshots...); diff != "" {
			t.Fatalf("the order of the input shows (-want +got):\n%s", diff)
		}
	}
}

// TestErrorsHaveAnOrder is the same for a broken input.
func TestErrorsHaveAnOrder(t *testing.T) {
	broken := strings.NewReplacer("podSelector:", "podSelectr:", "containerPort: 80", "containerPort: 800000").Replace(world)
	list := docs(t, broken)
	_, want := buildAll(Options{}, list)
	if want == nil {
		t.Fatal("no error")
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if _, err := buildAll(Options{}, list); err == nil || err.Error() != want.Error() {
			t.Fatalf("got\n%v\nwant\n%v", err, want)
		}
	}
}

// TestSavedSnapshot saves and reads a cluster: nothing that the model reads gets lost, and nothing
// secret survives.
func TestSavedSnapshot(t *testing.T) {
	header := "apiVersion: sallyport.dev/v1alpha1\nkind: Snapshot\nrevision: \"77\"\nkubeVersion: v1.31.4\nplugin: calico\npodCIDRs: [10.244.0.0/16]\nunreadable: [nothing but pods]\n---\n"
	b := NewBuilder(Options{})
	for _, d := range fromServer(docs(t, header+world+hopeless)) {
		b.Add(d)
	}
	want, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := b.WriteSnapshot(&saved, want); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(saved.String(), "hunter2") || strings.Contains(saved.String(), "Secret") {
		t.Errorf("something secret is in the snapshot:\n%s", saved.String())
	}
	if !strings.Contains(saved.String(), "sallyport.dev/note: kept") {
		t.Error("Sallyport's own annotations are not in the snapshot")
	}
	text, _ := strings.CutPrefix(saved.String(), "---\n")
	got := mustBuild(t, fromServer(docs(t, text)))
	if diff := cmp.Diff(want, got, withoutOrigins...); diff != "" {
		t.Errorf("not the same after saving and reading (-want +got):\n%s", diff)
	}
	var again bytes.Buffer
	b = NewBuilder(Options{})
	for _, d := range fromServer(docs(t, text)) {
		b.Add(d)
	}
	if got, err = b.Build(); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteSnapshot(&again, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved.String(), again.String()); diff != "" {
		t.Errorf("saved twice, a snapshot changes:\n%s", diff)
	}
}

// hopeless are policies that nobody has a word for yet.
const hopeless = `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: future, namespace: shop}
spec: {podSelector: {}, ingress: [{fromMars: true}, {from: [{podSelector: {}}, {planet: {}}]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: future}
spec:
  tier: Admin
  priority: 10
  subject: {galaxy: {}}
  ingress: [{action: Deny, from: [{planet: {}}, {namespaces: {}}], protocols: [{quic: {}}]}]
---
apiVersion: sallyport.dev/v1alpha1
kind: AccessPolicy
metadata: {name: future, namespace: shop}
spec: {target: {galaxy: {}}, rules: [{action: Allow, from: [{passport: x}, {serviceAccount: {name: web}}]}, {action: Beam}]}`

func TestPrune(t *testing.T) {
	for _, d := range docs(t, world) {
		out, ok := Prune(d.JSON)
		if bytes.Contains(d.JSON, []byte(`"Secret"`)) {
			if ok || out != nil {
				t.Errorf("a Secret is pruned to %s", out)
			}
			continue
		}
		if !ok || bytes.Contains(out, []byte("hunter2")) {
			t.Errorf("pruned to %s, %v", out, ok)
		}
		again, ok := Prune(out)
		if diff := cmp.Diff(string(out), string(again)); diff != "" || !ok {
			t.Errorf("pruning twice: %s", diff)
		}
	}
	for _, bad := range []string{"", "[]", "{", `{"kind":"Pod"}`, `{"apiVersion":"v1","kind":"Pod","spec":5}`} {
		if out, ok := Prune([]byte(bad)); ok {
			t.Errorf("Prune(%s) gives %s", bad, out)
		}
	}
}

// TestOverlay is S2: what lies over a cluster replaces it, and within a layer nothing is contradicted.
func TestOverlay(t *testing.T) {
	policy := func(label string) string {
		return fmt.Sprintf("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {matchLabels: {a: %q}}}}", label)
	}
	list := func(label string, server bool) Doc {
		d := docs(t, policy(label))[0]
		if server {
			d.JSON = bytes.Replace(d.JSON, []byte(`"name":"p"`), []byte(`"name":"p","namespace":"default"`), 1)
			d.FromServer = true
		} else {
			d.Layer = 1
		}
		d.Origin = cluster.Origin{File: label + ".yaml", Line: 7}
		return d
	}
	for _, order := range [][]Doc{{list("new", false), list("old", true)}, {list("old", true), list("new", false), list("new", false)}} {
		s := mustBuild(t, order)
		if len(s.NetworkPolicies) != 1 || s.NetworkPolicies[0].Object.Spec.PodSelector.MatchLabels["a"] != "new" {
			t.Errorf("the file does not lie over the cluster: %+v", s.NetworkPolicies)
		}
	}
	topmost := list("topmost", true)
	topmost.Layer = 2
	if s := mustBuild(t, []Doc{list("old", true), topmost, list("new", false)}); s.NetworkPolicies[0].Object.Spec.PodSelector.MatchLabels["a"] != "topmost" {
		t.Errorf("the third layer does not lie over the second: %+v", s.NetworkPolicies)
	}
	for _, server := range []bool{false, true} {
		_, err := buildAll(Options{SkipUnreadable: true}, []Doc{list("b", server), list("a", server)})
		want := "b.yaml:7: NetworkPolicy default/p: this object is in the input twice with different content; the other one is at a.yaml:7 (hint: give only one of the two)"
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestContentHash(t *testing.T) {
	same := []string{`{"a":1,"b":[true,null,"x"]}`, "{ \"b\" : [ true ,null,\"\\u0078\" ],\n\"a\":1 }"}
	if contentHash([]byte(same[0])) != contentHash([]byte(same[1])) {
		t.Error("order and white space count")
	}
	for _, other := range []string{`{"a":1,"b":[null,true,"x"]}`, `{"a":2,"b":[true,null,"x"]}`, `{"a":1}`, `{"a":1,"b":[true,null,"x"],"c":{}}`,
		`{"b":1,"a":[true,null,"x"]}`, `[{"a":1,"b":[true,null,"x"]}]`, `{}`, `[]`, `"a"`, `""`} {
		if contentHash([]byte(same[0])) == contentHash([]byte(other)) {
			t.Errorf("%s counts as the same", other)
		}
	}
}

// TestManyProblems: fifty problems are shown, the rest is counted.
func TestManyProblems(t *testing.T) {
	var es InputErrors
	for i := range 60 {
		es = append(es, &InputError{Origin: cluster.Origin{File: "f", Line: 60 - i}, Problem: "bad"})
	}
	lines := strings.Split(es.sorted().Error(), "\n")
	if len(lines) != 51 || lines[0] != "f:1: bad" || lines[50] != "and 10 more" {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä":                "plain ä",
		"a\x1b[31mb":             `"a\x1b[31mb"`,
		"a\nb":                   `"a\nb"`,
		"\u202egnp":              `"\u202egnp"`,
		strings.Repeat("x", 300): strings.Repeat("x", 200) + "…",
	} {
		if got := Safe(in); got != want {
			t.Errorf("Safe(%q) = %s, want %s", in, got, want)
		}
	}
}
