package report

import (
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"sallyport.dev/sallyport/internal/lint"
)

// The parts of SARIF 2.1.0 that are used.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string          `json:"id"`
	ShortDescription sarifText       `json:"shortDescription"`
	Help             sarifText       `json:"help"`
	Default          sarifRuleConfig `json:"defaultConfiguration"`
}

type sarifRuleConfig struct {
	Level string `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations,omitempty"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// lintAsSARIF prints every finding as SARIF 2.1.0, which code hosts show beside the lines. Ignored
// findings are there as suppressed ones.
func lintAsSARIF(w io.Writer, found []lint.Finding, o LintOptions) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "sallyport", Version: o.Version}}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	index := map[*lint.Rule]int{}
	for i, r := range lint.Rules() {
		index[r] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: r.ID, ShortDescription: sarifText{r.Title},
			Help:    sarifText{"What it means and what to do: docs/lint/" + r.ID + ".md"},
			Default: sarifRuleConfig{r.Severity.String()},
		})
	}
	for i := range found {
		f := &found[i]
		result := sarifResult{RuleID: f.Rule.ID, RuleIndex: index[f.Rule], Level: f.Severity.String(),
			Message: sarifText{lintWords(f)}, Locations: sarifLocations(f)}
		if f.Ignored != nil {
			result.Suppressions = []sarifSuppression{{Kind: "inSource", Justification: f.Ignored.Reason}}
		}
		run.Results = append(run.Results, result)
	}
	return writeJSON(w, &sarifLog{
		Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

// lintWords joins what a finding says, object first, for formats that have one text.
func lintWords(f *lint.Finding) string {
	parts := []string{f.Object.String() + ": " + sentence(f.Message)}
	for _, s := range []string{f.Reason, f.Fix} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}

func sarifLocations(f *lint.Finding) []sarifLocation {
	var out sarifLocation
	if f.Origin.File != "" {
		out.Physical = &sarifPhysical{Artifact: sarifArtifact{fileURI(f.Origin.File)}}
		if f.Origin.Line > 0 {
			out.Physical.Region = &sarifRegion{f.Origin.Line}
		}
	}
	if f.Object != (lint.Object{}) {
		name := f.Object.String()
		if f.Path != "" {
			name += " " + f.Path
		}
		out.Logical = []sarifLogical{{name, "object"}}
	}
	if out.Physical == nil && out.Logical == nil {
		return nil
	}
	return []sarifLocation{out}
}

// fileURI gives a path as a reference that is relative to the folder the program ran in, or as a
// file URI where the path was absolute.
func fileURI(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
		u.Path = "/" + strings.TrimPrefix(u.Path, "/")
	}
	return u.String()
}
