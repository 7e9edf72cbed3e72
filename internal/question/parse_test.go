package question

import (
	"strings"
	"testing"
)

func TestTermString(t *testing.T) {
	for text, want := range map[string]string{
		"shop/web":                        "shop/web",
		"shop/sts/db:5432":                "shop/statefulset/db:5432",
		"Deploy/web":                      "deployment/web",
		"node/n1":                         "node/n1",
		"pod/pod/pod":                     "pod/pod/pod",
		"external:*/icmp":                 "external:*/icmp",
		"10.1.2.3/8:53/UDP":               "10.0.0.0/8:53/udp",
		"203.0.113.7":                     "203.0.113.7",
		"2001:db8::7":                     "2001:db8::7",
		"[2001:db8::7]":                   "2001:db8::7",
		"[2001:db8::/32]:443":             "[2001:db8::/32]:443",
		"[10.0.0.1]:80":                   "10.0.0.1:80",
		"shop/web@10.0.0.5:80":            "shop/web@10.0.0.5:80",
		"shop/web@[2001:db8::7]:80":       "shop/web@[2001:db8::7]:80",
		"shop/web@2001:db8::7":            "shop/web@2001:db8::7",
		"shop/web:1-65535":                "shop/web:*",
		"shop/web:8000-8000/sctp":         "shop/web:8000/sctp",
		"shop/web:http":                   "shop/web:http",
		"shop/web:" + "80-a":              "shop/web:80-a",
		"svc/" + strings.Repeat("a", 253): "service/" + strings.Repeat("a", 253),
	} {
		term, err := ParseTerm(text, true)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := term.String(); got != want {
			t.Errorf("%q prints as %q, want %q", text, got, want)
		}
	}
}

func TestTermErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "an end of the question is empty",
		"web":                     "no namespace and no kind",
		"a/b/c/d":                 "too many parts",
		"shop//web":               "a part of the name is empty",
		"shop/web:":               "nothing follows the colon",
		"shop/web:0":              "out of range",
		"shop/web:70000":          "out of range",
		"shop/web:9-8":            "out of range",
		"shop/web:+80":            "is not a port",
		"shop/web:80/icmp":        "icmp has no ports",
		"shop/web:80/gre":         "unknown protocol",
		"[shop/a:b]:80":           "a name has no ':' in it",
		"shop/web]:80":            "a name has no ']' in it",
		"shop/a:80@10.0.0.1":      "a name has no ':' in it",
		"[2001:db8::7:443":        "not closed",
		"[2001:db8::7]443":        "a colon and a port",
		"fe80::1%eth0":            "zone",
		"::ffff:10.0.0.1":         "v4-mapped",
		"shop/web@external":       "not an address",
		strings.Repeat("@", 2000): "characters is none",
		strings.Repeat("a", 2000): "characters is none",
	} {
		term, err := ParseTerm(text, true)
		if err == nil {
			t.Errorf("%.40q was read as %q", text, term)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseTerm("shop/web:80", false); err == nil || !strings.Contains(err.Error(), "the first end has a port") {
		t.Errorf("a port on the first end: %v", err)
	}
}

// FuzzParseTerm: nothing makes the parser panic, and what it reads prints as something that it
// reads as the same end.
func FuzzParseTerm(f *testing.F) {
	for _, seed := range []string{"shop/web", "shop/sts/db:5432", "svc/api:http/tcp", "external", "[2001:db8::/32]:443", "10.0.0.0/8:*/udp",
		"shop/web@[2001:db8::7]:80", "node/n1:1-65535", "[::1%a]:1", "::ffff:1.2.3.4", "a/b@c@d:e", "0.0.0.0/0:1/icmp"} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, withPort bool) {
		term, err := ParseTerm(text, withPort)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		printed := term.String()
		again, err := ParseTerm(printed, withPort)
		if err != nil {
			t.Fatalf("%q prints as %q, which is not read: %v", text, printed, err)
		}
		term.Text, again.Text = "", ""
		if term != again {
			t.Fatalf("%q prints as %q, which is another end:\n%+v\n%+v", text, printed, term, again)
		}
	})
}
