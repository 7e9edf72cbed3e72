package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// TestIgnores: where a comment stands decides what it is about, and only comments count.
func TestIgnores(t *testing.T) {
	const head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
	for name, c := range map[string]struct{ text, want string }{
		"above an item":              {head + "metadata: {name: p}\nspec:\n  podSelector: {}\n  ingress:\n  # sallyport:ignore a b c\n  - from: []\n", "7 spec.ingress[0]: a, b c"},
		"on the line of an item":     {head + "metadata: {name: p}\nspec:\n  podSelector: {}\n  ingress:\n  - from: [] # sallyport:ignore a b\n", "7 spec.ingress[0]: a, b"},
		"below an item":              {head + "metadata: {name: p}\nspec:\n  podSelector: {}\n  ingress:\n  - from: []\n    # sallyport:ignore a b\n\n  egress: []\n", "8 spec.ingress[0]: a, b"},
		"above a field":              {head + "metadata: {name: p}\nspec:\n  # sallyport:ignore a b\n  podSelector: {}\n", "5 spec.podSelector: a, b"},
		"on the line of a field":     {head + "metadata: {name: p}\nspec:\n  podSelector: {} # sallyport:ignore a b\n", "5 spec.podSelector: a, b"},
		"above spec":                 {head + "metadata: {name: p}\n# sallyport:ignore a b\nspec:\n  podSelector: {}\n", "4 spec: a, b"},
		"beside the name":            {head + "metadata:\n  name: p # sallyport:ignore a b\nspec: {podSelector: {}}\n", "4 : a, b"},
		"at the top":                 {"# sallyport:ignore a b\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", "1 : a, b"},
		"at the top, apart":          {"# A policy.\n\n# sallyport:ignore a b\n\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", "3 : a, b"},
		"above the separator":        {"# sallyport:ignore a b\n---\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", "1 : a, b"},
		"in a second document":       {head + "metadata: {name: q}\nspec: {podSelector: {}}\n---\n# sallyport:ignore a b\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", "6 : a, b"},
		"several in one block":       {"# Both are known.\n#   sallyport:ignore a b\n# sallyport:ignore c d\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", "2 : a, b\n3 : c, d"},
		"a list's item":              {"kind: List\napiVersion: v1\nitems:\n# sallyport:ignore a b\n- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: p}\n  spec: {podSelector: {}}\n", "4 : a, b"},
		"without a reason":           {"# sallyport:ignore a\n# sallyport:ignore\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", "1 : a, \n2 : , "},
		"another word":               {"# sallyport:ignored a b\n# x sallyport:ignore a b\n" + head + "metadata: {name: p}\nspec: {podSelector: {}}\n", ""},
		"in a text":                  {head + "metadata:\n  name: p\n  annotations:\n    x: |\n      # sallyport:ignore a b\n    y: '# sallyport:ignore c d'\nspec: {podSelector: {}}\n", ""},
		"the annotation":             {head + "metadata:\n  name: p\n  annotations:\n    sallyport.dev/ignore: |\n      a b c\n\n      d e\nspec: {podSelector: {}}\n", "6 : a, b c\n6 : d, e"},
		"an object without policies": {"# sallyport:ignore a b\napiVersion: v1\nkind: Service\nmetadata: {name: p}\nspec: {}\n", "1 : a, b"},
	} {
		s, err := Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(c.text)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, ig := range s.Ignores {
			if ig.Name != "p" || ig.Namespace != "default" || ig.Origin.File != "stdin" {
				t.Errorf("%s: %+v", name, ig)
			}
			got = append(got, fmt.Sprintf("%d %s: %s, %s", ig.Origin.Line, ig.Path, ig.Rule, ig.Reason))
		}
		if text := strings.Join(got, "\n"); text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// TestManyIgnores: hostile numbers of comments cost time in proportion, and only so many count.
func TestManyIgnores(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {}\n  ingress:\n  - from:\n")
	for range 20_000 {
		text.WriteString("    # sallyport:ignore a b\n    - podSelector: {}\n")
	}
	s, err := Read(Options{Files: []string{"-"}, Stdin: strings.NewReader(text.String())})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Ignores) != 1000 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0].Text, "only the first 1000 ignores count") {
		t.Errorf("%d ignores, notes %v", len(s.Ignores), s.Notes)
	}
	if last := s.Ignores[999]; last.Path != "spec.ingress[0].from[999]" || last.Origin.Line != 8+2*999 {
		t.Errorf("%+v", last)
	}
}
