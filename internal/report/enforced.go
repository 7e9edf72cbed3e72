package report

import (
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/question"
)

// ifEnforcedWords says in one line what policies would do to a question if something enforced
// them; was is the verdict as nothing does. The reason is that of the first part that would not be allowed.
func ifEnforcedWords(was string, a *question.Answer) string {
	const start = "if policies were enforced, this would be "
	if a.Verdict == flow.Allowed.String() {
		ports := (&checkPrinter{a: a, differ: differencesOf(a.Parts)}).openPorts()
		if a.AnyPort && ports != "every port" {
			return start + "allowed on " + ports + " only"
		}
		if was != flow.Allowed.String() { // where nothing is issued for want of an enforced network
			return start + "allowed"
		}
		return start + "allowed as well"
	}
	for i := range a.Parts {
		d := &a.Parts[i].Decision
		if d.Verdict == flow.Allowed {
			continue
		}
		word := d.Verdict.String()
		if a.Verdict == question.Partial {
			word = "partly " + word
		}
		return start + word + "; " + strings.Join(keepsWords(d, a.Parts[i].Layers), "; ")
	}
	return start + a.Verdict
}

// keepsWords says what keeps a connection from being allowed, in whatever layer.
func keepsWords(d *eval.Decision, l *layers.Decision) []string {
	keeps := layers.Unknown
	if d.Verdict == flow.Denied {
		keeps = layers.Deny
	}
	return append(againstWords(d), layerLines(l, keeps)...)
}

// againstWords says what keeps a connection from being allowed, for each direction that does.
func againstWords(d *eval.Decision) []string {
	var out []string
	for _, side := range d.Directions() {
		if side.Verdict != d.Verdict {
			continue
		}
		why := reasonWords(side, flow.Pod)
		switch {
		case side.Verdict == flow.Ambiguous:
			why = "policies of equal priority disagree"
		case side.Verdict == flow.Unknown:
			why = "it depends on something that is not known"
		case side.Reason == flow.Isolated:
			why = "isolated by " + policiesWords(side.Isolating)[0]
			if more := len(side.Isolating) - 1; more > 0 {
				why += fmt.Sprintf(" and %d more", more)
			}
			why += ", and no rule allows it"
		}
		out = append(out, side.Direction.String()+": "+why)
	}
	return out
}
