package lint

import (
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
)

// The rules about ignores have no check of their own: what they find is known once all others have run.
var (
	unusedIgnore  = &Rule{ID: "unused-ignore", Severity: Note, Title: "an ignore silences no finding"}
	invalidIgnore = &Rule{ID: "invalid-ignore", Severity: Warning, Title: "an ignore names no rule, or gives no reason"}
	ignoreRules   = []*Rule{unusedIgnore, invalidIgnore}
)

// ignoreKey is what an ignore is about.
type ignoreKey struct {
	object     Object
	rule, path string
}

// ignore marks the findings that somebody wants ignored, and adds those about the ignores themselves.
// An ignore of a whole object silences all findings of its rule there, one of a part those inside it.
func (r *run) ignore() {
	ignores := r.Written.Ignores
	at := map[ignoreKey][]int{}
	used := make([]bool, len(ignores))
	r.rule = invalidIgnore
	for i := range ignores {
		if ig := &ignores[i]; r.complain(ig) {
			used[i] = true // one word about it is enough
		} else {
			k := ignoreKey{objectOf(ig), ig.Rule, ig.Path}
			at[k] = append(at[k], i)
		}
	}
	for i := range r.findings {
		f := &r.findings[i]
		for path, more := f.Path, true; more; path, more = cluster.ParentPath(path), path != "" {
			for _, i := range at[ignoreKey{f.Object, f.Rule.ID, path}] {
				used[i] = true
				f.Ignored = &ignores[i]
			}
		}
	}
	r.rule = unusedIgnore
	for i := range ignores {
		if !used[i] {
			r.add(onIgnore(&ignores[i], ignores[i].Rule+" finds nothing here, so there is nothing to ignore",
				"It would silence a finding that nobody has judged yet.", "Take the ignore out."))
		}
	}
}

// complain makes a finding about an ignore that says too little, and tells whether it did.
func (r *run) complain(ig *cluster.Ignore) bool {
	rule := ruleByID(ig.Rule)
	switch {
	case ig.Rule == "":
		r.add(onIgnore(ig, "an ignore names no rule", "It silences nothing.", "Write: sallyport:ignore RULE REASON."))
	case rule == nil:
		r.add(onIgnore(ig, "there is no rule "+ig.Rule+nearestRule(ig.Rule), "The ignore silences nothing.", "Write the id that stands with the finding."))
	case rule.check == nil:
		r.add(onIgnore(ig, "findings of "+ig.Rule+" cannot be ignored", "The ignore silences nothing.", "Mend what it is about."))
	case ig.Reason == "":
		r.add(onIgnore(ig, "the ignore of "+ig.Rule+" gives no reason", "Without one it silences nothing.", "Say after the rule why the finding is no mistake here."))
	default:
		return false
	}
	return true
}

func onIgnore(ig *cluster.Ignore, message, reason, fix string) Finding {
	return Finding{Object: objectOf(ig), Path: ig.Path, Origin: ig.Origin, Message: message, Reason: reason, Fix: fix}
}

func objectOf(ig *cluster.Ignore) Object { return Object{ig.Kind, ig.Namespace, ig.Name} }

func ruleByID(id string) *Rule {
	for _, rule := range Rules() {
		if rule.ID == id {
			return rule
		}
	}
	return nil
}

// nearestRule proposes the rule that was meant, if one is close.
func nearestRule(id string) string {
	const most = 3
	best, found := most+1, ""
	for _, rule := range Rules() {
		if d := names.Distance(id, rule.ID, most); d < best {
			best, found = d, rule.ID
		}
	}
	if found == "" {
		return ""
	}
	return " (did you mean " + found + "?)"
}
