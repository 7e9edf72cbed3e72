package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/program"
)

// What golang.org/x/sys does not name, of linux/netfilter/nf_tables.h.
const (
	setConcat     = 0x80
	descConcat    = 2
	fieldLength   = 1
	elementEnd    = 10 // NFTA_SET_ELEM_KEY_END
	setCount      = 20 // NFTA_SET_COUNT, from Linux 6.16 on
	verdictType   = 0xffffff00
	intervalEnd   = 1
	ifnameLength  = 16
	wordLength    = 4 // what registers are made of; the fields of a concatenation are aligned to it
	typesPerField = 6 // bits by which nft packs the types of a concatenation
)

// The numbers by which nft knows the types of keys.
const (
	typeIPv4   = 7
	typeIPv6   = 8
	typeProto  = 12
	typePort   = 13
	typeICMPv6 = 29
	typeIfname = 41
	hostOrder  = 1 // of the bytes of a key; of interfaces' names it is the machine's
	bigEndian  = 2
	keyOrder   = 0 // the type of that in what nft keeps beside a set
)

// object is a set or a map: both are one sort of thing to the kernel.
type object struct {
	name     string
	key      program.Key
	verdicts bool // it is a map
	interval bool
	elements []program.Element
	room     int  // how many elements it was made for, as the kernel says; 0 for any number
	count    int  // of elements, as the kernel says,
	counted  bool // if it does
}

// objects lists the sets and maps of a program.
func objects(p *program.Program) []object {
	if p == nil {
		return nil
	}
	out := make([]object, 0, len(p.Sets)+len(p.Maps))
	for i := range p.Sets {
		s := &p.Sets[i]
		out = append(out, object{name: s.Name, key: s.Key, elements: s.Elements})
	}
	for i := range p.Maps {
		m := &p.Maps[i]
		out = append(out, object{name: m.Name, key: m.Key, verdicts: true, interval: m.Interval, elements: m.Elements})
	}
	return out
}

// part is a field of a key: its type as nft numbers it, and its length in bytes.
type part struct{ kind, length uint32 }

var keyParts = map[program.Key][]part{
	program.KeyIPv4:      {{typeIPv4, 4}},
	program.KeyIPv6:      {{typeIPv6, 16}},
	program.KeyInterface: {{typeIfname, ifnameLength}},
	program.KeySource4:   {{typeIfname, ifnameLength}, {typeIPv4, 4}},
	program.KeySource6:   {{typeIfname, ifnameLength}, {typeIPv6, 16}},
	program.KeyPort:      {{typeProto, 1}, {typePort, 2}},
	program.KeyProtocol:  {{typeProto, 1}},
	program.KeyICMPv6:    {{typeICMPv6, 1}},
}

// typeOf gives the type and the length of a key. Each field of a concatenation fills whole words.
func typeOf(k program.Key) (kind, length uint32) {
	parts := keyParts[k]
	for _, p := range parts {
		kind = kind<<typesPerField | p.kind
		if len(parts) > 1 {
			p.length = (p.length + wordLength - 1) / wordLength * wordLength
		}
		length += p.length
	}
	return kind, length
}

func (o *object) flags() uint32 {
	flags := uint32(0)
	if o.verdicts {
		flags |= unix.NFT_SET_MAP
	}
	if o.interval {
		flags |= unix.NFT_SET_INTERVAL
		if len(keyParts[o.key]) > 1 {
			flags |= setConcat
		}
	}
	return flags
}

// capacity is how many elements a set is made for: hashes of a given size load twice as fast as ones that grow, and one that is
// outgrown is made anew with the whole table, so there is room for several times as many. Sets of ranges are trees, which need none.
func (o *object) capacity() int {
	if o.interval {
		return 0
	}
	return max(256, 4<<bits.Len(uint(len(o.elements))))
}

