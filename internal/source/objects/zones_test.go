package objects

import (
	"strings"
	"testing"
)

// An address with a zone is one of nobody else's network, and its zone is any text.
func TestAddressesWithZones(t *testing.T) {
	for _, doc := range []string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web"},"status":{"podIP":"fe80::1%x","podIPs":[{"ip":"fe80::1%x"}]}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web"},"status":{"podIP":"fe80::1%x"}}`,
		`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"},"status":{"addresses":[{"type":"InternalIP","address":"fe80::1%x"}]}}`,
	} {
		if _, _, err := readAll(t, false, doc); err == nil || !strings.Contains(err.Error(), "is not an address") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
