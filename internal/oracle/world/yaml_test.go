package world_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policyv1alpha1 "sigs.k8s.io/network-policy-api/apis/v1alpha1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/oracle/world"
)

// head is the head of a saved snapshot.
type head struct {
	metav1.TypeMeta
	Unreadable        []string `json:"unreadable"`
	UnreadableForeign []string `json:"unreadableForeign"`
	Incomplete        []string `json:"incomplete"`
}

// foreign is a policy of Calico's.
type foreign struct {
	metav1.TypeMeta
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Types []string `json:"types"`
	} `json:"spec"`
}

// TestYAML: every document is strictly of its kind, without noise, and the objects that stay as
// they are come back as they were.
func TestYAML(t *testing.T) {
	kinds := map[string]func() any{
		"Snapshot":                   func() any { return &head{} },
		"Namespace":                  func() any { return &corev1.Namespace{} },
		"Node":                       func() any { return &corev1.Node{} },
		"Pod":                        func() any { return &corev1.Pod{} },
		"Deployment":                 func() any { return &appsv1.Deployment{} },
		"NetworkPolicy":              func() any { return &networkingv1.NetworkPolicy{} },
		"GlobalNetworkPolicy":        func() any { return &foreign{} },
		"ClusterNetworkPolicy":       func() any { return &policyv1alpha2.ClusterNetworkPolicy{} },
		"AdminNetworkPolicy":         func() any { return &policyv1alpha1.AdminNetworkPolicy{} },
		"BaselineAdminNetworkPolicy": func() any { return &policyv1alpha1.BaselineAdminNetworkPolicy{} },
	}
	seen := map[string]int{}
	for seed := range 200 {
		w := world.UnevaluatedCases(1).Example(seed).World
		text := w.YAML()
		again := world.World{PodCIDRs: w.PodCIDRs}
		for doc := range strings.SplitSeq(text, "---\n") {
			var meta metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(doc), &meta); err != nil || kinds[meta.Kind] == nil {
				t.Fatalf("seed %d: %v in %q", seed, err, doc)
			}
			seen[meta.Kind]++
			o := kinds[meta.Kind]()
			if strings.Contains(meta.APIVersion, "calico") {
				o = &foreign{}
			}
			if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
				t.Fatalf("seed %d: %v in\n%s", seed, err, doc)
			}
			put(&again, o, w)
		}
		for _, noise := range []string{"creationTimestamp", "null", "{}\nstatus", "resources:", "strategy:"} {
			if strings.Contains(text, noise) {
				t.Fatalf("seed %d: %q in\n%s", seed, noise, text)
			}
		}
		if got := again.YAML(); got != text {
			t.Fatalf("seed %d: read back\n%s\n=====\n%s", seed, got, text)
		}
	}
	for kind := range kinds {
		if seen[kind] == 0 {
			t.Errorf("no %s was drawn", kind)
		}
	}
}

// put adds an object to w; the two old kinds are taken from the original, which has another model.
func put(w *world.World, o any, original world.World) {
	switch o := o.(type) {
	case *corev1.Namespace:
		w.Namespaces = append(w.Namespaces, *o)
	case *corev1.Node:
		w.Nodes = append(w.Nodes, *o)
	case *corev1.Pod:
		w.Pods = append(w.Pods, *o)
	case *appsv1.Deployment:
		w.Deployments = append(w.Deployments, *o)
	case *networkingv1.NetworkPolicy:
		fromServer := original.NetworkPolicies[len(w.NetworkPolicies)].FromServer
		w.NetworkPolicies = append(w.NetworkPolicies, world.NetworkPolicy{Object: *o, FromServer: fromServer})
	case *policyv1alpha2.ClusterNetworkPolicy:
		fromServer := original.ClusterPolicies[len(w.ClusterPolicies)].FromServer
		w.ClusterPolicies = append(w.ClusterPolicies, world.ClusterPolicy{Kind: o.Kind, Object: *o, FromServer: fromServer})
	case *head:
		for missing, list := range [...][]string{cluster.MissingPolicies: o.Unreadable, cluster.MissingForeign: o.UnreadableForeign,
			cluster.MissingObjects: o.Incomplete} {
			for _, why := range list {
				w.Unreadable = append(w.Unreadable, cluster.Unreadable{Why: why, Missing: cluster.Missing(missing)})
			}
		}
	case *foreign:
		group, _, _ := strings.Cut(o.APIVersion, "/")
		w.ForeignPolicies = append(w.ForeignPolicies, cluster.ForeignPolicy{Group: group, Kind: o.Kind,
			Namespace: o.Metadata.Namespace, Name: o.Metadata.Name,
			Ingress: slices.Contains(o.Spec.Types, "Ingress"), Egress: slices.Contains(o.Spec.Types, "Egress")})
	default:
		w.ClusterPolicies = append(w.ClusterPolicies, original.ClusterPolicies[len(w.ClusterPolicies)])
	}
}
