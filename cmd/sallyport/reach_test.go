package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/policytest"
)

// reachDocument is what reach -o json prints.
type reachDocument struct {
	Connections []reachRow
	Notes       []string
}

type reachRow struct {
	From, To, Verdict string
	Ports             []string
}

// portSet reads ports as JSON has them.
func portSet(list []string) (netset.PortSet, error) {
	var out netset.PortSet
	for _, s := range list {
		if s == "all" {
			return netset.EveryPort(), nil
		}
		name, ports, _ := strings.Cut(s, "/")
		proto, err := netset.ParseProto(name)
		if s == "icmp" {
			proto, err = netset.Other, nil
		}
		if err != nil {
			return out, err
		}
		if ports == "" {
			out.Add(proto, netset.PortRange{})
			continue
		}
		first, last, isRange := strings.Cut(ports, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return out, err
		}
		b, err := strconv.ParseUint(last, 10, 16)
		if err != nil {
			return out, err
		}
		out.Add(proto, netset.PortRange{First: uint16(a), Last: uint16(b)})
	}
	return out, nil
}

// TestReachIsCheck asks check about the ports of every row of reach --all, and about their neighbours:
// both have to give the same verdict.
func TestReachIsCheck(t *testing.T) {
	asked := map[string]int{}
	for _, dir := range []string{"../../examples/shop", "../../examples/shop-mistakes", "testdata/world"} {
		reachAgainstCheck(t, asked, dir)
	}
	corpusFolders(t, func(dir string, s *policytest.Scenario) { reachAgainstCheck(t, asked, dir) })
	t.Logf("questions by verdict: %v", asked)
	for _, v := range []string{"allowed", "denied", "unknown", "partial", "ambiguous"} {
		if asked[v] < 10 {
			t.Errorf("only %d questions were answered by %s", asked[v], v)
		}
	}
}

func reachAgainstCheck(t *testing.T, asked map[string]int, dir string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if run([]string{"reach", "-f", dir, "--all", "--external", "-o", "json"}, strings.NewReader(""), &stdout, &stderr) != 0 {
		return // a scenario of what cannot be read
	}
	var d reachDocument
	if err := json.Unmarshal(stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	in := input{files: []string{dir}, namespace: "default"}
	w, err := in.load(&cobra.Command{})
	if err != nil {
		t.Fatal(err)
	}
	pieces := map[string]int{} // of the outside, by the other end and the row's text: a few stand for all
	for _, row := range d.Connections {
		from, to := endOfCheck(row.From), endOfCheck(row.To)
		if from != row.From || to != row.To {
			key := fmt.Sprint(strings.HasPrefix(row.From, "external/"), row.Ports, row.Verdict)
			if from == row.From {
				key += row.From
			} else {
				key += row.To
			}
			if pieces[key]++; pieces[key]%16 != 1 {
				continue
			}
		}
		for _, port := range someOf(t, row.Ports) {
			a, err := w.ask(from, withPort(to, port))
			if err != nil && row.Verdict == "denied" && (strings.Contains(err.Error(), "does not serve") || strings.Contains(err.Error(), "not known to serve")) {
				continue // a service outside is closed on the ports that it does not serve, and check says why
			}
			if err != nil {
				t.Fatalf("%s: %s → %s %s: %v", dir, from, to, port, err)
			}
			asked[row.Verdict]++
			if a.Verdict != row.Verdict {
				t.Errorf("%s: %s → %s %s: reach says %s, check %s", dir, from, to, port, row.Verdict, a.Verdict)
			}
		}
	}
}

// endOfCheck asks about an address inside a piece of the outside.
func endOfCheck(name string) string {
	p, err := netip.ParsePrefix(strings.TrimPrefix(name, "external/"))
	if err != nil {
		return name
	}
	a := p.Addr()
	if next := a.Next(); p.Contains(next) {
		a = next
	}
	return a.String()
}

func withPort(end, port string) string {
	if strings.Contains(end, ":") {
		end = "[" + end + "]"
	}
	return end + ":" + port
}

// someOf gives the first and the last port of each range: with --all every port is in some row, so these
// are the neighbours of all other rows too.
func someOf(t *testing.T, ports []string) []string {
	t.Helper()
	set, err := portSet(ports)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range set.Entries() {
		if !e.Proto.HasPorts() {
			out = append(out, "*/icmp")
			continue
		}
		out = append(out, fmt.Sprintf("%d/%s", e.Range.First, e.Proto))
		if e.Range.Last != e.Range.First {
			out = append(out, fmt.Sprintf("%d/%s", e.Range.Last, e.Proto))
		}
	}
	return out
}
