package expectfile

import (
	"strings"
	"testing"
)

// TestManyEnds: what aliases stand for counts each time, so that a small file cannot stand for a large one.
func TestManyEnds(t *testing.T) {
	const head = "apiVersion: sallyport.dev/v1alpha1\nkind: PolicyTest\ntests:\n"
	line := "- deny: {from: &f [" + strings.Repeat("a/b, ", 999) + "a/b], to: a/c}\n"
	for _, c := range []struct {
		aliases int
		want    string
	}{
		{40, ""},
		{100, "f.yaml:54: more than 100000 ends in one file (hint: divide the tests into several files, or name ends by * and by labels)"},
	} {
		files, err := parse("f.yaml", []byte(head+line+strings.Repeat("- deny: {from: *f, to: *f}\n", c.aliases)))
		switch {
		case c.want == "" && (err != nil || len(files) != 1 || len(files[0].Tests) != c.aliases+1):
			t.Errorf("%d aliases: %v", c.aliases, err)
		case c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%d aliases: %v, not %s", c.aliases, err, c.want)
		}
	}
}
