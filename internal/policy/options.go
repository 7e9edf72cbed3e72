// Package policy compiles a Snapshot's policies into the Model: classes of endpoints and addresses, and
// for each class the ordered tiers of rules that apply to it.
//
// It is pure: no I/O, no clock, no logging, no goroutine. It must never decide a connection (eval
// does) and never print.
package policy

import "net/netip"

// Options are the choices under which policies are compiled. The zero value is the rules as
// docs/semantics.md has them.
type Options struct {
	// Strict turns what would be assumed (S17) or is only marked (policies of other engines) into unknown.
	Strict bool
	// PodCIDRs are pod ranges beside those in the Snapshot (S17).
	PodCIDRs []netip.Prefix
	// BlockMetadata denies metadata addresses on leaving a pod (S27).
	BlockMetadata bool
	// Azure adds Azure's own metadata address to those of S27.
	Azure bool
	// Behaviour is what the network plugin does differently from the rules.
	Behaviour Behaviour
}

// Behaviour lists where a plugin deviates from the rules. The zero value deviates nowhere.
type Behaviour struct {
	// NotEnforced: policies have no effect at all (S26).
	NotEnforced bool
	// NotEnforcedIPv6: policies have no effect on IPv6.
	NotEnforcedIPv6 bool
	// BlocksMatchOutsideOnly: ipBlock and networks never match a pod or a node (S17).
	BlocksMatchOutsideOnly bool
	// EgressToOwnNodeByPolicy: S22 holds only for traffic from the node.
	EgressToOwnNodeByPolicy bool
	// EndPort says whether port ranges of NetworkPolicies are understood.
	EndPort EndPort
	// NamedPortsUnsettled: a named port with different numbers on different pods is an unknown match.
	NamedPortsUnsettled bool
	// NoNamedPortsOnWindows: a named port matches nothing at a Windows pod.
	NoNamedPortsOnWindows bool
	// SCTPUnsettled: rules that name SCTP are unknown matches for SCTP.
	SCTPUnsettled bool
}

// EndPort says how a plugin treats endPort (S15).
type EndPort uint8

// The treatments of endPort.
const (
	EndPortUnderstood EndPort = iota
	EndPortIgnored            // only `port` counts
	EndPortUnsettled          // ports above `port` are unknown matches
)
