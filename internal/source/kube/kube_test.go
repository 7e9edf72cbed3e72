package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/kube/fakeapi"
	"sallyport.dev/sallyport/internal/source/objects"
)

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: v1
kind: Pod
metadata: {name: spy, namespace: other}
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec: {template: {metadata: {labels: {k8s-app: calico-node}}, spec: {hostNetwork: true, containers: [{name: calico-node, image: "docker.io/calico/node:v3.28.1"}]}}}
status: {desiredNumberScheduled: 1, numberReady: 1}
`

// fake starts a server with the objects of a YAML stream.
func fake(t testing.TB, stream string) (*fakeapi.Server, *client) {
	t.Helper()
	s, err := fakeapi.New(stream)
	if err != nil {
		t.Fatal(err)
	}
	return s, start(t, s)
}

// start serves a handler on the loopback and gives a client for it that never waits.
func start(t testing.TB, h http.Handler) *client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	c, err := newClient(&rest.Config{Host: server.URL, BearerToken: "secret-token"}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return c
}

// read loads a cluster and builds the Snapshot; nothing may be left where it fails.
func read(t testing.TB, c *client, o Options) (*cluster.Snapshot, error) {
	t.Helper()
	b := objects.NewBuilder(o.Objects)
	if err := load(t.Context(), b, o, c); err != nil {
		if b.Seen() > 0 {
			t.Errorf("after an error, %d objects are left", b.Seen())
		}
		return nil, err
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s, nil
}

func mustRead(t testing.TB, c *client, o Options) *cluster.Snapshot {
	t.Helper()
	s, err := read(t, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func podNames(s *cluster.Snapshot) []string {
	var out []string
	for _, p := range s.Pods {
		out = append(out, p.String())
	}
	return out
}

// notes gives what people are told beside verdicts, and unread what makes verdicts unknown.
func notes(s *cluster.Snapshot) string {
	var out []string
	for _, n := range s.Notes {
		out = append(out, n.Text)
	}
	for _, u := range s.Unreadable {
		if u.Missing == cluster.MissingObjects {
			out = append(out, u.Why)
		}
	}
	return strings.Join(out, "\n")
}

func unread(s *cluster.Snapshot) string {
	var out []string
	for _, u := range s.Unreadable {
		switch u.Missing {
		case cluster.MissingPolicies:
			out = append(out, u.Why)
		case cluster.MissingForeign:
			out = append(out, "foreign: "+u.Why)
		case cluster.MissingLayers:
			out = append(out, "layers: "+u.Why)
		}
	}
	return strings.Join(out, "\n")
}

func TestLoad(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", legacy), func(t *testing.T) {
			server, c := fake(t, shop)
			server.Legacy = legacy
			s := mustRead(t, c, Options{})
			if diff := cmp.Diff([]string{"kube-system/daemonset/calico-node", "kube-system/daemonset/calico-node", "other/pod/spy", "shop/pod/db", "shop/pod/web"}, podNames(s)); diff != "" {
				t.Error(diff)
			}
			if len(s.NetworkPolicies) != 1 || s.NetworkPolicies[0].Origin.String() != "resource version 106" {
				t.Errorf("policies %+v", s.NetworkPolicies)
			}
			if s.Facts.KubeVersion != "v1.31.4" || s.Facts.Plugin != "calico@3.28" || s.Revision != "107" {
				t.Errorf("facts %+v, revision %q", s.Facts, s.Revision)
			}
			if ns := s.NamespaceByName("shop"); ns.Assumed || ns.Labels["team"] != "shop" {
				t.Errorf("namespace %+v", ns)
			}
			if notes(s)+unread(s) != "" {
				t.Errorf("without anything missing it says %s%s", notes(s), unread(s))
			}
			for _, r := range server.Requests() {
				if !strings.HasPrefix(r, "GET ") || strings.Contains(r, "secrets") || strings.Contains(r, "configmaps") {
					t.Errorf("asked: %s", r)
				}
			}
		})
	}
}

// manyPods gives a server with n pods in one namespace.
func manyPods(t testing.TB, n int) (*fakeapi.Server, *client) {
	s, c := fake(t, "")
	for i := range n {
		err := s.Add(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": "shop", "name": fmt.Sprintf("p%04d", i)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s, c
}

func podRequests(s *fakeapi.Server) []string {
	return slices.DeleteFunc(s.Requests(), func(r string) bool { return !strings.HasPrefix(r, "GET /api/v1/pods?") })
}

func TestPages(t *testing.T) {
	server, c := manyPods(t, 2000)
	most := 0
	s := mustRead(t, c, Options{Progress: func(plural string, n int) {
		if plural == "pods" {
			most = n
		}
	}})
	if len(s.Pods) != 2000 || most != 2000 {
		t.Errorf("%d pods, the last progress %d", len(s.Pods), most)
	}
	want := []string{"GET /api/v1/pods?limit=500", "GET /api/v1/pods?continue=from-500&limit=500", "GET /api/v1/pods?continue=from-1000&limit=500", "GET /api/v1/pods?continue=from-1500&limit=500"}
	if diff := cmp.Diff(want, podRequests(server)); diff != "" {
		t.Error(diff)
	}
}

// TestExpired: a list whose token expires is read from its beginning; what was read before counts no more.
func TestExpired(t *testing.T) {
	for expires, ok := range map[int]bool{1: true, 2: true, 3: false} {
		t.Run(fmt.Sprint(expires), func(t *testing.T) {
			server, c := manyPods(t, 1200)
			times := 0
			server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/api/v1/pods" || r.URL.Query().Get("continue") != "from-1000" || times == expires {
					return false
				}
				times++
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusGone)
				fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"from-1000"},"status":"Failure","reason":"Expired","code":410,"message":"The provided continue parameter is too old"}`)
				return true
			}
			s, err := read(t, c, Options{})
			if !ok {
				if err == nil || !strings.Contains(err.Error(), "expired 3 times") || !strings.Contains(err.Error(), "/api/v1/pods") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || len(s.Pods) != 1200 || len(podRequests(server)) != 3*(expires+1) {
				t.Errorf("%v, %d requests", err, len(podRequests(server)))
			}
		})
	}
}

