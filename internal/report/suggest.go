package report

import (
	"encoding/json"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/question"
)

// plain gives an object as it would be written by hand: no empty status, no creation time, nothing that is null.
func plain(obj any) any {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil
	}
	var tree map[string]any
	if json.Unmarshal(data, &tree) != nil {
		return nil
	}
	delete(tree, "status")
	if meta, ok := tree["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	dropNulls(tree)
	return tree
}

func dropNulls(tree any) {
	switch v := tree.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, field any) bool { return field == nil })
		for _, field := range v {
			dropNulls(field)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

func (p *checkPrinter) suggestion(s *question.Suggestion) {
	p.line("")
	if len(s.Objects) == 0 {
		p.line("  no policy to suggest: %s", names.Safe(strings.Join(s.Why, "; ")))
		return
	}
	p.line("  with this added it would be %s:", s.Verdict)
	for _, obj := range s.Objects {
		text, err := yaml.Marshal(plain(obj))
		if err != nil {
			continue
		}
		p.line("")
		p.line("---") // at the margin, to be copied as it is
		for _, l := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
			p.line("%s", names.Safe(l))
		}
	}
	p.line("")
	for _, w := range s.Why {
		p.line("  note: %s", names.Safe(w))
	}
	switch {
	case s.Count == 0:
		p.line("  it would open no other pair")
	default:
		p.line("  it would also open %s:", plural(s.Count, "other pair", "other pairs"))
	}
	for _, o := range s.Opens {
		p.line("    %s → %s", names.Safe(o.From), names.Safe(o.To))
	}
	if s.Count > len(s.Opens) {
		p.line("    and %d more", s.Count-len(s.Opens))
	}
	if s.Verdict != flow.Allowed.String() {
		p.line("  that is not enough by itself: see the notes, or add it and ask again")
	}
}
