package lint

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cover"
)

// facts are what several rules work out of the model; each is made when first needed.
type facts struct {
	ends *cover.Search
}

// search finds the ends that the model tells apart.
func (r *run) search() *cover.Search {
	if r.facts.ends == nil {
		r.facts.ends = cover.New(r.Model)
	}
	return r.facts.ends
}

// workloads names the workloads of classes, sorted.
func (r *run) workloads(classes []int) []string {
	var out []string
	for _, class := range classes {
		for _, pod := range r.Model.Classes()[class].Members {
			out = append(out, r.Model.Snapshot().Pods[pod].Owner.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// most is the number of names after which a list is cut short.
const most = 5

// list joins names for a sentence.
func list(names []string) string {
	if len(names) > most+1 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