// TestNothingReadTwice: pods of an expired reading that are gone in the next one are not kept.
func TestNothingReadTwice(t *testing.T) {
	var asked atomic.Int32
	server, c := fake(t, shop)
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/pods" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		switch asked.Add(1) {
		case 1:
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"continue":"a"},"items":[{"metadata":{"name":"gone","namespace":"shop"}}]}`)
		case 2:
			fakeapi.Refuse(w, http.StatusGone, "Expired", "too old")
		default:
			fmt.Fprint(w, `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"here","namespace":"shop"}}]}`)
		}
		return true
	}
	s := mustRead(t, c, Options{})
	if got := podNames(s); !slices.Contains(got, "shop/pod/here") || slices.Contains(got, "shop/pod/gone") {
		t.Errorf("%v", got)
	}
}

// layers has an object of each of Sallyport's own kinds.
const layers = `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadIdentity
metadata: {name: web, namespace: shop}
spec: {serviceAccountName: web}
---
apiVersion: sallyport.dev/v1alpha1
kind: AccessPolicy
metadata: {name: db, namespace: shop}
spec: {mode: Audit, target: {pods: {podSelector: {matchLabels: {app: db}}}}, rules: [{action: Allow, from: [{serviceAccount: {name: web}}]}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: ExternalService
metadata: {name: sql, namespace: other}
spec: {names: [sql.example.org], ports: [{port: 1433}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: ClusterExternalService
metadata: {name: registry}
spec: {names: [registry.example.org], ports: [{port: 443, quic: true}]}
---`

// TestOwnKinds: they are read like everything else, of the whole cluster or of one namespace.
func TestOwnKinds(t *testing.T) {
	server, c := fake(t, layers+shop)
	of := func(s *cluster.Snapshot) string {
		var out []string
		for i := range s.Identities {
			out = append(out, s.Identities[i].Namespace+"/"+s.Identities[i].Name)
		}
		for i := range s.AccessPolicies {
			out = append(out, s.AccessPolicies[i].String()+" "+string(s.AccessPolicies[i].Spec.Mode))
		}
		for i := range s.External {
			out = append(out, s.External[i].String()+" "+s.External[i].Origin.String()+fmt.Sprint(s.External[i].NotUnderstood))
		}
		return strings.Join(out, "\n")
	}
	const registry = "clusterexternalservice/registry resource version 104[unknown field spec.ports[0].quic]"
	s := mustRead(t, c, Options{})
	if diff := cmp.Diff("shop/web\nshop/db Audit\n"+registry+"\nother/externalservice/sql resource version 103[]", of(s)); diff != "" || unread(s)+notes(s) != "" {
		t.Errorf("%s%s%s", diff, unread(s), notes(s))
	}
	server.Fault = fakeapi.Forbid([]string{"shop"}, "pods")
	s = mustRead(t, c, Options{Namespace: "shop"})
	if diff := cmp.Diff("shop/web\nshop/db Audit\n"+registry, of(s)); diff != "" {
		t.Errorf("of one namespace: %s", diff)
	}
}

// TestMissing has what a user may not list, or what the server cannot say, and what becomes of it.
func TestMissing(t *testing.T) {
	const clusterPolicy = `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: all}
spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}
---`
	const cilium = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: l7, namespace: shop}
---`
	newer := fakeapi.Kind{Group: "policy.networking.k8s.io", Version: "v1beta1", Kind: "ClusterNetworkPolicy"}
	newerAccess := fakeapi.Kind{Group: "sallyport.dev", Version: "v1", Kind: "AccessPolicy", Namespaced: true}
	unheard := fakeapi.Kind{Group: "policy.networking.k8s.io", Version: "v1", Kind: "TenantFence"}
	ofVersion := func(version string) fakeapi.Kind {
		return fakeapi.Kind{Group: "policy.networking.k8s.io", Version: version, Kind: "ClusterNetworkPolicy"}
	}
	var manyVersions, manyUnheard []fakeapi.Kind
	for i := range maxVersions {
		manyVersions = append(manyVersions, fakeapi.Kind{Group: "policy.networking.k8s.io", Version: fmt.Sprintf("v%d", 90-i), Kind: "AdminNetworkPolicy"})
	}
	for i := range maxUnknown + 3 {
		manyUnheard = append(manyUnheard, fakeapi.Kind{Group: "policy.networking.k8s.io", Version: "v1", Kind: fmt.Sprintf("Fence%d", i)})
	}
	other := func(plural string, items string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/"+plural) {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"metadata":{},"items":[%s]}`, items)
			return true
		}
	}
	for _, c := range []struct {
		name    string
		objects string
		kinds   []fakeapi.Kind
		fault   func(http.ResponseWriter, *http.Request) bool
		options Options
		fails   string // part of the error; empty: there is none
		unread  string // part of what may hold a policy
		note    string // part of a note
	}{
		{name: "policies", fault: fakeapi.Forbid(nil, "networkpolicies.networking.k8s.io"),
			unread: `not allowed to list networkpolicies.networking.k8s.io (networkpolicies.networking.k8s.io is forbidden: User "jane"`},
		{name: "cluster policies", objects: clusterPolicy, fault: fakeapi.Forbid(nil, "clusternetworkpolicies.policy.networking.k8s.io"),
			unread: "not allowed to list clusternetworkpolicies.policy.networking.k8s.io"},
		{name: "cluster policies that do not exist are not missed", fault: fakeapi.Forbid(nil, "clusternetworkpolicies.policy.networking.k8s.io")},
		{name: "cluster policies of another version", kinds: []fakeapi.Kind{newer}, fault: other("clusternetworkpolicies", `{"metadata":{"name":"a"}}`),
			unread: "ClusterNetworkPolicy as policy.networking.k8s.io/v1beta1 only, and v1alpha2 is read"},
		{name: "none of another version", kinds: []fakeapi.Kind{newer}, fault: other("clusternetworkpolicies", "")},
		{name: "another version that may not be listed", kinds: []fakeapi.Kind{newer}, fault: fakeapi.Forbid(nil, "clusternetworkpolicies.policy.networking.k8s.io"),
			unread: "v1beta1 only"},
		{name: "a version of an unusual name", kinds: []fakeapi.Kind{ofVersion("alpha")}, fault: other("clusternetworkpolicies", `{"metadata":{"name":"a"}}`),
			unread: "ClusterNetworkPolicy as policy.networking.k8s.io/alpha only"},
		{name: "a version that is no name", kinds: []fakeapi.Kind{ofVersion("v1?x")}, unread: "ClusterNetworkPolicy as clusternetworkpolicies of v1?x, which is not asked for"},
		{name: "one version too many", kinds: append(manyVersions, ofVersion("v1alpha2")), unread: "ClusterNetworkPolicy of policy.networking.k8s.io: the group has 17 versions, and only 16 are looked at"},
		{name: "more kinds than are looked for", kinds: manyUnheard, unread: "the server has 3 more kinds of policies"},
		{name: "a kind of policy that nobody knows", kinds: []fakeapi.Kind{unheard}, fault: other("tenantfences", `{"metadata":{"name":"a"}}`),
			unread: "TenantFence of policy.networking.k8s.io/v1"},
		{name: "none of a kind that nobody knows", kinds: []fakeapi.Kind{unheard}, fault: other("tenantfences", "")},
		{name: "policies of another engine", objects: cilium, fault: fakeapi.Forbid(nil, "ciliumnetworkpolicies.cilium.io"),
			unread: "foreign: not allowed to list ciliumnetworkpolicies.cilium.io"},
		{name: "another engine whose server is not well", objects: cilium, fault: func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "cilium.io") && strings.HasSuffix(r.URL.Path, "policies") {
				fakeapi.Refuse(w, 500, "InternalError", "conversion webhook failed")
				return true
			}
			return false
		}, unread: "foreign: GET http"},
		{name: "identities", objects: layers, fault: fakeapi.Forbid(nil, "workloadidentities.sallyport.dev"),
			unread: `layers: not allowed to list workloadidentities.sallyport.dev (workloadidentities.sallyport.dev is forbidden: User "jane"`},
		{name: "services outside, of the cluster", objects: layers, fault: fakeapi.Forbid([]string{"shop"}, "clusterexternalservices.sallyport.dev"), options: Options{Namespace: "shop"},
			unread: "layers: not allowed to list clusterexternalservices.sallyport.dev"},
		{name: "own kinds that do not exist are not missed", fault: fakeapi.Forbid(nil, "accesspolicies.sallyport.dev", "workloadidentities.sallyport.dev", "externalservices.sallyport.dev")},
		{name: "access policies of another version", kinds: []fakeapi.Kind{newerAccess}, fault: other("accesspolicies", `{"metadata":{"name":"a"}}`),
			unread: "layers: the server has AccessPolicy as sallyport.dev/v1 only, and v1alpha1 is read"},
		{name: "no access policies of another version", kinds: []fakeapi.Kind{newerAccess}, fault: other("accesspolicies", "")},
		{name: "access policies of another version that may not be listed", kinds: []fakeapi.Kind{newerAccess}, fault: fakeapi.Forbid(nil, "accesspolicies.sallyport.dev"),
			unread: "layers: the server has AccessPolicy as sallyport.dev/v1 only"},
		{name: "access policies whose server is not well", objects: layers, fault: func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/accesspolicies") {
				return false
			}
			fakeapi.Refuse(w, 500, "InternalError", "conversion webhook failed")
			return true
		}, unread: "layers: GET http"},
		{name: "pods", fault: fakeapi.Forbid(nil, "pods"), fails: "not allowed to list pods in all namespaces, so there is nothing to answer about"},
		{name: "pods, nor those of a namespace", fault: fakeapi.Forbid(nil, "pods"), options: Options{Namespace: "shop"}, fails: "not allowed to list pods in any namespace"},
		{name: "namespaces", fault: fakeapi.Forbid(nil, "namespaces"), note: "not read: namespaces; their labels are unknown"},
		{name: "nodes", fault: fakeapi.Forbid(nil, "nodes"), note: "not read: nodes; labels and addresses of nodes"},
		{name: "services", fault: fakeapi.Forbid(nil, "services", "endpointslices.discovery.k8s.io"), note: "not read: services, endpointslices.discovery.k8s.io; questions to Services"},
		{name: "daemonsets", fault: fakeapi.Forbid(nil, "daemonsets.apps"), note: "not all DaemonSets could be read"},
		{name: "daemonsets, with a plugin", fault: fakeapi.Forbid(nil, "daemonsets.apps"), options: Options{PluginGiven: true}, note: "not read: daemonsets.apps; workloads without a running pod"},
		{name: "401 for one kind", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/nodes" {
				return false
			}
			fakeapi.Refuse(w, 401, "Unauthorized", "Unauthorized")
			return true
		}, note: "not read: nodes"},
		{name: "401", fault: func(w http.ResponseWriter, r *http.Request) bool {
			fakeapi.Refuse(w, 401, "Unauthorized", "Unauthorized")
			return true
		}, fails: "401 Unauthorized: Unauthorized (hint: log in again"},
		{name: "version", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/version" {
				return false
			}
			fakeapi.Refuse(w, 403, "Forbidden", "no")
			return true
		}, note: "does not say its version"},
		{name: "a version that is none", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/version" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"gitVersion":"\u001b[31mv9"}`)
			return true
		}, note: "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, client := fake(t, c.objects+shop)
			server.Kinds = append(server.Kinds, c.kinds...)
			server.Fault = c.fault
			s, err := read(t, client, c.options)
			if c.fails != "" || err != nil {
				if err == nil || c.fails == "" || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("%v, want %q", err, c.fails)
				}
				return
			}
			if got := unread(s); !strings.Contains(got, c.unread) || c.unread == "" && got != "" {
				t.Errorf("unreadable %q, want %q", got, c.unread)
			}
			if got := notes(s); !strings.Contains(got, c.note) || c.note == "" && got != "" {
				t.Errorf("notes %q, want %q", got, c.note)
			}
		})
	}
}

