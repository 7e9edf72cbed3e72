// Package netset holds the value types for ports and addresses that every other package shares.
//
// It imports the standard library only and must never know what a policy or a cluster is.
package netset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Proto is a transport protocol as network policies see it. The zero value is not a protocol.
type Proto uint8

// The protocols. Other stands for ICMP and every further protocol: none of them has a port, and a
// rule that names ports never matches them (rule S20).
const (
	TCP Proto = iota + 1
	UDP
	SCTP
	Other
)

// Protos lists every protocol in the order in which output sorts them.
var Protos = [...]Proto{TCP, UDP, SCTP, Other}

// String gives the lower-case name: tcp, udp, sctp, or icmp for Other.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	case Other:
		return "icmp"
	}
	return fmt.Sprintf("proto(%d)", uint8(p))
}

// HasPorts tells whether the protocol has ports at all.
func (p Proto) HasPorts() bool { return p >= TCP && p <= SCTP }

// ParseProto reads a protocol name, upper or lower case.
func ParseProto(s string) (Proto, error) {
	for _, p := range Protos {
		if strings.EqualFold(s, p.String()) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown protocol %q: use tcp, udp, sctp or icmp", s)
}

// PortRange is an inclusive range of port numbers, 1 to 65535. First is never above Last.
type PortRange struct{ First, Last uint16 }

// AllPorts is every port of a protocol.
var AllPorts = PortRange{1, 65535}

// Contains tells whether the port lies in the range.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String gives "80" or "8000-8100".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// PortSet is a set of (protocol, port) pairs, where Other is a single element without ports.
// The zero value is the empty set. Ranges are kept sorted, disjoint and merged, so that two equal
// sets print the same.
type PortSet struct {
	ranges [3][]PortRange // TCP, UDP, SCTP
	other  bool
}

// EveryPort is the set of every protocol and every port, ICMP included.
func EveryPort() PortSet {
	var s PortSet
	for _, p := range Protos {
		s.Add(p, AllPorts)
	}
	return s
}

// Add puts a range of a protocol into the set; the range is ignored for Other.
func (s *PortSet) Add(p Proto, r PortRange) {
	if p == Other {
		s.other = true
		return
	}
	i := p - TCP
	s.ranges[i] = mergeRanges(append(slices.Clone(s.ranges[i]), r))
}

// Union gives the pairs that are in either set.
func (s PortSet) Union(o PortSet) PortSet {
	var out PortSet
	for i := range s.ranges {
		out.ranges[i] = mergeRanges(append(slices.Clone(s.ranges[i]), o.ranges[i]...))
	}
	out.other = s.other || o.other
	return out
}

// Intersect gives the pairs that are in both sets.
func (s PortSet) Intersect(o PortSet) PortSet {
	var out PortSet
	for i := range s.ranges {
		for _, a := range s.ranges[i] {
			for _, b := range o.ranges[i] {
				if first, last := max(a.First, b.First), min(a.Last, b.Last); first <= last {
					out.ranges[i] = append(out.ranges[i], PortRange{first, last})
				}
			}
		}
		out.ranges[i] = mergeRanges(out.ranges[i])
	}
	out.other = s.other && o.other
	return out
}

// Minus gives the pairs that are in s and not in o.
func (s PortSet) Minus(o PortSet) PortSet {
	out := PortSet{other: s.other && !o.other}
	for i := range s.ranges {
		for _, r := range s.ranges[i] {
			first := int(r.First)
			for _, hole := range o.ranges[i] {
				if hole.Last < r.First || hole.First > r.Last {
					continue
				}
				if first < int(hole.First) {
					out.ranges[i] = append(out.ranges[i], PortRange{uint16(first), hole.First - 1})
				}
				first = int(hole.Last) + 1
			}
			if first <= int(r.Last) {
				out.ranges[i] = append(out.ranges[i], PortRange{uint16(first), r.Last})
			}
		}
	}
	return out
}

// Contains tells whether the pair is in the set; port is ignored for Other.
func (s PortSet) Contains(p Proto, port uint16) bool {
	if p == Other {
		return s.other
	}
	return slices.ContainsFunc(s.ranges[p-TCP], func(r PortRange) bool { return r.Contains(port) })
}

// Empty tells whether nothing is in the set.
func (s PortSet) Empty() bool {
	return !s.other && len(s.ranges[0]) == 0 && len(s.ranges[1]) == 0 && len(s.ranges[2]) == 0
}

// Equal tells whether both sets hold the same pairs.
func (s PortSet) Equal(o PortSet) bool {
	for i := range s.ranges {
		if !slices.Equal(s.ranges[i], o.ranges[i]) {
			return false
		}
	}
	return s.other == o.other
}

// Strings lists the set as "all", or as sorted entries like "tcp/80", "udp/1-65535", "icmp".
func (s PortSet) Strings() []string {
	if s.Equal(EveryPort()) {
		return []string{"all"}
	}
	out := []string{}
	for i, rs := range s.ranges {
		for _, r := range rs {
			out = append(out, (TCP+Proto(i)).String()+"/"+r.String())
		}
	}
	if s.other {
		out = append(out, Other.String())
	}
	return out
}

// String joins Strings with commas; the empty set is "none".
func (s PortSet) String() string {
	if s.Empty() {
		return "none"
	}
	return strings.Join(s.Strings(), ", ")
}

func mergeRanges(rs []PortRange) []PortRange {
	slices.SortFunc(rs, func(a, b PortRange) int { return int(a.First) - int(b.First) })
	var out []PortRange
	for _, r := range rs {
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Entry is one range of one protocol in a set.
type Entry struct {
	Proto Proto
	Range PortRange // unused for Other
}

// Entries lists the set in output order.
func (s PortSet) Entries() []Entry {
	var out []Entry
	for i, rs := range s.ranges {
		for _, r := range rs {
			out = append(out, Entry{TCP + Proto(i), r})
		}
	}
	if s.other {
		out = append(out, Entry{Proto: Other})
	}
	return out
}
