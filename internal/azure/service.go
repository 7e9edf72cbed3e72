package azure

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"

	"go4.org/netipx"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/names"
)

// Service is what was found out about one server.
type Service struct {
	// Name of the server in Azure, in lower case, which is also an object's name.
	Name  string
	Spec  v1alpha1.ExternalServiceSpec
	Notes []Note

	missing []Note   // about ways in that the spec does not have: they come first
	sure    []string // subnets that surely appear as themselves, see AddSources
}

// Note says what the facts leave open, and the command that tells, if one does. It is safe to print.
type Note struct{ Text, Command string }

// What an ExternalService holds at most, and where a server listens.
const (
	maxIPRules     = 256
	maxSubnetRules = 128
	maxEndpoints   = 32
	maxSources     = 32
	maxName        = 128
	maxSubnet      = 512

	tdsPort       = 1433
	redirectFirst = 11000
	redirectLast  = 11999
)

// The commands that make the files.
const (
	ServerCommand     = "az sql server show -g GROUP -n SERVER --expand-ad-admin -o json"
	RulesCommand      = "az sql server firewall-rule list -g GROUP -s SERVER -o json"
	IPv6RulesCommand  = "az sql server ipv6-firewall-rule list -g GROUP -s SERVER -o json"
	VnetRulesCommand  = "az sql server vnet-rule list -g GROUP -s SERVER -o json"
	EndpointsCommand  = "az network private-endpoint list -o json"
	CardsCommand      = "az network nic list -o json"
	TemplateCommand   = "az bicep build --file MAIN.bicep --stdout"
	ParametersCommand = "az bicep build-params --file MAIN.bicepparam --outfile parameters.json"
)

// deployed is the hint where a template leaves something open.
const deployed = "give the value in a parameters file, or use --server and its kind with the output of az for what is deployed"

var (
	hostPattern   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$`)
	serverPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	subnetPattern = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$`)
)

func (s *Service) note(format string, args ...any) { s.ask("", format, args...) }

// ask adds a note with the command that answers it.
func (s *Service) ask(command, format string, args ...any) {
	s.Notes = append(s.Notes, Note{fmt.Sprintf(format, args...), command})
}

func (s *Service) firewall() *v1alpha1.ExternalFirewall { return s.Spec.Firewall }

// newService begins with what follows from the server's DNS name, which is safe.
func newService(fqdn string) *Service {
	name, domain, _ := strings.Cut(fqdn, ".")
	return &Service{Name: name, Spec: v1alpha1.ExternalServiceSpec{
		Names:          []string{fqdn},
		Firewall:       &v1alpha1.ExternalFirewall{PublicNetworkAccess: v1alpha1.PublicEnabled},
		Authentication: &v1alpha1.ExternalAuthentication{Mode: v1alpha1.IdentityOrPassword, Resource: "https://" + domain},
	}}
}

// publicAccess reads publicNetworkAccess; Azure's default is Enabled.
func (s *Service) publicAccess(n node) {
	switch v := n.text(); {
	case v == "" || strings.EqualFold(v, "Enabled"):
	case strings.EqualFold(v, "Disabled"):
		s.firewall().PublicNetworkAccess = v1alpha1.PublicDisabled
	case strings.EqualFold(v, "SecuredByPerimeter"):
		n.fail("a network security perimeter decides who reaches this server, and its rules are none that an ExternalService can state (hint: describe the server by hand, see docs/resources.md)")
	default:
		n.fail("%s is neither Enabled nor Disabled, and what it lets through is not known here", quoted(v))
	}
}

// ipRule reads a firewall rule of either family.
func (s *Service) ipRule(n node, name string) {
	first, last := n.prop("startIpAddress"), n.prop("endIpAddress")
	if first.absent() && last.absent() {
		first, last = n.prop("startIPv6Address"), n.prop("endIPv6Address")
	}
	if first.absent() || last.absent() {
		n.fail("not a firewall rule: startIpAddress or endIpAddress is missing (hint: %s)", RulesCommand)
		return
	}
	a, b := first.address(), last.address()
	switch {
	case n.err != nil:
	case a.Is4() != b.Is4():
		n.fail("startIpAddress %s and endIpAddress %s are of two families", a, b)
	case b.Less(a):
		n.fail("endIpAddress %s is before startIpAddress %s", b, a)
	case a == netip.IPv4Unspecified() && a == b:
		s.firewall().AllowAzureServices = true
	case len(s.firewall().IPRules) == maxIPRules:
		n.fail("more than %d firewall rules, which is all that an ExternalService holds (hint: join neighbouring ranges in the file)", maxIPRules)
	default:
		if a.IsUnspecified() && b == everything(a) {
			s.note("spec.firewall.ipRules[%d]: this admits every address", len(s.firewall().IPRules))
		}
		s.firewall().IPRules = append(s.firewall().IPRules, v1alpha1.IPRule{Name: n.ruleName(name), First: a.String(), Last: b.String()})
	}
}

