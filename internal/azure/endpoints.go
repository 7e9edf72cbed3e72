package azure

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/names"
)

// endpoints is what files say of private endpoints and of the network interfaces that have their addresses.
type endpoints struct {
	list    []endpoint              // those of the server
	others  int                     // those of other services
	cards   map[string][]netip.Addr // by the ID of a network interface, in lower case
	ofCards map[string][]netip.Addr // by the ID of the private endpoint that an interface says it is of
}

type endpoint struct {
	at        node
	id, name  string
	state     string
	addresses []netip.Addr
	cards     []string // IDs of its network interfaces
	template  bool     // not deployed yet, as far as is known
}

func newEndpoints() *endpoints {
	return &endpoints{cards: map[string][]netip.Addr{}, ofCards: map[string][]netip.Addr{}}
}

// read takes a private endpoint or a network interface.
func (e *endpoints) read(n node, server, name string) {
	auto, manual := n.prop("privateLinkServiceConnections"), n.prop("manualPrivateLinkServiceConnections")
	if auto.absent() && manual.absent() {
		e.readCard(n)
		return
	}
	p := endpoint{at: n, id: n.child("id").id(), name: name, template: n.scope != nil}
	ours := false
	for _, list := range []node{auto, manual} {
		for _, c := range list.items() {
			if serverOf(c.prop("privateLinkServiceId").id()) != server {
				continue
			}
			ours = true
			state := c.prop("privateLinkServiceConnectionState").child("status").text()
			switch {
			case state != "":
			case list.path == auto.path:
				state = approved
			default:
				state = "Pending"
			}
			if p.state != approved {
				p.state = state
			}
		}
	}
	if !ours {
		e.others++
		return
	}
	for _, c := range n.prop("customDnsConfigs").items() {
		for _, a := range c.child("ipAddresses").items() {
			p.addresses = append(p.addresses, a.address())
		}
	}
	p.addresses = append(p.addresses, n.cardAddresses()...)
	for _, c := range n.prop("networkInterfaces").items() {
		p.cards = append(p.cards, c.child("id").id())
	}
	e.list = append(e.list, p)
}

// cardAddresses reads the private addresses in ipConfigurations, which endpoints have where they are static.
func (n node) cardAddresses() []netip.Addr {
	var out []netip.Addr
	for _, c := range n.prop("ipConfigurations").items() {
		if a := c.prop("privateIPAddress"); !a.absent() {
			out = append(out, a.address())
		}
	}
	return out
}

func (e *endpoints) readCard(n node) {
	id := strings.ToLower(n.child("id").id())
	if n.prop("ipConfigurations").absent() || id == "" {
		n.fail("neither a private endpoint nor a network interface (hint: %s, or %s)", EndpointsCommand, CardsCommand)
		return
	}
	list := n.cardAddresses()
	e.cards[id] = list
	if of := strings.ToLower(n.prop("privateEndpoint").child("id").id()); of != "" {
		e.ofCards[of] = append(e.ofCards[of], list...)
	}
}

const approved = "Approved"

// isApproved tells whether a state is that of an endpoint which is a way in.
func isApproved(state string) bool { return strings.EqualFold(state, approved) }

// endpoints adds the private endpoints that are ways in. connections are those that the server lists; it decides
// about their state, and an endpoint counts where it or the server says that it is approved: none is left out on an
// older word.
func (s *Service) endpoints(e *endpoints, connections []node) {
	said := map[string]string{}
	for _, c := range connections {
		id, state := c.prop("privateEndpoint").child("id").id(), c.prop("privateLinkServiceConnectionState").child("status").text()
		if key := strings.ToLower(id); said[key] == "" || isApproved(state) {
			said[key] = state
		}
		if !isApproved(state) || slices.ContainsFunc(e.list, func(p endpoint) bool { return strings.EqualFold(p.id, id) }) {
			continue
		}
		e.list = append(e.list, endpoint{at: c, id: id, name: id[strings.LastIndexByte(id, '/')+1:], state: state})
	}
	var out []string
	for i := range e.list {
		p := &e.list[i]
		if !isApproved(p.state) && !isApproved(said[strings.ToLower(p.id)]) {
			out = append(out, shown(p.name)+" ("+shown(p.state)+")")
			continue
		}
		s.endpoint(e, p)
	}
	if len(out) > 0 {
		s.note("spec.firewall.privateEndpoints: left out, because they are not approved: %s", few(out))
	}
	if e.others > 0 {
		s.note("spec.firewall.privateEndpoints: %d private endpoints in the files are of other services", e.others)
	}
}

// endpoint adds the addresses of one that is a way in, or says that they are missing.
func (s *Service) endpoint(e *endpoints, p *endpoint) {
	list := slices.Clone(p.addresses)
	for _, c := range p.cards {
		list = append(list, e.cards[strings.ToLower(c)]...)
	}
	if p.id != "" {
		list = append(list, e.ofCards[strings.ToLower(p.id)]...)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	for _, a := range slices.Compact(list) {
		at := v1alpha1.PrivateEndpoint{Name: p.at.ruleName(p.name), Address: a.String()}
		if len(s.firewall().PrivateEndpoints) == maxEndpoints {
			p.at.fail("more than %d addresses of private endpoints, which is all that an ExternalService holds", maxEndpoints)
			return
		}
		s.firewall().PrivateEndpoints = append(s.firewall().PrivateEndpoints, at)
	}
	if len(list) == 0 {
		s.missing = append(s.missing, fmt.Sprintf("spec.firewall.privateEndpoints: MISSING here is a way in: the address of the private endpoint %s is in no file that was given; %s", shown(p.name), p.find()))
	}
}

// find says how to find out the address of an endpoint.
func (p *endpoint) find() string {
	const give = " writes a file for --private-endpoints"
	switch {
	case len(p.cards) > 0:
		return "az network nic show --ids " + argument(p.cards[0]) + " -o json" + give
	case p.template:
		return "once it is deployed, import what az says of the server instead"
	default:
		return "az network private-endpoint show --ids " + argument(p.id) + " -o json" + give
	}
}

var plainArgument = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)

// argument writes an ID of Azure as a shell takes it; ID where it has what no ID has.
func argument(id string) string {
	switch {
	case plainArgument.MatchString(id):
		return id
	case id == "" || strings.ContainsFunc(id, names.Unsafe) || strings.Contains(id, "'"):
		return "ID"
	}
	return "'" + id + "'"
}

// few lists the first of many names.
func few(list []string) string {
	const most = 10
	if n := len(list) - most; n > 0 {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(list, ", ")
}
