package program_test

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/source/manifest"
)

// TestCorpus compares the tables for the worlds of all scenarios with the oracle: each pod is put on one of two nodes and has
// addresses, and every pair is asked about on the ports that matter there.
func TestCorpus(t *testing.T) {
	counts := map[string]int{}
	worlds := 0
	err := filepath.WalkDir(filepath.Join("..", "..", "policytest", "corpus"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".txtar" {
			return err
		}
		a, err := txtar.ParseFile(path)
		if err != nil {
			return err
		}
		if s := worldOf(a); s != nil {
			worlds++
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { corpusWorld(t, s, counts) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d worlds, packets: %v", worlds, counts)
	if worlds < 300 || counts["forward accepted"] == 0 || counts["forward dropped"] == 0 {
		t.Errorf("too little was compared: %d worlds, %v", worlds, counts)
	}
}

// worldOf reads the manifests of a scenario; nil where they are an error, or where what the version is changes them.
func worldOf(a *txtar.Archive) *cluster.Snapshot {
	var text strings.Builder
	for _, f := range a.Files {
		if ext := filepath.Ext(f.Name); ext == ".yaml" || ext == ".yml" {
			text.WriteString("---\n" + string(f.Data) + "\n")
		}
	}
	s, err := manifest.Read(manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(text.String())})
	if err != nil || len(s.Pods) == 0 {
		return nil
	}
	return s
}

func corpusWorld(t *testing.T, s *cluster.Snapshot, counts map[string]int) {
	settle(s)
	ports := map[flow.Flow]bool{}
	for _, port := range []uint16{53, 80, 443, 5432, 8080} {
		ports[flow.Flow{Proto: netset.TCP, Port: port}] = true
	}
	ports[flow.Flow{Proto: netset.UDP, Port: 53}], ports[flow.Flow{Proto: netset.Other}] = true, true
	for _, p := range s.Pods {
		for _, port := range p.Ports {
			ports[flow.Flow{Proto: port.Proto, Port: port.Port}] = true
		}
	}
	for node := range s.Nodes {
		e := newExperiment(s, options{}, node)
		for from := range s.Pods {
			for to := range s.Pods {
				for f, a := range s.Pods[from].Addrs {
					for port := range ports {
						x := port
						x.From, x.To = flow.End{Kind: flow.Pod, Index: from, Addr: a}, flow.End{Kind: flow.Pod, Index: to, Addr: s.Pods[to].Addrs[min(f, len(s.Pods[to].Addrs)-1)]}
						if x.Family = flow.FamilyOf(a); flow.FamilyOf(x.To.Addr) == x.Family {
							e.compare(t, &x, counts, world.Case{})
						}
					}
				}
			}
		}
	}
}

// settle gives a node and addresses to every pod that has none.
func settle(s *cluster.Snapshot) {
	for len(s.Nodes) < 2 {
		i := len(s.Nodes)
		s.Nodes = append(s.Nodes, cluster.Node{Name: fmt.Sprintf("zz-node-%d", i), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 250, byte(i + 1)})}})
	}
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Template = false; p.NodeName == "" {
			p.NodeName = s.Nodes[i%len(s.Nodes)].Name
		}
		if len(p.Addrs) == 0 && p.HostNetwork {
			p.Addrs = s.Nodes[s.NodeIndex(p.NodeName)].Addrs
		}
		if len(p.Addrs) == 0 {
			a := netip.MustParseAddr("fd00:77::").As16()
			a[14], a[15] = byte(i>>8), byte(i)
			p.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)}), netip.AddrFrom16(a)}
		}
	}
}