// everything is the last address of a family.
func everything(a netip.Addr) netip.Addr { return netipx.PrefixLastIP(netip.PrefixFrom(a, 0)) }

// address reads an IP address.
func (n node) address() netip.Addr {
	s := n.text()
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		n.fail("%s is not an IP address", quoted(s))
		return netip.Addr{}
	}
	return a
}

// ruleName makes the name of a rule, which is for people only, harmless.
func (n node) ruleName(name string) string {
	name = names.Safe(name)
	if utf8.RuneCountInString(name) > maxName {
		n.fail("its name has more than %d characters", maxName)
	}
	return name
}

// subnetRule reads a virtual network rule.
func (s *Service) subnetRule(n node, name string) {
	id := n.prop("virtualNetworkSubnetId")
	if id.absent() {
		n.fail("not a virtual network rule: virtualNetworkSubnetId is missing (hint: %s)", VnetRulesCommand)
		return
	}
	subnet := id.subnet()
	if len(s.firewall().SubnetRules) == maxSubnetRules {
		n.fail("more than %d virtual network rules, which is all that an ExternalService holds", maxSubnetRules)
		return
	}
	i := len(s.firewall().SubnetRules)
	s.firewall().SubnetRules = append(s.firewall().SubnetRules, v1alpha1.SubnetRule{Name: n.ruleName(name), Subnet: subnet})
	state, ignores := n.prop("state").text(), n.prop("ignoreMissingVnetServiceEndpoint").truth()
	ready := state == "" || strings.EqualFold(state, "Ready")
	if !ready {
		s.note("spec.firewall.subnetRules[%d]: Azure says that its state is %s; it is kept, because it may admit the subnet", i, shown(state))
	}
	if ptr.Deref(ignores, false) {
		s.note("spec.firewall.subnetRules[%d]: it was made without asking whether the subnet has the service endpoint Microsoft.Sql, without which it admits nothing", i)
	}
	if open(subnet) {
		s.note("spec.firewall.subnetRules[%d]: a template does not say where it will be deployed: write the subnet's own for %s; until then it is refused", i, whatIsOpen(subnet))
		return
	}
	if ready && !ptr.Deref(ignores, false) {
		s.sure = append(s.sure, subnet)
	}
}

// subnet reads the resource ID of a subnet, in which alone it may be open where a template will be deployed.
func (n node) subnet() string {
	id := n.id()
	filled := strings.NewReplacer("/"+unknownSubscription, "/", "/"+unknownGroup, "/").Replace(id)
	if !subnetPattern.MatchString(id) || strings.ContainsAny(filled, "<>") || strings.ContainsFunc(id, names.Unsafe) || utf8.RuneCountInString(id) > maxSubnet {
		n.fail("%s is not the resource ID of a subnet", quoted(id))
	}
	return id
}

// entraOnly says whether passwords are taken; nil is that nobody said so.
func (s *Service) entraOnly(said *bool, login string) {
	switch {
	case said == nil:
		s.ask("az sql server ad-only-auth get -g GROUP -n "+s.Name, "spec.authentication.mode: whether passwords are off was not said, so they are assumed to be on")
	case *said:
		s.Spec.Authentication.Mode = v1alpha1.IdentityOnly
	}
	who := ""
	if login != "" {
		who = ", and the Entra administrator " + shown(login)
	}
	s.note("spec.authentication.admitted: let in are the users of the databases, whom Azure does not know%s. State them by client ID: admitted: [{azure: {clientID: ID}}]", who)
}

// Connection policies of a server.
const (
	policyDefault  = "Default"
	policyProxy    = "Proxy"
	policyRedirect = "Redirect"
)

// finish adds what depends on the whole. policy is the connection policy, "" where it is not known.
func (s *Service) finish(policy string) {
	s.Spec.Ports = []v1alpha1.ExternalPort{{Port: tdsPort}}
	if policy != policyProxy {
		s.Spec.Ports = append(s.Spec.Ports, v1alpha1.ExternalPort{Port: redirectFirst, EndPort: ptr.To[int32](redirectLast)})
	}
	const private = "with the policy Redirect private endpoints use every port from 1433 up"
	endpoints := len(s.firewall().PrivateEndpoints) > 0
	switch {
	case policy == "":
		more := ""
		if endpoints {
			more = "; " + private
		}
		s.ask("az sql server conn-policy show -g GROUP -s "+s.Name, "spec.ports: 11000-11999 are for redirected connections, and not used where the connection policy is Proxy%s", more)
	case policy == policyRedirect && endpoints:
		s.note("spec.ports: %s", private)
	}
	if s.firewall().PublicNetworkAccess == v1alpha1.PublicEnabled {
		if s.firewall().AllowAzureServices {
			s.note("spec.firewall.allowAzureServices: this admits whatever runs in Azure, in other people's tenants too")
		}
		s.note("spec.firewall: rules that a database has for itself (sys.database_firewall_rules) are known to that database only, and may admit more")
	}
	s.Notes = append(s.missing, s.Notes...)
}
