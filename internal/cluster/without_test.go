package cluster_test

import (
	"testing"

	"sallyport.dev/sallyport/internal/cluster"
)

// TestWithoutAzure: each kind of AAD Pod Identity can be deleted alone, by its own name, and goes with its namespace.
func TestWithoutAzure(t *testing.T) {
	s := &cluster.Snapshot{
		AzureIdentities: []cluster.AzureIdentity{{Namespace: "blue", Name: "x"}, {Namespace: "red", Name: "x"}},
		AzureBindings:   []cluster.AzureIdentityBinding{{Namespace: "blue", Name: "x"}, {Namespace: "blue", Name: "z"}},
		AzureExceptions: []cluster.AzurePodIdentityException{{Namespace: "blue", Name: "x"}},
	}
	for _, c := range []struct {
		ref  cluster.ObjectRef
		left [3]int // identities, bindings, exceptions
		ok   bool
	}{
		{cluster.ObjectRef{Kind: "azureidentity", Namespace: "blue", Name: "x"}, [3]int{1, 2, 1}, true},
		{cluster.ObjectRef{Kind: "azureidentitybinding", Namespace: "blue", Name: "x"}, [3]int{2, 1, 1}, true},
		{cluster.ObjectRef{Kind: "azurepodidentityexception", Namespace: "blue", Name: "x"}, [3]int{2, 2, 0}, true},
		{cluster.ObjectRef{Kind: "namespace", Name: "blue"}, [3]int{1, 0, 0}, true},
		{cluster.ObjectRef{Kind: "azureidentity", Namespace: "blue", Name: "z"}, [3]int{2, 2, 1}, false},
	} {
		out, ok := s.Without(c.ref)
		if left := [3]int{len(out.AzureIdentities), len(out.AzureBindings), len(out.AzureExceptions)}; left != c.left || ok != c.ok {
			t.Errorf("%+v: left %v, %v", c.ref, left, ok)
		}
	}
	if len(s.AzureIdentities) != 2 || len(s.AzureBindings) != 2 || len(s.AzureExceptions) != 1 {
		t.Errorf("the Snapshot itself changed: %+v", s)
	}
}
