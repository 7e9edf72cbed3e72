package report

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/netset"
)

// ReachOptions choose which connections are printed and how.
type ReachOptions struct {
	Format string // one of ReachFormats
	All    bool   // pairs without any open port, and self pairs, too
	Self   bool   // self pairs: what happens inside a namespace
	// Port, where set, keeps only connections to it.
	Proto netset.Proto
	Port  netset.PortRange
	// Focus, where not negative, keeps only connections from (Out) or to (In) this party.
	Focus   int
	Out, In bool
	Notes   []string
}

// ReachFormats are the formats of reach.
var ReachFormats = []string{"text", "matrix", "json", "csv", "md", "dot", "mermaid", "svg"}

// concerns tells whether a pair of parties is asked about.
func (o *ReachOptions) concerns(from, to int) bool {
	if from == to && !o.All && !o.Self {
		return false
	}
	return o.Focus < 0 || o.Out && from == o.Focus || o.In && to == o.Focus
}

// keep tells whether a row is asked for.
func (o *ReachOptions) keep(r *analyze.Row) bool {
	return o.concerns(r.From, r.To) && (o.All || len(o.verdicts(r)) > 0)
}

// asked is what the port of the question leaves of a set.
func (o *ReachOptions) asked(s netset.PortSet) netset.PortSet {
	if o.Proto == 0 {
		return s
	}
	var only netset.PortSet
	only.Add(o.Proto, o.Port)
	return s.Intersect(only)
}

// verdictPorts is one verdict of a row and its ports.
type verdictPorts struct {
	verdict string
	ports   netset.PortSet
}

// verdicts lists the parts of a row, in the order in which output shows them; what is left is denied.
func (o *ReachOptions) verdicts(r *analyze.Row) []verdictPorts {
	out := []verdictPorts{}
	rest := o.asked(netset.EveryPort())
	for _, p := range []verdictPorts{{"allowed", r.Allowed}, {"partial", r.Partial}, {"ambiguous", r.Ambiguous}, {"unknown", r.Unknown}} {
		if p.ports = o.asked(p.ports); !p.ports.Empty() {
			out = append(out, p)
			rest = rest.Minus(p.ports)
		}
	}
	if o.All && !rest.Empty() {
		out = append(out, verdictPorts{"denied", rest})
	}
	return out
}

// Reach prints the connections of an analysis.
func Reach(w io.Writer, r *analyze.Reach, o ReachOptions) error {
	buffered := bufio.NewWriter(w)
	var err error
	switch o.Format {
	case "json":
		err = reachJSON(buffered, r, &o)
	case "csv":
		err = reachCSV(buffered, r, &o)
	case "matrix":
		err = reachMatrix(buffered, r, &o)
	case "md":
		err = reachMarkdown(buffered, r, &o)
	case "dot", "mermaid", "svg":
		err = reachGraph(buffered, r, &o)
	default:
		err = reachText(buffered, r, &o)
	}
	if err != nil {
		return err
	}
	return buffered.Flush()
}

type connectionJSON struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Ports   []string `json:"ports"`
	Verdict string   `json:"verdict"`
}

