package objects

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/internal/cluster"
)

// digest writes a Snapshot as lines that a person can check, policies left out.
func digest(s *cluster.Snapshot) string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, n := range s.Namespaces {
		line("namespace %s %v%s%s", n.Name, n.Labels, flag(" assumed", n.Assumed), flag(" written", n.NameLabelWritten))
	}
	for _, n := range s.Nodes {
		line("node %s %v %v%s%s", n.Name, n.Addrs, n.PodCIDRs, flag(" assumed", n.Assumed), flag(" windows", n.Windows))
	}
	for i := range s.Pods {
		p := &s.Pods[i]
		line("pod %s of %s%s %v %v on %q as %s%s%s%s%s%s", p.Name, p.Owner, flag(fmt.Sprintf(" template #%d", p.Replica), p.Template),
			p.Labels, p.Addrs, p.NodeName, p.Account, flag(" pending", p.Pending), flag(" terminating", p.Terminating),
			flag(" host", p.HostNetwork), flag(" windows", p.Windows), ports(p.Ports))
	}
	for _, v := range s.Services {
		line("service %s/%s %s %v %v%s%s %s %v", v.Namespace, v.Name, v.Type, v.Selector, v.ClusterIPs,
			flag(" headless", v.Headless), flag(" local", v.LocalTraffic), v.ExternalName, v.Slices)
		for _, p := range v.Ports {
			line("  port %s %s/%d to %d%s node %d", p.Name, p.Proto, p.Port, p.Target, p.TargetName, p.NodePort)
		}
	}
	for _, a := range s.Accounts {
		line("account %s/%s", a.Namespace, a.Name)
	}
	for _, e := range s.Entries {
		line("entry %s %s/%s %v %v %v", e.Kind, e.Namespace, e.Name, e.Hosts, e.Parents, e.Backends)
	}
	for _, f := range s.ForeignPolicies {
		line("foreign %s %s %s/%s%s%s", f.Group, f.Kind, f.Namespace, f.Name, flag(" ingress", f.Ingress), flag(" egress", f.Egress))
	}
	for _, u := range s.Unreadable {
		line("unreadable %s: %s", u.Origin, u.Why)
	}
	for _, n := range s.Notes {
		line("note %s: %s", n.Origin, n.Text)
	}
	return strings.Join(out, "\n")
}

func flag(text string, set bool) string {
	if set {
		return text
	}
	return ""
}

func ports(list []cluster.ContainerPort) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, " %s=%s/%d%s", p.Name, p.Proto, p.Port, flag("(init)", p.RestartableInit))
	}
	return b.String()
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWorld shows every kind that is read.
func TestWorld(t *testing.T) {
	check(t, digest(mustBuild(t, docs(t, world))), `
namespace far map[kubernetes.io/metadata.name:far] assumed
namespace kube-system map[kubernetes.io/metadata.name:kube-system] assumed
namespace shop map[kubernetes.io/metadata.name:shop team:a]
node n1 [10.0.0.1 203.0.113.9] [10.244.1.0/24 fd00:1::/64] windows
node n2 [10.0.0.2 fd00::2] [] assumed
pod proxy of kube-system/pod/proxy map[] [10.0.0.2] on "n2" as default host
pod nightly of shop/cronjob/nightly template #0 map[app:nightly] [] on "" as default host
pod nightly of shop/cronjob/nightly template #1 map[app:nightly] [] on "" as default host
pod api-5d4-x of shop/deployment/api map[app:api pod-template-hash:5d4] [10.244.1.5 fd00:1::5] on "n1" as robot terminating http=tcp/80
pod web of shop/deployment/web template #0 map[app:web] [] on "" as default windows http=tcp/8080 =udp/53 side=tcp/15090(init)
pod web of shop/deployment/web template #1 map[app:web] [] on "" as default windows http=tcp/8080 =udp/53 side=tcp/15090(init)
pod soon of shop/pod/soon map[] [] on "" as default pending
pod db of shop/statefulset/db template #0 map[app:db] [] on "" as db
pod db of shop/statefulset/db template #1 map[app:db] [] on "" as db
service shop/ext ClusterIP map[] [] headless  [{192.0.2.1  [{pg tcp 5432 false}]} {192.0.2.9 p [{pg tcp 5432 false}]}]
  port  tcp/5432 to 5432 node 0
service shop/web NodePort map[app:web] [10.96.0.9] local  []
  port http tcp/80 to 0http node 30080
  port dns udp/53 to 53 node 0
  port alt tcp/81 to 8081 node 0
account shop/robot
entry httproute shop/r [c.example] [infra/gw] [{far other 81 } {shop web 80 }]
entry ingress shop/in [a.example b.example] [nginx] [{shop web 0 http} {shop web 80 }]
foreign crd.projectcalico.org GlobalNetworkPolicy /g ingress
foreign cilium.io CiliumNetworkPolicy shop/c egress
note f.yaml:19: NetworkPolicy shop/np: spec.ingress[0].from[0].ipBlock.cidr "10.0.0.1/8" has host bits and is read as 10.0.0.0/8
`)
}

