package objects

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport.dev/sallyport/internal/cluster"
)

// owners finds the workload that people mean when they speak of a pod.
type owners map[cluster.Workload]*ownedMeta

// ownerIndex remembers the controllers of the ReplicaSets and Jobs in the input, the two kinds that
// stand between a pod and its workload, and that every other workload is in the input.
func (a *assembly) ownerIndex() owners {
	out := owners{}
	for _, it := range a.workloads {
		out[workloadOf(it.key)] = &it.slim.(*workloadObject).Metadata
	}
	return out
}

// controllerOf gives the owner that manages an object, or nil. One whose kind or name no object can
// have counts as none: it could print like another workload.
func controllerOf(m *ownedMeta) *ownerRef {
	for i := range m.OwnerReferences {
		if ref := &m.OwnerReferences[i]; ref.Controller && kindSyntax.MatchString(ref.Kind) && len(validation.IsDNS1123Subdomain(ref.Name)) == 0 {
			return ref
		}
	}
	return nil
}

var kindSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,62}$`)

// of gives the top owner of a pod; a pod without one, or a static pod of a node, is its own.
func (o owners) of(namespace, name string, m *ownedMeta) cluster.Workload {
	ref := controllerOf(m)
	if ref == nil || ref.Kind == "Node" {
		return cluster.Workload{Namespace: namespace, Kind: "pod", Name: name}
	}
	w := cluster.Workload{Namespace: namespace, Kind: strings.ToLower(ref.Kind), Name: ref.Name}
	if w.Kind != "replicaset" && w.Kind != "job" {
		return w
	}
	parent, present := o[w]
	if present {
		if up := controllerOf(parent); up != nil {
			return cluster.Workload{Namespace: namespace, Kind: strings.ToLower(up.Kind), Name: up.Name}
		}
		return w
	}
	// Without the ReplicaSet itself, its name and the hash in the label give the Deployment.
	hash := m.Labels[podTemplateHash]
	if deployment, ok := strings.CutSuffix(w.Name, "-"+hash); ok && hash != "" && deployment != "" && w.Kind == "replicaset" {
		return cluster.Workload{Namespace: namespace, Kind: "deployment", Name: deployment}
	}
	return w
}

// hasParent tells whether a workload is only the means of another one: a Deployment's ReplicaSet or
// a CronJob's Job. Where that other one is not in the input, a ReplicaSet that still runs
// something, and every Job, speaks for it.
func (o owners) hasParent(it *item, w *workloadObject) bool {
	if it.key.kind != "ReplicaSet" && it.key.kind != "Job" {
		return false
	}
	ref := controllerOf(&w.Metadata)
	if ref == nil {
		return false
	}
	_, present := o[cluster.Workload{Namespace: it.key.namespace, Kind: strings.ToLower(ref.Kind), Name: ref.Name}]
	return present || w.Spec.Replicas != nil && *w.Spec.Replicas == 0
}
