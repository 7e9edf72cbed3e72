// Package platform knows what cluster versions and network plugins do differently from the rules,
// and reads what a managed service says of a cluster.
//
// It must never read files or talk to servers; it is given bytes and snapshots, and gives values.
package platform

import (
	"fmt"
	"iter"
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

// Change is what a version does not understand of a policy, and what becomes of the policy there.
type Change struct {
	Policy      cluster.PolicyRef
	Path        string // of what is not understood, or of the first such part
	Origin      cluster.Origin
	Lacks, Then string
}

// Changes lists what Apply does to the policies of a Snapshot.
func (v Version) Changes(s *cluster.Snapshot) []Change {
	l := lens{v: v}
	if v.before(sidecarPortsSince) {
		for _, np := range s.NetworkPolicies {
			l.policy(np)
		}
	}
	return l.changes
}

type lens struct {
	v       Version
	notes   []cluster.Note
	changes []Change
}

func (l *lens) note(o cluster.Origin, format string, args ...any) {
	l.notes = append(l.notes, cluster.Note{Origin: o, Text: "Kubernetes " + l.v.String() + ": " + fmt.Sprintf(format, args...)})
}

func (l *lens) change(np *cluster.NetworkPolicy, path, lacks, then string) {
	c := Change{cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: np.Object.Namespace, Name: np.Object.Name}, path, np.Origin, lacks, then}
	l.changes = append(l.changes, c)
	l.note(np.Origin, "%s: %s: %s", c.Policy, lacks, then)
}

// policy adapts a policy; ok is false where the server would reject it.
func (l *lens) policy(np cluster.NetworkPolicy) (cluster.NetworkPolicy, bool) {
	obj := np.Object.DeepCopy()
	if l.v.before(egressSince) && (len(obj.Spec.Egress) > 0 || slices.Contains(obj.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)) {
		obj.Spec.Egress = nil
		obj.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		l.change(&np, "spec.egress", "egress and policyTypes are not understood and dropped", "egress stays open, and the policy isolates its pods for ingress")
	}
	if path, why := l.rejected(&obj.Spec); why != "" {
		l.change(&np, path, "the server rejects the policy ("+why+")", "it is as if it did not exist")
		return np, false
	}
	if l.v.before(endPortSince) {
		if at := dropEndPorts(&obj.Spec); at != "" {
			l.change(&np, at, "endPort is not understood and dropped", "only the first port of each range counts")
		}
	}
	np.Object = obj
	return np, true
}

// rejected gives why the version's validation refuses a policy, and for which part of it, or "".
func (l *lens) rejected(spec *networkingv1.NetworkPolicySpec) (path, why string) {
	for path, p := range peersOf(spec) {
		if l.v.before(ipBlockSince) && p.IPBlock != nil {
			return path, "ipBlock is not understood, which leaves an empty peer"
		}
		if l.v.before(bothSince) && p.PodSelector != nil && p.NamespaceSelector != nil {
			return path, "a peer with both selectors was not valid before 1.11"
		}
	}
	for path, p := range portsOf(spec) {
		if l.v.before(sctpSince) && p.Protocol != nil && *p.Protocol == corev1.ProtocolSCTP {
			return path, "SCTP was behind a feature gate, off by default, before 1.19"
		}
	}
	return "", ""
}

// peersOf goes through the peers of a policy, with their paths.
func peersOf(spec *networkingv1.NetworkPolicySpec) iter.Seq2[string, *networkingv1.NetworkPolicyPeer] {
	return func(yield func(string, *networkingv1.NetworkPolicyPeer) bool) {
		for i := range spec.Ingress {
			for j := range spec.Ingress[i].From {
				if !yield(fmt.Sprintf("spec.ingress[%d].from[%d]", i, j), &spec.Ingress[i].From[j]) {
					return
				}
			}
		}
		for i := range spec.Egress {
			for j := range spec.Egress[i].To {
				if !yield(fmt.Sprintf("spec.egress[%d].to[%d]", i, j), &spec.Egress[i].To[j]) {
					return
				}
			}
		}
	}
}

// portsOf goes through the ports of a policy, with their paths.
func portsOf(spec *networkingv1.NetworkPolicySpec) iter.Seq2[string, *networkingv1.NetworkPolicyPort] {
	return func(yield func(string, *networkingv1.NetworkPolicyPort) bool) {
		for i := range spec.Ingress {
			for j := range spec.Ingress[i].Ports {
				if !yield(fmt.Sprintf("spec.ingress[%d].ports[%d]", i, j), &spec.Ingress[i].Ports[j]) {
					return
				}
			}
		}
		for i := range spec.Egress {
			for j := range spec.Egress[i].Ports {
				if !yield(fmt.Sprintf("spec.egress[%d].ports[%d]", i, j), &spec.Egress[i].Ports[j]) {
					return
				}
			}
		}
	}
}

// dropEndPorts gives the path of the first one, or "".
func dropEndPorts(spec *networkingv1.NetworkPolicySpec) string {
	first := ""
	for path, p := range portsOf(spec) {
		if p.EndPort != nil && first == "" {
			first = path
		}
		p.EndPort = nil
	}
	return first
}

// EndPorts lists the paths of the ports of a policy that are ranges.
func EndPorts(p *networkingv1.NetworkPolicy) []string {
	var out []string
	for path, port := range portsOf(&p.Spec) {
		if port.EndPort != nil && port.Port != nil && *port.EndPort != port.Port.IntVal {
			out = append(out, path)
		}
	}
	return out
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
