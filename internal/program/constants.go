package program

import "sallyport.dev/sallyport/internal/netset"

// The sets that are the same in every table: numbers of the protocols, and of messages of ICMPv6.
const (
	portProtocols  = "port_protocols"
	errorProtocols = "error_protocols"
	neighbourTypes = "neighbour_messages"
	listenerTypes  = "listener_messages"
)

// ICMP and ICMPv6 are the protocols of errors about connections.
const (
	ICMP   = 1
	ICMPv6 = 58
)

// NumberOf gives IANA's number of a protocol with ports, and 0 for netset.Other.
func NumberOf(p netset.Proto) uint8 {
	return map[netset.Proto]uint8{netset.TCP: 6, netset.UDP: 17, netset.SCTP: 132}[p]
}

// ProtoOf is the inverse of NumberOf; netset.Other for every protocol without ports.
func ProtoOf(number uint8) netset.Proto {
	for _, p := range []netset.Proto{netset.TCP, netset.UDP, netset.SCTP} {
		if NumberOf(p) == number {
			return p
		}
	}
	return netset.Other
}

// constants makes those sets. The messages are the ones without which IPv6 does not work (S20). Advertisements of routers and
// redirects are not among them: from an uplink they pass anyway, and from a pod they would be a way to bend the node's routes.
// Packet too big is an error about a connection: from nobody's it tells nobody anything.
func constants() []Set {
	return []Set{
		numbers(portProtocols, KeyProtocol, NumberOf(netset.TCP), NumberOf(netset.UDP), NumberOf(netset.SCTP)),
		numbers(errorProtocols, KeyProtocol, ICMP, ICMPv6),
		numbers(neighbourTypes, KeyICMPv6, 133, 135, 136),     // a router sought, a neighbour sought, a neighbour's answer
		numbers(listenerTypes, KeyICMPv6, 130, 131, 132, 143), // a query for listeners, their reports, and that they are done
	}
}

func numbers(name string, key Key, list ...uint8) Set {
	s := Set{Name: name, Key: key}
	for _, n := range list {
		s.Elements = append(s.Elements, Element{Number: n})
	}
	return s
}
