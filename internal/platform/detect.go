package platform

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/names"
)

// DaemonSet is what a plugin can be recognised by.
type DaemonSet struct {
	Namespace, Name string
	Containers      []Container
	// Desired counts the nodes that it should run on, and Ready those where it does.
	Desired, Ready int
}

// Container is one container of a DaemonSet's template. Env holds plain values only.
type Container struct {
	Name, Image string
	Args        []string // command and arguments
	Env         map[string]string
}

// Detected is what a cluster's DaemonSets say of its network plugin. Plugin is the zero value where
// they do not settle it: a failed detection is unknown, never none (S26).
type Detected struct {
	Plugin Plugin
	Notes  []string
}

// systemNamespaces are where plugins live. What somebody runs elsewhere under a plugin's name is not
// believed: to call a cluster's policies enforced must take an administrator.
var systemNamespaces = []string{
	"kube-system", "calico-system", "tigera-operator", "cilium", "cilium-system", "kube-flannel", "antrea-system",
	"kube-router", "weave", "weave-net", "kube-ovn", "ovn-kubernetes", "openshift-ovn-kubernetes", "openshift-sdn", "canal",
}

// state is what one DaemonSet says of an engine.
type state int

const (
	notSure  state = iota // the plugin is there; whether it enforces is not settled
	enforces              // it enforces policies
	routes                // it only routes
)

// sign recognises a plugin by one of its containers.
type sign struct {
	plugin string
	// containers and images are names of the container, and last parts of its image, that are the
	// plugin's; either suffices, because images are mirrored and containers renamed.
	containers, images []string
	// judge says whether the plugin enforces policies, and what people should know; nil: it does.
	judge func(ds *DaemonSet, c *Container) (state, string)
}

var signs = []sign{
	{plugin: "cilium", containers: []string{"cilium-agent"}, images: []string{"cilium"}, judge: judgeCilium},
	{plugin: "calico", containers: []string{"calico-node"}, images: []string{"calico-node"}},
	{plugin: "azure-npm", containers: []string{"azure-npm"}, images: []string{"azure-npm"}},
	{plugin: "antrea", containers: []string{"antrea-agent"}, images: []string{"antrea-agent", "antrea-agent-ubuntu", "antrea-agent-ubi"}},
	{plugin: "kube-router", containers: []string{"kube-router"}, images: []string{"kube-router"}, judge: judgeKubeRouter},
	{plugin: "kube-network-policies", containers: []string{"kube-network-policies"}, images: []string{"kube-network-policies"}},
	{plugin: "weave", containers: []string{"weave-npc"}, images: []string{"weave-npc"}},
	{plugin: "ovn-kubernetes", containers: []string{"ovnkube-node", "ovnkube-controller"}, images: []string{"ovn-kube", "ovn-kube-u", "ovn-kube-f"}},
	{plugin: "kube-ovn", images: []string{"kube-ovn"}, judge: func(*DaemonSet, *Container) (state, string) {
		return notSure, "whether it enforces policies is a flag of its controller (--enable-np), which is not read"
	}},
	{plugin: "openshift-sdn", containers: []string{"sdn"}, judge: func(*DaemonSet, *Container) (state, string) {
		return notSure, "whether it enforces policies is its mode, which is not read"
	}},
	{plugin: "aws-vpc-cni", containers: []string{"aws-node", "aws-eks-nodeagent"},
		images: []string{"amazon-k8s-cni", "aws-network-policy-agent"}, judge: judgeAWS},
	{plugin: "kindnet", containers: []string{"kindnet-cni"}, images: []string{"kindnetd"}, judge: judgeKindnet},
	{plugin: "flannel", containers: []string{"kube-flannel"}, images: []string{"flannel"}, judge: func(*DaemonSet, *Container) (state, string) {
		return routes, ""
	}},
}

// candidate is a plugin that was recognised.
type candidate struct {
	plugin   Plugin
	state    state
	why      string
	set      *DaemonSet
	believed bool // it lies in a system namespace and should run somewhere
}

