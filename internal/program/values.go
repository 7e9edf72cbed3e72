package program

import (
	"net/netip"

	"sallyport.dev/sallyport/internal/netset"
)

// TableName is the table's name, in the family inet.
const TableName = "sallyport"

// LogGroup is the netlink group to which denied packets are logged.
const LogGroup = 45

// Program is the content of the table. Lists are sorted by name, elements by key.
type Program struct {
	Sets   []Set
	Maps   []Map
	Chains []Chain
	// Notes say what could not be told apart on this node and is closed for that, in words, sorted.
	Notes []string
}

// RevokedLabel is the number of the bit among the labels of a connection (ct label) that says that it was let in once and may
// not go on. Labels have 128 bits that everybody shares; tools that number them begin at 0.
const RevokedLabel = 119

// Key is what a set or map is looked up by.
type Key uint8

// The keys.
const (
	KeyIPv4      Key = iota + 1 // an address
	KeyIPv6                     // an address
	KeyInterface                // the name of an interface
	KeySource4                  // the name of an interface, and an IPv4 address
	KeySource6                  // the name of an interface, and an IPv6 address
	KeyPort                     // a protocol and a port
	KeyProtocol                 // the number of an IP protocol
	KeyICMPv6                   // the type of an ICMPv6 message
)

// Set is a named set.
type Set struct {
	Name     string
	Key      Key
	Elements []Element
}

// Map is a named map from keys to verdicts. Interval: elements may be ranges; they never overlap.
type Map struct {
	Name     string
	Key      Key
	Interval bool
	Elements []Element
}

// Element is an element of a set or, with a Verdict, of a map. Which fields count hangs on the key.
type Element struct {
	First, Last netip.Addr // the same address where the set has no ranges
	Interface   string
	Proto       netset.Proto
	Ports       netset.PortRange
	Number      uint8 // of the protocol, or of the type of a message
	Verdict     Verdict
}

// Act is what a verdict does.
type Act uint8

// The acts.
const (
	Accept Act = iota + 1 // ends the hook; other tables may still drop
	Drop
	Return // goes on behind the rule that jumped here
	Jump
	Goto
)

// Verdict ends a rule. The zero value goes on with the next rule.
type Verdict struct {
	Act   Act
	Chain string // of Jump and Goto
}

// Hook is where a chain is called from; zero for one that only other chains call.
type Hook uint8

// The hooks.
const (
	Forward Hook = iota + 1
	Input
	Output
)

// Chain is a list of rules. One with a hook accepts what none of its rules ends.
type Chain struct {
	Name  string
	Hook  Hook
	Rules []Rule
}

// Rule is one of the shapes that the table is made of: it matches, and then logs, looks a verdict up or has one.
type Rule struct {
	Match   Match
	Negated bool   // the match must not hold
	Set     string // of the matches that look into a set
	Map     string // a verdict map; what has no element there goes on with the next rule
	Log     string // the prefix of a log line; empty for none
	Verdict Verdict
	Comment string // for people, at most MaxComment bytes
}

// MaxComment is how many bytes nft takes.
const MaxComment = 120

// Match is a condition on a packet.
type Match uint8

// The matches. Those that look something up use Rule.Set, or Rule.Map.
const (
	Always          Match = iota
	Revoked               // a packet of a connection with the label RevokedLabel
	Relabel               // any packet, whose connection gets that label; while a rule sets labels the kernel keeps room for them
	Established           // a packet of a connection that was let in (S19)
	Stray                 // TCP that opens no connection and belongs to none that is known
	RelatedError          // it belongs to one without being part of it, and its protocol is in the set: an ICMP error
	NeighbourTalk         // an ICMPv6 message whose type is in the set, from this link: its hop limit is 255, so no router forwarded it
	ListenerTalk          // an ICMPv6 message whose type is in the set, to a multicast address
	FromInterface         // the interface that it came in by
	ToInterface           // the interface that it goes out by
	FromLoopback          // it came in by lo
	Source4               // IPv4: the source address
	Source6               // IPv6
	Destination4          // IPv4: the destination address
	Destination6          // IPv6
	InterfaceAndIP4       // IPv4: interface and source address together
	InterfaceAndIP6       // IPv6
	TargetAndIP4          // IPv4: the interface that it goes out by and the destination address together
	TargetAndIP6          // IPv6
	Protocol              // the protocol
	ProtocolAndPort       // its protocol and destination port
)
