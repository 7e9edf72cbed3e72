package kernel

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// tableOwner is NFTA_TABLE_OWNER, which golang.org/x/sys does not name.
const tableOwner = 7

// state is what the kernel says of the table itself.
type state struct {
	there bool
	flags uint32
	owner uint32 // the port of the socket that owns it, or 0
}

func readState(c conn) (state, error) {
	var s state
	err := ask(c, message(unix.NFT_MSG_GETTABLE, 0, start()), func() { s = state{} }, func(b []byte) error {
		d, err := attributes(b)
		if err != nil {
			return err
		}
		s.there = true
		for d.Next() {
			switch d.Type() {
			case unix.NFTA_TABLE_FLAGS:
				s.flags = d.Uint32()
			case tableOwner:
				s.owner = d.Uint32()
			}
		}
		return d.Err()
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return state{}, nil
	case errors.Is(err, unix.EPERM):
		err = fmt.Errorf("ask the kernel for the table %s: %w (this needs CAP_NET_ADMIN: run it as root)", program.TableName, err)
	}
	return s, err
}

// generation gives the number that each commit of anybody in this network namespace raises.
func generation(c conn) (uint32, error) {
	var id uint32
	m := netlink.Message{Header: netlink.Header{Type: header(unix.NFT_MSG_GETGEN), Flags: netlink.Request}, Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}}
	err := ask(c, m, func() {}, func(b []byte) error {
		d, err := attributes(b)
		if err != nil {
			return err
		}
		for d.Next() {
			if d.Type() == unix.NFTA_GEN_ID {
				id = d.Uint32()
			}
		}
		return d.Err()
	})
	return id, err
}

// contents is what the kernel has.
type contents struct {
	chains  map[string]*chain
	sets    map[string]*object
	foreign []string // what is not of the shapes that a program is made of, in words
}

type chain struct {
	hook, priority, policy uint32
	hooked                 bool
	rules                  []program.Rule
}

// readContents reads the table: its chains, rules and sets, and the elements of those sets that want asks for. What is read
// belongs to one generation; what does not fit together, or went before it was asked for, may be of several.
func readContents(c conn, want func(*object) bool) (*contents, error) {
	for range attempts {
		before, err := generation(c)
		if err != nil {
			return nil, err
		}
		out, problem := readOnce(c, want)
		if after, err := generation(c); err != nil || after == before {
			return out, errors.Join(problem, err)
		}
	}
	return nil, errInterrupted
}

func readOnce(c conn, want func(*object) bool) (*contents, error) {
	out := &contents{}
	if err := out.readChains(c); err != nil {
		return nil, err
	}
	if err := out.readRules(c, ""); err != nil {
		return nil, err
	}
	if err := out.readSets(c); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(out.sets) {
		if o := out.sets[name]; want(o) {
			if err := out.readElements(c, o); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(out.foreign)
	return out, nil
}

func (t *contents) readChains(c conn) error {
	return ask(c, message(unix.NFT_MSG_GETCHAIN, netlink.Dump, start()), func() { t.chains, t.foreign = nil, nil }, func(b []byte) error {
		d, err := attributes(b)
		if err != nil {
			return err
		}
		var n chain
		var name, table, kind string
		for d.Next() {
			switch d.Type() {
			case unix.NFTA_CHAIN_TABLE:
				table = d.String()
			case unix.NFTA_CHAIN_NAME:
				name = d.String()
			case unix.NFTA_CHAIN_TYPE:
				kind = d.String()
			case unix.NFTA_CHAIN_POLICY:
				n.policy = d.Uint32()
			case unix.NFTA_CHAIN_HOOK:
				n.hooked = true
				err = n.readHook(d.Bytes())
			}
			if err != nil {
				return err
			}
		}
		if table != program.TableName { // chains are dumped for a whole family
			return d.Err()
		}
		if n.hooked && (kind != chainType || n.priority != priority || n.policy != accept) {
			t.foreign = append(t.foreign, fmt.Sprintf("chain %s of type %s with priority %d and policy %d", name, kind, int32(n.priority), n.policy))
		}
		put(&t.chains, name, &n)
		return d.Err()
	})
}

func (n *chain) readHook(b []byte) error {
	d, err := attributes(b)
	if err != nil {
		return err
	}
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_HOOK_HOOKNUM:
			n.hook = d.Uint32()
		case unix.NFTA_HOOK_PRIORITY:
			n.priority = d.Uint32()
		}
	}
	return d.Err()
}

// readRules reads the rules of one chain, or of all where the name is empty.
func (t *contents) readRules(c conn, only string) error {
	w := start()
	if only != "" {
		w.text(unix.NFTA_RULE_CHAIN, only)
	}
	known := len(t.foreign)
	forget := func() {
		t.foreign = t.foreign[:known]
		for _, n := range t.chains {
			n.rules = nil
		}
	}
	return ask(c, message(unix.NFT_MSG_GETRULE, netlink.Dump, w), forget, func(b []byte) error {
		name, r, err := readRule(b)
		if err != nil {
			t.foreign = append(t.foreign, fmt.Sprintf("a rule in chain %s: %v", name, err))
			return nil
		}
		n := t.chains[name]
		if n == nil {
			return fmt.Errorf("a rule in chain %s, which is not there", name)
		}
		n.rules = append(n.rules, r)
		return nil
	})
}

func (t *contents) readSets(c conn) error {
	known := len(t.foreign)
	forget := func() { t.sets, t.foreign = nil, t.foreign[:known] }
	return ask(c, message(unix.NFT_MSG_GETSET, netlink.Dump, start()), forget, func(b []byte) error {
		d, err := attributes(b)
		if err != nil {
			return err
		}
		o := &object{}
		var flags, kind uint32
		for d.Next() {
			switch d.Type() {
			case unix.NFTA_SET_NAME:
				o.name = d.String()
			case unix.NFTA_SET_FLAGS:
				flags = d.Uint32()
			case unix.NFTA_SET_KEY_TYPE:
				kind = d.Uint32()
			case unix.NFTA_SET_DESC:
				o.room, err = readRoom(d.Bytes())
			case setCount:
				o.count, o.counted = int(d.Uint32()), true
			}
			if err != nil {
				return err
			}
		}
		o.verdicts, o.interval = flags&unix.NFT_SET_MAP != 0, flags&unix.NFT_SET_INTERVAL != 0
		if o.key = keyOfType(kind); o.key == 0 || flags != o.flags() {
			t.foreign = append(t.foreign, fmt.Sprintf("set %s of type %d with flags %#x", o.name, kind, flags))
		}
		put(&t.sets, o.name, o)
		return d.Err()
	})
}

// readRoom reads how many elements a set may have.
func readRoom(b []byte) (room int, err error) {
	d, err := attributes(b)
	if err != nil {
		return 0, err
	}
	for d.Next() {
		if d.Type() == unix.NFTA_SET_DESC_SIZE {
			room = int(d.Uint32())
		}
	}
	return room, d.Err()
}

// keyOfType is the inverse of typeOf; 0 for what is none of ours.
func keyOfType(kind uint32) program.Key {
	for k := range keyParts {
		if n, _ := typeOf(k); n == kind {
			return k
		}
	}
	return 0
}

// readElements fills a set.
func (t *contents) readElements(c conn, o *object) error {
	w := start()
	w.text(unix.NFTA_SET_ELEM_LIST_SET, o.name)
	var raw []rawElement // of a tree, which is put together at the end
	known := len(t.foreign)
	forget := func() { raw, o.elements, t.foreign = nil, nil, t.foreign[:known] }
	err := ask(c, message(unix.NFT_MSG_GETSETELEM, netlink.Dump, w), forget, func(b []byte) error {
		return eachElement(b, func(r rawElement) error {
			if o.tree() {
				raw = append(raw, r)
				return nil
			}
			e, err := elementOf(o.key, r)
			if err != nil {
				t.foreign = append(t.foreign, fmt.Sprintf("an element of %s: %v", o.name, err))
				return nil
			}
			o.elements = append(o.elements, e)
			return nil
		})
	})
	if err != nil {
		return err
	}
	if o.tree() {
		if o.elements, err = ranges(raw); err != nil {
			t.foreign = append(t.foreign, fmt.Sprintf("the ranges of %s: %v", o.name, err))
		}
	}
	slices.SortFunc(o.elements, program.CompareElements)
	return nil
}

