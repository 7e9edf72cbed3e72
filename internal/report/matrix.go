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

// reachMatrix prints a table with a row for each end, and a numbered column for each that is asked about
// as a destination.
func reachMatrix(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	columns := o.columns(r)
	if len(columns) > widest {
		return fmt.Errorf("a matrix of %d columns is too wide to read (use --by namespace, one END with --direction in, or another output)", len(columns))
	}
	var b page
	if len(r.Parties) == 0 {
		b.line("there is no pod, so nothing reaches anything")
		return b.flush(w, o.Notes)
	}
	cells, width := matrixCells(r, o, columns)
	left := 0
	for i := range r.Parties {
		left = max(left, len([]rune(names.Safe(r.Parties[i].Name))))
	}
	number := func(i int) string { return strconv.Itoa(i + 1) }
	header := strings.Repeat(" ", left+4)
	for _, to := range columns {
		header += fmt.Sprintf("  %*s", width, number(to))
	}
	b.line("%s", header)
	for from := range r.Parties {
		name := names.Safe(r.Parties[from].Name)
		line := fmt.Sprintf("%3s %s%s", number(from), name, strings.Repeat(" ", left-len([]rune(name))))
		for k := range columns {
			line += fmt.Sprintf("  %*s", width, cells[from][k])
		}
		b.line("%s", strings.TrimRight(line, " "))
	}
	b.line("")
	b.line("  from the row to the column: all, a port (+ where there are more), ~ in part, ? not known or ambiguous, · closed, empty not asked")
	return b.flush(w, o.Notes)
}

// columns lists the destinations that are asked about.
func (o *ReachOptions) columns(r *analyze.Reach) []int {
	if o.Focus >= 0 && !o.Out {
		return []int{o.Focus}
	}
	var out []int
	for i := range r.Parties {
		if !r.Parties[i].Stranger { // nothing is asked to it
			out = append(out, i)
		}
	}
	return out
}

// matrixCells gives the text of each cell, and the width of the widest. A cell is empty where no connection
// exists or none is asked about: nobody may take that for a closed one.
func matrixCells(r *analyze.Reach, o *ReachOptions, columns []int) ([][]string, int) {
	width := 3
	cells := make([][]string, len(r.Parties))
	for from := range cells {
		cells[from] = make([]string, len(columns))
		for k, to := range columns {
			if !o.concerns(from, to) || r.Unasked(from, to) {
				continue
			}
			if row, ok := r.Between(from, to); ok {
				cells[from][k] = matrixCell(o.verdicts(&row))
				width = max(width, len([]rune(cells[from][k])))
			}
		}
	}
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