// TestOneNamespace: who may read one namespace only gets answers about that one, and is told.
func TestOneNamespace(t *testing.T) {
	for _, kinds := range [][]string{{"*"}, {"pods"}, {"networkpolicies.networking.k8s.io"}} {
		t.Run(strings.Join(kinds, ","), func(t *testing.T) {
			server, c := fake(t, shop)
			server.Fault = fakeapi.Forbid([]string{"shop"}, kinds...)
			s := mustRead(t, c, Options{Namespace: "shop"})
			if diff := cmp.Diff([]string{"shop/pod/db", "shop/pod/web"}, podNames(s)); diff != "" {
				t.Error(diff)
			}
			elsewhere := "NetworkPolicies of other namespaces than shop"
			if kinds[0] == "pods" {
				elsewhere = ""
			}
			if len(s.NetworkPolicies) != 1 || unread(s) != elsewhere {
				t.Errorf("%d policies, unreadable %q, want %q", len(s.NetworkPolicies), unread(s), elsewhere)
			}
			if ns := s.NamespaceByName("shop"); ns == nil || ns.Labels["team"] != "shop" {
				t.Errorf("namespace %+v", ns)
			}
			if !strings.Contains(notes(s), "only namespace shop could be read") || s.Facts.Plugin != "" {
				t.Errorf("notes %q, plugin %q", notes(s), s.Facts.Plugin)
			}
			if _, err := read(t, c, Options{Namespace: "shop", All: true}); kinds[0] != "networkpolicies.networking.k8s.io" && err == nil {
				t.Error("with -A it falls back all the same")
			}
		})
	}
}

