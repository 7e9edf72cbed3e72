package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// proxy stands before the server, speaks to it as the administrator, and notes what is asked.
type proxy struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []*http.Request
	before func(*http.Request) // called before a request goes on
}

func newProxy(t *testing.T, before func(*http.Request)) *proxy {
	t.Helper()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{before: before}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: server.client.Transport}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Clone(r.Context()))
		p.mu.Unlock()
		if p.before != nil {
			p.before(r)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// lists gives the requests for lists of a kind.
func (p *proxy) lists(plural string) []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*http.Request
	for _, r := range p.asked {
		if path := r.URL.Path; len(path) > len(plural) && path[len(path)-len(plural)-1:] == "/"+plural {
			out = append(out, r)
		}
	}
	return out
}

// compact makes etcd forget every revision but the newest, as it does by itself every few minutes: tokens
// that continue a list are then expired.
func (s *Server) compact() error {
	var head struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	if err := s.etcd("range", map[string]any{"key": "YQ=="}, &head); err != nil {
		return err
	}
	return s.etcd("compaction", map[string]any{"revision": head.Header.Revision, "physical": true}, nil)
}

func (s *Server) etcd(call string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := http.Post(s.Etcd+"/v3/kv/"+call, "application/json", bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s: %s", call, resp.Status, body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}
