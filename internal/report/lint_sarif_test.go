package report

import "testing"

func TestFileURI(t *testing.T) {
	for path, want := range map[string]string{
		"a/b.yaml":           "a/b.yaml",
		"with space/ü#.yaml": "with%20space/%C3%BC%23.yaml",
		"a:b.yaml":           "./a:b.yaml",
		"stdin":              "stdin",
		"/etc/p.yaml":        "file:///etc/p.yaml",
		"50%.yaml":           "50%25.yaml",
	} {
		if got := fileURI(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
