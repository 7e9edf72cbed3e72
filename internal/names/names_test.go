package names

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"shop/web → db": "shop/web → db",
		"a\x1b[31mb":    `a\x1b[31mb`,
		"a\r\nb":        `a\r\nb`,
		"a\u202eb":      `a\u202eb`,
		"a\xffb":        `a\xffb`,
		"a\u0085b":      `a\u0085b`,
	} {
		if got := Safe(in); got != want {
			t.Errorf("Safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("a\x1b\u202e\xff\U000e0001")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Safe(s) {
			if Unsafe(r) {
				t.Fatalf("%q leaves %q", s, r)
			}
		}
		data, err := json.Marshal(s)
		if err != nil || !utf8.ValidString(s) {
			return
		}
		text := SafeJSON(string(data))
		var back string
		if err := json.Unmarshal([]byte(text), &back); err != nil || back != s {
			t.Fatalf("%q comes back as %q (%v)", s, back, err)
		}
		for _, r := range text {
			if unsafeInJSON(r) {
				t.Fatalf("%q leaves %q", s, r)
			}
		}
	})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		limit int
		want  int
	}{{"egres", "egress", 9, 1}, {"web", "web", 9, 0}, {"abc", "xyz", 9, 3}, {"a", "abcdef", 3, 4}, {"kitten", "sitting", 9, 3}} {
		if got := Distance(c.a, c.b, c.limit); got != c.want {
			t.Errorf("Distance(%q, %q, %d) = %d, want %d", c.a, c.b, c.limit, got, c.want)
		}
	}
}
