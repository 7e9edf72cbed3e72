package kube

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	discoveryv2 "k8s.io/api/apidiscovery/v2"

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

// nameSyntax is that of versions and plurals. They become parts of paths, so nothing else is taken.
var nameSyntax = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// neverRead are what no answer of a server may make this program ask for, whatever kind it says they are.
var neverRead = map[string]bool{"secrets": true, "configmaps": true}

// maxVersions is more than any group has.
const maxVersions = 16

// answer is what either form of discovery sends for /api and /apis. It and its parts hold what is read
// and nothing else: in the types of Kubernetes empty items would take a hundred times their text.
type answer struct {
	Kind     string       `json:"kind"`
	Items    []groupItem  `json:"items"`    // APIGroupDiscoveryList
	Versions []string     `json:"versions"` // APIVersions, of /api
	Groups   []plainGroup `json:"groups"`   // APIGroupList, of /apis
}

type groupItem struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Versions []struct {
		Version   string                         `json:"version"`
		Freshness discoveryv2.DiscoveryFreshness `json:"freshness"`
		Resources []struct {
			Resource     string                    `json:"resource"`
			Scope        discoveryv2.ResourceScope `json:"scope"`
			ResponseKind *struct {
				Kind string `json:"kind"`
			} `json:"responseKind"`
		} `json:"resources"`
	} `json:"versions"`
}

type plainVersion struct {
	Version string `json:"version"`
}

type plainGroup struct {
	Name      string         `json:"name"`
	Versions  []plainVersion `json:"versions"`
	Preferred plainVersion   `json:"preferredVersion"`
}

type plainList struct {
	Resources []struct {
		Name       string `json:"name"`
		Kind       string `json:"kind"`
		Namespaced bool   `json:"namespaced"`
	} `json:"resources"`
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
func (g *catalog) aggregated(items []groupItem, groups map[string]bool) {
	for _, item := range items {
		group := item.Metadata.Name
		if !groups[group] {
			continue
		}
		for _, v := range atMost(g, group, item.Versions) {
			if v.Freshness == discoveryv2.DiscoveryFreshnessStale {
				g.failed[group] = "the server behind " + objects.Safe(group+"/"+v.Version) + " does not answer"
			}
			for _, r := range v.Resources {
				if r.ResponseKind != nil {
					g.add(group, v.Version, r.ResponseKind.Kind, r.Resource, r.Scope == discoveryv2.ScopeNamespace)
				}
			}
		}
	}
}

// atMost gives as many versions of a group as are looked at. What only the others have is not known.
func atMost[T any](g *catalog, group string, versions []T) []T {
	if len(versions) <= maxVersions {
		return versions
	}
	g.failed[group] = fmt.Sprintf("the group has %d versions, and only %d are looked at", len(versions), maxVersions)
	return versions[:maxVersions]
}

// preferred lists a group's versions, the preferred one first.
func preferred(g *plainGroup) []string {
	var out []string
	if v := g.Preferred.Version; v != "" {
		out = append(out, v)
	}
	for _, v := range g.Versions[:min(len(g.Versions), 2*maxVersions)] { // atMost speaks of the rest
		if !slices.Contains(out, v.Version) {
			out = append(out, v.Version)
		}
	}
	return out
}

// versions asks for the kinds of each version of a group: the older form of discovery.
func (c *client) versions(ctx context.Context, out *catalog, group string, versions []string) error {
	for _, v := range atMost(out, group, versions) {
		if !nameSyntax.MatchString(v) {
			out.failed[group] = "the server has a version " + objects.Safe(v) + " of it, which is no name"
			continue
		}
		var list plainList
		err := c.small(ctx, request{path: apiPath(group, v)}, &list)
		switch {
		case asStatus(err) != nil && group != "":
			out.failed[group] = err.Error()
			continue
		case err != nil:
			return err
		}
		for _, r := range list.Resources {
			out.add(group, v, r.Kind, r.Name, r.Namespaced)
		}
	}
	return nil
}

func (g *catalog) add(group, version, kind, plural string, namespaced bool) {
	if strings.Contains(plural, "/") || group == "" && neverRead[plural] {
		return // a subresource, or a secret
	}
	if !nameSyntax.MatchString(plural) || !nameSyntax.MatchString(version) {
		g.failed[group] = "the server has " + objects.Safe(kind) + " as " + objects.Safe(plural) + " of " + objects.Safe(version) + ", which is not asked for"
		return
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
