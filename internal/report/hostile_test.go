package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/policy"
)

// evilMarkup is a name that every form of output could take for more than a name.
const evilMarkup = "=cmd()|`x`<script>alert(1)</script>&amp;[a](http://b)*c*_d_,\"e\",\\|\\\n| x | y |\x1b[31m\u202e"

// hostileParties is the analysis of three workloads whose names a reader would not let through.
func hostileParties() *analyze.Reach {
	s := &cluster.Snapshot{Namespaces: []cluster.Namespace{{Name: "shop"}}}
	for _, name := range []string{"a", evilMarkup, "\n" + evilMarkup} {
		s.Pods = append(s.Pods, cluster.Pod{Namespace: "shop", Name: name, Owner: cluster.Workload{Namespace: "shop", Kind: evilMarkup, Name: name}})
	}
	m := policy.Compile(s, policy.Options{})
	return analyze.New(m, m.Space(), analyze.Options{})
}

func formatted(t *testing.T, format string) string {
	t.Helper()
	var b bytes.Buffer
	if err := Reach(&b, hostileParties(), ReachOptions{Format: format, Focus: -1, All: true}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReachNamesStayNames(t *testing.T) {
	for _, format := range []string{"text", "matrix", "json", "csv", "md"} {
		for _, r := range strings.ReplaceAll(formatted(t, format), "\n", "") {
			if names.Unsafe(r) {
				t.Errorf("%s prints %q raw", format, r)
			}
		}
	}
	for i, line := range strings.Split(strings.TrimSuffix(formatted(t, "md"), "\n"), "\n") {
		if cells := strings.Split(line, "|"); len(cells) != 5 {
			t.Errorf("md: line %d has %d cells: %s", i, len(cells)-2, line)
		}
		if rest := strings.ReplaceAll(line, "<br>", ""); strings.ContainsAny(rest, "<>`*_[]\\") {
			t.Errorf("md: line %d is more than text: %s", i, line)
		}
	}
	records, err := csv.NewReader(strings.NewReader(formatted(t, "csv"))).ReadAll() // wants four fields in each
	if err != nil || len(records) < 7 {
		t.Errorf("csv: %d records, %v", len(records), err)
	}
	for _, r := range records {
		for _, cell := range r {
			if strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("csv: a spreadsheet calculates %q", cell)
			}
		}
	}
	var d struct{ Connections []connectionJSON }
	if err := json.Unmarshal([]byte(formatted(t, "json")), &d); err != nil || len(d.Connections) < 6 {
		t.Errorf("json: %v, %d rows", err, len(d.Connections))
	}
}
