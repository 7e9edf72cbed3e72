package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport.dev/sallyport/internal/source/objects"
)

// FuzzRead: whatever bytes a file has, reading it ends, without a panic, in a Snapshot or in errors
// that can be printed, and twice in the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", account("a"), accountJSON("a"), brokenPolicy, brokenOwn, "---\n---\n...\n", "%YAML 1.1\n---\na: 1\n", "{{ x }}", "\xFF\xFE", "\uFEFFa: b",
		"a: &a [*a]\n", "<<: {a: b}\n", "a: !!binary x\n", "? [a]\n: b\n", "[1, {\"a\":", `{"items":[{"kind":"Pod"}],"kind":"PodList","apiVersion":"v1"}`,
		`{"a":1} {"b":2}` + "\n---\nc: 3", "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(brokenPolicy, "\n", "\n  ") + "\n",
		"apiVersion: sallyport.dev/v1alpha1\nkind: Snapshot\n---\n" + brokenPolicy, strings.ReplaceAll(brokenPolicy, "\n", "\r\n"),
	} {
		f.Add([]byte(s))
	}
	read := func(data []byte) (string, []string) {
		s, err := Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(string(data))})
		if err != nil {
			if _, ok := err.(objects.InputErrors); !ok {
				panic(err)
			}
			return err.Error(), nil
		}
		var notes []string
		for _, n := range s.Notes {
			notes = append(notes, n.Origin.String()+n.Text)
		}
		return "", notes
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err, notes := read(data)
		if strings.ContainsAny(err, "\x00\x1b") {
			t.Errorf("control characters in %q", err)
		}
		err2, notes2 := read(data)
		if err != err2 || !cmp.Equal(notes, notes2) {
			t.Errorf("read twice: %q, then %q", err, err2)
		}
	})
}