const podOf = "{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: d, labels: %s, ownerReferences: [{kind: %s, name: %s, controller: true}]}, status: {phase: %s}}"

func podDoc(name, labels, ownerKind, ownerName, phase string) string {
	return fmt.Sprintf(podOf, name, labels, ownerKind, ownerName, phase)
}

func workloadDoc(apiVersion, kind, name, more, spec string) string {
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: d%s}, spec: {%s}}", apiVersion, kind, name, more, spec)
}

const template = "template: {metadata: {labels: {a: b}}, spec: {}}"

// TestEndpoints is S3 and S5: which pods there are, and whose.
func TestEndpoints(t *testing.T) {
	ownedBy := func(kind, name string) string {
		return fmt.Sprintf(", ownerReferences: [{kind: Other, name: x}, {kind: %s, name: %s, controller: true}]", kind, name)
	}
	deployment := workloadDoc("apps/v1", "Deployment", "web", "", template)
	for _, tc := range []struct {
		name string
		docs []string
		want string
	}{
		{"one replica", []string{deployment}, "d/deployment/web#0"},
		{"two replicas", []string{workloadDoc("apps/v1", "Deployment", "web", "", "replicas: 2, "+template)}, "d/deployment/web#0 d/deployment/web#1"},
		{"no replicas", []string{workloadDoc("apps/v1", "Deployment", "web", "", "replicas: 0, "+template)}, "d/deployment/web#0 d/deployment/web#1"},
		{"daemon set", []string{workloadDoc("apps/v1", "DaemonSet", "ds", "", template)}, "d/daemonset/ds#0 d/daemonset/ds#1"},
		{"job", []string{workloadDoc("batch/v1", "Job", "j", "", template)}, "d/job/j#0"},
		{"parallel job", []string{workloadDoc("batch/v1", "Job", "j", "", "parallelism: 2, "+template)}, "d/job/j#0 d/job/j#1"},
		{"cron job", []string{workloadDoc("batch/v1", "CronJob", "c", "", "jobTemplate: {spec: {"+template+"}}")}, "d/cronjob/c#0"},
		{"replication controller", []string{workloadDoc("v1", "ReplicationController", "rc", "", template)}, "d/replicationcontroller/rc#0"},
		{"autoscaler of another namespace", []string{deployment,
			"{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: e}, spec: {scaleTargetRef: {kind: Deployment, name: web}}}"},
			"d/deployment/web#0"},
		{"autoscaler", []string{deployment,
			"{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: d}, spec: {scaleTargetRef: {kind: Deployment, name: web}}}"},
			"d/deployment/web#0 d/deployment/web#1"},
		{"a deployment's replica set", []string{deployment, workloadDoc("apps/v1", "ReplicaSet", "web-1", ownedBy("Deployment", "web"), template)}, "d/deployment/web#0"},
		{"a replica set whose deployment is missing", []string{workloadDoc("apps/v1", "ReplicaSet", "web-1", ownedBy("Deployment", "web"), template)}, "d/replicaset/web-1#0"},
		{"an old replica set whose deployment is missing", []string{workloadDoc("apps/v1", "ReplicaSet", "web-1", ownedBy("Deployment", "web"), "replicas: 0, "+template)}, ""},
		{"a cron job's job", []string{workloadDoc("batch/v1", "CronJob", "c", "", "jobTemplate: {spec: {"+template+"}}"),
			workloadDoc("batch/v1", "Job", "c-1", ownedBy("CronJob", "c"), template), podDoc("c-1-x", "{}", "Job", "c-1", "Running")}, "d/cronjob/c:c-1-x"},
		{"pods through a replica set", []string{deployment, workloadDoc("apps/v1", "ReplicaSet", "odd", ownedBy("Deployment", "web"), template),
			podDoc("p", "{}", "ReplicaSet", "odd", "Running")}, "d/deployment/web:p"},
		{"pods by the hash in their label", []string{deployment, podDoc("p", "{pod-template-hash: abc}", "ReplicaSet", "web-abc", "Running")}, "d/deployment/web:p"},
		{"a replica set of another's hash", []string{podDoc("p", "{pod-template-hash: abc}", "ReplicaSet", "web-def", "Running")}, "d/replicaset/web-def:p"},
		{"an owner of a kind of its own", []string{podDoc("p", "{}", "Cluster", "pg", "Running")}, "d/cluster/pg:p"},
		{"a static pod", []string{podDoc("p", "{}", "Node", "node-1", "Running")}, "d/pod/p:p"},
		{"finished pods of a deployment", []string{deployment, podDoc("p", "{pod-template-hash: abc}", "ReplicaSet", "web-abc", "Failed")}, "d/deployment/web#0"},
		{"a job that is done", []string{workloadDoc("batch/v1", "Job", "j", "", template), podDoc("p", "{}", "Job", "j", "Succeeded")}, ""},
		{"a job that still runs", []string{workloadDoc("batch/v1", "Job", "j", "", template), podDoc("p", "{}", "Job", "j", "Pending")}, "d/job/j:p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := mustBuild(t, docs(t, strings.Join(tc.docs, "\n---\n")))
			var got []string
			for i := range s.Pods {
				p := &s.Pods[i]
				if p.Template {
					got = append(got, fmt.Sprintf("%s#%d", p.Owner, p.Replica))
				} else {
					got = append(got, p.Owner.String()+":"+p.Name)
				}
			}
			check(t, strings.Join(got, " "), tc.want)
		})
	}
}

