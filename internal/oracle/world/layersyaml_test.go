package world_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/source/manifest"
)

func hasAddress(x *cluster.ExternalService, f flow.Flow) bool {
	for _, s := range x.Spec.CIDRs {
		if p, err := netip.ParsePrefix(s); err == nil && p.Contains(f.To.Addr) {
			return true
		}
	}
	return false
}

func atEndpoint(x *cluster.ExternalService, f flow.Flow) bool {
	if x.Spec.Firewall == nil {
		return false
	}
	for _, e := range x.Spec.Firewall.PrivateEndpoints {
		if e.Address == f.To.Addr.String() {
			return true
		}
	}
	return false
}

func hasPort(x *cluster.ExternalService, f flow.Flow) bool {
	for _, p := range x.Spec.Ports {
		last := p.Port
		if p.EndPort != nil {
			last = *p.EndPort
		}
		proto, err := netset.ParseProto(string(p.Protocol))
		if err == nil && proto == f.Proto && p.Port <= int32(f.Port) && int32(f.Port) <= last {
			return true
		}
	}
	return false
}

// TestLayeredYAML: the program reads a world's manifests as the world's own Snapshot has them, so that a
// disagreement can be saved and asked again.
func TestLayeredYAML(t *testing.T) {
	file := filepath.Join(t.TempDir(), "world.yaml")
	unclear := 0
	for seed := range 120 {
		w := world.LayeredCases(1).Example(seed).World
		want := w.Snapshot()
		if err := os.WriteFile(file, []byte(w.YAML()), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := manifest.Read(manifest.Options{Files: []string{file}})
		if err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, w.YAML())
		}
		a, b := resourcesOf(want), resourcesOf(got)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d:\n%s\nwant %+v\ngot  %+v", seed, w.YAML(), a, b)
		}
		unclear += strings.Count(w.YAML(), "kind: Snapshot")
	}
	if unclear == 0 {
		t.Error("no world is from a server")
	}
}

// resource is what a reader must get right of a resource.
type resource struct {
	kind, namespace, name string
	unclear               bool
	spec                  any
}

func resourcesOf(s *cluster.Snapshot) (out []resource) {
	for _, w := range s.Identities {
		out = append(out, resource{"wid", w.Namespace, w.Name, len(w.NotUnderstood) > 0, w.Spec})
	}
	for _, p := range s.AccessPolicies {
		out = append(out, resource{"acp", p.Namespace, p.Name, len(p.NotUnderstood) > 0, p.Spec})
	}
	for _, x := range s.External {
		out = append(out, resource{x.Kind(), x.Namespace, x.Name, len(x.NotUnderstood) > 0, plain(x.Spec)})
	}
	for _, u := range s.Unreadable {
		out = append(out, resource{kind: "unread", spec: u.Missing})
	}
	for _, p := range s.Pods {
		out = append(out, resource{"pod", p.Namespace, p.Name, p.HostNetwork, p.Account})
	}
	return append(out, azureOf(s)...)
}

// azureOf lists what a reader must get right of L13 to L15.
func azureOf(s *cluster.Snapshot) (out []resource) {
	for _, p := range s.Pods {
		out = append(out, resource{"labels", p.Namespace, p.Name, p.EntraToken, p.Labels})
	}
	for _, a := range s.Accounts {
		out = append(out, resource{"sa", a.Namespace, a.Name, false, quoted(a.EntraClient) + " of " + quoted(a.EntraTenant)})
	}
	for _, x := range s.AzureIdentities {
		x.Origin = cluster.Origin{}
		out = append(out, resource{"azid", x.Namespace, x.Name, false, x})
	}
	for _, b := range s.AzureBindings {
		b.Origin = cluster.Origin{}
		out = append(out, resource{"azbind", b.Namespace, b.Name, false, b})
	}
	for _, e := range s.AzureExceptions {
		e.Origin = cluster.Origin{}
		out = append(out, resource{"azexc", e.Namespace, e.Name, false, e})
	}
	return out
}

// quoted tells what is not there from what is empty.
func quoted(annotation *string) string {
	if annotation == nil {
		return "none"
	}
	return strconv.Quote(*annotation)
}

// plain makes lists that say nothing alike; only admitted tells empty from absent.
func plain(spec *v1alpha1.ExternalServiceSpec) *v1alpha1.ExternalServiceSpec {
	if f := spec.Firewall; f != nil && len(f.IPRules) == 0 {
		f.IPRules = nil
	}
	return spec
}
