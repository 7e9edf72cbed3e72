package report

import (
	"io"

	"sallyport.dev/sallyport/internal/lint"
)

type lintJSON struct {
	Schema   string            `json:"schema"`
	Findings []lintFindingJSON `json:"findings"`
	Summary  lintSummaryJSON   `json:"summary"`
	Notes    []string          `json:"notes"`
}

type lintFindingJSON struct {
	Rule     string          `json:"rule"`
	Severity string          `json:"severity"`
	Object   *policyJSON     `json:"object,omitempty"` // absent: the cluster as a whole
	Path     string          `json:"path,omitempty"`
	Place    string          `json:"place,omitempty"`
	Message  string          `json:"message"`
	Reason   string          `json:"reason,omitempty"`
	Fix      string          `json:"fix,omitempty"`
	Ignored  *lintIgnoreJSON `json:"ignored,omitempty"`
}

type lintIgnoreJSON struct {
	Reason string `json:"reason"`
	Place  string `json:"place,omitempty"`
}

type lintSummaryJSON struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Notes    int `json:"notes"`
	Ignored  int `json:"ignored"`
}

// lintAsJSON prints every finding, ignored ones too, in the form of docs/schema/lint.v1.json.
func lintAsJSON(w io.Writer, found []lint.Finding, o LintOptions) error {
	out := lintJSON{Schema: "sallyport.dev/lint/v1", Findings: []lintFindingJSON{}, Notes: append([]string{}, o.Notes...)}
	for i := range found {
		f := &found[i]
		j := lintFindingJSON{Rule: f.Rule.ID, Severity: f.Severity.String(), Path: f.Path, Place: f.Origin.String(),
			Message: f.Message, Reason: f.Reason, Fix: f.Fix}
		if f.Object != (lint.Object{}) {
			j.Object = &policyJSON{Kind: f.Object.Kind, Namespace: f.Object.Namespace, Name: f.Object.Name}
		}
		if f.Ignored != nil {
			j.Ignored = &lintIgnoreJSON{Reason: f.Ignored.Reason, Place: f.Ignored.Origin.String()}
		}
		out.Summary.count(f)
		out.Findings = append(out.Findings, j)
	}
	return writeJSON(w, &out)
}

func (s *lintSummaryJSON) count(f *lint.Finding) {
	switch {
	case f.Ignored != nil:
		s.Ignored++
	case f.Severity == lint.Error:
		s.Errors++
	case f.Severity == lint.Warning:
		s.Warnings++
	default:
		s.Notes++
	}
}
