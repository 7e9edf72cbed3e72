package node

import (
	"slices"

	"sallyport.dev/sallyport/internal/flow"
)

// warnOfLinks says what escapes the filter, and what it cuts off that somebody may want.
func (q *question) warnOfLinks() {
	for i, l := range q.f.links {
		switch {
		case l.name == "kube-ipvs0":
			q.warn("kube-proxy uses IPVS (there is an interface kube-ipvs0): what pods send to a Service passes as the node's own traffic then, " +
				"and not by the policies of both ends; let it use nftables or iptables")
		case l.kind == "bridge" && len(q.pods[i]) > 0:
			q.warnOfBridge(i)
		case l.kind != "veth" && l.kind != "dummy" && q.f.seen(i) == i && !q.towards[i] && !q.uplinks[i] && q.forOthers(i):
			q.warn("interface %s has an address of the node, and is no uplink and no pod's: what comes or goes by it is dropped; name it as an uplink if it is one", q.f.safe(i))
		}
	}
}

// forOthers tells whether a link has an address that is not from the range of the node's pods.
func (q *question) forOthers(index int) bool {
	for a, list := range q.f.held {
		if slices.Contains(list, index) && !q.ranged(a) {
			return true
		}
	}
	return false
}

// The words of the families, and the settings by which bridges show what they pass to the filter.
var (
	familyWords    = [2]string{"IPv4", "IPv6"}
	bridgeSettings = [2]string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"}
)

func (q *question) warnOfBridge(index int) {
	for _, family := range flow.Families {
		speaks := slices.ContainsFunc(q.pods[index], func(i int) bool { return q.s.Pods[i].Addr(family).IsValid() })
		if !speaks || q.f.shows(index, family) {
			continue
		}
		remedy := "set " + bridgeSettings[family-1] + " to 1"
		if !q.f.module {
			remedy = "load the module br_netfilter and " + remedy
		}
		q.warn("pods on the bridge %s reach each other over %s without being filtered: %s", q.f.safe(index), familyWords[family-1], remedy)
	}
}

// shows tells whether what a bridge passes between its ports comes by the filter.
func (f *Facts) shows(index int, family flow.Family) bool {
	return f.module && (f.calls[family-1] || f.links[index].calls[family-1])
}
