// Package platform knows what cluster versions and network plugins do differently from the rules,
// and reads what a managed service says of a cluster.
//
// It must never read files or talk to servers; it is given bytes and snapshots, and gives values.
package platform

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"sallyport.dev/sallyport/internal/cluster"
)

// Version is a Kubernetes minor version. The zero value means "not given".
type Version struct{ Major, Minor int }

// oldest is the version in which networking.k8s.io/v1 appeared.
var oldest = Version{1, 7}

// ParseVersion reads "1.24", "v1.24.3", "1.31.4-eks-1". Versions before 1.7 have no NetworkPolicy v1.
func ParseVersion(s string) (Version, error) {
	major, minor, ok := parseMajorMinor(s)
	if !ok || major != 1 {
		return Version{}, fmt.Errorf("%s is not a Kubernetes version: write 1.31", quoted(s))
	}
	v := Version{major, minor}
	if v.before(oldest.Minor) {
		return Version{}, fmt.Errorf("version %s is before %s, where networking.k8s.io/v1 NetworkPolicy appeared", v, oldest)
	}
	return v, nil
}

// parseMajorMinor reads the first two numbers of a version such as v1.24.3-gke.1 or 1.24+; numbers
// have at most three digits.
func parseMajorMinor(s string) (major, minor int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(s, "v"), ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	if len(parts) == 2 {
		parts[1] = strings.TrimSuffix(parts[1], "+")
	} else if strings.Trim(parts[2], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-") != "" {
		return 0, 0, false
	}
	var out [2]int
	for i := range out {
		if len(parts[i]) > 3 || strings.Trim(parts[i], "0123456789") != "" {
			return 0, 0, false
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return 0, 0, false
		}
		out[i] = n
	}
	return out[0], out[1], true
}

// quoted puts a text from outside into an error, cut where it is too long for one.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

// String gives "1.24", or "" if no version was given.
func (v Version) String() string {
	if v == (Version{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// before tells whether the version is known and older than 1.minor.
func (v Version) before(minor int) bool { return v != (Version{}) && v.Minor < minor }

// The first minor versions in which a server understands a feature without a feature gate (S25).
const (
	egressSince       = 8
	ipBlockSince      = 8
	bothSince         = 11
	sctpSince         = 19 // beta and on by default; stable in 1.20
	nameLabelSince    = 21 // beta and on by default; stable in 1.22
	endPortSince      = 22 // beta and on by default; stable in 1.25
	sidecarPortsSince = 28
)

// Apply gives the Snapshot as a cluster of that version would hold it: what the version does not
// understand is dropped or the policy rejected, as its server would, with a note for each (S25).
// Without a version it gives the Snapshot itself.
func (v Version) Apply(s *cluster.Snapshot) (*cluster.Snapshot, []cluster.Note) {
	if !v.before(sidecarPortsSince) {
		return s, nil
	}
	out := *s
	l := lens{v: v}
	out.NetworkPolicies = nil
	for _, np := range s.NetworkPolicies {
		if adapted, ok := l.policy(np); ok {
			out.NetworkPolicies = append(out.NetworkPolicies, adapted)
		}
	}
	if v.before(nameLabelSince) {
		out.Namespaces = l.namespaces(s.Namespaces)
	}
	out.Pods = l.pods(s.Pods)
	return &out, l.notes
}

type lens struct {
	v     Version
	notes []cluster.Note
}

func (l *lens) note(o cluster.Origin, format string, args ...any) {
	l.notes = append(l.notes, cluster.Note{Origin: o, Text: "Kubernetes " + l.v.String() + ": " + fmt.Sprintf(format, args...)})
}

// policy adapts a policy; ok is false where the server would reject it.
func (l *lens) policy(np cluster.NetworkPolicy) (cluster.NetworkPolicy, bool) {
	name := np.Object.Namespace + "/" + np.Object.Name
	obj := np.Object.DeepCopy()
	if l.v.before(egressSince) && (len(obj.Spec.Egress) > 0 || slices.Contains(obj.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)) {
		obj.Spec.Egress = nil
		obj.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		l.note(np.Origin, "%s: egress and policyTypes are not understood and dropped: egress stays open, and the policy isolates its pods for ingress", name)
	}
	if why := l.rejected(&obj.Spec); why != "" {
		l.note(np.Origin, "%s: the server rejects the policy (%s): it is as if it did not exist", name, why)
		return np, false
	}
	if l.v.before(endPortSince) && dropEndPorts(&obj.Spec) {
		l.note(np.Origin, "%s: endPort is not understood and dropped: only the first port of each range counts", name)
	}
	np.Object = obj
	return np, true
}

// rejected gives why the version's validation refuses a policy, or "".
func (l *lens) rejected(spec *networkingv1.NetworkPolicySpec) string {
	for _, p := range peersOf(spec) {
		if l.v.before(ipBlockSince) && p.IPBlock != nil {
			return "ipBlock is not understood, which leaves an empty peer"
		}
		if l.v.before(bothSince) && p.PodSelector != nil && p.NamespaceSelector != nil {
			return "a peer with both selectors was not valid before 1.11"
		}
	}
	for _, p := range portsOf(spec) {
		if l.v.before(sctpSince) && p.Protocol != nil && *p.Protocol == corev1.ProtocolSCTP {
			return "SCTP was behind a feature gate, off by default, before 1.19"
		}
	}
	return ""
}

func peersOf(spec *networkingv1.NetworkPolicySpec) []networkingv1.NetworkPolicyPeer {
	var out []networkingv1.NetworkPolicyPeer
	for _, r := range spec.Ingress {
		out = append(out, r.From...)
	}
	for _, r := range spec.Egress {
		out = append(out, r.To...)
	}
	return out
}

func portsOf(spec *networkingv1.NetworkPolicySpec) []*networkingv1.NetworkPolicyPort {
	var out []*networkingv1.NetworkPolicyPort
	for i := range spec.Ingress {
		for j := range spec.Ingress[i].Ports {
			out = append(out, &spec.Ingress[i].Ports[j])
		}
	}
	for i := range spec.Egress {
		for j := range spec.Egress[i].Ports {
			out = append(out, &spec.Egress[i].Ports[j])
		}
	}
	return out
}

func dropEndPorts(spec *networkingv1.NetworkPolicySpec) bool {
	dropped := false
	for _, p := range portsOf(spec) {
		dropped = dropped || p.EndPort != nil
		p.EndPort = nil
	}
	return dropped
}

// namespaces takes away the name label where the version's server would not have added it.
func (l *lens) namespaces(list []cluster.Namespace) []cluster.Namespace {
	out := slices.Clone(list)
	dropped := 0
	for i := range out {
		if out[i].NameLabelWritten {
			continue
		}
		out[i].Labels = maps.Clone(out[i].Labels)
		delete(out[i].Labels, cluster.MetadataNameLabel)
		dropped++
	}
	if dropped > 0 {
		l.note(cluster.Origin{}, "%d namespaces do not carry %s by themselves: selectors on it match only where it was set by hand", dropped, cluster.MetadataNameLabel)
	}
	return out
}

// pods takes away the port names of restartable init containers, which the version does not know.
func (l *lens) pods(list []cluster.Pod) []cluster.Pod {
	out := slices.Clone(list)
	for i := range out {
		kept := slices.DeleteFunc(slices.Clone(out[i].Ports), func(p cluster.ContainerPort) bool { return p.RestartableInit })
		if len(kept) < len(out[i].Ports) {
			l.note(out[i].Origin, "%s: init containers cannot keep running: their named ports do not exist", out[i].String())
		}
		out[i].Ports = kept
	}
	return out
}
