package azure

import (
	"cmp"
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
	list    []*endpoint             // those of the server
	byID    map[string]*endpoint    // in lower case
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
	return &endpoints{byID: map[string]*endpoint{}, cards: map[string][]netip.Addr{}, ofCards: map[string][]netip.Addr{}}
}

// read takes a private endpoint or a network interface.
func (e *endpoints) read(n node, server, name string) {
	auto, manual := n.prop("privateLinkServiceConnections"), n.prop("manualPrivateLinkServiceConnections")
	if auto.absent() && manual.absent() && n.scope == nil {
		e.readCard(n)
		return
	}
	p := &endpoint{at: n, id: n.child("id").id(), name: name, template: n.scope != nil}
	if before := e.byID[strings.ToLower(p.id)]; before != nil && p.id != "" {
		p = before // what two files say adds up
	}
	// What asks by hand waits for somebody; everything else is approved by whoever makes it.
	ours := p.connected(auto, server, approved)
	if ours = p.connected(manual, server, "Pending") || ours; !ours {
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
	e.add(p)
}

// connected reads the connections of an endpoint, and tells whether one is to the server. unsaid is the state of one
// that has none.
func (p *endpoint) connected(list node, server, unsaid string) bool {
	ours := false
	for _, c := range list.items() {
		if c.forServers() && serverOf(c.prop("privateLinkServiceId").id()) == server {
			ours = true
			p.says(cmp.Or(c.prop("privateLinkServiceConnectionState").child("status").text(), unsaid))
		}
	}
	return ours
}

func (n node) endpointForServers() bool {
	return slices.ContainsFunc(n.prop("privateLinkServiceConnections").items(), node.forServers) ||
		slices.ContainsFunc(n.prop("manualPrivateLinkServiceConnections").items(), node.forServers)
}

// forServers tells whether a connection may be to a SQL server: what it is for says the part of a service that it
// names. Where that is another one, the rest of it is not looked at.
func (n node) forServers() bool {
	parts := n.prop("groupIds").items()
	return len(parts) == 0 || slices.ContainsFunc(parts, func(part node) bool { return strings.EqualFold(part.text(), "sqlServer") })
}

func (e *endpoints) add(p *endpoint) {
	key := strings.ToLower(p.id)
	if p.id != "" && e.byID[key] != nil {
		return
	}
	e.byID[key] = p
	e.list = append(e.list, p)
}

// says takes a state; one that is approved stays so, so that none is left out on an older word.
func (p *endpoint) says(state string) {
	if !isApproved(p.state) {
		p.state = state
	}
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

// endpoints adds the private endpoints that are ways in. connections are those that the server lists.
func (s *Service) endpoints(e *endpoints, connections []node) {
	for _, c := range connections {
		id := c.prop("privateEndpoint").child("id").id()
		e.add(&endpoint{at: c, id: id, name: lastPart(cmp.Or(id, c.child("name").text(), c.child("id").id()))})
		e.byID[strings.ToLower(id)].says(c.prop("privateLinkServiceConnectionState").child("status").text())
	}
	var out []string
	for _, p := range e.list {
		if isApproved(p.state) {
			s.endpoint(e, p)
		} else {
			out = append(out, shown(p.name)+" ("+shown(p.state)+")")
		}
	}
	if len(out) > 0 {
		s.note("spec.firewall.privateEndpoints: left out, because they are not approved: %s", few(out))
	}
	if e.others > 0 {
		s.note("spec.firewall.privateEndpoints: left out, because they are of other services: %d in the files", e.others)
	}
}

// lastPart is the name in a resource ID.
func lastPart(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

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
		s.missing = append(s.missing, Note{"spec.firewall.privateEndpoints: MISSING here is a way in: the address of the private endpoint " + shown(p.name) + " is in no file that was given; " + p.next(), p.command()})
	}
}

// next says how the address of an endpoint gets into the result.
func (p *endpoint) next() string {
	if p.template {
		return "once it is deployed, import what az says of the server instead"
	}
	return "give one with --private-endpoints"
}

// command is the one that tells the address.
func (p *endpoint) command() string {
	switch {
	case p.template:
		return ""
	case len(p.cards) > 0:
		return "az network nic show --ids " + argument(p.cards[0]) + " -o json"
	}
	return "az network private-endpoint show --ids " + argument(p.id) + " -o json"
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
