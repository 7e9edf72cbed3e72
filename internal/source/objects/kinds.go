package objects

import (
	"cmp"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// groupKind names a kind of object whatever its version.
type groupKind struct{ group, kind string }

// kindInfo says how a kind is read.
type kindInfo struct {
	versions   []string // accepted ones; nil: any
	namespaced bool
	policy     bool        // decoded strictly; see readPolicy
	layer      bool        // about identities or what lies outside, and not about packets
	lint       bool        // read for lint only
	slim       func() slim // for every other kind; nil: known, but nothing of it is read
}

// Resource is a kind of object that a server may hold and that is read of it.
type Resource struct {
	Group, Kind string
	Versions    []string // that are read; nil: any
	Namespaced  bool
	Policy      bool // network policy, evaluated: one that is not read may open or close something
	Layer       bool // says something of identities or of what lies outside (docs/layers.md)
	Lint        bool // says something to lint only
	Foreign     bool // a policy of another engine, which is named and not evaluated (S33)
}

// Resources lists everything that is read of a cluster, sorted by group and kind.
func Resources() []Resource {
	var out []Resource
	for gk, info := range kinds {
		if gk.group == groupOwn && !info.layer || !info.policy && info.slim == nil {
			continue
		}
		out = append(out, Resource{Group: gk.group, Kind: gk.kind, Versions: info.versions, Namespaced: info.namespaced,
			Policy: info.policy && !info.layer, Layer: info.layer, Lint: info.lint, Foreign: gk.group == groupCilium || gk.group == groupCalico || gk.group == groupCalicoCRD})
	}
	slices.SortFunc(out, func(a, b Resource) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Kind, b.Kind))
	})
	return out
}

func newSlim[T any, P interface {
	*T
	slim
}]() slim {
	return P(new(T))
}

const (
	groupApps       = "apps"
	groupBatch      = "batch"
	groupNetworking = "networking.k8s.io"
	groupPolicy     = "policy.networking.k8s.io"
	groupGateway    = "gateway.networking.k8s.io"
	groupDiscovery  = "discovery.k8s.io"
	groupCilium     = "cilium.io"
	groupCalico     = "projectcalico.org"
	groupCalicoCRD  = "crd.projectcalico.org"
	groupOwn        = v1alpha1.Group
	groupAdmission  = "admissionregistration.k8s.io"
	groupAPIs       = "apiregistration.k8s.io"
	groupExtensions = "apiextensions.k8s.io"
	groupRBAC       = "rbac.authorization.k8s.io"
	groupMonitoring = "monitoring.coreos.com"
	groupPodID      = "aadpodidentity.k8s.io"
)

var v1 = []string{"v1"}

var kinds = map[groupKind]kindInfo{
	{groupNetworking, "NetworkPolicy"}:          {versions: v1, namespaced: true, policy: true},
	{groupPolicy, "ClusterNetworkPolicy"}:       {versions: []string{"v1alpha2"}, policy: true},
	{groupPolicy, "AdminNetworkPolicy"}:         {versions: []string{"v1alpha1"}, policy: true},
	{groupPolicy, "BaselineAdminNetworkPolicy"}: {versions: []string{"v1alpha1"}, policy: true},

	{"", "Namespace"}:                {versions: v1, slim: newSlim[namespaceObject]},
	{"", "Node"}:                     {versions: v1, slim: newSlim[nodeObject]},
	{"", "Pod"}:                      {versions: v1, namespaced: true, slim: newSlim[podObject]},
	{"", "Service"}:                  {versions: v1, namespaced: true, slim: newSlim[serviceObject]},
	{"", "ServiceAccount"}:           {versions: v1, namespaced: true, slim: newSlim[accountObject]},
	{"", "ReplicationController"}:    {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupApps, "Deployment"}:        {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupApps, "StatefulSet"}:       {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupApps, "DaemonSet"}:         {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupApps, "ReplicaSet"}:        {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupBatch, "Job"}:              {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupBatch, "CronJob"}:          {versions: v1, namespaced: true, slim: newSlim[workloadObject]},
	{groupNetworking, "Ingress"}:     {versions: v1, namespaced: true, slim: newSlim[ingressObject]},
	{groupOwn, "Snapshot"}:           {versions: []string{"v1alpha1"}, slim: newSlim[headerObject]},
	{groupOwn, kindIdentity}:         {versions: []string{v1alpha1.Version}, namespaced: true, policy: true, layer: true},
	{groupOwn, kindAccess}:           {versions: []string{v1alpha1.Version}, namespaced: true, policy: true, layer: true},
	{groupOwn, kindExternal}:         {versions: []string{v1alpha1.Version}, namespaced: true, policy: true, layer: true},
	{groupOwn, kindClusterExternal}:  {versions: []string{v1alpha1.Version}, policy: true, layer: true},
	{groupPodID, kindAzureIdentity}:  {versions: v1, namespaced: true, layer: true, slim: newSlim[azureObject]},
	{groupPodID, kindAzureBinding}:   {versions: v1, namespaced: true, layer: true, slim: newSlim[azureObject]},
	{groupPodID, kindAzureException}: {versions: v1, namespaced: true, layer: true, slim: newSlim[azureObject]},
	{groupOwn, "PolicyTest"}:         {}, // what people expect; source/expectfile reads it
	{groupGateway, "HTTPRoute"}:      {namespaced: true, slim: newSlim[routeObject]},
	{groupGateway, "GRPCRoute"}:      {namespaced: true, slim: newSlim[routeObject]},
	{groupGateway, "TLSRoute"}:       {namespaced: true, slim: newSlim[routeObject]},
	{groupGateway, "TCPRoute"}:       {namespaced: true, slim: newSlim[routeObject]},
	{groupGateway, "UDPRoute"}:       {namespaced: true, slim: newSlim[routeObject]},
	{groupGateway, "Gateway"}:        {},
	{groupGateway, "GatewayClass"}:   {},

	{"autoscaling", "HorizontalPodAutoscaler"}: {namespaced: true, slim: newSlim[scalerObject]},
	{groupDiscovery, "EndpointSlice"}:          {versions: v1, namespaced: true, slim: newSlim[sliceObject]},

	{groupAdmission, "ValidatingWebhookConfiguration"}: {lint: true, slim: newSlim[webhooksObject]},
	{groupAdmission, "MutatingWebhookConfiguration"}:   {lint: true, slim: newSlim[webhooksObject]},
	{groupAPIs, "APIService"}:                          {lint: true, slim: newSlim[apiServiceObject]},
	{groupExtensions, "CustomResourceDefinition"}:      {lint: true, slim: newSlim[definitionObject]},
	{groupRBAC, "RoleBinding"}:                         {lint: true, namespaced: true, slim: newSlim[bindingObject]},
	{groupRBAC, "ClusterRoleBinding"}:                  {lint: true, slim: newSlim[bindingObject]},
	{groupMonitoring, "ServiceMonitor"}:                {lint: true, namespaced: true, slim: newSlim[monitorObject]},
	{groupMonitoring, "PodMonitor"}:                    {lint: true, namespaced: true, slim: newSlim[monitorObject]},

	{groupCalico, "NetworkPolicy"}:                  {namespaced: true, slim: newSlim[foreignObject]},
	{groupCalico, "GlobalNetworkPolicy"}:            {slim: newSlim[foreignObject]},
	{groupCalicoCRD, "NetworkPolicy"}:               {namespaced: true, slim: newSlim[foreignObject]},
	{groupCalicoCRD, "GlobalNetworkPolicy"}:         {slim: newSlim[foreignObject]},
	{groupCilium, "CiliumNetworkPolicy"}:            {namespaced: true, slim: newSlim[foreignObject]},
	{groupCilium, "CiliumClusterwideNetworkPolicy"}: {slim: newSlim[foreignObject]},
}

