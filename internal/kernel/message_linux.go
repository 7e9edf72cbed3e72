package kernel

import (
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// header makes the type of a message of nftables.
func header(what int) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | what)
}

// writer appends netlink attributes to a message. Everything that nftables is told is big-endian.
type writer struct{ b []byte }

// start begins the body of a message about our table.
func start() writer {
	w := writer{[]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}}
	w.text(unix.NFTA_TABLE_NAME, program.TableName) // the first attribute of every message about a part of a table is its name
	return w
}

func (w *writer) attribute(kind uint16, data []byte) {
	at := w.open(kind)
	w.b = append(w.b, data...)
	w.close(at)
}

func (w *writer) number(kind uint16, v uint32) {
	at := w.open(kind)
	w.b = binary.BigEndian.AppendUint32(w.b, v)
	w.close(at)
}

// text appends a string as C has it.
func (w *writer) text(kind uint16, s string) {
	at := w.open(kind)
	w.b = append(append(w.b, s...), 0)
	w.close(at)
}

// nest begins an attribute that holds attributes.
func (w *writer) nest(kind uint16) int { return w.open(unix.NLA_F_NESTED | kind) }

func (w *writer) open(kind uint16) int {
	at := len(w.b)
	w.b = binary.NativeEndian.AppendUint16(append(w.b, 0, 0), kind)
	return at
}

// close ends the attribute that open or nest began at a place: its length is written, and what follows is aligned.
func (w *writer) close(at int) {
	binary.NativeEndian.PutUint16(w.b[at:], uint16(len(w.b)-at))
	for len(w.b)%unix.NLA_ALIGNTO != 0 {
		w.b = append(w.b, 0)
	}
}

// message makes one of nftables.
func message(what int, flags netlink.HeaderFlags, w writer) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: header(what), Flags: netlink.Request | flags}, Data: w.b}
}