// Detect recognises the network plugin among a cluster's DaemonSets. complete says that all of them
// are given; version is the server's as it says it, which names distributions with a policy engine of
// their own.
func Detect(sets []DaemonSet, complete bool, version string) Detected {
	var all []candidate
	for i := range sets {
		all = append(all, recognise(&sets[i])...)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return strings.Compare(a.plugin.Name+" "+a.set.id(), b.plugin.Name+" "+b.set.id())
	})
	d := Detected{}
	var on, off, unsure []candidate
	doubted := 0
	for _, c := range all {
		switch {
		case !c.believed:
			if doubted++; doubted <= maxDoubted {
				d.note("%s looks like %s, but %s: not counted", c.set, c.plugin.Name, c.why)
			}
		case c.state == enforces:
			on = append(on, c)
		case c.state == routes:
			off = append(off, c)
		default:
			unsure = append(unsure, c)
		}
	}
	if doubted > maxDoubted {
		d.note("%d more that look like a network plugin are not counted", doubted-maxDoubted)
	}
	d.choose(on, off, unsure, complete, version)
	return d
}

// maxDoubted bounds the notes on what is not believed, of which anybody who may run pods can make any number.
const maxDoubted = 5

func (d *Detected) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// choose settles on a plugin where the candidates agree on one.
func (d *Detected) choose(on, off, unsure []candidate, complete bool, version string) {
	const say = "; say which enforces policies with --plugin"
	engines := pluginsOf(slices.Concat(on, unsure))
	switch {
	case len(engines) > 1:
		d.note("the network plugin is not settled: the cluster runs %s%s", strings.Join(engines, " and "), say)
	case len(on) > 0:
		d.Plugin = on[0].plugin
		for _, c := range on {
			if c.plugin != d.Plugin { // two versions, as during an upgrade
				d.Plugin.Version = PluginVersion{}
			}
			d.aboutEngine(&c)
		}
	case len(unsure) > 0:
		d.note("the network plugin is not settled: the cluster runs %s (%s), and %s%s", unsure[0].plugin.Name, unsure[0].set, unsure[0].why, say)
	case len(off) == 0:
		d.note("the network plugin is unknown: %s%s", nothingRecognised(complete), say)
	case !complete:
		d.note("the network plugin is not settled: the cluster runs %s, but not all DaemonSets could be read%s", off[0].plugin.Name, say)
	case strings.Contains(version, "+k3s"):
		d.note("the network plugin is not settled: the cluster runs %s, and k3s has a policy engine in its own binary, which may be on or off%s", off[0].plugin.Name, say)
	default:
		d.Plugin = off[0].plugin
		if pr, known := d.Plugin.profile(); !known || pr.enforces {
			d.Plugin = Plugin{Name: "none"}
		}
		for _, c := range off {
			if c.why != "" {
				d.note("%s (%s) only routes: %s", c.plugin.Name, c.set, c.why)
			}
		}
	}
}

func nothingRecognised(complete bool) string {
	if complete {
		return "none that is known here was recognised among the cluster's DaemonSets"
	}
	return "not all DaemonSets could be read, and none that is known here was recognised among the others"
}

// aboutEngine says what is not sure of the plugin that was found.
func (d *Detected) aboutEngine(c *candidate) {
	if c.why != "" {
		d.note("%s (%s): %s", c.plugin.Name, c.set, c.why)
	}
	if c.set.Ready < c.set.Desired {
		d.note("%s (%s) is ready on %d of %d nodes: on the others policies may not be enforced", c.plugin.Name, c.set, c.set.Ready, c.set.Desired)
	}
}

