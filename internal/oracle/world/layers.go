package world

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// Own is a resource of Sallyport's own group as written: what a server would fill in may be absent.
type Own[T any] struct {
	Object T
	// FromServer: it has a part that no file may have, and that is not understood (L4).
	FromServer bool
}

// notUnderstood is what the Snapshot says of it.
func (o Own[T]) notUnderstood() []string {
	if o.FromServer {
		return []string{"drawn with a part that is not understood"}
	}
	return nil
}

func (w World) ownFromServer() bool {
	return slices.ContainsFunc(w.Identities, func(o Own[v1alpha1.WorkloadIdentity]) bool { return o.FromServer }) ||
		slices.ContainsFunc(w.AccessPolicies, func(o Own[v1alpha1.AccessPolicy]) bool { return o.FromServer }) ||
		slices.ContainsFunc(w.External, func(o Own[v1alpha1.ExternalService]) bool { return o.FromServer })
}

func (w World) cloneLayers(out *World) {
	for _, o := range w.Identities {
		out.Identities = append(out.Identities, Own[v1alpha1.WorkloadIdentity]{*o.Object.DeepCopy(), o.FromServer})
	}
	for _, o := range w.AccessPolicies {
		out.AccessPolicies = append(out.AccessPolicies, Own[v1alpha1.AccessPolicy]{*o.Object.DeepCopy(), o.FromServer})
	}
	for _, o := range w.External {
		out.External = append(out.External, Own[v1alpha1.ExternalService]{*o.Object.DeepCopy(), o.FromServer})
	}
}

// addLayers adds the resources as a reader would, with what is absent filled in (L2). The world is a
// clone already.
func (w World) addLayers(s *cluster.Snapshot) {
	for i := range w.Identities {
		o := &w.Identities[i]
		fillIdentity(&o.Object.Spec)
		s.Identities = append(s.Identities, cluster.WorkloadIdentity{Namespace: o.Object.Namespace, Name: o.Object.Name,
			Spec: &o.Object.Spec, NotUnderstood: o.notUnderstood()})
	}
	for i := range w.AccessPolicies {
		o := &w.AccessPolicies[i]
		keepUnderstood(&o.Object.Spec)
		fillAccess(&o.Object.Spec)
		s.AccessPolicies = append(s.AccessPolicies, cluster.AccessPolicy{Namespace: o.Object.Namespace, Name: o.Object.Name,
			Spec: &o.Object.Spec, NotUnderstood: o.notUnderstood()})
	}
	for i := range w.External {
		o := &w.External[i]
		fillExternal(&o.Object.Spec)
		s.External = append(s.External, cluster.ExternalService{Namespace: o.Object.Namespace, Name: o.Object.Name,
			Spec: &o.Object.Spec, NotUnderstood: o.notUnderstood()})
	}
}

func fillIdentity(spec *v1alpha1.WorkloadIdentitySpec) {
	spec.X509.Lifetime = &metav1.Duration{Duration: 15 * time.Minute}
	if spec.JWT != nil {
		spec.JWT.Lifetime = &metav1.Duration{Duration: 5 * time.Minute}
	}
	if spec.Require.NetworkEnforced == nil {
		enforced := true
		spec.Require.NetworkEnforced = &enforced
	}
}

func fillAccess(spec *v1alpha1.AccessPolicySpec) {
	spec.Mode = cmp.Or(spec.Mode, v1alpha1.ModeEnforce)
	if x := spec.Target.ExternalService; x != nil {
		x.Kind = cmp.Or(x.Kind, "ExternalService")
	}
	if pods := spec.Target.Pods; pods != nil {
		for i := range pods.Ports {
			pods.Ports[i].Protocol = cmp.Or(pods.Ports[i].Protocol, corev1.ProtocolTCP)
		}
	}
}

// keepUnderstood is L4 for what breakAccess breaks: a target that is not understood is all pods of the
// namespace and every port, and a mode is Enforce.
func keepUnderstood(spec *v1alpha1.AccessPolicySpec) {
	pods, service := spec.Target.Pods, spec.Target.ExternalService
	broken := (pods != nil) == (service != nil)
	if pods != nil {
		broken = broken || slices.ContainsFunc(pods.Ports, func(p v1alpha1.TargetPort) bool { return p.Port.StrVal == brokenPort }) ||
			slices.ContainsFunc(pods.PodSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Operator == brokenOperator })
	}
	if broken {
		spec.Target = v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{}}
	}
	if spec.Mode == brokenMode {
		spec.Mode = v1alpha1.ModeEnforce
	}
}

func fillExternal(spec *v1alpha1.ExternalServiceSpec) {
	for i := range spec.Ports {
		spec.Ports[i].Protocol = cmp.Or(spec.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	if f := spec.Firewall; f != nil {
		f.PublicNetworkAccess = cmp.Or(f.PublicNetworkAccess, v1alpha1.PublicEnabled)
	}
}

// shuffleLayers is Shuffle for the resources of layers.
func shuffleLayers(r *rand.Rand, w *World) {
	shuffle(r, w.Identities)
	shuffle(r, w.AccessPolicies)
	shuffle(r, w.External)
	w.Azure.shuffle(r)
	for i := range w.Identities {
		shuffle(r, w.Identities[i].Object.Spec.ExternalIdentities)
	}
	for i := range w.AccessPolicies {
		spec := &w.AccessPolicies[i].Object.Spec
		shuffle(r, spec.Rules)
		for j := range spec.Rules {
			shuffle(r, spec.Rules[j].From)
		}
		if spec.Target.Pods != nil {
			shuffle(r, spec.Target.Pods.Ports)
		}
	}
	for i := range w.External {
		spec := &w.External[i].Object.Spec
		shuffle(r, spec.CIDRs)
		shuffle(r, spec.Ports)
		if f := spec.Firewall; f != nil {
			shuffle(r, f.IPRules)
			shuffle(r, f.SubnetRules)
			shuffle(r, f.PrivateEndpoints)
		}
		if a := spec.Authentication; a != nil {
			shuffle(r, a.Admitted)
		}
	}
}
