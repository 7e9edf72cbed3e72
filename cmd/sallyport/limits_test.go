package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTooManyFlows: a question that stands for too many flows is refused, not answered for hours.
func TestTooManyFlows(t *testing.T) {
	var input strings.Builder
	for i := range 1030 { // pods that no two policies could treat alike
		fmt.Fprintf(&input, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "p%d", "labels": {"n": "%d"}}, "status": {"podIP": "10.1.%d.%d"}}`+"\n", i, i, i/250, i%250+1)
	}
	var stdout, stderr bytes.Buffer
	if status := run([]string{"check", "-f", "-", "10.1.0.0/16", "10.1.0.0/16:80"}, strings.NewReader(input.String()), &stdout, &stderr); status != 1 || stdout.Len() > 0 {
		t.Errorf("status %d, %d bytes on stdout", status, stdout.Len())
	}
	if want := "sallyport: the question stands for more than 1048576 flows (ask about a smaller part)\n"; stderr.String() != want {
		t.Errorf("%q, want %q", stderr.String(), want)
	}
}

// TestLargeAKSFile: a file that cannot be the output of az aks show is not parsed for minutes.
func TestLargeAKSFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aks.json")
	if err := os.WriteFile(path, bytes.Repeat([]byte(" "), 16<<20+1), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	status := run([]string{"check", "-f", "-", "--aks", path, "a/b", "a/c"}, strings.NewReader(""), &stdout, &stderr)
	if status != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "too large to be the output of az aks show") {
		t.Errorf("status %d, %q on stdout, %q on stderr", status, stdout.String(), stderr.String())
	}
}
