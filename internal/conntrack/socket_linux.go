package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// conn is a netlink socket; tests put faults into it.
type conn interface {
	SendMessages([]netlink.Message) ([]netlink.Message, error)
	ReadDatagram([]byte) (int, error)
	SetReadDeadline(time.Time) error
	Close() error
}

// socket reads single datagrams. The library waits for the end of a list where the kernel answers with one connection, which it
// marks like a part of a list.
type socket struct {
	*netlink.Conn
	raw syscall.RawConn
}

// ReadDatagram reads one.
func (s *socket) ReadDatagram(b []byte) (n int, err error) {
	e := s.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), b, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	return n, errors.Join(e, err)
}

// What the kernel may be asked about connections.
const (
	msgNew = iota
	msgGet
	msgDelete
)

// datagram is more bytes than the kernel puts together. It puts as many together as there was ever room for, up to half of that.
const datagram = 64 << 10

// patience is how long an answer may take.
const patience = 10 * time.Second

// dial opens a socket in the network namespace that a file descriptor names, or in the calling thread's where it is 0.
func dial(namespace int) (conn, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: namespace})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a netlink socket: %w", err), c.Close())
	}
	return &socket{c, raw}, nil
}

// headerLen is what stands in front of the attributes: a family, a version, and a number that nobody uses here.
const headerLen = 4

func message(what netlink.HeaderType, flags netlink.HeaderFlags, family byte, list ...netlink.Attribute) (netlink.Message, error) {
	b, err := netlink.MarshalAttributes(list)
	return netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | what, Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, b...),
	}, err
}

// Each visits every connection of IPv4 and IPv6 in the network namespace that a file descriptor names, or in the calling thread's
// where it is 0. What the kernel says is never held as a whole. A connection that begins or ends meanwhile may be visited or not.
// An error of visit ends it, and is returned.
func Each(namespace int, visit func(*Connection) error) error {
	c, err := dial(namespace)
	if err != nil {
		return err
	}
	return errors.Join(dump(c, visit), c.Close())
}

func dump(c conn, visit func(*Connection) error) error {
	m, err := message(msgGet, netlink.Dump, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	sent, err := c.SendMessages([]netlink.Message{m})
	if err != nil {
		return fmt.Errorf("ask for the connections: %w", err)
	}
	b := make([]byte, datagram)
	for done := false; !done; {
		err := receive(c, b, func(h header, body []byte) (err error) {
			switch {
			case h.sequence != sent[0].Header.Sequence:
				return errOther
			case h.kind == netlink.Done || h.kind == netlink.Error:
				done = true
				return errnoOf(body)
			}
			return visitOne(body, visit)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func visitOne(b []byte, visit func(*Connection) error) error {
	c, err := readMessage(b)
	if err != nil {
		return err
	}
	return visit(c)
}

func readMessage(b []byte) (*Connection, error) {
	if len(b) < headerLen {
		return nil, errors.New("read the connections: an answer without a header")
	}
	c, err := read(b[headerLen:])
	if err != nil {
		return nil, fmt.Errorf("read the connections: %w", err)
	}
	return c, nil
}

// Socket changes connections. It lasts, for the kernel takes longer to close one than to change a connection. It is not for use by
// several goroutines at once.
type Socket struct {
	dial func() (conn, error)
	c    conn // nil after it failed
	b    []byte
}

// Open makes a socket in the network namespace that a file descriptor names, or in the calling thread's where it is 0.
func Open(namespace int) (*Socket, error) {
	return open(func() (conn, error) { return dial(namespace) })
}

func open(dial func() (conn, error)) (*Socket, error) {
	s := &Socket{dial: dial, b: make([]byte, datagram)}
	return s, s.connect()
}

func (s *Socket) connect() (err error) {
	if s.c == nil {
		s.c, err = s.dial()
	}
	return err
}

// Close closes the socket. Connections stay as they are.
func (s *Socket) Close() error {
	if s.c == nil {
		return nil
	}
	c := s.c
	s.c = nil
	return c.Close()
}

// answer is what the kernel says to one message: an entry, or an error of its own; neither where it did what it was told.
type answer struct {
	c   *Connection
	err error
}

// exchange sends messages at once, which the kernel works off before anything else of ours, and hears one answer to each.
// Where that fails the socket is given up: answers that come late would be taken for others.
func (s *Socket) exchange(list ...netlink.Message) ([]answer, error) {
	if err := s.connect(); err != nil {
		return nil, err
	}
	out, err := hear(s.c, s.b, list)
	if err != nil {
		_ = s.Close() // it is of no use
		return nil, fmt.Errorf("change a connection: %w", err)
	}
	return out, nil
}

func hear(c conn, b []byte, list []netlink.Message) ([]answer, error) {
	sent, err := c.SendMessages(list)
	if err != nil {
		return nil, err
	}
	out := make([]answer, len(list))
	for i := range list {
		err := receive(c, b, func(h header, body []byte) (err error) {
			switch {
			case h.sequence != sent[i].Header.Sequence:
				return errOther
			case h.kind == netlink.Error:
				out[i].err = errnoOf(body)
			default:
				out[i].c, err = readMessage(body)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// errOther says that an answer is one to another question.
var errOther = errors.New("an answer to another question")

// header is what counts of that of a message.
type header struct {
	kind     netlink.HeaderType
	sequence uint32
}

// receive reads one datagram and visits the messages in it, of which it keeps nothing.
func receive(c conn, b []byte, visit func(h header, body []byte) error) error {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	n, err := c.ReadDatagram(b)
	if err != nil {
		return fmt.Errorf("hear what the kernel says of connections: %w", err)
	}
	for b := b[:n]; len(b) > 0; {
		size := uint32(0)
		if len(b) >= unix.NLMSG_HDRLEN {
			size = binary.NativeEndian.Uint32(b)
		}
		if size < unix.NLMSG_HDRLEN || int(size) > len(b) {
			return errors.New("hear what the kernel says of connections: a message is cut off")
		}
		h := header{netlink.HeaderType(binary.NativeEndian.Uint16(b[4:])), binary.NativeEndian.Uint32(b[8:])}
		if err := visit(h, b[unix.NLMSG_HDRLEN:size]); err != nil {
			return err
		}
		b = b[min(len(b), align(int(size))):]
	}
	return nil
}

// errnoOf reads the number that ends a list or answers a message: 0 where all is well.
func errnoOf(body []byte) error {
	if len(body) < 4 {
		return errors.New("an answer without a number")
	}
	if n := int32(binary.NativeEndian.Uint32(body)); n < 0 {
		return unix.Errno(-n)
	}
	return nil
}

// align gives where what comes behind something of a length begins, in messages and in what is in them.
func align(size int) int { return (size + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// bytes4 makes a big-endian number.
func bytes4(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
