package netset

import (
	"testing"

	"pgregory.net/rapid"
)

// drawSet draws a set over few numbers, so that ranges touch and overlap.
func drawSet(t *rapid.T, label string) PortSet {
	edges := []uint16{1, 2, 3, 79, 80, 81, 65534, 65535}
	var s PortSet
	for range rapid.IntRange(0, 4).Draw(t, label+" size") {
		a, b := rapid.SampledFrom(edges).Draw(t, label), rapid.SampledFrom(edges).Draw(t, label)
		s.Add(rapid.SampledFrom(Protos[:]).Draw(t, label), PortRange{min(a, b), max(a, b)})
	}
	return s
}

// TestSetsAreSets compares the operations with membership, port by port.
func TestSetsAreSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a"), drawSet(t, "b")
		union, both, minus := a.Union(b), a.Intersect(b), a.Minus(b)
		for _, proto := range Protos {
			for _, port := range []uint16{1, 2, 3, 4, 78, 79, 80, 81, 82, 65533, 65534, 65535} {
				x, y := a.Contains(proto, port), b.Contains(proto, port)
				if union.Contains(proto, port) != (x || y) || both.Contains(proto, port) != (x && y) || minus.Contains(proto, port) != (x && !y) {
					t.Fatalf("%v/%d: a %v, b %v, union %v, both %v, minus %v", proto, port, a, b, union, both, minus)
				}
			}
		}
		if !union.Minus(b).Union(b).Equal(union) || !minus.Intersect(b).Empty() || minus.Empty() != a.Intersect(b).Equal(a) {
			t.Fatalf("a %v, b %v: the laws of sets do not hold", a, b)
		}
	})
}

func TestSetPrints(t *testing.T) {
	var s PortSet
	if s.String() != "none" || EveryPort().String() != "all" {
		t.Errorf("empty is %v, everything is %v", s, EveryPort())
	}
	s.Add(UDP, PortRange{53, 53})
	s.Add(TCP, PortRange{81, 90})
	s.Add(TCP, PortRange{80, 80})
	s.Add(Other, PortRange{})
	if got, want := s.String(), "tcp/80-90, udp/53, icmp"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range []string{"TCP", "udp", "Sctp", "icmp"} {
		if _, err := ParseProto(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := ParseProto("quic"); err == nil {
		t.Error("quic was accepted as a protocol")
	}
}