// quietGroups are Kubernetes' own groups: a kind in them that is not listed above has nothing to
// do with network policies, and to say so of each would be noise.
var quietGroups = map[string]bool{
	"": true, groupAdmission: true, groupExtensions: true, groupAPIs: true,
	groupApps: true, "authentication.k8s.io": true, "authorization.k8s.io": true, "autoscaling": true, groupBatch: true,
	"certificates.k8s.io": true, "coordination.k8s.io": true, groupDiscovery: true, "events.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, groupGateway: true, "internal.apiserver.k8s.io": true, "metrics.k8s.io": true,
	groupNetworking: true, "node.k8s.io": true, "policy": true, groupRBAC: true, "resource.k8s.io": true,
	"scheduling.k8s.io": true, "snapshot.storage.k8s.io": true, "storage.k8s.io": true, "storagemigration.k8s.io": true,
}

// splitAPIVersion gives the group and the version of an apiVersion.
func splitAPIVersion(apiVersion string) (group, version string) {
	if g, v, ok := strings.Cut(apiVersion, "/"); ok {
		return g, v
	}
	return "", apiVersion
}

func (k kindInfo) accepts(version string) bool {
	return k.versions == nil || slices.Contains(k.versions, version)
}

// IsSnapshotHeader tells whether the object begins a saved snapshot; the objects after it in the
// same file came from a server (S32).
func IsSnapshotHeader(apiVersion, kind string) bool {
	group, _ := splitAPIVersion(apiVersion)
	return group == groupOwn && kind == "Snapshot"
}

// policyKinds are the kinds whose absence in the wrong group or version would open or close
// something in silence, and which therefore are never skipped (S2).
var policyKinds = append([]string{"NetworkPolicy", "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}, ownKinds...)

// misplacedPolicy tells of an object that is not a kind we read whether it was meant to be one of
// the policies we do, and what to do about it.
func misplacedPolicy(gk groupKind) (hint string, is bool) {
	if info, ok := kinds[gk]; ok && info.policy {
		return "use " + gk.group + "/" + info.versions[0], true
	}
	wrongGroup := quietGroups[gk.group] || gk.group == "extensions" || gk.group == groupPolicy || gk.group == groupOwn
	if !wrongGroup {
		return "", false
	}
	for _, kind := range policyKinds {
		if kind == gk.kind {
			return "use " + apiVersionOf(kind), true
		}
	}
	if gk.group == groupNetworking || gk.group == groupPolicy || gk.group == groupOwn {
		if near := nearest(gk.kind, policyKinds); near != "" {
			return "did you mean " + near + "?", true
		}
	}
	return "", gk.group == groupPolicy || gk.group == groupOwn
}

func apiVersionOf(policyKind string) string {
	for gk, info := range kinds {
		if info.policy && gk.kind == policyKind {
			return gk.group + "/" + info.versions[0]
		}
	}
	return ""
}