// TestCalicoOnce: Calico's policies show in two groups and are read once.
func TestCalicoOnce(t *testing.T) {
	policy := func(group string) string {
		return "---\napiVersion: " + group + "\nkind: GlobalNetworkPolicy\nmetadata: {name: deny}\nspec: {types: [Ingress]}\n"
	}
	const half = "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: other, namespace: shop}\n" // and no GlobalNetworkPolicy
	for stream, want := range map[string]string{
		policy("projectcalico.org/v3") + policy("crd.projectcalico.org/v1"): "projectcalico.org",
		policy("crd.projectcalico.org/v1"):                                  "crd.projectcalico.org",
		policy("crd.projectcalico.org/v1") + half:                           "crd.projectcalico.org",
	} {
		_, c := fake(t, shop+stream)
		s := mustRead(t, c, Options{})
		list := slices.DeleteFunc(s.ForeignPolicies, func(p cluster.ForeignPolicy) bool { return p.Name == "other" })
		if len(list) != 1 || list[0].Group != want {
			t.Errorf("%+v, want one of %s", list, want)
		}
	}
}

// TestOddDaemonSet: a DaemonSet that cannot be read may be the one that enforces policies.
func TestOddDaemonSet(t *testing.T) {
	server, c := fake(t, shop)
	item := func(name, container string) string {
		return `{"metadata":{"name":"` + name + `","namespace":"kube-system"},"spec":{"template":{"spec":{"containers":[` + container + `]}}},"status":{"desiredNumberScheduled":1,"numberReady":1}}`
	}
	for odd, plugin := range map[string]string{`{"name":"calico-node","env":[{"name":"A","value":1}]}`: "", `{"name":"logs","env":[{"name":"A","value":"1"}]}`: "flannel"} {
		server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/apis/apps/v1/daemonsets" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"kind":"DaemonSetList","apiVersion":"apps/v1","metadata":{},"items":[%s,%s]}`, item("flannel", `{"name":"kube-flannel"}`), item("a", odd))
			return true
		}
		s := mustRead(t, c, Options{})
		if s.Facts.Plugin != plugin || (plugin == "") != strings.Contains(notes(s), "the cluster runs flannel, but not all DaemonSets could be read") {
			t.Errorf("%s: plugin %q, notes %q", odd, s.Facts.Plugin, notes(s))
		}
	}
}