// setMessage makes a set without its elements. Its id has to differ from others in the batch.
func setMessage(o *object, id uint32, capacity int) netlink.Message {
	w := start()
	w.text(unix.NFTA_SET_NAME, o.name)
	kind, length := typeOf(o.key)
	w.number(unix.NFTA_SET_FLAGS, o.flags())
	w.number(unix.NFTA_SET_KEY_TYPE, kind)
	w.number(unix.NFTA_SET_KEY_LEN, length)
	if o.verdicts {
		w.number(unix.NFTA_SET_DATA_TYPE, verdictType)
		w.number(unix.NFTA_SET_DATA_LEN, 4) // bytes; the kernel knows how long a verdict is
	}
	w.number(unix.NFTA_SET_ID, id)
	at := w.nest(unix.NFTA_SET_DESC)
	if capacity > 0 {
		w.number(unix.NFTA_SET_DESC_SIZE, uint32(capacity))
	}
	if o.flags()&setConcat != 0 {
		list := w.nest(descConcat)
		for _, p := range keyParts[o.key] {
			in := w.nest(unix.NFTA_LIST_ELEM)
			w.number(fieldLength, p.length)
			w.close(in)
		}
		w.close(list)
	}
	w.close(at)
	w.attribute(unix.NFTA_SET_USERDATA, o.userdata())
	return message(unix.NFT_MSG_NEWSET, netlink.Create|netlink.Excl, w)
}

