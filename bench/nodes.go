package bench

import (
	"fmt"
	"net/netip"

	"sallyport.dev/sallyport/internal/cluster"
)

// OnNodes puts the pods of a cluster on nodes, so many on each, in the order of the pods dealt out one by one.
func OnNodes(s *cluster.Snapshot, podsEach int) *cluster.Snapshot {
	nodes := max(1, len(s.Pods)/podsEach)
	s.Nodes = nil
	for i := range nodes {
		s.Nodes = append(s.Nodes, cluster.Node{Name: fmt.Sprintf("node-%05d", i), Labels: map[string]string{"pool": fmt.Sprint(i % 3)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, byte(i / 250), byte(i%250 + 1)})}})
	}
	for i := range s.Pods {
		s.Pods[i].NodeName = s.Nodes[i%nodes].Name
	}
	return s
}