// TestNotUnderstood: what a newer server allows fails closed and is named (S32), whatever else a
// server writes into the object.
func TestNotUnderstood(t *testing.T) {
	_, c := fake(t, shop+`
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: newer
  namespace: shop
  uid: 0d3a
  managedFields: [{manager: kubectl, operation: Apply, apiVersion: networking.k8s.io/v1, fieldsType: FieldsV1, time: "2026-01-01T00:00:00Z", fieldsV1: {"f:spec": {"f:podSelector": {}}}}]
spec: {podSelector: {}, ingress: [{from: [{podSelector: {}, fqdn: a.example}]}]}
`)
	s := mustRead(t, c, Options{})
	for _, p := range s.NetworkPolicies {
		if p.Object.Name == "newer" {
			if diff := cmp.Diff([]string{"unknown field spec.ingress[0].from[0].fqdn"}, p.NotUnderstood); diff != "" {
				t.Error(diff)
			}
			return
		}
	}
	t.Error("the policy is missing")
}

func TestInterrupt(t *testing.T) {
	server, c := fake(t, shop)
	ctx, cancel := context.WithCancel(t.Context())
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/pods" {
			cancel()
			<-r.Context().Done()
		}
		return false
	}
	if err := load(ctx, objects.NewBuilder(objects.Options{}), Options{}, c); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
