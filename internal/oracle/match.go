package oracle

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
)

// match: "Matches are yes, no or unknown."
type match uint8

const (
	no match = iota + 1
	unknown
	yes
)

func known(b bool) match {
	if b {
		return yes
	}
	return no
}

// every: any no makes no, else any unknown makes unknown.
func every(parts ...match) match {
	switch {
	case slices.Contains(parts, no):
		return no
	case slices.Contains(parts, unknown):
		return unknown
	}
	return yes
}

// some: any yes makes yes, else any unknown makes unknown.
func some(parts ...match) match {
	switch {
	case slices.Contains(parts, yes):
		return yes
	case slices.Contains(parts, unknown):
		return unknown
	}
	return no
}

// labels are the labels of an object as far as they are known.
type labels struct {
	known   map[string]string
	partial bool // every key that is not in known is unknown (S4, S44)
}

// selects is S30: all matchLabels and all matchExpressions must hold. An empty selector selects all.
func selects(sel metav1.LabelSelector, of labels) match {
	var parts []match
	for key, value := range sel.MatchLabels {
		parts = append(parts, requirement(key, metav1.LabelSelectorOpIn, []string{value}, of))
	}
	for _, e := range sel.MatchExpressions {
		parts = append(parts, requirement(e.Key, e.Operator, e.Values, of))
	}
	return every(parts...)
}

func requirement(key string, op metav1.LabelSelectorOperator, values []string, of labels) match {
	value, has := of.known[key]
	if !has && of.partial { // S30: a requirement on another key than the name label
		return unknown
	}
	switch op {
	case metav1.LabelSelectorOpIn:
		return known(has && slices.Contains(values, value))
	case metav1.LabelSelectorOpNotIn: // also holds for objects that lack the key
		return known(!has || !slices.Contains(values, value))
	case metav1.LabelSelectorOpExists:
		return known(has)
	case metav1.LabelSelectorOpDoesNotExist:
		return known(!has)
	}
	return no
}

// namespaceLabels: S4, a namespace that is not in the input carries its name label; its other
// labels are unknown.
func (a asker) namespaceLabels(name string) labels {
	for _, n := range a.s.Namespaces {
		if n.Name == name && !n.Assumed {
			return labels{known: n.Labels}
		}
	}
	return labels{known: map[string]string{cluster.MetadataNameLabel: name}, partial: true}
}

// podMatch tells whether a pod in a selected namespace is selected (S12, S44).
func (a asker) podMatch(p *cluster.Pod, namespaces, pods metav1.LabelSelector) match {
	return every(selects(namespaces, a.namespaceLabels(p.Namespace)), selects(pods, labels{known: p.Labels}))
}
