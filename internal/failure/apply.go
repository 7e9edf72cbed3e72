package failure

import (
	"maps"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

func objectOf(p cluster.PolicyRef) cluster.ObjectRef {
	return cluster.ObjectRef{Kind: strings.ToLower(p.Kind), Namespace: p.Namespace, Name: p.Name}
}

func withoutLabel(s *cluster.Snapshot, namespace, label string) *cluster.Snapshot {
	out := *s
	out.Namespaces = slices.Clone(s.Namespaces)
	for i := range out.Namespaces {
		if n := &out.Namespaces[i]; n.Name == namespace {
			n.Labels = maps.Clone(n.Labels)
			delete(n.Labels, label)
		}
	}
	return &out
}

// withService changes a copy of a service.
func withService(s *cluster.Snapshot, i int, change func(*v1alpha1.ExternalServiceSpec)) *cluster.Snapshot {
	out := *s
	out.External = slices.Clone(s.External)
	spec := out.External[i].Spec.DeepCopy()
	change(spec)
	out.External[i].Spec = spec
	return &out
}

// openFirewall admits every address and every subnet that the cluster may appear as.
func openFirewall(x *v1alpha1.ExternalServiceSpec) {
	if x.Firewall == nil {
		return
	}
	f := x.Firewall
	f.PublicNetworkAccess = v1alpha1.PublicEnabled
	f.IPRules = []v1alpha1.IPRule{{First: "0.0.0.0", Last: "255.255.255.255"}, {First: "::", Last: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}}
	f.SubnetRules = nil
	for _, s := range x.Sources {
		if s.Subnet != "" {
			f.SubnetRules = append(f.SubnetRules, v1alpha1.SubnetRule{Subnet: s.Subnet})
		}
	}
}

func takePasswords(x *v1alpha1.ExternalServiceSpec) {
	if x.Authentication != nil {
		x.Authentication.Mode = v1alpha1.IdentityOrPassword
	}
}
