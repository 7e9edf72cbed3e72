package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Server is an API server with its etcd, on loopback ports that were free when it started.
type Server struct {
	URL  string
	Etcd string // URL of etcd's clients

	dir       string
	authority *authority
	processes []*process
	client    *http.Client // of the administrator
}

// process is a program that was started, and is ended by its own id.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// Start starts both programs and waits until the server answers.
func Start(ctx context.Context, dir string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	a, err := newAuthority(dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(a.issue("server", "kube-apiserver"), a.issue("admin", "admin", "system:masters"), a.serviceAccountKey()); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, authority: a, URL: fmt.Sprintf("https://127.0.0.1:%d", ports[0]), Etcd: fmt.Sprintf("http://127.0.0.1:%d", ports[1])}
	if s.client, err = a.client("admin"); err != nil {
		return nil, err
	}
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[2])
	err = s.start(filepath.Join(bin, "etcd"), "--name", "e", "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", s.Etcd, "--advertise-client-urls", s.Etcd, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e="+peer)
	if err == nil {
		err = s.start(filepath.Join(bin, "kube-apiserver"), "--etcd-servers", s.Etcd, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(ports[0]),
			"--tls-cert-file", a.path("server.crt"), "--tls-private-key-file", a.path("server.key"), "--client-ca-file", a.path("ca.crt"),
			"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", a.path("sa.key"), "--service-account-signing-key-file", a.path("sa.key"),
			"--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16,fd00:10:96::/112", "--endpoint-reconciler-type", "none",
			"--disable-admission-plugins", "ServiceAccount", "--allow-privileged", "--watch-cache=false")
	}
	if err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w\n%s", err, s.logs())
	}
	return s, nil
}

// freePorts gives loopback ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

func (s *Server) start(path string, args ...string) error {
	name := filepath.Base(path)
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	p := &process{name: name, cmd: exec.Command(path, args...), log: log.Name(), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	endWithUs(p.cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the program ends with the thread that started it, so that one has to stay
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its log
		}
		_ = log.Close()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	return nil
}

// ready waits until the server says that it is, or a program has ended.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if data, err := s.request(http.MethodGet, "/readyz", nil); err == nil && string(data) == "ok" {
			return nil
		}
		for _, p := range s.processes {
			select {
			case <-p.done:
				return fmt.Errorf("%s has ended", p.name)
			default:
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the API server is not ready after two minutes")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends both programs, the server first.
func (s *Server) Stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := s.processes[i]
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}

// logs gives the end of each program's log.
func (s *Server) logs() string {
	var out bytes.Buffer
	for _, p := range s.processes {
		data, err := os.ReadFile(p.log)
		if err != nil {
			continue
		}
		fmt.Fprintf(&out, "== %s\n%s\n", p.name, data[max(0, len(data)-4000):])
	}
	return out.String()
}

// client gives a client with a user's certificate.
func (a *authority) client(user string) (*http.Client, error) {
	cert, err := tls.LoadX509KeyPair(a.path(user+".crt"), a.path(user+".key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots}}}, nil
}

// request sends an object as the administrator and gives the answer's body.
func (s *Server) request(method, path string, object any) ([]byte, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if object == nil {
		return s.send(method, path, nil, header)
	}
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return s.send(method, path, data, header)
}

// send sends a request as the administrator and gives the answer's body.
func (s *Server) send(method, path string, body []byte, header http.Header) ([]byte, error) {
	r, err := http.NewRequest(method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, &statusError{resp.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, resp.Status, data)}
	}
	return data, nil
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }
