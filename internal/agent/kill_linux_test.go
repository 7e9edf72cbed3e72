package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/agent"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/source/manifest"
)

// child is what the test binary does where this names manifests: it is an agent, in the namespace in which it was started, and says
// when it has applied them.
const child = "SALLYPORT_TEST_MANIFESTS"

func runChild(manifests string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s, err := manifest.Read(manifest.Options{Files: []string{manifests}})
	fail(err)
	f, err := kernel.SelfTest()
	fail(err)
	updates := make(chan cluster.Update, 1)
	updates <- cluster.Update{Snapshot: s}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // it ends with the test, whatever becomes of that
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	fail(agent.Run(ctx, agent.Config{Node: "n1", Uplinks: []string{"uplink"}, Features: f, Updates: updates, Log: slog.New(slog.DiscardHandler),
		Applied: func(*cluster.Snapshot) { fmt.Println("applied") }}))
}

// process is an agent in a process of its own.
type process struct {
	*exec.Cmd
	stdin interface{ Close() error }
}

func (l *lab) process(manifests string) *process {
	l.t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), child+"="+manifests)
	var said strings.Builder
	c.Stderr = &said
	in, err := c.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.node.Do(c.Start); err != nil {
		l.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "applied\n" {
		_ = c.Process.Kill()
		_ = c.Wait()
		l.t.Fatalf("the agent says %q, %v: %s", line, err, said.String())
	}
	return &process{c, in}
}

// flood sends a datagram each millisecond, each by a new socket, so that every one is a new connection, until it is told to stop; it
// gives how many it sent.
func flood(from netnstest.End, to netip.Addr, port uint16, stop *atomic.Bool) (sent int, err error) {
	err = from.Do(func() error {
		next := time.Now()
		for !stop.Load() {
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			err = unix.Sendto(s, []byte("x"), 0, &unix.SockaddrInet4{Addr: to.As4(), Port: int(port)})
			if unix.Close(s); err != nil {
				return err
			}
			sent++
			next = next.Add(time.Millisecond)
			time.Sleep(time.Until(next))
		}
		return nil
	})
	return sent, err
}

// listen hears the datagrams that come to an end.
func listen(t *testing.T, e netnstest.End) (server net.PacketConn) {
	t.Helper()
	err := e.Do(func() (err error) {
		server, err = net.ListenPacket("udp4", ":80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// TestKilled: a thousand new connections a second, of an allowed and of a denied pair, while agents are killed, ended and started again:
// nothing leaks and nothing is dropped wrongly.
func TestKilled(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pods["a"], l.pods["b"], l.pods["c"]
	path := t.TempDir() + "/manifests.yaml"
	if err := os.WriteFile(path, []byte(l.manifests([]string{"a", "b", "c"}, only("a", "b", "", 80))), 0o600); err != nil {
		t.Fatal(err)
	}
	p := l.process(path)
	var counts [2]atomic.Int64 // from b, which may, and from c, which may not
	server := listen(t, a)
	_ = server.(*net.UDPConn).SetReadBuffer(8 << 20) // so that nothing is lost here; how much it is matters little
	received := make(chan struct{})
	go func() {
		defer close(received)
		for buffer := make([]byte, 10); ; {
			_, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if netip.MustParseAddrPort(from.String()).Addr() == c.IP4 {
				counts[1].Add(1)
			} else {
				counts[0].Add(1)
			}
		}
	}()
	var stop atomic.Bool
	type outcome struct {
		sent int
		err  error
	}
	var sent [2]chan outcome
	for i, from := range []netnstest.End{b, c} {
		sent[i] = make(chan outcome, 1)
		go func() {
			n, err := flood(from, a.IP4, 80, &stop)
			sent[i] <- outcome{n, err}
		}()
	}
	cycles := 20
	if os.Getenv("SALLYPORT_SOAK") != "" {
		cycles = 200
	}
	for i := range cycles {
		if i%2 == 0 {
			_ = p.Process.Signal(syscall.SIGKILL)
		} else if err := p.stdin.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Wait(); i%2 == 1 && err != nil {
			t.Error(err)
		}
		p = l.process(path)
	}
	stop.Store(true)
	allowed, denied := <-sent[0], <-sent[1]
	if allowed.err != nil || denied.err != nil {
		t.Fatal(allowed.err, denied.err)
	}
	for end := time.Now().Add(5 * time.Second); counts[0].Load() < int64(allowed.sent) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	_ = p.stdin.Close()
	_ = p.Wait()
	_ = server.Close()
	<-received
	t.Logf("%d cycles: %d of %d allowed ones arrived, %d of %d denied ones", cycles, counts[0].Load(), allowed.sent, counts[1].Load(), denied.sent)
	if int(counts[0].Load()) != allowed.sent || counts[1].Load() != 0 || allowed.sent < 20*cycles || denied.sent < 20*cycles {
		t.Error("something leaked, or was dropped, or too little was sent")
	}
}

// TestPodStarts: pods that start talk before anybody has said anything about them, and no packet of theirs passes until the table knows
// them; then all do.
func TestPodStarts(t *testing.T) {
	l := newLab(t)
	a := l.pods["a"]
	server := listen(t, a)
	l.start()
	known := []string{"a"}
	l.tell(known)
	starts := 20
	if os.Getenv("SALLYPORT_SOAK") != "" {
		starts = 200
	}
	received := func(from netip.Addr, wait time.Duration) bool {
		if err := server.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		for buffer := make([]byte, 10); ; {
			_, peer, err := server.ReadFrom(buffer)
			if err != nil {
				return false
			}
			if netip.MustParseAddrPort(peer.String()).Addr() == from {
				return true
			}
		}
	}
	for i := range starts {
		name := fmt.Sprintf("p%d", i)
		pod := netnstest.Join(t, l.node, "veth-"+name, 10+i)
		l.pods[name] = pod
		var stop atomic.Bool
		done := make(chan error, 1)
		go func() {
			_, err := flood(pod, a.IP4, 80, &stop)
			done <- err
		}()
		early := received(pod.IP4, 20*time.Millisecond)
		known = append(known, name)
		l.tell(known)
		if late := received(pod.IP4, long); early || !late {
			t.Errorf("pod %d: a packet passed before: %v, and after: %v", i, early, late)
		}
		if stop.Store(true); <-done != nil {
			t.Error("the pod could not send")
		}
	}
}