func pluginsOf(list []candidate) []string {
	var out []string
	for _, c := range list {
		out = append(out, c.plugin.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (ds *DaemonSet) id() string { return ds.Namespace + "/" + ds.Name }

// String names the DaemonSet for people.
func (ds *DaemonSet) String() string { return "DaemonSet " + names.Safe(ds.id()) }

// recognise lists the plugins that a DaemonSet is part of, each once.
func recognise(ds *DaemonSet) []candidate {
	var out []candidate
	for _, s := range signs {
		for i := range ds.Containers {
			c := &ds.Containers[i]
			image, tag := imageParts(c.Image)
			if !slices.Contains(s.containers, c.Name) && !slices.Contains(s.images, image) {
				continue
			}
			out = append(out, s.candidate(ds, c, tag))
			break
		}
	}
	return out
}

func (s *sign) candidate(ds *DaemonSet, c *Container, tag string) candidate {
	out := candidate{plugin: Plugin{Name: s.plugin, Version: versionOfTag(tag)}, state: enforces, set: ds, believed: true}
	switch {
	case !slices.Contains(systemNamespaces, ds.Namespace):
		out.believed, out.why = false, "it does not lie in a namespace where plugins live"
	case ds.Desired == 0:
		out.believed, out.why = false, "it should run on no node"
	case s.judge != nil:
		out.state, out.why = s.judge(ds, c)
	}
	return out
}

// imageParts gives the last part of an image's path and its tag: "cilium" and "v1.16.3" of
// quay.io/cilium/cilium:v1.16.3@sha256:….
func imageParts(image string) (last, tag string) {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image, tag = image[:i], image[i+1:]
	}
	if strings.HasSuffix("/"+image, "/calico/node") {
		return "calico-node", tag
	}
	return image[strings.LastIndexByte(image, '/')+1:], tag
}

// versionOfTag reads a tag such as v1.16.3 or v3.28.1-eksbuild.1; any other says nothing.
func versionOfTag(tag string) PluginVersion {
	major, minor, ok := parseMajorMinor(tag)
	if !ok || major == 0 && minor == 0 {
		return PluginVersion{}
	}
	return PluginVersion{major, minor}
}

// value gives what --flag is set to among a container's arguments; a flag alone is true.
func (c *Container) value(flag string) (value string, given bool) {
	for i, a := range c.Args {
		name, v, equals := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if name != flag || !strings.HasPrefix(a, "-") {
			continue
		}
		switch {
		case equals:
			value = v
		case i+1 < len(c.Args) && !strings.HasPrefix(c.Args[i+1], "-"):
			value = c.Args[i+1]
		default:
			value = "true"
		}
		given = true // the last one counts
	}
	return strings.ToLower(value), given
}

func judgeCilium(_ *DaemonSet, c *Container) (state, string) {
	mode, given := c.value("enable-policy")
	if !given {
		mode, given = c.Env["CILIUM_ENABLE_POLICY"]
	}
	if given && strings.EqualFold(mode, "never") {
		return routes, "its policy enforcement is set to never"
	}
	return enforces, "its settings in the ConfigMap cilium-config (enable-policy and others) are not read; the default is assumed"
}

func judgeKubeRouter(_ *DaemonSet, c *Container) (state, string) {
	if v, given := c.value("run-firewall"); given && v == "false" {
		return routes, "it runs with --run-firewall=false"
	}
	return enforces, ""
}

// judgeAWS looks for the policy agent, which runs beside the routing part and is off by default.
func judgeAWS(ds *DaemonSet, _ *Container) (state, string) {
	for i := range ds.Containers {
		c := &ds.Containers[i]
		image, _ := imageParts(c.Image)
		if c.Name != "aws-eks-nodeagent" && image != "aws-network-policy-agent" {
			continue
		}
		on, given := c.value("enable-network-policy")
		if !given {
			on, given = c.Env["ENABLE_NETWORK_POLICY"]
		}
		switch {
		case !given:
			return notSure, "its policy agent does not say whether it is on (--enable-network-policy)"
		case strings.EqualFold(on, "true"):
			return enforces, strictAWS(ds)
		}
		return routes, "its policy agent is off (--enable-network-policy)"
	}
	return routes, "it has no policy agent"
}

func strictAWS(ds *DaemonSet) string {
	for i := range ds.Containers {
		if strings.EqualFold(ds.Containers[i].Env["NETWORK_POLICY_ENFORCING_MODE"], "strict") {
			return "NETWORK_POLICY_ENFORCING_MODE is strict: pods that no policy selects are closed there, which is not modelled"
		}
	}
	return ""
}

// judgeKindnet goes by the date in the image's tag: policies are enforced since August 2024.
func judgeKindnet(_ *DaemonSet, c *Container) (state, string) {
	_, tag := imageParts(c.Image)
	date, _, _ := strings.Cut(strings.TrimPrefix(tag, "v"), "-")
	if len(date) != len("20240813") || strings.Trim(date, "0123456789") != "" {
		return notSure, "its image does not say how old it is, and it enforces policies since August 2024 only"
	}
	if date < "20240813" {
		return notSure, "its image is of a time when it did not enforce policies yet"
	}
	return enforces, ""
}