// eachEnd calls f for the pair of a row, or for each disjoint piece where an end is outside.
func eachEnd(r *analyze.Reach, row *analyze.Row, f func(from, to string) error) error {
	for _, from := range endNames(&r.Parties[row.From]) {
		for _, to := range endNames(&r.Parties[row.To]) {
			if err := f(from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func endNames(p *analyze.Party) []string {
	if !p.External || p.Service > 0 {
		return []string{p.Name}
	}
	out := make([]string, len(p.CIDRs))
	for i, c := range p.CIDRs {
		out[i] = "external/" + c.String()
	}
	return out
}

// reachJSON streams: memory does not grow with the rows.
func reachJSON(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	if _, err := io.WriteString(w, "{\"schema\":\"sallyport.dev/reach/v1\",\"connections\":["); err != nil {
		return err
	}
	separator := "\n"
	var failed error
	r.Each(o.All, func(row *analyze.Row) bool {
		if !o.keep(row) {
			return true
		}
		failed = eachEnd(r, row, func(from, to string) error {
			for _, v := range o.verdicts(row) {
				line, err := json.Marshal(connectionJSON{from, to, v.ports.Strings(), v.verdict})
				if err != nil {
					return err
				}
				if _, err := io.WriteString(w, separator+names.SafeJSON(string(line))); err != nil {
					return err
				}
				separator = ",\n"
			}
			return nil
		})
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	notes, err := json.Marshal(append([]string{}, o.Notes...))
	if err == nil {
		_, err = fmt.Fprintf(w, "\n],\"notes\":%s}\n", names.SafeJSON(string(notes)))
	}
	return err
}

func reachCSV(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"from", "to", "verdict", "ports"}); err != nil {
		return err
	}
	var failed error
	r.Each(o.All, func(row *analyze.Row) bool {
		if !o.keep(row) {
			return true
		}
		failed = eachEnd(r, row, func(from, to string) error {
			for _, v := range o.verdicts(row) {
				if err := c.Write([]string{cellText(from), cellText(to), v.verdict, strings.Join(v.ports.Strings(), " ")}); err != nil {
					return err
				}
			}
			return nil
		})
		return failed == nil
	})
	c.Flush()
	if failed != nil {
		return failed
	}
	return c.Error()
}

// cellText keeps a spreadsheet from taking a name for a formula.
func cellText(s string) string {
	s = names.Safe(s)
	if s != "" && strings.ContainsRune("=+-@\t", rune(s[0])) {
		return "'" + s
	}
	return s
}

func reachMarkdown(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	var b strings.Builder
	b.WriteString("| from | to | ports |\n|---|---|---|\n")
	for _, g := range r.Groups(o.All, o.keep) {
		for _, l := range g.Links {
			for _, v := range o.verdicts(&l.Row) {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", markdownLines(partiesWords(r.Parties, g.From, "\n")), markdownLines(partiesWords(r.Parties, l.To, "\n")), portsCell(v))
			}
		}
	}
	for i, n := range o.Notes {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("- note: " + markdown(names.Safe(n)) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownLines puts lines into one cell of a table.
func markdownLines(s string) string { return strings.ReplaceAll(markdown(s), "\n", "<br>") }

// markdown makes a text mean nothing but itself: no cell, no HTML, no link, no emphasis, nobody called.
func markdown(s string) string { return markdownEscapes.Replace(s) }

var markdownEscapes = func() *strings.Replacer {
	var pairs []string
	for _, c := range "&<>|`\\*_~[]!" {
		pairs = append(pairs, string(c), fmt.Sprintf("&#%d;", c))
	}
	// Web addresses become links, and names after @ call people, without any mark; an @ written as an
	// entity would, too, so that a character of no width has to part it from the name.
	pairs = append(pairs, "://", "&#58;//", "www.", "www&#46;", "@", "@&#8203;")
	return strings.NewReplacer(pairs...)
}()

// portSetWords gives a set of ports, by what is missing where that is shorter.
func portSetWords(s netset.PortSet) string {
	if rest := netset.EveryPort().Minus(s); !rest.Empty() && len(rest.Entries()) < len(s.Entries()) {
		return "all but " + rest.String()
	}
	return s.String()
}

func portsCell(v verdictPorts) string {
	text := portSetWords(v.ports)
	if v.verdict != "allowed" {
		text += " (" + v.verdict + ")"
	}
	return text
}

// reachText groups parties that may open the same, so that 500 workloads are pages and not a wall.
func reachText(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	var b page
	groups := r.Groups(o.All, o.keep)
	width := 20
	for i := range r.Parties {
		if !r.Parties[i].Stranger { // which is no destination
			width = min(max(width, len([]rune(names.Safe(r.Parties[i].Name)))), 60)
		}
	}
	for i, g := range groups {
		if i > 0 {
			b.line("")
		}
		b.line("%s", partiesWords(r.Parties, g.From, "\n"))
		for _, l := range g.Links {
			lines := strings.Split(partiesWords(r.Parties, l.To, "\n"), "\n")
			for i, v := range o.verdicts(&l.Row) {
				if i == 0 {
					b.line("  → %-*s  %s", width, lines[0], portsCell(v))
				} else {
					b.line("    %-*s  %s", width, "", portsCell(v))
				}
			}
			for _, more := range lines[1:] {
				b.line("    %s", more)
			}
		}
	}
	if len(groups) == 0 {
		b.line("nothing reaches anything that was asked for")
	}
	return b.flush(w, o.Notes)
}

// partiesWords lists parties: all workloads of a namespace are said as one, and a long list is cut.
func partiesWords(parties []analyze.Party, list []int, separator string) string {
	total, of := map[string]int{}, map[string][]string{}
	all := 0
	for i := range parties {
		total[groupOf(&parties[i])]++
		if !parties[i].Stranger {
			all++
		}
	}
	var order []string
	for _, i := range list {
		g := groupOf(&parties[i])
		if of[g] == nil {
			order = append(order, g)
		}
		of[g] = append(of[g], parties[i].Name)
	}
	stranger := func(i int) bool { return parties[i].Stranger }
	if len(list) == all && len(list) > 2 && !slices.ContainsFunc(list, stranger) {
		return "everything"
	}
	var out []string
	for _, g := range order {
		if g == outside && len(of[g]) == total[g] {
			out = append(out, "external")
			continue
		}
		if len(of[g]) == total[g] && total[g] > 2 {
			out = append(out, fmt.Sprintf("every %s (%d)", g, total[g]))
			continue
		}
		slices.Sort(of[g])
		for _, n := range of[g] {
			out = append(out, names.Safe(n))
		}
	}
	const most = 8 // longer lists are for programs; -o json and csv have every name
	if len(out) > most {
		out = append(out[:most-2:most-2], fmt.Sprintf("and %d more", len(out)-most+2))
	}
	return strings.Join(out, separator)
}

const outside = "address outside"

func groupOf(p *analyze.Party) string {
	switch {
	case p.Service > 0:
		return "service outside"
	case p.Stranger: // said by itself: all of them are not all of the outside
		return p.Name
	case p.External:
		return outside
	}
	return "workload in " + names.Safe(p.Namespace)
}
