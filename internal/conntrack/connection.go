package conntrack

import (
	"fmt"
	"net/netip"
)

// Connection is an entry of the kernel's table, as a filter sees the first packet: after the translation of its destination,
// before that of its source.
type Connection struct {
	Src, Dst netip.Addr
	Proto    uint8  // the number of its protocol
	Port     uint16 // the destination's, of TCP, UDP and SCTP
	Zone     uint16 // who divides connections into zones may have the same one in several
	Replied  bool   // a packet went the other way, too
	Revoked  bool   // it has the label program.RevokedLabel
	entry
}

// Outcome is what became of a connection.
type Outcome uint8

// The outcomes.
const (
	Done Outcome = iota + 1 // the label is set, or cleared
	// Gone: the connection had come to its end.
	Gone
	// Replaced: the entry was older than the table and had no room for labels. Another is in its place, with the label. It is not
	// one to translate addresses by, so Restore cannot always bring such a connection back.
	Replaced
	// Deleted: the entry is no more. Revoke does that where the kernel gives no room for labels at all, which is so unless a table
	// sets some: then TCP is over, and of others the next packet is decided as of a new connection. Restore does it where the
	// entry is one that Revoke put in another's place, and could not translate addresses.
	Deleted
)

// String names a connection.
func (c *Connection) String() string {
	return fmt.Sprintf("the connection from %s to %s, protocol %d, port %d", c.Src, c.Dst, c.Proto, c.Port)
}
