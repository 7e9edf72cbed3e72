package report

import (
	"fmt"
	"io"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/expect"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/names"
)

// TestFormats are the formats of test.
var TestFormats = []string{"text", "tap", "junit", "json"}

// TestFile is the outcome of one file of tests.
type TestFile struct {
	Path    string
	Snap    *cluster.Snapshot // that it was evaluated over
	Results []expect.Result
	Notes   []string
}

// Tests prints the outcome of tests in one of TestFormats.
func Tests(w io.Writer, files []TestFile, format string) error {
	switch format {
	case "tap":
		return testsTAP(w, files)
	case "junit":
		return testsJUnit(w, files)
	case "json":
		return testsJSON(w, files)
	}
	return testsText(w, files)
}

// CountTests counts results by status.
func CountTests(files []TestFile) map[expect.Status]int {
	out := map[expect.Status]int{}
	for _, f := range files {
		for i := range f.Results {
			out[f.Results[i].Status]++
		}
	}
	return out
}

func testsText(w io.Writer, files []TestFile) error {
	var b page
	words := map[expect.Status]string{expect.Holds: "ok  ", expect.Fails: "FAIL", expect.Undecided: "??  "}
	var notes []string
	for _, f := range files {
		for i := range f.Results {
			r := &f.Results[i]
			b.line("%s  %s%s", words[r.Status], names.Safe(r.Test.Name), unlessHolds(r, place(r.Test.Origin)))
			for _, line := range againstLines(f.Snap, r) {
				b.line("        %s", line)
			}
		}
		notes = appendNew(notes, f.Notes)
	}
	b.line("%s", testSummary(files))
	return b.flush(w, notes)
}

func unlessHolds(r *expect.Result, text string) string {
	if r.Status == expect.Holds {
		return ""
	}
	return text
}

func appendNew(list, more []string) []string {
	for _, m := range more {
		found := false
		for _, l := range list {
			found = found || l == m
		}
		if !found {
			list = append(list, m)
		}
	}
	return list
}

func testSummary(files []TestFile) string {
	n := CountTests(files)
	text := plural(n[expect.Holds]+n[expect.Fails]+n[expect.Undecided], "test", "tests") + fmt.Sprintf(": %d hold", n[expect.Holds])
	if n[expect.Holds] == 1 {
		text += "s"
	}
	if c := n[expect.Fails]; c > 0 {
		text += ", " + plural(c, "fails", "fail")
	}
	if c := n[expect.Undecided]; c > 0 {
		text += fmt.Sprintf(", %d undecided", c)
	}
	return text
}

// againstLines says what speaks against a test, and why it is so.
func againstLines(s *cluster.Snapshot, r *expect.Result) []string {
	var out []string
	for i := range r.Against {
		a := &r.Against[i]
		d := &a.Decision
		out = append(out, fmt.Sprintf("%s → %s  %s is %s", names.Safe(a.From), names.Safe(a.To), portSetWords(a.Ports), d.Verdict))
		for _, line := range decisionLines(s, a) {
			out = append(out, "  "+line)
		}
	}
	if r.More > 0 {
		out = append(out, "and "+plural(r.More, "connection more", "connections more"))
	}
	for _, ns := range r.Unknown {
		out = append(out, "the labels of namespace "+names.Safe(ns)+" are not in the input, so it is not known what a selector selects there")
	}
	return out
}

// decisionLines says why a connection is decided as it is: what lets it through, or what keeps it from that.
func decisionLines(s *cluster.Snapshot, a *expect.Against) []string {
	d := &a.Decision
	if d.Verdict == flow.Allowed {
		return append([]string{
			"egress: " + reasonWords(&d.Egress, d.Flow.From.Kind),
			"ingress: " + reasonWords(&d.Ingress, d.Flow.To.Kind),
		}, layerLines(a.Layers, layers.Allow)...)
	}
	out := keepsWords(d, a.Layers)
	for i, side := range d.Directions() {
		if side.Verdict != d.Verdict {
			continue
		}
		if side.Verdict == flow.Denied && side.Nearest != nil {
			out = append(out, fmt.Sprintf("%s: nearest rule: %s %s", side.Direction, ruleWords(side.Nearest.Rule, side.Nearest.Origin), missesWords(side.Nearest.Misses, side.Direction)))
		}
		for _, t := range side.Tied {
			out = append(out, fmt.Sprintf("%s: %s: %s", side.Direction, t.Action, ruleWords(t.Rule, t.Origin)))
		}
		for _, g := range side.Unknown {
			out = append(out, fmt.Sprintf("%s: %s", side.Direction, gapWords(s, &g, side, [2]string{a.From, a.To}[i])))
		}
	}
	return out
}

