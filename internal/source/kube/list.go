package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/source/objects"
)

const (
	pageSize = 500
	// maxReadings is how often a list is begun that expires while it is read.
	maxReadings = 3
	// maxObjects is beyond what Kubernetes supports of any kind; it ends a list that has no end.
	maxObjects = 2_000_000
	// maxPages ends a list whose pages are empty: whole ones would hold more than maxObjects.
	maxPages = 10_000
)

// listing is one kind of one server, in all namespaces or in one.
type listing struct {
	served
	group, kind string
	namespace   string // empty: all, or a cluster-wide kind
}

func (l *listing) path() string {
	p := apiPath(l.group, l.version)
	if l.namespace != "" {
		p += "/namespaces/" + l.namespace
	}
	return p + "/" + l.plural
}

func (l *listing) apiVersion() string {
	if l.group == "" {
		return l.version
	}
	return l.group + "/" + l.version
}

// result is a list that was read to its end.
type result struct {
	objects    *objects.Builder
	daemonSets []platform.DaemonSet
	revision   string
	count      int
}

// list reads a list to its end, or gives an error and nothing of it. The pages of a list are of one
// moment; where that has expired, the list is read again from the beginning.
func (r *reader) list(ctx context.Context, l *listing) (*result, error) {
	for reading := 1; ; reading++ {
		out, err := r.pages(ctx, l)
		if !isStatus(err, http.StatusGone) {
			return out, err
		}
		if reading == maxReadings {
			return nil, fmt.Errorf("%w (the list expired %d times before it was read to its end: the connection is too slow for it)", err, reading)
		}
	}
}

func (r *reader) pages(ctx context.Context, l *listing) (*result, error) {
	out := &result{objects: objects.NewBuilder(r.objects)}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for pages := 1; ; pages++ {
		p, next, err := r.page(ctx, l, query)
		if err != nil {
			return nil, err
		}
		out.objects.Absorb(p.objects)
		out.daemonSets = append(out.daemonSets, p.daemonSets...)
		out.count += p.count
		if out.revision == "" {
			out.revision = p.revision
		}
		r.progress(l.plural, out.count)
		name := r.client.name(request{path: l.path()})
		switch {
		case next == "":
			return out, nil
		case next == query.Get("continue"):
			return nil, fmt.Errorf("%s: the server sends the same page again and again", name)
		case out.count > maxObjects:
			return nil, fmt.Errorf("%s: more than %d objects", name, maxObjects)
		case pages == maxPages:
			return nil, fmt.Errorf("%s: more than %d pages", name, maxPages)
		}
		query.Set("continue", next)
	}
}

// page reads one page. A request that is sent again begins with nothing.
func (r *reader) page(ctx context.Context, l *listing, query url.Values) (out *result, next string, err error) {
	err = r.client.get(ctx, request{path: l.path(), query: query}, func(body io.Reader) error {
		out = &result{objects: objects.NewBuilder(r.objects)}
		p, err := readPage(body, func(item []byte) error { return out.add(l, item) })
		if err != nil {
			return err
		}
		if err := l.check("list", p.apiVersion, p.kind, l.kind+"List"); err != nil {
			return err
		}
		next, out.revision = p.next, opaque(p.revision)
		return nil
	})
	return out, next, err
}

// add takes one item of a page.
func (out *result) add(l *listing, item []byte) error {
	h := headOf(item)
	if err := l.check("item", h.APIVersion, h.Kind, l.kind); err != nil {
		return err
	}
	out.count++
	out.objects.Add(objects.Doc{JSON: item, Origin: cluster.Origin{ResourceVersion: h.revision}, FromServer: true,
		APIVersion: l.apiVersion(), Kind: l.kind})
	if l.kind == "DaemonSet" {
		if ds, ok := daemonSet(item); ok {
			out.daemonSets = append(out.daemonSets, ds)
		}
	}
	return nil
}

// check refuses what is not of the kind that was asked for; items of a list need not say theirs.
func (l *listing) check(what, apiVersion, kind, wanted string) error {
	if (kind == "" || kind == wanted) && (apiVersion == "" || apiVersion == l.apiVersion()) {
		return nil
	}
	return malformedf("the answer has %s %s of %s where it should have %s of %s",
		article(what), objects.Safe(kind), objects.Safe(apiVersion), wanted, l.apiVersion())
}

func article(what string) string {
	if what == "item" {
		return "an " + what
	}
	return "a " + what
}

// exists tells whether there is at least one object; it is asked of versions that are not read.
func (r *reader) exists(ctx context.Context, l *listing) (bool, error) {
	found := false
	err := r.client.get(ctx, request{path: l.path(), query: url.Values{"limit": {"1"}}}, func(body io.Reader) error {
		p, err := readPage(body, func([]byte) error { return nil })
		found = err == nil && p.items > 0
		return err
	})
	return found, err
}

// one reads a single object.
func (r *reader) one(ctx context.Context, l *listing, name string) (*result, error) {
	var out *result
	err := r.client.get(ctx, request{path: l.path() + "/" + name}, func(body io.Reader) error {
		data, err := whole(body, maxItem)
		if err != nil {
			return err
		}
		out = &result{objects: objects.NewBuilder(r.objects)}
		return out.add(l, data)
	})
	return out, err
}
