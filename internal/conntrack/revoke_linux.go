package conntrack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/program"
)

// Labels are 128 bits in long integers of the machine. What is not sent of them the kernel clears, so all are.
var (
	labelBit  = label(program.RevokedLabel)
	labelNone = make([]byte, len(labelBit))
)

func label(bit int) []byte {
	out := make([]byte, 16)
	binary.NativeEndian.PutUint64(out[bit/64*8:], 1<<(bit%64))
	return out
}

// revoked tells whether the label is among others; a connection that has none at all comes without.
func revoked(labels []byte) bool {
	for i := range min(len(labels), len(labelBit)) {
		if labels[i]&labelBit[i] != 0 {
			return true
		}
	}
	return false
}

// attempts is how often a connection is tried that comes back while its entry is replaced.
const attempts = 3

// leastTimeout is how many seconds an entry lasts at least that is put in another's place: TCP tries again within as many.
const leastTimeout = 120

// Revoke cuts a connection: it gets the label, and no other label changes. From then on the table drops its packets, of both
// directions, as long as one comes now and then; errors about it as well. Nobody is told.
func (s *Socket) Revoke(c *Connection) (Outcome, error) {
	e := c.entry
	out := Done
	for range attempts {
		err := s.set(c, &e)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, unix.ENOENT):
			return Gone, nil
		case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSPC) && out == Replaced:
			return Deleted, absent(s.remove(c, &e))
		case !errors.Is(err, unix.ENOSPC):
			return 0, fmt.Errorf("cut %s: %w", c, err)
		}
		if err := s.remove(c, &e); errors.Is(err, unix.ENOENT) {
			return Gone, nil
		} else if err != nil {
			return 0, fmt.Errorf("cut %s: %w", c, err)
		}
		if err := s.create(c, &e); err != nil && !errors.Is(err, unix.EEXIST) { // a packet may have been faster
			return 0, fmt.Errorf("cut %s: it had no room for labels, and was deleted, and no other entry is in its place: %w", c, err)
		}
		out, e.id = Replaced, 0
	}
	return 0, fmt.Errorf("cut %s: it comes back again and again", c)
}

// Restore takes the label from a connection, and no other. What was dropped meanwhile is not lost to TCP, as long as an end still tries.
func (s *Socket) Restore(c *Connection) (Outcome, error) {
	now, err := s.get(c)
	switch {
	case errors.Is(err, unix.ENOENT) || err == nil && !now.same(&c.entry):
		return Gone, nil
	case err == nil && now.stump():
		return Deleted, absent(s.remove(c, &now.entry))
	case err == nil && !now.Revoked:
		return Done, nil
	case err == nil:
		_, err = s.ask(s.labels(c, labelNone))
	}
	if errors.Is(err, unix.ENOENT) {
		return Gone, nil
	}
	if err != nil {
		return 0, fmt.Errorf("restore %s: %w", c, err)
	}
	return Done, nil
}

// Forget deletes the entry of a connection that was cut, and of no other. TCP stays over where the table has no place for what the
// kernel does not know; of others the next packet is decided as of a new connection.
func (s *Socket) Forget(c *Connection) error {
	now, err := s.get(c)
	if err == nil && now.Revoked && now.same(&c.entry) {
		err = s.remove(c, &now.entry)
	}
	if err = absent(err); err != nil {
		return fmt.Errorf("forget %s: %w", c, err)
	}
	return nil
}

// same tells whether an entry is of the connection that another one was of. The kernel finds entries by one direction; whether it
// found the one that is meant shows in the other. It is as well where the ends found each other again the other way round.
func (e *entry) same(was *entry) bool {
	return bytes.Equal(e.original, was.original) || bytes.Equal(e.original, was.reply)
}

// set sets the label and looks what has it now. If that is another connection, which came into being in the place of the one that is
// meant, it gets its own back.
func (s *Socket) set(c *Connection, e *entry) error {
	mark, err := s.labels(c, labelBit)
	if err != nil {
		return err
	}
	look, err := c.message(msgGet, 0)
	if err != nil {
		return err
	}
	a, err := s.exchange(mark, look)
	switch {
	case err != nil:
		return err
	case a[0].err != nil || a[1].err != nil:
		return errors.Join(a[0].err, a[1].err)
	case a[1].c == nil || !a[1].c.Revoked:
		return errors.New("the kernel took the label and has not got it")
	case !a[1].c.same(e):
		_, err := s.ask(s.labels(c, labelNone))
		return errors.Join(err, unix.ENOENT)
	}
	return nil
}

// labels makes a message that sets the label or clears it.
func (s *Socket) labels(c *Connection, to []byte) (netlink.Message, error) {
	return c.message(msgNew, netlink.Acknowledge, netlink.Attribute{Type: attrLabels, Data: to}, netlink.Attribute{Type: attrMask, Data: labelBit})
}

func (s *Socket) get(c *Connection) (*Connection, error) {
	a, err := s.ask(c.message(msgGet, 0))
	if err == nil && a.c == nil {
		err = errors.New("the kernel does not answer with a connection")
	}
	return a.c, err
}

// remove deletes an entry, and no other that has come into its place.
func (s *Socket) remove(c *Connection, e *entry) error {
	var list []netlink.Attribute
	if e.id != 0 {
		list = append(list, netlink.Attribute{Type: attrID, Data: bytes4(e.id)})
	}
	_, err := s.ask(c.message(msgDelete, netlink.Acknowledge, list...))
	return err
}

// create puts an entry with the label in the place of one that had no room for it. It stays in the state that its protocol had, so
// that packets of both directions are known.
func (s *Socket) create(c *Connection, e *entry) error {
	list := []netlink.Attribute{
		{Type: unix.NLA_F_NESTED | attrOriginal, Data: e.original},
		{Type: attrStatus, Data: bytes4(confirmed | e.status&(seenReply|assured))},
		{Type: attrTimeout, Data: bytes4(max(e.timeout, leastTimeout))},
		{Type: attrLabels, Data: labelBit},
		{Type: attrMask, Data: labelBit},
	}
	if len(e.info) > 0 {
		list = append(list, netlink.Attribute{Type: unix.NLA_F_NESTED | attrInfo, Data: e.info})
	}
	_, err := s.ask(c.message(msgNew, netlink.Create|netlink.Excl|netlink.Acknowledge, list...))
	return err
}

// ask sends one message.
func (s *Socket) ask(m netlink.Message, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	a, err := s.exchange(m)
	if err != nil {
		return answer{}, err
	}
	return a[0], a[0].err
}

// absent makes nothing of an error that says that something is gone already.
func absent(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// message makes one about a connection. It names the direction of answers alone: there the addresses are those between which
// policies decide, where packets to a Service's address may mean another end every time.
func (c *Connection) message(what netlink.HeaderType, flags netlink.HeaderFlags, more ...netlink.Attribute) (netlink.Message, error) {
	family := byte(unix.AF_INET6)
	if c.Src.Is4() {
		family = unix.AF_INET
	}
	list := []netlink.Attribute{{Type: unix.NLA_F_NESTED | attrReply, Data: c.reply}}
	if len(c.zone) > 0 {
		list = append(list, netlink.Attribute{Type: attrZone, Data: c.zone})
	}
	return message(what, flags, family, slices.Concat(list, more)...)
}
