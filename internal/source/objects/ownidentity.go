package objects

import (
	"regexp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// The lifetimes of what is issued where nothing is said.
const (
	defaultX509Lifetime = 15 * time.Minute
	defaultJWTLifetime  = 5 * time.Minute
)

var (
	durationPattern = regexp.MustCompile(`^([0-9]{1,6}[hms]){1,3}$`)
	dnsPattern      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	wildcardPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

func (p *policy) checkIdentity(spec node) {
	if account, ok := p.required(spec, "serviceAccountName"); ok {
		p.text(account, 1, 253, dnsPattern, "a service account's name")
	}
	p.checkPodSelector(spec.child("podSelector"))
	x509 := spec.child("x509")
	p.checkLifetime(x509.child("lifetime"), 5*time.Minute, 24*time.Hour, "5m and 24h")
	p.set(x509.child("dnsNames"), 0, 16, func(n node) { p.text(n, 0, 253, wildcardPattern, "a DNS name") })
	if jwt := spec.child("jwt"); jwt.v != nil {
		if audiences, ok := p.required(jwt, "audiences"); ok {
			p.set(audiences, 1, 32, p.checkResource)
		}
		p.checkLifetime(jwt.child("lifetime"), time.Minute, time.Hour, "1m and 1h")
	}
	external := spec.child("externalIdentities")
	p.checkOwnCount(external, 0, 16)
	for _, n := range external.items() {
		azure, ok := p.one(n, "azure")
		if !ok {
			continue
		}
		p.checkAzureIdentity(azure)
		if resources, ok := p.required(azure, "resources"); ok {
			p.set(resources, 1, 32, p.checkResource)
		}
	}
}

func (p *policy) checkResource(n node) { p.text(n, 1, 512, nil, "") }

func (p *policy) checkAzureIdentity(azure node) {
	if id, ok := p.required(azure, "clientID"); ok {
		p.text(id, 0, 36, cluster.UUID, "a UUID")
	}
	p.text(azure.child("tenantID"), 0, 36, cluster.UUID, "a UUID")
}

func (p *policy) checkLifetime(n node, least, most time.Duration, bounds string) {
	s, ok := n.v.(string)
	if !ok {
		return
	}
	if !durationPattern.MatchString(s) || len(s) > 32 {
		p.add(n.path, n.path+" "+quoteShort(s)+" is not a duration", "write it as 15m or 1h")
		return
	}
	if d, err := time.ParseDuration(s); err != nil || d < least || d > most {
		p.add(n.path, n.path+" "+quoteShort(s)+" does not lie between "+bounds, "")
	}
}

// defaultIdentity is what an API server would have filled in, and what absent fields stand for.
func defaultIdentity(spec *v1alpha1.WorkloadIdentitySpec) {
	if spec.X509.Lifetime == nil {
		spec.X509.Lifetime = &metav1.Duration{Duration: defaultX509Lifetime}
	}
	if spec.JWT != nil && spec.JWT.Lifetime == nil {
		spec.JWT.Lifetime = &metav1.Duration{Duration: defaultJWTLifetime}
	}
	if spec.Require.NetworkEnforced == nil {
		spec.Require.NetworkEnforced = ptr.To(true)
	}
}
