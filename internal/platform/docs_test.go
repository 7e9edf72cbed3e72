package platform

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs keeps docs/plugins.md and the profiles together: each names what the other has.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "## Which profile you get\n")
	section, _, ok := strings.Cut(rest, "\n## ")
	if !ok {
		t.Fatal("docs/plugins.md has no section \"Which profile you get\"")
	}
	var documented, also []string
	for line := range strings.Lines(section) {
		if m := regexp.MustCompile("^\\| `([^`]+)` \\|").FindStringSubmatch(line); m != nil {
			documented = append(documented, m[1])
			if _, names, ok := strings.Cut(line, "(also written "); ok {
				names, _, _ = strings.Cut(names, ")")
				also = append(also, codes(names)...)
			}
		}
	}
	slices.Sort(documented)
	if have := slices.Sorted(maps.Keys(profiles)); !slices.Equal(documented, have) {
		t.Errorf("the docs have the profiles %v, the program %v", documented, have)
	}
	slices.Sort(also)
	if have := slices.Sorted(maps.Keys(aliases)); !slices.Equal(also, have) {
		t.Errorf("the docs have the other names %v, the program %v", also, have)
	}
	_, line, _ := strings.Cut(section, "Plugins that only route")
	line, _, _ = strings.Cut(line, "\n")
	_, line, _ = strings.Cut(line, ": ")
	if got := codes(line); !slices.Equal(got, routing) {
		t.Errorf("the docs have the routing plugins %v, the program %v", got, routing)
	}

	// The table of differences has a column for each profile that differs.
	_, table, _ := strings.Cut(string(data), "| topic |")
	head, _, _ := strings.Cut(table, "\n")
	columns := codes(head)
	for name, p := range profiles {
		differs := p.enforces && (p.nodePortUnfiltered || Plugin{Name: name}.Behaviour() != Plugin{Name: "sallyport"}.Behaviour())
		if differs != slices.Contains(columns, name) {
			t.Errorf("profile %s: differs %v, has a column %v", name, differs, !differs)
		}
	}

	// Every plugin that is detected is described.
	_, section, _ = strings.Cut(string(data), "## How a live cluster's plugin is detected\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, s := range signs {
		if !slices.Contains(codes(section), s.plugin) {
			t.Errorf("the docs do not say how %s is detected", s.plugin)
		}
	}

	// The lines that answers print are quoted as they are.
	for _, e := range []Enforcement{
		Plugin{"cilium", PluginVersion{1, 16}}.Enforcement(Version{1, 31}),
		Plugin{Name: "antrea"}.Enforcement(Version{}),
		Plugin{}.Enforcement(Version{1, 31}),
		Plugin{Name: "none"}.Enforcement(Version{}),
	} {
		if !strings.Contains(string(data), "`"+e.Text+"`") {
			t.Errorf("the docs do not quote %q", e.Text)
		}
	}
}

// codes lists what stands in backquotes.
func codes(s string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(s, -1) {
		out = append(out, m[1])
	}
	return out
}
