package analyze

import (
	"slices"
	"strings"
)

// Group is a set of parties that may open the same to the same others.
type Group struct {
	From  []int // indices in Parties, ascending
	Links []Link
}

// Link is what a group may open: the same ports to each of a set of parties.
type Link struct {
	To  []int // ascending
	Row Row   // of one pair; From and To are those of that pair
}

// Groups gathers parties for people: those with the same links are one group. keep chooses the
// pairs that count, among closed ones too if closed is set; the outside is a party like others. The order follows Parties.
func (r *Reach) Groups(closed bool, keep func(*Row) bool) []Group {
	at := map[string]int{}
	var out []Group
	for from := range r.Parties {
		links, key := r.links(from, closed, keep)
		if len(links) == 0 {
			continue
		}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, Group{Links: links})
		}
		out[i].From = append(out[i].From, from)
	}
	return out
}

// links gathers what one party may open; the key is equal for parties with equal links.
func (r *Reach) links(from int, closed bool, keep func(*Row) bool) ([]Link, string) {
	at := map[string]int{}
	var links []Link
	r.EachFrom(from, closed, func(row *Row) bool {
		if !keep(row) {
			return true
		}
		k := row.key() + "|" + row.Partial.String()
		i, ok := at[k]
		if !ok {
			i = len(links)
			at[k] = i
			links = append(links, Link{Row: *row})
		}
		links[i].To = append(links[i].To, row.To)
		return true
	})
	var key strings.Builder
	for _, l := range links {
		key.WriteString(l.Row.key() + "|" + l.Row.Partial.String() + ">")
		for _, to := range l.To {
			key.WriteString(r.Parties[to].Name + ",")
		}
		key.WriteByte('\n')
	}
	slices.SortStableFunc(links, func(a, b Link) int { return a.To[0] - b.To[0] })
	return links, key.String()
}