// TestNotes: what is passed over, and in which words.
func TestNotes(t *testing.T) {
	check(t, digest(mustBuild(t, docs(t, `
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: c}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: c}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: c}}
---
{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: c}}
---
{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: c}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: c}}
---
{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: c}}
---
{apiVersion: projectcalico.org/v3, kind: StagedNetworkPolicy, metadata: {name: c}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: c}}
---
{apiVersion: example.com/v1, kind: Widget, metadata: {name: c}}
---
{apiVersion: example.com/v1, kind: Widget, metadata: {name: d}}
---
{apiVersion: example.com/v1, kind: "Evil\e[31m", metadata: {name: d}}
---
{name: values}
---
{kind: Thing}
---
{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}]}
---
{apiVersion: v1, kind: ServiceAccountList, items: [{metadata: {name: b}}]}
---
{apiVersion: example.com/v1, kind: AllowList, metadata: {name: d}}
---
{apiVersion: v1, kind: List, items: null}
`))), `
namespace default map[kubernetes.io/metadata.name:default] assumed
account default/a
account default/b
note f.yaml:5: not read: Deployment of apps/v1beta1 is an API that current servers no longer have; use apps/v1
note f.yaml:6: not read: Ingress of extensions/v1beta1 is an API that current servers no longer have; use networking.k8s.io/v1
note f.yaml:7: AuthorizationPolicy of security.istio.io/v1 is not evaluated: it acts above the network layer
note f.yaml:8: ClusterPolicy of kyverno.io/v1 is not evaluated; if it filters traffic, the answers do not show it
note f.yaml:9: StagedNetworkPolicy of projectcalico.org/v3 is not evaluated: a staged policy is not enforced
note f.yaml:10: 1 object of kind GlobalNetworkSet (projectcalico.org) not needed
note f.yaml:11: 2 objects of kind Widget (example.com) not needed
note f.yaml:13: 1 object of kind "Evil\x1b[31m" (example.com) not needed
note f.yaml:14: not read: without apiVersion and kind this is not a Kubernetes object
note f.yaml:15: not read: Thing has no apiVersion, so this is not a Kubernetes object
note f.yaml:18: 1 object of kind AllowList (example.com) not needed
`)
}

// TestForeignDirections: each engine's own default.
func TestForeignDirections(t *testing.T) {
	for _, tc := range []struct{ doc, want string }{
		{"{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p}, spec: {ingress: []}}", "ingress"},
		{"{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p}, spec: {egress: [{action: Allow}]}}", "egress"},
		{"{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p}, spec: {egress: [{}], ingress: [{}]}}", "ingress egress"},
		{"{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p}, spec: {types: [Egress], ingress: [{}]}}", "egress"},
		{"{apiVersion: crd.projectcalico.org/v1, kind: GlobalNetworkPolicy, metadata: {name: p}}", "ingress"},
		{"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p}, spec: {ingressDeny: [{}]}}", "ingress"},
		{"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p}, specs: [{egress: []}, {ingress: [{}]}]}", "ingress egress"},
		{"{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: p}, spec: {egressDeny: [{}]}}", "egress"},
	} {
		s := mustBuild(t, docs(t, tc.doc))
		f := s.ForeignPolicies[0]
		if got := strings.TrimSpace(flag("ingress", f.Ingress) + flag(" egress", f.Egress)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.doc, got, tc.want)
		}
	}
}
