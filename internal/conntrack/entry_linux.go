package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// The attributes of an entry, of a tuple, and of the addresses and the protocol in one, which golang.org/x/sys does not name.
const (
	attrOriginal = 1
	attrReply    = 2
	attrStatus   = 3
	attrInfo     = 4
	attrTimeout  = 7
	attrID       = 12
	attrZone     = 18
	attrLabels   = 22
	attrMask     = 23

	attrAddrs    = 1
	attrProtocol = 2

	attrSource4, attrDestination4 = 1, 2
	attrSource6, attrDestination6 = 3, 4

	attrNumber                          = 1
	attrSourcePort, attrDestinationPort = 2, 3
)

// The bits of an entry's status.
const (
	seenReply      = 1 << 1
	assured        = 1 << 2
	confirmed      = 1 << 3
	sourceNAT      = 1 << 4
	destinationNAT = 1 << 5
)

// entry is what the kernel said of a connection, by which it finds it again or makes it anew.
type entry struct {
	original, reply []byte // the tuples: of packets as they come in at first, and of answers as they do
	info            []byte // of its protocol, such as the state of TCP
	zone            []byte
	id              uint32 // of this entry, as long as it lasts
	status, timeout uint32
	translated      bool // answers do not come from where packets went
}

// stump tells whether this is what Revoke put in the place of an entry that translated addresses.
func (e *entry) stump() bool { return e.translated && e.status&(sourceNAT|destinationNAT) == 0 }

// tuple is one direction of a connection.
type tuple struct {
	src, dst         netip.Addr
	proto            uint8
	srcPort, dstPort uint16
}

// read makes a connection of the body of a message.
func read(b []byte) (*Connection, error) {
	c := &Connection{}
	var labels []byte
	var original, reply tuple
	err := each(b, func(kind uint16, data []byte) (err error) {
		switch kind {
		case attrOriginal:
			c.original = slices.Clone(data)
			original, err = readTuple(data)
		case attrReply:
			c.reply = slices.Clone(data)
			reply, err = readTuple(data)
		case attrInfo:
			c.info = slices.Clone(data)
		case attrZone:
			c.zone = slices.Clone(data)
		case attrStatus:
			c.status, err = number(data)
		case attrTimeout:
			c.timeout, err = number(data)
		case attrID:
			c.id, err = number(data)
		case attrLabels:
			labels = data
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !original.src.IsValid() || !reply.src.IsValid() || reply.src.Is4() != original.src.Is4() {
		return nil, errors.New("a connection without addresses")
	}
	c.Src, c.Dst, c.Proto = original.src, reply.src, original.proto
	switch c.Proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP:
		c.Port = reply.srcPort
	}
	if len(c.zone) == 2 {
		c.Zone = binary.BigEndian.Uint16(c.zone)
	}
	c.translated = reply.src != original.dst || reply.dst != original.src || reply.srcPort != original.dstPort || reply.dstPort != original.srcPort
	c.Replied, c.Revoked = c.status&seenReply != 0, revoked(labels)
	return c, nil
}

func readTuple(b []byte) (t tuple, err error) {
	err = each(b, func(kind uint16, data []byte) error {
		switch kind {
		case attrAddrs:
			return each(data, t.readAddr)
		case attrProtocol:
			return each(data, t.readProtocol)
		}
		return nil
	})
	return t, err
}

func (t *tuple) readAddr(kind uint16, data []byte) error {
	a, ok := netip.AddrFromSlice(data)
	if !ok {
		return fmt.Errorf("an address of %d bytes", len(data))
	}
	switch kind {
	case attrSource4, attrSource6:
		t.src = a
	case attrDestination4, attrDestination6:
		t.dst = a
	}
	return nil
}

func (t *tuple) readProtocol(kind uint16, data []byte) error {
	switch {
	case kind == attrNumber && len(data) == 1:
		t.proto = data[0]
	case kind == attrSourcePort && len(data) == 2:
		t.srcPort = binary.BigEndian.Uint16(data)
	case kind == attrDestinationPort && len(data) == 2:
		t.dstPort = binary.BigEndian.Uint16(data)
	}
	return nil
}

// number reads one that is big-endian, as all here but lengths and types.
func number(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("a number of %d bytes", len(b))
	}
	return binary.BigEndian.Uint32(b), nil
}

// each visits the attributes in a message one by one. It copies nothing: there may be millions.
func each(b []byte, visit func(kind uint16, data []byte) error) error {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return fmt.Errorf("an attribute of %d bytes where there are %d", size, len(b))
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := visit(kind, b[unix.SizeofNlAttr:size]); err != nil {
			return err
		}
		b = b[min(len(b), align(size)):]
	}
	return nil
}
