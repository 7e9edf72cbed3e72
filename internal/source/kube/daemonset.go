package kube

import (
	kjson "sigs.k8s.io/json"

	"sallyport.dev/sallyport/internal/platform"
)

// daemonSet takes from a DaemonSet what its plugin can be recognised by. Values of environment that
// come from Secrets or ConfigMaps are not there to be read.
func daemonSet(item []byte) (platform.DaemonSet, bool) {
	var o struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Name    string   `json:"name"`
						Image   string   `json:"image"`
						Command []string `json:"command"`
						Args    []string `json:"args"`
						Env     []struct {
							Name  string `json:"name"`
							Value string `json:"value"`
						} `json:"env"`
					} `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
		Status struct {
			Desired int `json:"desiredNumberScheduled"`
			Ready   int `json:"numberReady"`
		} `json:"status"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(item, &o) != nil {
		return platform.DaemonSet{}, false
	}
	ds := platform.DaemonSet{Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, Desired: o.Status.Desired, Ready: o.Status.Ready}
	for _, c := range o.Spec.Template.Spec.Containers {
		out := platform.Container{Name: c.Name, Image: c.Image, Args: append(c.Command, c.Args...), Env: map[string]string{}}
		for _, e := range c.Env {
			out.Env[e.Name] = e.Value
		}
		ds.Containers = append(ds.Containers, out)
	}
	return ds, true
}
