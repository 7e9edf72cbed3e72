package objects

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

var (
	spiffeIDPattern     = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/([.]*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|[.]{3,}))+$`)
	spiffePrefixPattern = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/([.]*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|[.]{3,}))*$`)
	dotSegment          = regexp.MustCompile(`/\.\.?(/|$)`)
	labelPattern        = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	portNamePattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$`)
)

func (p *policy) checkAccess(spec node) {
	target, ok := p.required(spec, "target")
	if ok {
		p.checkTarget(target)
	}
	p.checkEnum(spec.child("mode"), []string{string(v1alpha1.ModeEnforce), string(v1alpha1.ModeAudit)})
	if by := spec.child("enforcedBy"); by.v != nil {
		p.checkEnum(by, []string{string(v1alpha1.EnforcerGate), string(v1alpha1.EnforcerApplication)})
		if target.child("externalService").v != nil && !covered(p.problems, by.path) {
			p.add(by.path, by.path+" is for a target of pods: for an external service its tokens are withheld", "leave it out")
		}
	}
	rules, ok := p.required(spec, "rules")
	if !ok {
		return
	}
	p.checkOwnCount(rules, 0, 64)
	for _, rule := range rules.items() {
		if action, ok := p.required(rule, "action"); ok {
			p.checkEnum(action, []string{string(v1alpha1.ActionAllow), string(v1alpha1.ActionDeny)})
		}
		if from, ok := p.required(rule, "from"); ok {
			p.checkOwnCount(from, 1, 64)
			for _, peer := range from.items() {
				p.checkAccessPeer(peer)
			}
		}
	}
}

func (p *policy) checkTarget(target node) {
	field, ok := p.one(target, "pods", "externalService")
	if !ok {
		return
	}
	if strings.HasSuffix(field.path, ".externalService") {
		p.checkEnum(field.child("kind"), []string{kindExternal, kindClusterExternal})
		if name, ok := p.required(field, "name"); ok {
			p.text(name, 1, 253, dnsPattern, "an object's name")
		}
		return
	}
	if s, ok := p.required(field, "podSelector"); ok {
		p.checkPodSelector(s)
	}
	ports := field.child("ports")
	p.checkOwnCount(ports, 1, 32)
	for _, n := range ports.items() {
		p.checkTargetPort(n)
	}
}

func (p *policy) checkTargetPort(n node) {
	port, ok := p.required(n, "port")
	if !ok {
		return
	}
	p.checkProtocolName(n.child("protocol"))
	end := n.child("endPort")
	p.checkPortRange(port, end)
	name, ok := port.v.(string)
	if !ok {
		return
	}
	if !portNamePattern.MatchString(name) || !strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz") || strings.Contains(name, "--") {
		hint := ""
		if name != "" && strings.Trim(name, "0123456789") == "" {
			hint = "write the number without quotes"
		}
		p.add(port.path, port.path+" "+quoteShort(name)+" is not a port name", hint)
	}
	if end.v != nil {
		p.add(end.path, end.path+" needs a port number, not a name", "")
	}
}

func (p *policy) checkProtocolName(n node) { p.checkEnum(n, []string{"TCP", "UDP", "SCTP"}) }

func (p *policy) checkAccessPeer(peer node) {
	field, ok := p.one(peer, "serviceAccount", "spiffeID", "spiffeIDPrefix")
	if !ok {
		return
	}
	switch {
	case strings.HasSuffix(field.path, ".serviceAccount"):
		p.text(field.child("namespace"), 0, 63, labelPattern, "a namespace's name")
		if name, ok := p.required(field, "name"); ok {
			p.text(name, 1, 253, dnsPattern, "a service account's name")
		}
	case strings.HasSuffix(field.path, ".spiffeID"):
		p.checkSPIFFE(field, spiffeIDPattern, "a SPIFFE ID such as spiffe://example.org/ns/shop/sa/web")
	default:
		p.checkSPIFFE(field, spiffePrefixPattern, "the beginning of a SPIFFE ID that ends with a whole segment, such as spiffe://example.org/ns/shop")
	}
}

func (p *policy) checkSPIFFE(n node, pattern *regexp.Regexp, wanted string) {
	if s, ok := n.v.(string); ok && dotSegment.MatchString(s) {
		p.add(n.path, n.path+" "+quoteShort(s)+" has . or .. as a segment of its path", "")
	}
	p.text(n, 0, 2048, pattern, wanted)
}

// keepAccess takes out of a policy of a server what was not understood, so that it denies no less than it may mean
// to (L4).
func (p *policy) keepAccess(spec *v1alpha1.AccessPolicySpec) {
	t := &spec.Target
	service := t.Pods == nil && t.ExternalService != nil && t.ExternalService.Name != ""
	if !service && (t.Pods == nil || anyUnder(p.problems, "spec.target") || p.hasProblem("spec")) {
		*t = v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{}}
	}
	if anyUnder(p.problems, "spec.mode") {
		spec.Mode = v1alpha1.ModeEnforce
	}
	if anyUnder(p.problems, "spec.enforcedBy") {
		spec.EnforcedBy = ""
	}
}

// defaultAccess is what an API server would have filled in.
func defaultAccess(spec *v1alpha1.AccessPolicySpec) {
	if spec.Mode == "" {
		spec.Mode = v1alpha1.ModeEnforce
	}
	if e := spec.Target.ExternalService; e != nil && e.Kind == "" {
		e.Kind = kindExternal
	}
	if pods := spec.Target.Pods; pods != nil {
		for i := range pods.Ports {
			if pods.Ports[i].Protocol == "" {
				pods.Ports[i].Protocol = corev1.ProtocolTCP
			}
		}
	}
}
