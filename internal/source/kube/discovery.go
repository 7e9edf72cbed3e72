package kube

import (
	"context"
	"regexp"
	"slices"
	"strings"

	discoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/source/objects"
)

// aggregated asks for everything in one answer, which servers give since 1.26; older ones answer with
// the plain list.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"

// served is one kind in one version of its group, as the server has it.
type served struct {
	version, plural string
	namespaced      bool
}

// catalog is what the server has of the groups that are read.
type catalog struct {
	kinds map[groupKind][]served // the server's preferred version first
	// failed lists the groups of which a version could not be discovered, with the reason: kinds of
	// theirs may exist and not be in the catalog.
	failed map[string]string
}

type groupKind struct{ group, kind string }

// Names in discovery become parts of paths, so what does not look like one is not taken.
var (
	versionSyntax = regexp.MustCompile(`^v[0-9]{1,4}((alpha|beta)[0-9]{1,4})?$`)
	pluralSyntax  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
)

// maxVersions is more than any group has.
const maxVersions = 16

// answer is what either form of discovery sends for /api and /apis.
type answer struct {
	Kind     string                          `json:"kind"`
	Items    []discoveryv2.APIGroupDiscovery `json:"items"`    // APIGroupDiscoveryList
	Versions []string                        `json:"versions"` // APIVersions, of /api
	Groups   []metav1.APIGroup               `json:"groups"`   // APIGroupList, of /apis
}

// discover finds which of the wanted groups' kinds the server has. A group that it does not have is
// no error: most clusters lack most of them.
func (c *client) discover(ctx context.Context, wanted []objects.Resource) (*catalog, error) {
	out := &catalog{kinds: map[groupKind][]served{}, failed: map[string]string{}}
	groups := map[string]bool{}
	for _, r := range wanted {
		groups[r.Group] = true
	}
	for _, path := range []string{"/api", "/apis"} {
		var a answer
		if err := c.small(ctx, request{path: path, accept: aggregated}, &a); err != nil {
			return nil, err
		}
		switch a.Kind {
		case "APIGroupDiscoveryList":
			out.aggregated(a.Items, groups)
		case "APIVersions":
			if err := c.versions(ctx, out, "", a.Versions); err != nil {
				return nil, err
			}
		case "APIGroupList":
			for _, g := range a.Groups {
				if !groups[g.Name] {
					continue
				}
				if err := c.versions(ctx, out, g.Name, preferred(&g)); err != nil {
					return nil, err
				}
			}
		default:
			return nil, malformedf("%s: the answer is no list of API groups but %s (hint: is this a Kubernetes API server?)",
				c.name(request{path: path}), objects.Safe(a.Kind))
		}
	}
	return out, nil
}

// aggregated takes the newer form, which has everything in it.
func (g *catalog) aggregated(items []discoveryv2.APIGroupDiscovery, groups map[string]bool) {
	for _, item := range items {
		if !groups[item.Name] {
			continue
		}
		for _, v := range item.Versions[:min(len(item.Versions), maxVersions)] {
			if v.Freshness == discoveryv2.DiscoveryFreshnessStale {
				g.failed[item.Name] = "the server behind " + objects.Safe(item.Name+"/"+v.Version) + " does not answer"
			}
			for _, r := range v.Resources {
				if r.ResponseKind != nil {
					g.add(item.Name, v.Version, r.ResponseKind.Kind, r.Resource, r.Scope == discoveryv2.ScopeNamespace)
				}
			}
		}
	}
}

// preferred lists a group's versions, the preferred one first.
func preferred(g *metav1.APIGroup) []string {
	out := []string{g.PreferredVersion.Version}
	for _, v := range g.Versions {
		if !slices.Contains(out, v.Version) {
			out = append(out, v.Version)
		}
	}
	return out
}

// versions asks for the kinds of each version of a group: the older form of discovery.
func (c *client) versions(ctx context.Context, out *catalog, group string, versions []string) error {
	for _, v := range versions[:min(len(versions), maxVersions)] {
		if !versionSyntax.MatchString(v) {
			continue
		}
		var list metav1.APIResourceList
		err := c.small(ctx, request{path: apiPath(group, v)}, &list)
		switch {
		case asStatus(err) != nil && group != "":
			out.failed[group] = err.Error()
			continue
		case err != nil:
			return err
		}
		for _, r := range list.APIResources {
			out.add(group, v, r.Kind, r.Name, r.Namespaced)
		}
	}
	return nil
}

func (g *catalog) add(group, version, kind, plural string, namespaced bool) {
	if strings.Contains(plural, "/") || !pluralSyntax.MatchString(plural) || !versionSyntax.MatchString(version) {
		return // a subresource, or nothing that a path could name
	}
	gk := groupKind{group, kind}
	g.kinds[gk] = append(g.kinds[gk], served{version, plural, namespaced})
}

// of gives the version of a kind to read; other is one that the server has while none that is read.
func (g *catalog) of(r *objects.Resource) (read, other *served) {
	list := g.kinds[groupKind{r.Group, r.Kind}]
	if len(list) == 0 {
		return nil, nil
	}
	if r.Versions == nil {
		return &list[0], nil
	}
	for _, v := range r.Versions {
		for i := range list {
			if list[i].version == v {
				return &list[i], nil
			}
		}
	}
	return nil, &list[0]
}

func apiPath(group, version string) string {
	if group == "" {
		return "/api/" + version
	}
	return "/apis/" + group + "/" + version
}
