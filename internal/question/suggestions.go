package question

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean lists what is there and looks most like the name that was not found.
func (r *Resolver) didYouMean(ns, kind, name string) string {
	names := r.names(ns, kind)
	slices.SortStableFunc(names, func(a, b string) int { return distance(lastPart(a), name) - distance(lastPart(b), name) })
	const most = 5
	if len(names) == 0 {
		if ns != "" {
			return fmt.Sprintf("namespace %q holds nothing that can talk", ns)
		}
		return "there is none"
	}
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return "there is " + strings.Join(names, ", ") + more
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

func (r *Resolver) names(ns, kind string) []string {
	snap := r.Model.Snapshot()
	var out []string
	if kind == "node" {
		for i := range snap.Nodes {
			out = append(out, "node/"+snap.Nodes[i].Name)
		}
		return out
	}
	if kind == "service" || kind == "" {
		for i := range snap.Services {
			if snap.Services[i].Namespace == ns {
				out = append(out, serviceLabel(&snap.Services[i]))
			}
		}
	}
	for i := range snap.Entries {
		if e := &snap.Entries[i]; e.Namespace == ns && e.Kind == kind {
			out = append(out, e.Namespace+"/"+e.Kind+"/"+e.Name)
		}
	}
	if kind != "service" {
		for i := range snap.Pods {
			p := &snap.Pods[i]
			if p.Namespace == ns {
				out = append(out, p.Owner.String())
			}
			if p.Namespace == ns && kind == "pod" && !p.Template {
				out = append(out, p.String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// distance is the edit distance between two names, which are short.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
