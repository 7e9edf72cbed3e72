package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/names"
)

// widest is how many columns a matrix may have to be read on a screen.
const widest = 40

// reachMatrix prints a table with a row for each source and a numbered column for each destination.
func reachMatrix(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	if len(r.Parties) > widest {
		return fmt.Errorf("a matrix of %d ends is too wide to read: use --by namespace, focus on one end, or another output", len(r.Parties))
	}
	cells, width := matrixCells(r, o)
	var b page
	left := 0
	for i := range r.Parties {
		left = max(left, len([]rune(names.Safe(r.Parties[i].Name))))
	}
	number := func(i int) string { return strconv.Itoa(i + 1) }
	header := strings.Repeat(" ", left+4)
	for to := range r.Parties {
		header += fmt.Sprintf("  %*s", width, number(to))
	}
	b.line("%s", header)
	for from := range r.Parties {
		name := names.Safe(r.Parties[from].Name)
		line := fmt.Sprintf("%3s %s%s", number(from), name, strings.Repeat(" ", left-len([]rune(name))))
		for to := range r.Parties {
			line += fmt.Sprintf("  %*s", width, cells[from][to])
		}
		b.line("%s", line)
	}
	b.line("")
	b.line("  from the row to the column: all, a port (+ where there are more), ~ in part, ? not known or ambiguous, · closed")
	return b.flush(w, o.Notes)
}

// matrixCells gives the text of each cell, and the width of the widest.
func matrixCells(r *analyze.Reach, o *ReachOptions) ([][]string, int) {
	width := 3
	cells := make([][]string, len(r.Parties))
	for i := range cells {
		cells[i] = make([]string, len(r.Parties))
	}
	r.Each(true, func(row *analyze.Row) bool {
		text := "·"
		if o.keep(row) {
			text = matrixCell(o.verdicts(row))
		}
		cells[row.From][row.To] = text
		width = max(width, len([]rune(text)))
		return true
	})
	return cells, width
}

func matrixCell(list []verdictPorts) string {
	for _, v := range list {
		switch v.verdict {
		case "allowed":
			entries := v.ports.Strings()
			text := strings.TrimPrefix(entries[0], "tcp/")
			if len(entries) > 1 || len(list) > 1 && list[1].verdict != "denied" {
				text += "+"
			}
			return text
		case "partial":
			return "~"
		case "unknown", "ambiguous":
			return "?"
		}
	}
	return "·"
}