// userdata is what nft keeps beside a set, without which it would print some of them wrongly: the order of a key's bytes. It
// must not say an order of verdicts: nft 1.0.6 aborts when it lists such a map.
func (o *object) userdata() []byte {
	order := uint32(bigEndian)
	if o.key == program.KeyInterface {
		order = hostOrder
	}
	return userdata(keyOrder, native(order))
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// maxElements is how many bytes of elements go into one message: the length of an attribute has 16 bits, and what is longer is
// cut off by some in silence.
const maxElements = 60_000

// elementMessages adds or deletes elements of a set, in as many messages as it takes. id is that of a set made in the same
// batch, else zero.
func elementMessages(o *object, id uint32, what int, flags netlink.HeaderFlags, list []program.Element) []netlink.Message {
	var out []netlink.Message
	for i := 0; i < len(list); {
		w := start()
		w.text(unix.NFTA_SET_ELEM_LIST_SET, o.name)
		if id != 0 {
			w.number(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
		}
		w.b = grow(w.b, len(list)-i)
		at := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for ; i < len(list) && len(w.b) < maxElements; i++ {
			o.element(&w, &list[i], what == unix.NFT_MSG_NEWSETELEM)
		}
		w.close(at)
		out = append(out, message(what, flags, w))
	}
	return out
}

// grow makes room for elements, some hundred bytes each.
func grow(b []byte, elements int) []byte {
	return append(make([]byte, 0, min(maxElements+1_000, 200+128*elements)), b...)
}

// element writes one element; a range of a tree is two, of which the second marks where it ends.
func (o *object) element(w *writer, e *program.Element, data bool) {
	low, high := keyOf(o.key, e)
	at := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, low)
	if o.flags()&setConcat != 0 {
		w.value(elementEnd, high)
	}
	if data && o.verdicts {
		w.verdict(unix.NFTA_SET_ELEM_DATA, e.Verdict)
	}
	w.close(at)
	if o.tree() {
		if next := e.Last.Next(); next.IsValid() {
			at := w.nest(unix.NFTA_LIST_ELEM)
			w.number(unix.NFTA_SET_ELEM_FLAGS, intervalEnd)
			w.value(unix.NFTA_SET_ELEM_KEY, next.AsSlice())
			w.close(at)
		}
	}
}

// tree tells whether the kernel keeps a set as a tree of where ranges begin and end.
func (o *object) tree() bool { return o.interval && len(keyParts[o.key]) == 1 }

// covers tells whether a range of a set has where another one begins, and its verdict.
func (o *object) covers(e *program.Element) bool {
	return o.interval && slices.ContainsFunc(o.elements, func(r program.Element) bool {
		within := !e.First.IsValid() || r.First.Compare(e.First) <= 0 && e.First.Compare(r.Last) <= 0
		return within && r.Proto == e.Proto && r.Ports.Contains(e.Ports.First) && r.Verdict == e.Verdict
	})
}

func (w *writer) value(kind uint16, data []byte) {
	at := w.nest(kind)
	w.attribute(unix.NFTA_DATA_VALUE, data)
	w.close(at)
}

func (w *writer) verdict(kind uint16, v program.Verdict) {
	at := w.nest(kind)
	in := w.nest(unix.NFTA_DATA_VERDICT)
	w.number(unix.NFTA_VERDICT_CODE, uint32(verdictKinds[v.Act]))
	if v.Chain != "" {
		w.text(unix.NFTA_VERDICT_CHAIN, v.Chain)
	}
	w.close(in)
	w.close(at)
}

// keyOf gives the bytes of an element's key, and of the end of its range.
func keyOf(k program.Key, e *program.Element) (low, high []byte) {
	switch k {
	case program.KeyInterface:
		return name16(e.Interface), nil
	case program.KeySource4, program.KeySource6:
		return append(name16(e.Interface), e.First.AsSlice()...), nil
	case program.KeyPort:
		n := program.NumberOf(e.Proto)
		return []byte{n, 0, 0, 0, byte(e.Ports.First >> 8), byte(e.Ports.First), 0, 0}, []byte{n, 0, 0, 0, byte(e.Ports.Last >> 8), byte(e.Ports.Last), 0, 0}
	case program.KeyProtocol, program.KeyICMPv6:
		return []byte{e.Number}, nil
	}
	return e.First.AsSlice(), e.Last.AsSlice()
}

// name16 is an interface's name as the kernel compares it: padded with zeros.
func name16(s string) []byte {
	return append(make([]byte, 0, ifnameLength+16), append([]byte(s), make([]byte, ifnameLength-len(s))...)...)
}

// rawElement is an element as the kernel gives it.
type rawElement struct {
	key, end []byte
	isEnd    bool // it marks where the range before it ends
	verdict  program.Verdict
	strange  error // why it is none of ours
}

// elementOf is the inverse of keyOf.
func elementOf(k program.Key, r rawElement) (e program.Element, err error) {
	if r.strange != nil {
		return e, r.strange
	}
	_, length := typeOf(k)
	if len(r.key) != int(length) || r.end != nil && len(r.end) != int(length) {
		return e, fmt.Errorf("a key of %d bytes, and not of %d", len(r.key), length)
	}
	e.Verdict = r.verdict
	switch k {
	case program.KeyInterface:
		e.Interface = nameOf(r.key)
	case program.KeySource4, program.KeySource6:
		e.Interface = nameOf(r.key[:ifnameLength])
		e.First, _ = netip.AddrFromSlice(r.key[ifnameLength:])
		e.Last = e.First
	case program.KeyPort:
		if r.end == nil {
			r.end = r.key
		}
		if r.key[0] != r.end[0] {
			return e, errors.New("a range over several protocols")
		}
		if e.Proto = program.ProtoOf(r.key[0]); e.Proto == netset.Other {
			return e, fmt.Errorf("ports of the protocol %d", r.key[0])
		}
		e.Ports = netset.PortRange{First: binary.BigEndian.Uint16(r.key[4:]), Last: binary.BigEndian.Uint16(r.end[4:])}
	case program.KeyProtocol, program.KeyICMPv6:
		e.Number = r.key[0]
	default:
		e.First, _ = netip.AddrFromSlice(r.key)
		e.Last = e.First
	}
	return e, nil
}

func nameOf(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// readVerdictData reads the data of an element of a map, or of an immediate.
func readVerdictData(b []byte) (kind expr.VerdictKind, chain string, err error) {
	d, err := attributes(b)
	if err != nil {
		return 0, "", err
	}
	for d.Next() {
		if d.Type() != unix.NFTA_DATA_VERDICT {
			return 0, "", errForeign
		}
		in, err := attributes(d.Bytes())
		if err != nil {
			return 0, "", err
		}
		for in.Next() {
			switch in.Type() {
			case unix.NFTA_VERDICT_CODE:
				kind = expr.VerdictKind(int32(in.Uint32()))
			case unix.NFTA_VERDICT_CHAIN:
				chain = in.String()
			}
		}
		if err := in.Err(); err != nil {
			return 0, "", err
		}
	}
	return kind, chain, d.Err()
}

// attributes reads what nftables says: big-endian.
func attributes(b []byte) (*netlink.AttributeDecoder, error) {
	d, err := netlink.NewAttributeDecoder(b)
	if err == nil {
		d.ByteOrder = binary.BigEndian
	}
	return d, err
}