// eachElement visits the elements in one message.
func eachElement(b []byte, visit func(rawElement) error) error {
	d, err := attributes(b)
	if err != nil {
		return err
	}
	for d.Next() {
		if d.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		list, err := attributes(d.Bytes())
		if err != nil {
			return err
		}
		for list.Next() {
			r, err := readElement(list.Bytes())
			if err != nil {
				return err
			}
			if err := visit(r); err != nil {
				return err
			}
		}
		if err := list.Err(); err != nil {
			return err
		}
	}
	return d.Err()
}

func readElement(b []byte) (r rawElement, err error) {
	d, err := attributes(b)
	if err != nil {
		return r, err
	}
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			r.key, err = readValue(d.Bytes())
		case elementEnd:
			r.end, err = readValue(d.Bytes())
		case unix.NFTA_SET_ELEM_FLAGS:
			flags := d.Uint32()
			if r.isEnd = flags&intervalEnd != 0; flags&^intervalEnd != 0 {
				r.strange = fmt.Errorf("its flags are %#x", flags)
			}
		case unix.NFTA_SET_ELEM_DATA:
			kind, chain, e := readVerdictData(d.Bytes())
			if r.verdict, r.strange = verdictOf(kind, chain); e != nil {
				r.strange = e
			}
		case unix.NFTA_SET_ELEM_PAD, unix.NFTA_SET_ELEM_USERDATA: // a comment
		default: // such as a limit, beyond which it is as if it were not there
			r.strange = fmt.Errorf("it has an attribute that ours have not: %d", d.Type())
		}
		if err != nil {
			return r, err
		}
	}
	return r, d.Err()
}

func readValue(b []byte) ([]byte, error) {
	d, err := attributes(b)
	if err != nil {
		return nil, err
	}
	var out []byte
	for d.Next() {
		if d.Type() == unix.NFTA_DATA_VALUE {
			out = d.Bytes()
		}
	}
	return out, d.Err()
}

// ranges puts the beginnings and the ends of a tree together: a range ends in front of the next end; one without an end goes
// on to the last address.
func ranges(raw []rawElement) ([]program.Element, error) {
	slices.SortFunc(raw, func(a, b rawElement) int { // ends before beginnings at the same place
		return cmp.Or(bytes.Compare(a.key, b.key), -cmp.Compare(endFirst(a), endFirst(b)))
	})
	var out []program.Element
	open := false
	for _, r := range raw {
		addr, ok := netip.AddrFromSlice(r.key)
		switch {
		case r.strange != nil:
			return out, r.strange
		case !ok:
			return out, fmt.Errorf("%d bytes are no address", len(r.key))
		case r.isEnd:
			if open {
				out[len(out)-1].Last = addr.Prev()
			}
			open = false
		case open:
			return out, fmt.Errorf("%s begins inside another range", addr)
		default:
			out = append(out, program.Element{First: addr, Last: lastLike(addr), Verdict: r.verdict})
			open = true
		}
	}
	return out, nil
}

func endFirst(r rawElement) int {
	if r.isEnd {
		return 1
	}
	return 0
}

// lastLike gives the last address of the family of another.
func lastLike(a netip.Addr) netip.Addr {
	b := bytes.Repeat([]byte{0xff}, len(a.AsSlice()))
	out, _ := netip.AddrFromSlice(b)
	return out
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// program makes a program of what was read.
func (t *contents) program() *program.Program {
	p := &program.Program{}
	for _, name := range sortedKeys(t.sets) {
		o := t.sets[name]
		if o.verdicts {
			p.Maps = append(p.Maps, program.Map{Name: name, Key: o.key, Interval: o.interval, Elements: o.elements})
			continue
		}
		p.Sets = append(p.Sets, program.Set{Name: name, Key: o.key, Elements: o.elements})
	}
	for _, name := range sortedKeys(t.chains) {
		n := t.chains[name]
		c := program.Chain{Name: name, Rules: n.rules}
		for hook, number := range hookNumbers {
			if n.hooked && n.hook == number {
				c.Hook = hook
			}
		}
		p.Chains = append(p.Chains, c)
	}
	return p
}
