package cluster

import (
	"fmt"
	"strconv"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
)

// Origin tells where an object came from: a place in a file, or a version on a server.
type Origin struct {
	File            string // empty for a live object
	Line            int    // of the object's first line, counted from 1
	ResourceVersion string // of a live object
	// Lines gives the line of paths inside the object ("spec.ingress[0].from[1]"); policies, and
	// what says something of identities or of what lies outside, only.
	Lines map[string]int
}

// At gives the place of a path inside the object, or of the nearest enclosing path that is known.
func (o Origin) At(path string) Origin {
	for p := path; p != ""; p = ParentPath(p) {
		if line, ok := o.Lines[p]; ok {
			return Origin{File: o.File, Line: line, ResourceVersion: o.ResourceVersion}
		}
	}
	return Origin{File: o.File, Line: o.Line, ResourceVersion: o.ResourceVersion}
}

// String gives "file:line", "resource version N", or "" if nothing is known.
func (o Origin) String() string {
	switch {
	case o.File != "" && o.Line > 0:
		return o.File + ":" + strconv.Itoa(o.Line)
	case o.File != "":
		return o.File
	case o.ResourceVersion != "":
		return "resource version " + o.ResourceVersion
	}
	return ""
}

// MarshalText gives String, so that JSON carries the place as people read it.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// ParentPath gives the path that encloses a path inside an object; it is empty for the outermost.
func ParentPath(p string) string {
	return p[:max(strings.LastIndexAny(p, ".["), 0)]
}

// PolicyRef names a policy. It is comparable.
type PolicyRef struct {
	Kind      string `json:"kind"`                // NetworkPolicy, ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy, or of Sallyport's own: WorkloadIdentity, …
	Namespace string `json:"namespace,omitempty"` // empty for cluster-wide kinds
	Name      string `json:"name"`
}

// String gives "ns/name" for a NetworkPolicy, "Kind name" for cluster-wide ones and "Kind ns/name" for others.
func (r PolicyRef) String() string {
	if r.Namespace != "" && r.Kind == "NetworkPolicy" {
		return r.Namespace + "/" + r.Name
	}
	if r.Namespace != "" {
		return r.Kind + " " + r.Namespace + "/" + r.Name
	}
	return r.Kind + " " + r.Name
}

// RuleID names the part of a policy that decided. It is comparable; the zero value names none.
// Rule, Peer and Port are indices in written order; Peer or Port is -1 where the rule has no such
// list (it then matches every peer or port).
type RuleID struct {
	Policy           PolicyRef
	Direction        flow.Direction
	Rule, Peer, Port int
}

// Path gives the place inside the object, such as "spec.ingress[1].from[0]".
func (r RuleID) Path() string {
	peers := "from"
	if r.Direction == flow.Egress {
		peers = "to"
	}
	path := fmt.Sprintf("spec.%s[%d]", r.Direction, r.Rule)
	if r.Peer >= 0 {
		path += fmt.Sprintf(".%s[%d]", peers, r.Peer)
	}
	return path
}

// MarshalText gives the policy and the path: "shop/db spec.ingress[0]".
func (r RuleID) MarshalText() ([]byte, error) { return []byte(r.Policy.String() + " " + r.Path()), nil }

// PortPath gives the place of the port entry, or "" where the rule names no ports.
func (r RuleID) PortPath() string {
	if r.Port < 0 {
		return ""
	}
	list := "ports"
	if r.Policy.Kind == "ClusterNetworkPolicy" {
		list = "protocols"
	}
	return fmt.Sprintf("spec.%s[%d].%s[%d]", r.Direction, r.Rule, list, r.Port)
}
