package kernel

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// conn is a netlink socket that lasts: the kernel takes a hundred times longer to close one than to commit a change, and a
// table with an owner belongs to its socket. netlink.Conn is one; tests put faults into it.
type conn interface {
	Send(netlink.Message) (netlink.Message, error)
	SendMessages([]netlink.Message) ([]netlink.Message, error)
	ReceiveIter() iter.Seq2[netlink.Message, error]
	SetReadDeadline(time.Time) error
	SetWriteBuffer(bytes int) error
	Close() error
}

// Sizes in bytes. A batch is one message to the socket, and so has to fit into its buffer; 20 MB are a node of a cluster of
// 10,000 pods, each with a policy of its own.
const (
	readBuffer  = 8 << 20
	writeBuffer = 64 << 20
)

// namespace 0 is the network namespace of the calling thread.
func dial(namespace int) (conn, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: namespace})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	_ = c.SetOption(netlink.ExtendedAcknowledge, true) // says more of an error, where the kernel can
	if err := errors.Join(c.SetReadBuffer(readBuffer), c.SetWriteBuffer(writeBuffer)); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("raise the buffers of a netlink socket: %w", err)
	}
	return c, nil
}

// errTooLarge says that a batch does not fit into the socket's buffer, which an ordinary user may not raise.
var errTooLarge = errors.New("it does not fit into one message to the kernel, so it would not be atomic (net.core.wmem_max bounds it for all but root)")

// commit sends messages as one batch. The kernel takes all of them or none; it has when commit returns nil, and has not when
// it returns an error that wraps errRefused or errTooLarge. With any other error nobody knows.
func commit(c conn, list []netlink.Message) error {
	if len(list) == 0 {
		return nil
	}
	list[len(list)-1].Header.Flags |= netlink.Acknowledge // one answer is enough: an error anywhere stops all
	batch := make([]netlink.Message, 0, len(list)+2)
	batch = append(batch, frame(unix.NFNL_MSG_BATCH_BEGIN))
	batch = append(append(batch, list...), frame(unix.NFNL_MSG_BATCH_END))
	if _, err := c.SendMessages(batch); err != nil {
		if errors.Is(err, unix.EMSGSIZE) {
			return errTooLarge
		}
		return fmt.Errorf("send a change to the kernel: %w", err)
	}
	return answer(c, batch[len(batch)-2].Header.Sequence)
}

func frame(what netlink.HeaderType) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: what, Flags: netlink.Request}, Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}}
}

// errRefused says that the kernel took nothing of a batch.
var errRefused = errors.New("the kernel refused it")

// patience is how long an answer may take. The kernel works while we send, so what it says is there already.
const patience = 10 * time.Second

// afterError is how long to wait for more errors of the same batch.
const afterError = 20 * time.Millisecond

// answer waits for the acknowledgement of a message. There may be errors in front of it, as many as messages.
func answer(c conn, sequence uint32) error {
	var refused error
	for range 100_000 {
		wait := patience
		if refused != nil {
			wait = afterError
		}
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		done, err := receive(c, sequence)
		var op *netlink.OpError
		switch {
		case refused != nil && (err == nil && done || errors.Is(err, os.ErrDeadlineExceeded)):
			return refused
		case errors.As(err, &op) && isAnswer(err):
			if refused == nil {
				refused = fmt.Errorf("%w: %w", errRefused, err)
			}
		case err != nil:
			return fmt.Errorf("hear the kernel's answer to a change: %w", err)
		case done:
			return nil
		}
	}
	return errors.Join(errors.New("the kernel's answers do not end"), refused)
}

// isAnswer tells an error that the kernel says of a message from one of the socket.
func isAnswer(err error) bool {
	return !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.EINTR) && !errors.Is(err, os.ErrClosed)
}

// receive reads one datagram, and tells whether the acknowledgement was in it.
func receive(c conn, sequence uint32) (done bool, err error) {
	for m, e := range c.ReceiveIter() {
		if e != nil {
			err = e
			continue
		}
		done = done || m.Header.Type == netlink.Error && m.Header.Sequence == sequence
	}
	return done, err
}

// errInterrupted says that what is dumped changed meanwhile.
var errInterrupted = errors.New("the table changed while it was read")

// attempts is how often a dump is begun again that somebody's change interrupted.
const attempts = 5

// ask sends a request and visits what the kernel answers, one by one; nothing of it is kept. A dump that a change interrupts
// is begun anew after again was called, which forgets what was visited.
func ask(c conn, m netlink.Message, again func(), visit func(body []byte) error) error {
	var err error
	for range attempts {
		err = askOnce(c, m, visit)
		var said *netlink.OpError // by the kernel; otherwise its answer is still to come, and the socket of no use
		if !errors.Is(err, errInterrupted) && !(errors.Is(err, unix.EINTR) && errors.As(err, &said) && said.Sequence != 0) {
			return err
		}
		again()
	}
	return err
}

func askOnce(c conn, m netlink.Message, visit func(body []byte) error) error {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	sent, err := c.Send(m)
	if err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	var problem error
	for a, err := range c.ReceiveIter() { // to its end, so that nothing is left in the socket for the next one
		switch {
		case err != nil:
			return err
		case a.Header.Sequence != sent.Header.Sequence:
			problem = fmt.Errorf("an answer to another question: %d, not %d", a.Header.Sequence, sent.Header.Sequence)
		case a.Header.Flags&netlink.DumpInterrupted != 0:
			problem = errInterrupted
		case len(a.Data) < 4:
			problem = errors.New("an answer without a header")
		}
		if problem == nil {
			problem = visit(a.Data[4:])
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
	}
	return problem
}
