package program

import (
	"fmt"
	"strconv"
	"strings"
)

// Nft prints the table as nft reads and lists it.
func (p *Program) Nft() string {
	var w strings.Builder
	fmt.Fprintf(&w, "table inet %s {\n", TableName)
	for i := range p.Sets {
		p.Sets[i].print(&w)
	}
	for i := range p.Maps {
		p.Maps[i].print(&w)
	}
	for i := range p.Chains {
		p.Chains[i].print(&w)
	}
	w.WriteString("}\n")
	return w.String()
}

// String gives nft's words for the type of a key.
func (k Key) String() string {
	return [...]string{"", "ipv4_addr", "ipv6_addr", "ifname", "ifname . ipv4_addr", "ifname . ipv6_addr", "inet_proto . inet_service", "inet_proto", "icmpv6_type"}[k]
}

func (s *Set) print(w *strings.Builder) {
	fmt.Fprintf(w, "\tset %s {\n\t\ttype %s\n", s.Name, s.Key)
	printElements(w, s.Elements, func(e *Element) string { return e.key(s.Key) })
	w.WriteString("\t}\n")
}

func (m *Map) print(w *strings.Builder) {
	fmt.Fprintf(w, "\tmap %s {\n\t\ttype %s : verdict\n", m.Name, m.Key)
	if m.Interval {
		w.WriteString("\t\tflags interval\n")
	}
	printElements(w, m.Elements, func(e *Element) string { return e.key(m.Key) + " : " + e.Verdict.String() })
	w.WriteString("\t}\n")
}

func printElements(w *strings.Builder, list []Element, text func(*Element) string) {
	for i := range list {
		if i == 0 {
			w.WriteString("\t\telements = {\n")
		}
		fmt.Fprintf(w, "\t\t\t%s,\n", text(&list[i]))
		if i == len(list)-1 {
			w.WriteString("\t\t}\n")
		}
	}
}

func (e *Element) key(k Key) string {
	addr := e.First.String()
	if e.First != e.Last {
		addr += "-" + e.Last.String()
	}
	switch k {
	case KeyInterface:
		return quoted(e.Interface)
	case KeySource4, KeySource6:
		return quoted(e.Interface) + " . " + addr
	case KeyPort:
		return strings.ToLower(e.Proto.String()) + " . " + e.Ports.String()
	case KeyProtocol, KeyICMPv6:
		return strconv.Itoa(int(e.Number))
	}
	return addr
}

// quoted puts a name into quotes; those of interfaces hold none.
func quoted(s string) string { return `"` + s + `"` }

// String gives nft's words.
func (v Verdict) String() string {
	switch v.Act {
	case Accept:
		return "accept"
	case Drop:
		return "drop"
	case Return:
		return "return"
	case Jump:
		return "jump " + v.Chain
	case Goto:
		return "goto " + v.Chain
	}
	return ""
}

func (c *Chain) print(w *strings.Builder) {
	fmt.Fprintf(w, "\tchain %s {\n", c.Name)
	if c.Hook != 0 {
		fmt.Fprintf(w, "\t\ttype filter hook %s priority filter; policy accept;\n", [...]string{"", "forward", "input", "output"}[c.Hook])
	}
	for i := range c.Rules {
		fmt.Fprintf(w, "\t\t%s\n", c.Rules[i].String())
	}
	w.WriteString("\t}\n")
}

var matchWords = [...]string{
	Always: "", Revoked: "ct label " + strconv.Itoa(RevokedLabel), Relabel: "ct label set " + strconv.Itoa(RevokedLabel),
	Established: "ct state established", Stray: "ct state new tcp flags ! syn", RelatedError: "ct state related meta l4proto",
	NeighbourTalk: "ip6 hoplimit 255 icmpv6 type", ListenerTalk: "ip6 daddr ff00::/8 icmpv6 type", FromInterface: "iifname", ToInterface: "oifname", FromLoopback: `iifname "lo"`,
	Source4: "ip saddr", Source6: "ip6 saddr", Destination4: "ip daddr", Destination6: "ip6 daddr", InterfaceAndIP4: "iifname . ip saddr",
	InterfaceAndIP6: "iifname . ip6 saddr", TargetAndIP4: "oifname . ip daddr", TargetAndIP6: "oifname . ip6 daddr", Protocol: "meta l4proto", ProtocolAndPort: "meta l4proto . th dport",
}

// String gives the rule as nft reads it.
func (r *Rule) String() string {
	words := matchWords[r.Match]
	switch {
	case r.Map != "":
		words += " vmap @" + r.Map
	case r.Set != "" && r.Negated:
		words += " != @" + r.Set
	case r.Set != "":
		words += " @" + r.Set
	}
	if r.Log != "" {
		words += fmt.Sprintf(" log prefix %s group %d", quoted(r.Log), LogGroup)
	}
	words = strings.TrimSpace(words + " " + r.Verdict.String())
	if r.Comment != "" {
		words += " comment " + quoted(r.Comment)
	}
	return words
}
