package objects

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects/owncases"
)

// ownOf gives the spec of the one object of Sallyport's own kinds, and what was not understood of it.
func ownOf(t testing.TB, s *cluster.Snapshot) (spec any, unclear []string) {
	t.Helper()
	switch {
	case len(s.Identities)+len(s.AccessPolicies)+len(s.External) != 1:
		t.Fatalf("not one object: %v %v %v", s.Identities, s.AccessPolicies, s.External)
	case len(s.Identities) == 1:
		return s.Identities[0].Spec, s.Identities[0].NotUnderstood
	case len(s.AccessPolicies) == 1:
		return s.AccessPolicies[0].Spec, s.AccessPolicies[0].NotUnderstood
	}
	return s.External[0].Spec, s.External[0].NotUnderstood
}

// TestOwnProblems: what is said of every case; test/cluster puts the same ones to an API server.
func TestOwnProblems(t *testing.T) {
	for _, c := range owncases.All() {
		t.Run(c.String(), func(t *testing.T) { check(t, problems(t, c.Document("case")), c.Want) })
	}
}

// TestOwnDefaults: an object as it was written, and as an API server stores it, are read as the same.
func TestOwnDefaults(t *testing.T) {
	compared := 0
	for _, c := range owncases.All() {
		if c.Stored == "" {
			continue
		}
		compared++
		written, _ := ownOf(t, mustBuild(t, docs(t, c.Document("case"))))
		c.Spec = c.Stored
		stored, _ := ownOf(t, mustBuild(t, docs(t, c.Document("case"))))
		if diff := cmp.Diff(written, stored); diff != "" {
			t.Errorf("%s (-written +stored):\n%s", c.String(), diff)
		}
	}
	if compared < 20 {
		t.Errorf("only %d were compared", compared)
	}
}
