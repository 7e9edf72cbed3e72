package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// The registers. The second is behind 16 bytes, the short second one behind four.
const (
	first       = unix.NFT_REG_1
	second      = unix.NFT_REG_2
	secondShort = unix.NFT_REG32_01
)

// Where things are in packets: offset and length in bytes.
var (
	source4, destination4 = field{12, 4}, field{16, 4}
	source6, destination6 = field{8, 16}, field{24, 16}
	hopLimit              = field{7, 1}
	messageType           = field{0, 1} // of ICMPv6, in the transport header
	destinationPort       = field{2, 2} // in the transport header
	tcpFlags              = field{13, 1}
)

type field struct{ offset, length uint32 }

// expressions gives what the kernel runs for a match: the loads into registers, comparisons, and then the look-up.
func expressions(r *program.Rule) []expr.Any {
	var out []expr.Any
	switch r.Match {
	case program.Established:
		return stateIs(expr.CtStateBitESTABLISHED)
	case program.Revoked:
		return anyOf(expr.CtKeyLABELS, label(program.RevokedLabel))
	case program.Relabel:
		return []expr.Any{&expr.Immediate{Register: first, Data: label(program.RevokedLabel)}, &expr.Ct{Key: expr.CtKeyLABELS, Register: first, SourceRegister: true}}
	case program.Stray:
		return append(stateIs(expr.CtStateBitNEW), meta(expr.MetaKeyL4PROTO, first), equal([]byte{unix.IPPROTO_TCP}),
			transport(tcpFlags, first), masked([]byte{syn}), equal([]byte{0}))
	case program.FromLoopback:
		return []expr.Any{meta(expr.MetaKeyIIFNAME, first), equal(name16("lo"))}
	case program.RelatedError:
		out = append(stateIs(expr.CtStateBitRELATED), meta(expr.MetaKeyL4PROTO, first))
	case program.NeighbourTalk:
		out = icmp6(hopLimit, 255)
	case program.ListenerTalk:
		out = icmp6(field{destination6.offset, 1}, 0xff)
	case program.Protocol:
		out = append(out, meta(expr.MetaKeyL4PROTO, first))
	case program.ProtocolAndPort:
		out = append(out, meta(expr.MetaKeyL4PROTO, first), transport(destinationPort, secondShort))
	case program.FromInterface:
		out = append(out, meta(expr.MetaKeyIIFNAME, first))
	case program.ToInterface:
		out = append(out, meta(expr.MetaKeyOIFNAME, first))
	case program.Source4:
		out = append(family(unix.NFPROTO_IPV4), network(source4, first))
	case program.Source6:
		out = append(family(unix.NFPROTO_IPV6), network(source6, first))
	case program.Destination4:
		out = append(family(unix.NFPROTO_IPV4), network(destination4, first))
	case program.Destination6:
		out = append(family(unix.NFPROTO_IPV6), network(destination6, first))
	case program.InterfaceAndIP4:
		out = append(family(unix.NFPROTO_IPV4), meta(expr.MetaKeyIIFNAME, first), network(source4, second))
	case program.InterfaceAndIP6:
		out = append(family(unix.NFPROTO_IPV6), meta(expr.MetaKeyIIFNAME, first), network(source6, second))
	case program.TargetAndIP4:
		out = append(family(unix.NFPROTO_IPV4), meta(expr.MetaKeyOIFNAME, first), network(destination4, second))
	case program.TargetAndIP6:
		out = append(family(unix.NFPROTO_IPV6), meta(expr.MetaKeyOIFNAME, first), network(destination6, second))
	}
	switch {
	case r.Map != "":
		out = append(out, &expr.Lookup{SourceRegister: first, SetName: r.Map, IsDestRegSet: true, DestRegister: unix.NFT_REG_VERDICT})
	case r.Set != "":
		out = append(out, &expr.Lookup{SourceRegister: first, SetName: r.Set, Invert: r.Negated})
	}
	return out
}

func meta(key expr.MetaKey, register uint32) expr.Any {
	return &expr.Meta{Key: key, Register: register}
}

func network(f field, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: f.offset, Len: f.length}
}

func transport(f field, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: f.offset, Len: f.length}
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: data} }

// family lets packets of one family through: in an inet table a look at an IPv4 address of an IPv6 packet would read something else.
func family(number byte) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyNFPROTO, first), equal([]byte{number})}
}

// icmp6 loads the type of an ICMPv6 message, where a byte of the IPv6 header is what it has to be.
func icmp6(where field, is byte) []expr.Any {
	return append(family(unix.NFPROTO_IPV6), network(where, first), equal([]byte{is}),
		meta(expr.MetaKeyL4PROTO, first), equal([]byte{unix.IPPROTO_ICMPV6}), transport(messageType, first))
}

// syn is the flag of TCP that opens a connection.
const syn = 0x02

