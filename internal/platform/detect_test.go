package platform

import (
	"fmt"
	"strings"
	"testing"
)

// running gives a DaemonSet that runs on three nodes.
func running(id string, containers ...Container) DaemonSet {
	namespace, name, _ := strings.Cut(id, "/")
	return DaemonSet{Namespace: namespace, Name: name, Containers: containers, Desired: 3, Ready: 3}
}

func image(name, image string, args ...string) Container {
	return Container{Name: name, Image: image, Args: args}
}

func TestDetect(t *testing.T) {
	cilium := running("kube-system/cilium", image("cilium-agent", "quay.io/cilium/cilium:v1.16.3@sha256:00ff"))
	calico := running("calico-system/calico-node", image("calico-node", "docker.io/calico/node:v3.28.1"))
	flannel := running("kube-flannel/kube-flannel-ds", image("kube-flannel", "ghcr.io/flannel-io/flannel:v0.26.1"))
	aws := func(args ...string) DaemonSet {
		return running("kube-system/aws-node", image("aws-node", "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.18.3"),
			image("aws-eks-nodeagent", "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon/aws-network-policy-agent:v1.1.2", args...))
	}
	awsEnv := aws()
	awsEnv.Containers[1].Env = map[string]string{"ENABLE_NETWORK_POLICY": "true"}
	awsStrict := aws("--enable-network-policy=true")
	awsStrict.Containers[0].Env = map[string]string{"NETWORK_POLICY_ENFORCING_MODE": "strict"}
	partial, asleep, old := calico, calico, calico
	partial.Ready, asleep.Desired = 1, 0
	old.Name, old.Containers = "calico-node-old", []Container{image("calico-node", "docker.io/calico/node:v3.27.0")}

	for _, c := range []struct {
		name    string
		sets    []DaemonSet
		partly  bool   // not all DaemonSets are given
		version string // of the server
		want    string // the plugin's spelling; empty: not known
		note    string // part of a note; empty: there is none
	}{
		{name: "nothing", note: "none that is known here"},
		{name: "nothing, and not all are known", partly: true, note: "not all DaemonSets could be read"},
		{name: "something else", sets: []DaemonSet{running("kube-system/kube-proxy", image("kube-proxy", "registry.k8s.io/kube-proxy:v1.31.0"))}, note: "unknown"},
		{name: "cilium", sets: []DaemonSet{cilium}, want: "cilium@1.16", note: "cilium-config"},
		{name: "cilium of GKE", sets: []DaemonSet{running("kube-system/anetd", image("cilium-agent", "gke.gcr.io/cilium/cilium:v1.14.4-gke.12"))}, want: "cilium@1.14", note: "cilium-config"},
		{name: "cilium turned off", sets: []DaemonSet{running("kube-system/cilium", image("cilium-agent", "mirror:5000/cilium", "cilium-agent", "--enable-policy=never"))},
			want: "none", note: "never"},
		{name: "cilium by digest only", sets: []DaemonSet{running("kube-system/cilium", image("agent", "mirror:5000/cilium@sha256:00ff"))}, want: "cilium", note: "cilium-config"},
		{name: "calico", sets: []DaemonSet{calico}, want: "calico@3.28"},
		{name: "calico in the middle of an upgrade", sets: []DaemonSet{calico, old}, want: "calico"},
		{name: "calico on some nodes", sets: []DaemonSet{partial}, want: "calico@3.28", note: "ready on 1 of 3 nodes"},
		{name: "calico on no node", sets: []DaemonSet{asleep}, note: "should run on no node"},
		{name: "canal", sets: []DaemonSet{running("kube-system/canal", image("calico-node", "docker.io/calico/node:v3.26.0"), image("kube-flannel", "docker.io/flannel/flannel:v0.22.0"))}, want: "calico@3.26"},
		{name: "flannel", sets: []DaemonSet{flannel}, want: "flannel@0.26"},
		{name: "flannel, and what else is not known", sets: []DaemonSet{flannel}, partly: true, note: "not all DaemonSets"},
		{name: "flannel on k3s", sets: []DaemonSet{flannel}, version: "v1.31.2+k3s1", note: "k3s"},
		{name: "flannel with a policy engine", sets: []DaemonSet{running("kube-flannel/kube-flannel-ds", image("kube-flannel", "ghcr.io/flannel-io/flannel:v0.26.1"),
			image("kube-network-policies", "registry.k8s.io/networking/kube-network-policies:v0.4.0"))}, want: "kube-network-policies@0.4"},
		{name: "two engines", sets: []DaemonSet{cilium, calico}, note: "runs calico and cilium"},
		{name: "the order does not count", sets: []DaemonSet{calico, cilium}, note: "runs calico and cilium"},
		{name: "aws, on", sets: []DaemonSet{aws("--enable-ipv6=false", "--enable-network-policy=true")}, want: "aws-vpc-cni@1.18"},
		{name: "aws, on by a flag of two words", sets: []DaemonSet{aws("--enable-network-policy", "true")}, want: "aws-vpc-cni@1.18"},
		{name: "aws, on by environment", sets: []DaemonSet{awsEnv}, want: "aws-vpc-cni@1.18"},
		{name: "aws, strict", sets: []DaemonSet{awsStrict}, want: "aws-vpc-cni@1.18", note: "not modelled"},
		{name: "aws, off", sets: []DaemonSet{aws("--enable-network-policy=false")}, want: "none", note: "agent is off"},
		{name: "aws, off, with calico", sets: []DaemonSet{aws("--enable-network-policy=false"), calico}, want: "calico@3.28"},
		{name: "aws, on, with calico", sets: []DaemonSet{aws("--enable-network-policy=true"), calico}, note: "aws-vpc-cni and calico"},
		{name: "aws says nothing", sets: []DaemonSet{aws()}, note: "does not say"},
		{name: "aws without agent", sets: []DaemonSet{running("kube-system/aws-node", image("aws-node", "amazon-k8s-cni:v1.11.0"))}, want: "none", note: "no policy agent"},
		{name: "azure npm", sets: []DaemonSet{running("kube-system/azure-npm", image("azure-npm", "mcr.microsoft.com/containernetworking/azure-npm:v1.4.45"))}, want: "azure-npm@1.4"},
		{name: "kube-router", sets: []DaemonSet{running("kube-system/kube-router", image("kube-router", "docker.io/cloudnativelabs/kube-router:v2.2.1", "--run-router=true", "--run-firewall=true"))}, want: "kube-router@2.2"},
		{name: "kube-router without firewall", sets: []DaemonSet{running("kube-system/kube-router", image("kube-router", "docker.io/cloudnativelabs/kube-router", "--run-firewall=false"))}, want: "none", note: "--run-firewall=false"},
		{name: "weave", sets: []DaemonSet{running("kube-system/weave-net", image("weave", "weaveworks/weave-kube:2.8.1"), image("weave-npc", "weaveworks/weave-npc:2.8.1"))}, want: "weave@2.8"},
		{name: "weave without npc", sets: []DaemonSet{running("kube-system/weave-net", image("weave", "weaveworks/weave-kube:2.8.1"))}, note: "unknown"},
		{name: "antrea", sets: []DaemonSet{running("kube-system/antrea-agent", image("antrea-agent", "antrea/antrea-agent-ubuntu:v2.1.0"))}, want: "antrea@2.1"},
		{name: "ovn-kubernetes", sets: []DaemonSet{running("openshift-ovn-kubernetes/ovnkube-node", image("ovnkube-controller", "quay.io/openshift/ovn@sha256:00"))}, want: "ovn-kubernetes"},
		{name: "openshift-sdn", sets: []DaemonSet{running("openshift-sdn/sdn", image("sdn", "quay.io/openshift/sdn@sha256:00"))}, note: "mode"},
		{name: "kindnet", sets: []DaemonSet{running("kube-system/kindnet", image("kindnet-cni", "docker.io/kindest/kindnetd:v20241108-5c6d2daf"))}, want: "kindnet"},
		{name: "old kindnet", sets: []DaemonSet{running("kube-system/kindnet", image("kindnet-cni", "docker.io/kindest/kindnetd:v20230511-dc714da8"))}, note: "did not enforce"},
		{name: "a name borrowed by somebody", sets: []DaemonSet{running("shop/cilium", image("cilium-agent", "evil.example/cilium:v1.16.3"))}, note: "not counted"},
		{name: "a borrowed name changes nothing", sets: []DaemonSet{calico, running("shop/cilium", image("cilium-agent", "evil.example/cilium:v1.16.3"))}, want: "calico@3.28", note: "not counted"},
		{name: "hostile names", sets: []DaemonSet{running("shop/\x1b[31m", image("cilium-agent", "\x1b:\x00@"))}, note: `\x1b[31m`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Detect(c.sets, !c.partly, c.version)
			if got := d.Plugin.Spelling(); got != c.want {
				t.Errorf("plugin %q, want %q (%v)", got, c.want, d.Notes)
			}
			if all := strings.Join(d.Notes, "\n"); c.note == "" && all != "" || !strings.Contains(all, c.note) {
				t.Errorf("notes %q, want %q", all, c.note)
			}
			if d.Plugin.Name == "" {
				return
			}
			if again, err := ParsePlugin(d.Plugin.Spelling()); err != nil || again != d.Plugin {
				t.Errorf("a saved snapshot would read %v, %v instead of %v", again, err, d.Plugin)
			}
		})
	}
}

// TestManyDoubted: whoever may run pods cannot bury what is said of the plugin.
func TestManyDoubted(t *testing.T) {
	var sets []DaemonSet
	for i := range 1000 {
		sets = append(sets, DaemonSet{Namespace: "shop", Name: fmt.Sprintf("a%d", i), Desired: 1, Ready: 1, Containers: []Container{{Name: "cilium-agent"}}})
	}
	d := Detect(sets, true, "")
	if n := len(d.Notes); n != maxDoubted+2 || !strings.Contains(d.Notes[n-2], "995 more that look like a network plugin") || !strings.Contains(d.Notes[n-1], "is unknown") {
		t.Errorf("%d notes: %q", n, d.Notes)
	}
}
