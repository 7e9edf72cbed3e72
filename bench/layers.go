package bench

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// outsideServices is how many services outside WithLayers declares.
const outsideServices = 5

// WithLayers gives every workload of a cluster an account and an identity of its own, every fourth an access policy
// that admits two others, and the cluster some services outside.
func WithLayers(s *cluster.Snapshot) *cluster.Snapshot {
	seen := map[cluster.Workload]bool{}
	for i := range s.Pods {
		p := &s.Pods[i]
		p.Account = p.Owner.Name
		if seen[p.Owner] {
			continue
		}
		seen[p.Owner] = true
		s.Identities = append(s.Identities, cluster.WorkloadIdentity{Namespace: p.Namespace, Name: p.Owner.Name, Spec: identityOf(p, len(seen))})
		if len(seen)%4 == 0 {
			s.AccessPolicies = append(s.AccessPolicies, cluster.AccessPolicy{Namespace: p.Namespace, Name: p.Owner.Name, Spec: accessTo(p, len(seen))})
		}
	}
	for i := range outsideServices {
		s.External = append(s.External, cluster.ExternalService{Name: fmt.Sprintf("service-%d", i), Spec: serviceOutside(i)})
	}
	return s
}

func clientID(i int) string {
	return fmt.Sprintf("00000000-0000-0000-0000-%012d", i%outsideServices)
}

func identityOf(p *cluster.Pod, i int) *v1alpha1.WorkloadIdentitySpec {
	return &v1alpha1.WorkloadIdentitySpec{
		ServiceAccountName: p.Account,
		Require:            v1alpha1.Requirements{NetworkEnforced: ptr.To(true)},
		ExternalIdentities: []v1alpha1.ExternalIdentity{{Azure: &v1alpha1.AzureGrant{
			AzureIdentity: v1alpha1.AzureIdentity{ClientID: clientID(i)}, Resources: []string{"https://database.windows.net"},
		}}},
	}
}

func accessTo(p *cluster.Pod, i int) *v1alpha1.AccessPolicySpec {
	account := func(n int) v1alpha1.AccessPeer {
		return v1alpha1.AccessPeer{ServiceAccount: &v1alpha1.ServiceAccountPeer{Namespace: namespace(n), Name: fmt.Sprintf("w-%d", n)}}
	}
	return &v1alpha1.AccessPolicySpec{
		Target: v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{
			PodSelector: metav1.LabelSelector{MatchLabels: p.Labels},
			Ports:       []v1alpha1.TargetPort{{Port: intstr.FromString("http"), Protocol: "TCP"}},
		}},
		Mode: v1alpha1.ModeEnforce, EnforcedBy: v1alpha1.EnforcerGate,
		Rules: []v1alpha1.AccessRule{{Action: v1alpha1.ActionAllow, From: []v1alpha1.AccessPeer{account(i + 1), account(i + 2)}}},
	}
}

func serviceOutside(i int) *v1alpha1.ExternalServiceSpec {
	subnet := fmt.Sprintf("/subscriptions/s/subnets/%d", i)
	return &v1alpha1.ExternalServiceSpec{
		CIDRs: []string{fmt.Sprintf("20.0.%d.0/24", i)},
		Ports: []v1alpha1.ExternalPort{{Port: 1433, Protocol: "TCP"}},
		Firewall: &v1alpha1.ExternalFirewall{PublicNetworkAccess: v1alpha1.PublicEnabled,
			SubnetRules: []v1alpha1.SubnetRule{{Subnet: subnet}}},
		Authentication: &v1alpha1.ExternalAuthentication{Mode: v1alpha1.IdentityOnly, Resource: "https://database.windows.net",
			Admitted: []v1alpha1.AdmittedIdentity{{Azure: &v1alpha1.AzureIdentity{ClientID: clientID(i)}}}},
		Sources: []v1alpha1.ClusterSource{{Subnet: subnet}},
	}
}
