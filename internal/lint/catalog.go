package lint

import (
	"slices"
	"strings"
)

// Rules lists every rule, sorted by ID.
func Rules() []*Rule {
	all := slices.Concat(
		selectorRules, portRules, directionRules, blockRules, tieRules, platformRules,
		coverageRules, dnsRules, expectedRules, identityRules, metadataRules, pairRules, probeRules, spareRules,
		ignoreRules,
	)
	slices.SortFunc(all, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
	return all
}
