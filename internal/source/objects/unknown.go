package objects

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
)

// addUnknown handles an object that is not read. Nothing that may decide about traffic is passed
// over in silence: a policy of ours in the wrong group or version is an error (S2), other policies
// are named, and the rest is counted.
func (b *Builder) addUnknown(d Doc, gk groupKind, head typeMeta) {
	if IsSnapshotHeader(head.APIVersion, head.Kind) { // the meaning of everything after it hangs on it
		e := InputError{Object: "Snapshot", Problem: "cannot be read as " + Safe(head.APIVersion), Hint: "it was saved by another version of sallyport"}
		e.Origin = withoutLines(d.Origin)
		b.Fail(&e)
		return
	}
	if hint, is := misplacedPolicy(gk); is {
		b.failPolicy(d, gk, InputError{Object: Safe(head.Kind), Problem: "cannot be read as " + Safe(head.APIVersion), Hint: hint})
		return
	}
	what := Safe(head.Kind) + " of " + Safe(head.APIVersion)
	switch {
	case isStale(gk):
		b.Note(d.Origin, "not read: "+what+" is an API that current servers no longer have; use "+currentAPI(gk.kind))
	case quietGroups[gk.group]:
	case strings.HasSuffix(gk.group, "istio.io"):
		b.Note(d.Origin, what+" is not evaluated: it acts above the network layer")
	case gk.group == groupCalico || gk.group == groupCalicoCRD:
		b.addCalicoOther(d, gk, what)
	case strings.Contains(gk.kind, "Policy") || strings.Contains(gk.group, "policy"):
		b.Note(d.Origin, what+" is not evaluated; if it filters traffic, the answers do not show it")
	default:
		b.countUnneeded(d, gk)
	}
}

func (b *Builder) addCalicoOther(d Doc, gk groupKind, what string) {
	switch {
	case strings.HasPrefix(gk.kind, "Staged"):
		b.Note(d.Origin, what+" is not evaluated: a staged policy is not enforced")
	case strings.Contains(gk.kind, "Policy"):
		b.Note(d.Origin, what+" is not evaluated; if it filters traffic, the answers do not show it")
	default:
		b.countUnneeded(d, gk)
	}
}

// isStale tells of a kind that we read, but in another version or in the group it once had.
func isStale(gk groupKind) bool {
	if _, ok := kinds[gk]; ok {
		return true
	}
	return gk.group == "extensions" && currentAPI(gk.kind) != ""
}

func currentAPI(kind string) string {
	for _, group := range []string{"", groupApps, groupBatch, groupNetworking, groupDiscovery} {
		if info, ok := kinds[groupKind{group, kind}]; ok && info.versions != nil {
			return joinAPIVersion(group, info.versions[0])
		}
	}
	return ""
}

func (b *Builder) countUnneeded(d Doc, gk groupKind) {
	u := b.unneeded[gk]
	if u == nil {
		u = &unneeded{first: withoutLines(d.Origin)}
		b.unneeded[gk] = u
	}
	u.count++
	if compareOrigin(d.Origin, u.first) < 0 {
		u.first = withoutLines(d.Origin)
	}
}

// unneededNotes gives one note per kind of custom object that was passed over.
func (b *Builder) unneededNotes() []cluster.Note {
	var out []cluster.Note
	for _, gk := range slices.SortedFunc(maps.Keys(b.unneeded), func(a, c groupKind) int {
		return strings.Compare(a.group+"/"+a.kind, c.group+"/"+c.kind)
	}) {
		u := b.unneeded[gk]
		objects := "objects"
		if u.count == 1 {
			objects = "object"
		}
		out = append(out, cluster.Note{Origin: u.first, Text: fmt.Sprintf("%d %s of kind %s (%s) not needed", u.count, objects, Safe(gk.kind), Safe(gk.group))})
	}
	return out
}
