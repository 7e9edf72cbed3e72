package expectfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/expect"
)

const good = `apiVersion: sallyport.dev/v1alpha1
kind: PolicyTest
input: [a, ../b]
tests:
- name: first
  allow: {from: shop/web, to: [shop/db:5432, "shop/*:http"]}
- only:
    from: {namespaces: "team in (a,b)", pods: app=web}
    to: {namespace: shop, port: 53/udp}
- deny: {from: external/192.0.2.0/24, to: "[2001:db8::/32]:443"}
`

func TestParse(t *testing.T) {
	files, err := parse("dir/x.yaml", []byte("apiVersion: v1\nkind: Pod\n---\n"+good+"---\n"+strings.Replace(good, "input: [a, ../b]\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || !slices.Equal(files[0].Input, []string{filepath.Join("dir", "a"), "b"}) || !slices.Equal(files[1].Input, []string{"dir"}) {
		t.Fatalf("%+v", files)
	}
	tests := files[0].Tests
	if len(tests) != 3 || tests[0].Kind != expect.Allow || tests[1].Kind != expect.Only || tests[2].Kind != expect.Deny {
		t.Fatalf("%+v", tests)
	}
	if at := tests[1].Origin.String(); at != "dir/x.yaml:10" {
		t.Errorf("the second test is at %s", at)
	}
	if e := tests[0].To[1]; e.Port.Name != "http" || e.Term.Name != "*" || e.Term.Port.Given {
		t.Errorf("%+v", e)
	}
	if e := tests[1].From[0]; e.Select == nil || e.Select.Namespaces.String() != "team in (a,b)" || e.Select.Pods.String() != "app=web" {
		t.Errorf("%+v", e.Select)
	}
	if e := tests[2].From[0]; !e.Outside || e.Term.Prefix.String() != "192.0.2.0/24" {
		t.Errorf("%+v", e)
	}
	if want := "only namespaces team in (a,b), pods app=web may reach namespace shop, port 53/udp"; tests[1].Name != want {
		t.Errorf("it is called %q, want %q", tests[1].Name, want)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b/z.yaml": good, "b/a.yml": good, "b/pod.yaml": "kind: Pod", ".hidden/x.yaml": good, "b/.x.yaml": good, "b/x.json": good,
		"large.yaml": strings.Repeat("# a comment\n", maxSize/12+1)} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Find([]string{dir})
	if want := []string{filepath.Join(dir, "b", "a.yml"), filepath.Join(dir, "b", "z.yaml")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Find([]string{filepath.Join(dir, ".hidden", "nothing")}); err == nil {
		t.Error("a file that is not there was found")
	}
	large := filepath.Join(dir, "tests.yaml")
	if err := os.WriteFile(large, []byte(good+strings.Repeat("# a comment\n", maxSize/12+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find([]string{dir}); err == nil || !strings.Contains(err.Error(), "larger than 4 MiB") {
		t.Errorf("%v", err)
	}
}

// FuzzParse: whatever a file holds, it is read or refused with a place, and what is read is whole.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("apiVersion: sallyport.dev/v1alpha1\nkind: PolicyTest\ntests: &a [*a, {deny: &d {from: *d, to: 5}}]"))
	f.Add([]byte("kind: PolicyTest\n---\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := parse("x.yaml", data)
		if (err == nil) != (len(files) > 0) {
			t.Fatalf("%d files and %v", len(files), err)
		}
		for _, file := range files {
			for _, test := range file.Tests {
				if test.Name == "" || len(test.From) == 0 || len(test.To) == 0 || test.Origin.Line == 0 {
					t.Fatalf("%+v", test)
				}
			}
		}
	})
}
