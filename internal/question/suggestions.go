package question

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
)

// didYouMean lists what is there and looks most like the name that was not found: the very name in
// other namespaces, else the nearest names in this one.
func (r *Resolver) didYouMean(ns, kind, name string) string {
	all := r.names(kind)
	found := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return lastPart(n) != name })
	if len(found) == 0 {
		found = slices.DeleteFunc(all, func(n string) bool { return ns != "" && !strings.HasPrefix(n, ns+"/") })
		slices.SortStableFunc(found, func(a, b string) int {
			return names.Distance(lastPart(a), name, maxName) - names.Distance(lastPart(b), name, maxName)
		})
	}
	const most = 5
	switch {
	case len(found) == 0 && ns == "":
		return "there is none"
	case len(found) == 0 && kind != "" && kind != "pod":
		return fmt.Sprintf("there is none in namespace %q", ns)
	case len(found) == 0:
		return fmt.Sprintf("namespace %q holds nothing that can talk", ns)
	}
	more := ""
	if len(found) > most {
		more = fmt.Sprintf(" and %d more", len(found)-most)
		found = found[:most]
	}
	return "there is " + strings.Join(found, ", ") + more
}

func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// names lists everything in the input that a name of this kind may have been meant for, in full and
// sorted.
func (r *Resolver) names(kind string) []string {
	snap := r.Model.Snapshot()
	var out []string
	switch kind {
	case "node":
		for i := range snap.Nodes {
			out = append(out, "node/"+snap.Nodes[i].Name)
		}
	case "ingress", "gateway", "httproute", "grpcroute", "tlsroute", "tcproute", "udproute":
		for i := range snap.Entries {
			out = append(out, entryNames(&snap.Entries[i], kind)...)
		}
	case "service", "":
		for i := range snap.Services {
			out = append(out, serviceLabel(&snap.Services[i]))
		}
	}
	if kind == "" || workloadKind(kind) {
		for i := range snap.Pods {
			p := &snap.Pods[i]
			out = append(out, p.Owner.String())
			if kind == "pod" && !p.Template {
				out = append(out, p.String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func workloadKind(kind string) bool {
	return slices.Contains([]string{"pod", "deployment", "statefulset", "daemonset", "replicaset", "replicationcontroller", "job", "cronjob"}, kind)
}

// entryNames gives an entry point itself, or the Gateways it hangs on.
func entryNames(e *cluster.EntryPoint, kind string) []string {
	if e.Kind == kind {
		return []string{e.Namespace + "/" + kind + "/" + e.Name}
	}
	var out []string
	for _, p := range e.Parents {
		if ns, name, ok := strings.Cut(p, "/"); ok && kind == "gateway" && e.Kind != "ingress" && !strings.Contains(ns, " ") {
			out = append(out, ns+"/gateway/"+name)
		}
	}
	return out
}
