package layers

import (
	"fmt"
	"testing"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/policy"
)

// TestSharedGrants: what a label gives is worked out once in a namespace, however many accounts there are, and one pod's
// further grants are not another's.
func TestSharedGrants(t *testing.T) {
	s := &cluster.Snapshot{Namespaces: []cluster.Namespace{{Name: "shop"}}}
	for i := range 3 {
		n := fmt.Sprint("x", i)
		s.Pods = append(s.Pods, cluster.Pod{Namespace: "shop", Name: n, Account: n, Labels: map[string]string{cluster.BindingLabel: "sql"}})
		s.AzureIdentities = append(s.AzureIdentities, cluster.AzureIdentity{Namespace: "shop", Name: n, ClientID: fmt.Sprintf("3b7f6c5a-4d21-4c2b-9d0e-%012d", i)})
		s.AzureBindings = append(s.AzureBindings, cluster.AzureIdentityBinding{Namespace: "shop", Name: n, Identity: n, Selector: "sql"})
	}
	enforced := false
	own := v1alpha1.AzureIdentity{ClientID: "3b7f6c5a-4d21-4c2b-9d0e-00000000ffff"}
	s.Identities = []cluster.WorkloadIdentity{{Namespace: "shop", Name: "w", Spec: &v1alpha1.WorkloadIdentitySpec{ServiceAccountName: "x0",
		Require:            v1alpha1.Requirements{NetworkEnforced: &enforced},
		ExternalIdentities: []v1alpha1.ExternalIdentity{{Azure: &v1alpha1.AzureGrant{AzureIdentity: own}}}}}}
	l := New(policy.Compile(s, policy.Options{}))
	a, b, c := l.identities[l.who[0]].azure, l.identities[l.who[1]].azure, l.identities[l.who[2]].azure
	if len(a) != 4 || a[3].ClientID != own.ClientID || len(b) != 3 || len(c) != 3 {
		t.Fatalf("%d, %d and %d grants, want 4, 3 and 3", len(a), len(b), len(c))
	}
	if &b[0] != &c[0] {
		t.Error("the grants of two accounts are worked out twice")
	}
}

// TestPortsOnce: services with the same ports cut a flow's ports as one does.
func TestPortsOnce(t *testing.T) {
	one := service{ports: []portRange{{proto: 1}, {proto: 2}}}
	if got := portsOf([]service{one, one, {ports: one.ports[1:]}}); len(got) != 2 {
		t.Errorf("%v, want each once", got)
	}
}
