package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
)

// running is an agent, and what it logs.
type running struct {
	*exec.Cmd
	lines chan string
}

func startAgent(t *testing.T, ns *netns.Namespace, args ...string) *running {
	t.Helper()
	c := exec.Command(os.Args[0], append([]string{"agent"}, args...)...)
	c.Args[0] = "sallyport"
	errors, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(c.Start); err != nil {
		t.Fatal(err)
	}
	r := &running{c, make(chan string, 1000)}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(errors); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return r
}

// says waits until the agent logs something.
func (r *running) says(t *testing.T, want string) {
	t.Helper()
	var all []string
	for timeout := time.After(20 * time.Second); ; {
		select {
		case line, ok := <-r.lines:
			if !ok {
				t.Fatalf("the agent ended without %q: %q", want, all)
			}
			if all = append(all, line); strings.Contains(line, want) {
				return
			}
		case <-timeout:
			t.Fatalf("the agent does not say %q, but %q", want, all)
		}
	}
}

// TestAgent: the files of a directory are enforced, a mistake in them changes nothing and is said with its place, and the table stays.
func TestAgent(t *testing.T) {
	if !netnstest.Root(t) {
		return
	}
	node, ends := netnstest.Routed(t, "uplink", "veth-a")
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chains := func() string {
		t.Helper()
		p, _, err := kernel.Read(node.FD())
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			return ""
		}
		return p.Nft()
	}
	write("cluster.yaml", "{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: "+ends[0].IP4.Prev().String()+"}]}}\n---\n"+
		"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {app: a}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}, "+
		"status: {podIP: "+ends[1].IP4.String()+", podIPs: [{ip: "+ends[1].IP4.String()+"}]}}\n")
	a := startAgent(t, node, "-f", dir, "--node", "n1", "--uplink", "uplink")
	a.says(t, "msg=enforcing node=n1")
	a.says(t, "msg=applied")
	if text := chains(); !strings.Contains(text, "veth-a") || strings.Contains(text, "shop/deny") {
		t.Errorf("not the pod, or more: %s", text)
	}
	write("policy.yaml", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {}}}\n")
	a.says(t, "msg=applied")
	enforced := chains()
	if !strings.Contains(enforced, "shop/deny") {
		t.Errorf("the policy is not there: %s", enforced)
	}
	write("policy.yaml", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {}, ingres: []}}\n")
	a.says(t, "policy.yaml:1")
	if chains() != enforced {
		t.Error("a mistake changed what is enforced")
	}
	write("policy.yaml", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {}}}\n")
	a.says(t, "can be read again")
	if err := a.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	a.says(t, "the table stays in force")
	if err := a.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if chains() != enforced {
		t.Error("the table did not stay")
	}
	if _, problem, status := here(t, node, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}, "agent", "-f", dir, "--node", "n1"); status != 1 || !strings.Contains(problem, "sallyport: agent: ") || strings.Count(problem, "\n") != 1 {
		t.Errorf("without rights: status %d, %q", status, problem)
	}
}