// stateIs asks for one of the states of a connection. The bits are numbers of the machine's own order.
func stateIs(bit uint32) []expr.Any { return anyOf(expr.CtKeySTATE, native(bit)) }

// anyOf asks whether something of a connection has one of the bits of a mask.
func anyOf(key expr.CtKey, mask []byte) []expr.Any {
	return []expr.Any{&expr.Ct{Key: key, Register: first}, masked(mask), &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: make([]byte, len(mask))}}
}

// masked keeps the bits of a mask.
func masked(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: first, DestRegister: first, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

// label gives a bit as it is in the labels of a connection, which are long integers of the machine.
func label(bit int) []byte {
	out := make([]byte, 16)
	binary.NativeEndian.PutUint64(out[bit/64*8:], 1<<(bit%64))
	return out
}

// verdictKinds are the kernel's numbers for acts.
var verdictKinds = map[program.Act]expr.VerdictKind{
	program.Accept: expr.VerdictAccept, program.Drop: expr.VerdictDrop, program.Return: expr.VerdictReturn, program.Jump: expr.VerdictJump, program.Goto: expr.VerdictGoto,
}

// logKey says what a log has: no length at which packets are cut off, and nothing that holds them back.
const logKey = 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX

// ruleMessage adds a rule at the end of a chain.
func ruleMessage(chain string, r *program.Rule) (netlink.Message, error) {
	w := start()
	w.text(unix.NFTA_RULE_CHAIN, chain)
	list := expressions(r)
	if r.Log != "" {
		list = append(list, &expr.Log{Key: logKey, Group: program.LogGroup, Data: []byte(r.Log)})
	}
	if r.Verdict.Act != 0 {
		list = append(list, &expr.Verdict{Kind: verdictKinds[r.Verdict.Act], Chain: r.Verdict.Chain})
	}
	at := w.nest(unix.NFTA_RULE_EXPRESSIONS)
	for _, e := range list {
		data, err := expr.Marshal(unix.NFPROTO_INET, e)
		if err != nil {
			return netlink.Message{}, fmt.Errorf("chain %s, rule %q: %w", chain, r, err)
		}
		in := w.nest(unix.NFTA_LIST_ELEM)
		w.b = append(w.b, data...)
		w.close(in)
	}
	w.close(at)
	if r.Comment != "" {
		w.attribute(unix.NFTA_RULE_USERDATA, userdata(commentType, append([]byte(r.Comment), 0)))
	}
	return message(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, w), nil
}

// commentType is nft's number for the comment of a rule.
const commentType = 0

// userdata makes what nft keeps beside an object for itself: a type, a length of one byte, and the data.
func userdata(kind byte, data []byte) []byte {
	return append([]byte{kind, byte(len(data))}, data...)
}

// errForeign says that a rule is none of the shapes that a program is made of.
var errForeign = errors.New("a rule that is not ours")

// lookNothingUp are the matches without a set.
var lookNothingUp = []program.Match{program.Always, program.Revoked, program.Relabel, program.Established, program.Stray, program.FromLoopback}

// shapes finds the match of a rule by what the kernel runs for it, names of sets left out.
var shapes = func() map[string]program.Rule {
	out := map[string]program.Rule{}
	for m := program.Always; m <= program.ProtocolAndPort; m++ {
		variants := []program.Rule{{Match: m, Set: "?"}, {Match: m, Set: "?", Negated: true}, {Match: m, Map: "?"}}
		if slices.Contains(lookNothingUp, m) {
			variants = []program.Rule{{Match: m}}
		}
		for _, r := range variants {
			out[shapeOf(expressions(&r))] = r
		}
	}
	return out
}()

// shapeOf gives the same text for the same expressions, whichever sets they ask.
func shapeOf(list []expr.Any) string {
	var out bytes.Buffer
	for _, e := range list {
		if l, ok := e.(*expr.Lookup); ok {
			c := *l
			c.SetName, c.SetID = "", 0
			e = &c
		}
		fmt.Fprintf(&out, "%T%+v\n", e, e)
	}
	return out.String()
}

// readRule makes a rule of what the kernel says of it.
func readRule(a []byte) (chain string, r program.Rule, err error) {
	d, err := attributes(a)
	if err != nil {
		return "", r, err
	}
	var list []expr.Any
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = d.String()
		case unix.NFTA_RULE_USERDATA:
			r.Comment = commentOf(d.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			list, err = readExpressions(d.Bytes())
		}
		if err != nil {
			return chain, r, err
		}
	}
	if err := d.Err(); err != nil {
		return chain, r, err
	}
	comment := r.Comment
	r, err = ruleOf(list)
	r.Comment = comment
	return chain, r, err
}

// ruleOf is the inverse of what ruleMessage does: a verdict at the end, a log before it, and the match before both.
func ruleOf(list []expr.Any) (r program.Rule, err error) {
	var verdict program.Verdict
	var log, set string
	if n := len(list) - 1; n >= 0 {
		if v, ok := list[n].(*expr.Verdict); ok {
			if verdict, err = verdictOf(v.Kind, v.Chain); err != nil {
				return r, err
			}
			list = list[:n]
		}
	}
	if n := len(list) - 1; n >= 0 {
		if l, ok := list[n].(*expr.Log); ok {
			if l.Group != program.LogGroup || l.Key != logKey {
				return r, errForeign
			}
			log, list = string(l.Data), list[:n]
		}
	}
	for _, e := range list {
		if l, ok := e.(*expr.Lookup); ok {
			set = l.SetName
		}
	}
	r, ok := shapes[shapeOf(list)]
	if !ok {
		return r, errForeign
	}
	if r.Map != "" {
		r.Map = set
	}
	if r.Set != "" {
		r.Set = set
	}
	r.Log, r.Verdict = log, verdict
	return r, nil
}

func verdictOf(kind expr.VerdictKind, chain string) (program.Verdict, error) {
	for act, k := range verdictKinds {
		if k == kind {
			return program.Verdict{Act: act, Chain: chain}, nil
		}
	}
	return program.Verdict{}, fmt.Errorf("the verdict %d is none of ours", kind)
}

// readExpressions reads a list of expressions.
func readExpressions(b []byte) ([]expr.Any, error) {
	d, err := attributes(b)
	if err != nil {
		return nil, err
	}
	var out []expr.Any
	for d.Next() {
		e, err := readExpression(d.Bytes())
		if err != nil {
			return nil, err
		}
		if b, ok := e.(*expr.Byteorder); ok && b.Len == 1 {
			continue // nft puts the bytes of a single one in order
		}
		out = append(out, e)
	}
	return out, d.Err()
}

func readExpression(b []byte) (expr.Any, error) {
	d, err := attributes(b)
	if err != nil {
		return nil, err
	}
	var name string
	var data []byte
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_EXPR_NAME:
			name = d.String()
		case unix.NFTA_EXPR_DATA:
			data = d.Bytes()
		}
	}
	var e expr.Any
	switch name {
	case "meta":
		e = &expr.Meta{}
	case "cmp":
		e = &expr.Cmp{}
	case "payload":
		e = &expr.Payload{}
	case "byteorder":
		return readByteorder(data)
	case "ct":
		return readCt(data)
	case "bitwise":
		e = &expr.Bitwise{}
	case "lookup":
		e = &expr.Lookup{}
	case "log":
		e = &expr.Log{}
	case "immediate":
		return readImmediate(data)
	default:
		return nil, errForeign
	}
	return e, errors.Join(d.Err(), expr.Unmarshal(unix.NFPROTO_INET, data, e))
}

// readByteorder reads how many bytes are put in order, which the library does not.
func readByteorder(b []byte) (expr.Any, error) {
	d, err := attributes(b)
	if err != nil {
		return nil, err
	}
	e := &expr.Byteorder{}
	for d.Next() {
		if d.Type() == unix.NFTA_BYTEORDER_LEN {
			e.Len = d.Uint32()
		}
	}
	return e, d.Err()
}

// readCt reads whether something of a connection is set or asked for, which the library does not.
func readCt(b []byte) (expr.Any, error) {
	e := &expr.Ct{}
	d, err := attributes(b)
	if err != nil {
		return nil, err
	}
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_CT_KEY:
			e.Key = expr.CtKey(d.Uint32())
		case unix.NFTA_CT_DREG:
			e.Register = d.Uint32()
		case unix.NFTA_CT_SREG:
			e.Register, e.SourceRegister = d.Uint32(), true
		default:
			return nil, errForeign
		}
	}
	return e, d.Err()
}

// readImmediate reads what is put into a register; into that of verdicts it is one.
func readImmediate(b []byte) (expr.Any, error) {
	d, err := attributes(b)
	if err != nil {
		return nil, err
	}
	register := uint32(unix.NFT_REG_1)
	var data []byte
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_IMMEDIATE_DREG:
			register = d.Uint32()
		case unix.NFTA_IMMEDIATE_DATA:
			data = d.Bytes()
		}
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	if register != unix.NFT_REG_VERDICT {
		e := &expr.Immediate{}
		return e, expr.Unmarshal(unix.NFPROTO_INET, b, e)
	}
	kind, chain, err := readVerdictData(data)
	return &expr.Verdict{Kind: kind, Chain: chain}, err
}

// commentOf finds the comment in what nft keeps beside a rule.
func commentOf(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		data := b[2 : 2+int(b[1])]
		if b[0] == commentType {
			return string(bytes.TrimRight(data, "\x00"))
		}
		b = b[2+int(b[1]):]
	}
	return ""
}
