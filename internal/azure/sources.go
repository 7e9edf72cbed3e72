package azure

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/platform"
)

// poolLabel is set by AKS on each node.
const poolLabel = "kubernetes.azure.com/agentpool"

// AddSources says as what pods of an AKS cluster appear to the server: as their nodes' subnet, where that is sure. A
// subnet shows itself only where it has the service endpoint Microsoft.Sql; that it does follows from a rule of the
// server about it that is in force. Without, pods appear by an address, which the cluster's file does not have.
func (s *Service) AddSources(a *platform.AKS) error {
	var known, pod, none, unsure []string
	subnets := map[string]bool{}
	if len(a.Pools) == 0 {
		s.note("spec.sources: the cluster's file has no agent pools")
	}
	for _, p := range a.Pools {
		i := slices.IndexFunc(s.sure, func(id string) bool { return strings.EqualFold(id, p.NodeSubnet) })
		switch {
		case p.PodSubnet != "" && !strings.EqualFold(p.PodSubnet, p.NodeSubnet):
			pod = append(pod, shown(p.Name))
		case p.NodeSubnet == "":
			none = append(none, shown(p.Name))
		case i < 0:
			unsure = append(unsure, shown(p.Name))
		default:
			if len(validation.IsValidLabelValue(p.Name)) > 0 || p.Name == "" {
				return fmt.Errorf("%s cannot be the name of an agent pool", quoted(p.Name))
			}
			known = append(known, p.Name)
			subnets[s.sure[i]] = true
			s.Spec.Sources = append(s.Spec.Sources, v1alpha1.ClusterSource{NodeSelector: map[string]string{poolLabel: p.Name}, Subnet: s.sure[i]})
		}
	}
	if len(known) == len(a.Pools) && len(subnets) == 1 {
		s.Spec.Sources = []v1alpha1.ClusterSource{{Subnet: s.Spec.Sources[0].Subnet}}
	}
	if len(s.Spec.Sources) > maxSources {
		return fmt.Errorf("%d agent pools are more than the %d sources that an ExternalService holds", len(s.Spec.Sources), maxSources)
	}
	s.withoutSource("", pod, "their pods leave by a subnet of their own, and hostNetwork pods by that of the nodes, which one entry cannot say")
	s.withoutSource("", none, "the file names no subnet of their nodes (AKS keeps their network)")
	s.withoutSource("az network vnet subnet show --ids ID --query serviceEndpoints", unsure, "no virtual network rule that is in force names their subnet, so whether it has the service endpoint Microsoft.Sql is not known: with it pods appear as the subnet, without it by an address that they share")
	return nil
}

func (s *Service) withoutSource(command string, pools []string, why string) {
	if len(pools) > 0 {
		s.ask(command, "spec.sources: nothing is said of the agent pools %s: %s", few(pools), why)
	}
}
