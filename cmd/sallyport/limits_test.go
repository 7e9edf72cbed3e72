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

// TestRefusedArguments has what no script can hold: texts that are too long or no text at all.
func TestRefusedArguments(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	endless := "/dev/zero"
	if _, err := os.Stat(endless); err != nil {
		endless = write("endless.json", bytes.Repeat([]byte(" "), 16<<20+1))
	}
	object := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}`
	for message, args := range map[string][]string{
		"too large to be the output of az aks show": {"--aks", write("large.json", bytes.Repeat([]byte(" "), 16<<20+1)), "a/b", "a/c"},
		endless + ": the file is too large":         {"--aks", endless, "a/b", "a/c"},
		"the file is UTF-16":                        {"--aks", write("wide.json", []byte("\xff\xfe{\x00}\x00")), "a/b", "a/c"},
		"a name of 603 characters is none":          {"a/" + strings.Repeat("b", 601), "a/c"},
		"characters is none":                        {"a/" + strings.Repeat("b", 1<<20), "a/c"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(append([]string{"check", "-f", "-"}, args...), strings.NewReader(object), &stdout, &stderr)
		if status != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), message) || stderr.Len() > 400 {
			t.Errorf("want %q: status %d, %q on stdout, %q on stderr", message, status, stdout.String(), stderr.String())
		}
	}
}