// testsTAP prints the Test Anything Protocol, version 13. What is undecided is not ok.
func testsTAP(w io.Writer, files []TestFile) error {
	var b page
	total := 0
	for _, f := range files {
		total += len(f.Results)
	}
	b.line("TAP version 13")
	b.line("1..%d", total)
	number := 0
	for _, f := range files {
		for i := range f.Results {
			r := &f.Results[i]
			number++
			name := strings.NewReplacer("#", "\\#", "\\", "\\\\").Replace(names.Safe(r.Test.Name))
			if r.Status == expect.Holds {
				b.line("ok %d - %s", number, name)
				continue
			}
			b.line("not ok %d - %s", number, name)
			b.line("# %s%s", r.Status, place(r.Test.Origin))
			for _, line := range againstLines(f.Snap, r) {
				b.line("# %s", line)
			}
		}
		for _, n := range f.Notes {
			b.line("# note: %s", names.Safe(n))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func testsJUnit(w io.Writer, files []TestFile) error {
	out := junitSuites{}
	for _, f := range files {
		s := junitSuite{Name: names.Safe(f.Path)}
		for i := range f.Results {
			r := &f.Results[i]
			c := junitCase{Name: names.Safe(r.Test.Name), Class: names.Safe(f.Path)}
			problem := &junitProblem{Message: string(r.Status) + place(r.Test.Origin), Text: strings.Join(againstLines(f.Snap, r), "\n")}
			s.Tests++
			switch r.Status {
			case expect.Fails:
				s.Failures++
				c.Failure = problem
			case expect.Undecided:
				s.Errors++
				c.Error = problem
			}
			s.Cases = append(s.Cases, c)
		}
		out.Suites = append(out.Suites, s)
	}
	return writeXML(w, out)
}

type testsOut struct {
	Schema  string       `json:"schema"`
	Results []resultJSON `json:"results"`
	Notes   []string     `json:"notes"`
}

type resultJSON struct {
	File    string        `json:"file"`
	Place   string        `json:"place"`
	Name    string        `json:"name"`
	Kind    string        `json:"kind"`
	Status  string        `json:"status"`
	Pairs   int           `json:"pairs"`
	Against []againstJSON `json:"against"`
	More    int           `json:"more"`
	Unknown []string      `json:"unknownNamespaces"`
}

type againstJSON struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Ports   []string `json:"ports"`
	Verdict string   `json:"verdict"`
	Why     []string `json:"why"`
}

func testsJSON(w io.Writer, files []TestFile) error {
	out := testsOut{Schema: "sallyport.dev/test/v1", Results: []resultJSON{}, Notes: []string{}}
	for _, f := range files {
		for i := range f.Results {
			r := &f.Results[i]
			row := resultJSON{File: f.Path, Place: r.Test.Origin.String(), Name: r.Test.Name, Kind: string(r.Test.Kind), Status: string(r.Status),
				Pairs: r.Pairs, Against: []againstJSON{}, More: r.More, Unknown: append([]string{}, r.Unknown...)}
			for j := range r.Against {
				a := &r.Against[j]
				row.Against = append(row.Against, againstJSON{a.From, a.To, a.Ports.Strings(), a.Decision.Verdict.String(), decisionLines(f.Snap, a)})
			}
			out.Results = append(out.Results, row)
		}
		out.Notes = appendNew(out.Notes, f.Notes)
	}
	return writeJSON(w, out)
}
