package cluster

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCompare(t *testing.T) {
	np := func(name string) NetworkPolicy {
		return NetworkPolicy{Object: &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}}
	}
	base := func() *Snapshot {
		return &Snapshot{Pods: []Pod{{Namespace: "n", Name: "a"}, {Namespace: "n", Name: "b"}}, NetworkPolicies: []NetworkPolicy{np("x"), np("y")}}
	}
	for _, c := range []struct {
		what   string
		change func(*Snapshot)
		want   string
	}{
		{"nothing", func(*Snapshot) {}, ""},
		{"only a place", func(s *Snapshot) { s.Pods[0].Origin.Line, s.NetworkPolicies[0].Origin.Line = 7, 9 }, ""},
		{"an address", func(s *Snapshot) { s.Pods[1].Addrs = []netip.Addr{netip.MustParseAddr("10.0.0.1")} }, "set b"},
		{"labels", func(s *Snapshot) { s.Pods[0].Labels = map[string]string{"a": "b"} }, "set a"},
		{"a pod goes", func(s *Snapshot) { s.Pods = s.Pods[1:] }, "gone a"},
		{"a pod comes", func(s *Snapshot) { s.Pods = append(s.Pods, Pod{Namespace: "m", Name: "a"}) }, "set a"},
		{"a policy changes", func(s *Snapshot) {
			s.NetworkPolicies[1].Object.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		}, "set y"},
		{"a policy is kept for established connections", func(s *Snapshot) {
			s.NetworkPolicies[1].Object.Annotations = map[string]string{EstablishedAnnotation: KeepEstablished}
		}, "set y"},
		{"a policy goes and another comes", func(s *Snapshot) { s.NetworkPolicies[0] = np("z") }, "gone x set z"},
		{"labels of a namespace", func(s *Snapshot) { s.Namespaces = []Namespace{{Name: "n"}} }, "else"},
		{"a node", func(s *Snapshot) { s.Nodes = []Node{{Name: "n"}} }, "else"},
		{"a service, which no node enforces", func(s *Snapshot) { s.Services = []Service{{Name: "s"}} }, ""},
	} {
		now := base()
		c.change(now)
		got := Compare(base(), now)
		var words []string
		for _, p := range got.GonePods {
			words = append(words, "gone "+p.Name)
		}
		for _, p := range got.Pods {
			words = append(words, "set "+p.Name)
		}
		for _, p := range got.GonePolicies {
			words = append(words, "gone "+p.Object.Name)
		}
		for _, p := range got.Policies {
			words = append(words, "set "+p.Object.Name)
		}
		if got.Else {
			words = append(words, "else")
		}
		if text := strings.Join(words, " "); text != c.want {
			t.Errorf("%s: %q, not %q", c.what, text, c.want)
		}
	}
}

// TestEnforcedIsComplete: a list that is new in the Snapshot is either compared, or known not to matter to nodes.
func TestEnforcedIsComplete(t *testing.T) {
	unimportant := "Revision Pods Services Entries Callbacks Monitors Granted NetworkPolicies Notes Ignores"
	full := &Snapshot{}
	v := reflect.ValueOf(full).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		}
	}
	kept := reflect.ValueOf(enforced(full))
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Slice && kept.Field(i).Len() == 0 && !strings.Contains(" "+unimportant+" ", " "+name+" ") {
			t.Errorf("%s is not compared", name)
		}
	}
}
