package manifest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// podJSON is as large as pods are, most of it nothing that is read.
func podJSON(i int) string {
	padding := strings.Repeat("x", 4000)
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d","namespace":"ns%d","annotations":{"a":"%s"}},`+
		`"spec":{"nodeName":"n%d","containers":[{"env":[{"name":"A","value":"%s"}],"ports":[{"name":"http","containerPort":80}]}]},`+
		`"status":{"phase":"Running","podIP":"10.%d.%d.%d"}}`, i, i%50, padding, i%100, padding, i>>16, i>>8&255, i&255)
}

// TestLargeFiles reads 100 MB as a list in JSON and as YAML documents; neither costs memory for what
// is not kept.
func TestLargeFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	const pods = 12_500
	for _, tc := range []struct{ name, before, between, after string }{
		{"list.json", `{"apiVersion":"v1","items":[` + "\n", ",\n", `],"kind":"List"}`},
		{"many.yaml", "---\n", "\n---\n", "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tc.name)
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w := bufio.NewWriter(f)
			_, _ = io.WriteString(w, tc.before)
			for i := range pods {
				if i > 0 {
					_, _ = io.WriteString(w, tc.between)
				}
				_, _ = io.WriteString(w, podJSON(i))
			}
			_, _ = io.WriteString(w, tc.after)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Read(Options{Files: []string{path}})
			if err != nil {
				t.Fatal(err)
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			if len(s.Pods) != pods || len(s.Nodes) != 100 || len(s.Namespaces) != 50 {
				t.Errorf("%d pods, %d nodes, %d namespaces", len(s.Pods), len(s.Nodes), len(s.Namespaces))
			}
			if m.HeapAlloc > 60<<20 {
				t.Errorf("%d MB are kept", m.HeapAlloc>>20)
			}
			runtime.KeepAlive(s)
		})
	}
}

// TestLargeDocument: what is too large for memory is refused, and what follows it is read.
func TestLargeDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("builds 100 MB")
	}
	line := "x: " + strings.Repeat("y", 1<<20-4) + "\n"
	_, err := Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(strings.Repeat(line, 40) + "---\n" + brokenPolicy)})
	check(t, err.Error(), `stdin:1: this document is larger than 32 MiB (hint: split it, or save it as JSON, which is read object by object)
stdin:51: NetworkPolicy default/p: unknown field spec.ingress[0].from[1].podSelectr (hint: did you mean podSelector?)
stdin:54: NetworkPolicy default/p: spec.ingress[0].ports[1].port 0 is not between 1 and 65535`)
	_, err = Read(Options{Files: []string{"-"}, Stdin: strings.NewReader("x: " + strings.Repeat("y", 40<<20) + "\n---\n" + account("a"))})
	check(t, err.Error(), `stdin:1: this document is larger than 32 MiB (hint: split it, or save it as JSON, which is read object by object)`)
	_, err = Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(`{"apiVersion":"v1","kind":"List","items":[` + accountJSON("a") + `,{"x":"` + strings.Repeat("y", 40<<20) + `"}]}`)})
	check(t, err.Error(), `stdin:1: this object is larger than 32 MiB (hint: only lists of objects may be larger)`)
}
