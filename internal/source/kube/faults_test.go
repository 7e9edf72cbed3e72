package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"sallyport.dev/sallyport/internal/source/kube/fakeapi"
)

// answering gives a Fault that answers requests for pods with the n-th of a list of handlers, and
// with the last one from then on.
func answering(asked *atomic.Int32, handlers ...func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/pods" {
			return false
		}
		n := int(asked.Add(1)) - 1
		if h := handlers[min(n, len(handlers)-1)]; h != nil {
			h(w, r)
			return true
		}
		return false
	}
}

func refuse(code int, retryAfter string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		fakeapi.Refuse(w, code, "", "in trouble")
	}
}

func body(contentType, text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, text)
	}
}

// cut announces more than it sends, and hangs up.
func cut(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(text)+100))
		fmt.Fprint(w, text)
	}
}

func list(items string) string {
	return `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[` + items + `]}`
}

const pod = `{"metadata":{"name":"web","namespace":"shop"}}`

func TestFaults(t *testing.T) {
	sent := func(text string) []func(http.ResponseWriter, *http.Request) {
		return []func(http.ResponseWriter, *http.Request){body("application/json", text)}
	}
	handlers := func(h ...func(http.ResponseWriter, *http.Request)) []func(http.ResponseWriter, *http.Request) {
		return h
	}
	for _, c := range []struct {
		name    string
		answers []func(http.ResponseWriter, *http.Request) // nil: the server's own
		fails   string                                     // part of the error; empty: there is none
		asked   int32
		pauses  []time.Duration
	}{
		{name: "busy, then well", answers: handlers(refuse(429, "3"), refuse(429, ""), nil), asked: 3, pauses: []time.Duration{3 * time.Second, 400 * time.Millisecond}},
		{name: "in trouble, then well", answers: handlers(refuse(500, ""), refuse(503, "1"), nil), asked: 3, pauses: []time.Duration{200 * time.Millisecond, time.Second}},
		{name: "in trouble for good", answers: handlers(refuse(500, "")), asked: 5, fails: "500 Internal Server Error: in trouble",
			pauses: []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond}},
		{name: "busy for an hour", answers: handlers(refuse(429, "3600")), asked: 1, fails: "asks to wait for 1h0m0s"},
		{name: "a Retry-After that is none", answers: handlers(refuse(429, "-5"), refuse(429, "soon"), nil), asked: 3, pauses: []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}},
		{name: "bad request", answers: handlers(refuse(400, "")), asked: 1, fails: "400 Bad Request: in trouble"},
		{name: "hung up once", answers: handlers(cut(list(pod)[:40]), nil), asked: 2, pauses: []time.Duration{200 * time.Millisecond}},
		{name: "hung up always", answers: handlers(cut(list(pod)[:40])), asked: 2, fails: "breaks off in the middle", pauses: []time.Duration{200 * time.Millisecond}},
		{name: "hung up after a whole list", answers: handlers(cut(list(pod))), asked: 2, fails: "breaks off in the middle", pauses: []time.Duration{200 * time.Millisecond}},
		{name: "hung up between two items", answers: handlers(cut(strings.TrimSuffix(list(pod), "]}"))), asked: 2, fails: "breaks off in the middle", pauses: []time.Duration{200 * time.Millisecond}},
		{name: "half a list that claims to be whole", answers: sent(strings.TrimSuffix(list(pod), "]}")), asked: 2, fails: "breaks off in the middle", pauses: []time.Duration{200 * time.Millisecond}},
		{name: "nothing", answers: sent(""), asked: 2, fails: "breaks off in the middle", pauses: []time.Duration{200 * time.Millisecond}},
		{name: "no JSON", answers: sent("{pods}"), asked: 1, fails: "the answer is not JSON"},
		{name: "HTML", answers: handlers(body("text/html; charset=utf-8", "<html>log in</html>")), asked: 1, fails: "text/html; charset=utf-8 and not JSON (hint: is there a proxy"},
		{name: "HTML as an error", answers: handlers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(403)
			fmt.Fprint(w, "<html>\x1b[31mno</html>")
		}), asked: 1, fails: "the answer is text/html and not an API server's"},
		{name: "protobuf", answers: handlers(body("application/vnd.kubernetes.protobuf", "k8s\x00")), asked: 1, fails: "application/vnd.kubernetes.protobuf and not JSON"},
		{name: "no type", answers: handlers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, list(pod))
		}), asked: 1, fails: "of no type and not JSON"},
		{name: "a list of something else", answers: sent(`{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[]}`), asked: 1, fails: "a list SecretList of v1 where it should have PodList of v1"},
		{name: "an item of something else", answers: sent(list(pod + `,{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}`)), asked: 1, fails: "an item Secret of v1 where it should have Pod of v1"},
		{name: "a hostile item", answers: sent(list(`{"kind":"\u001b[31m","apiVersion":"v1"}`)), asked: 1, fails: `"\x1b[31m"`},
		{name: "no list", answers: sent(`{"kind":"PodList","apiVersion":"v1","metadata":{}}`), asked: 1, fails: "it has no items"},
		{name: "a bare list", answers: sent(`[]`), asked: 1, fails: "no list but other JSON"},
		{name: "items that are none", answers: sent(`{"items":{}}`), asked: 1, fails: "items is not a list"},
		{name: "items twice", answers: sent(`{"items":[],"items":[]}`), asked: 1, fails: "the field items twice"},
		{name: "two answers in one", answers: sent(list("") + list("")), asked: 1, fails: "goes on after its end"},
		{name: "a token that is no text", answers: sent(`{"metadata":{"continue":5},"items":[]}`), asked: 1, fails: "metadata of the list cannot be decoded"},
		{name: "the same page for ever", answers: sent(`{"metadata":{"continue":"again"},"items":[]}`), asked: 2, fails: "the same page again and again"},
		{name: "a huge item", answers: handlers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"items":[{"metadata":{"name":"`)
			for chunk := strings.Repeat("a", 1<<20); ; {
				if _, err := fmt.Fprint(w, chunk); err != nil {
					return
				}
			}
		}), asked: 1, fails: "an object that is larger than 16 MiB"},
		{name: "white space for ever", answers: handlers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for chunk := strings.Repeat(" ", 1<<20); ; {
				if _, err := fmt.Fprint(w, chunk); err != nil {
					return
				}
			}
		}), asked: 1, fails: "larger than 16 MiB"},
		{name: "fields for ever", answers: handlers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"items":[]`)
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, `,"field%d":0`, i); err != nil {
					return
				}
			}
		}), asked: 1, fails: "no list: it has more than 32 fields"},
		{name: "empty pages for ever", answers: handlers(func(w http.ResponseWriter, r *http.Request) {
			next := "a"
			if r.URL.Query().Get("continue") == "a" {
				next = "b"
			}
			body("application/json", `{"metadata":{"continue":"`+next+`"},"items":[]}`)(w, r)
		}), asked: maxPages, fails: "more than 10000 pages"},
		{name: "an item of something else with odd metadata", answers: sent(list(`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"a","resourceVersion":5}}`)), asked: 1,
			fails: "an item Namespace of v1 where it should have Pod of v1"},
		{name: "no items, as null", answers: sent(`{"kind":"PodList","metadata":{},"items":null}`), asked: 1},
		{name: "items before all else", answers: sent(`{"items":[` + pod + `],"metadata":{},"apiVersion":"v1","kind":"PodList"}`), asked: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			server, client := fake(t, shop)
			var asked atomic.Int32
			server.Fault = answering(&asked, c.answers...)
			var pauses []time.Duration
			client.pause = func(_ context.Context, d time.Duration) error {
				pauses = append(pauses, d)
				return nil
			}
			_, err := read(t, client, Options{})
			switch {
			case c.fails == "" && err != nil:
				t.Errorf("%v", err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v, want %q", err, c.fails)
			case err != nil && !strings.Contains(err.Error(), "/api/v1/pods"):
				t.Errorf("the message does not name the request: %v", err)
			case err != nil && strings.ContainsAny(err.Error(), "\x1b\x00\n"):
				t.Errorf("a raw text of the server's: %q", err)
			}
			if asked.Load() != c.asked || fmt.Sprint(pauses) != fmt.Sprint(c.pauses) {
				t.Errorf("asked %d times with pauses %v, want %d with %v", asked.Load(), pauses, c.asked, c.pauses)
			}
		})
	}
}

// TestTimeout: a body that trickles, or never comes, ends with the request's time.
func TestTimeout(t *testing.T) {
	for name, send := range map[string]func(w http.ResponseWriter, stop <-chan struct{}){
		"trickles": func(w http.ResponseWriter, stop <-chan struct{}) {
			fmt.Fprint(w, `{"items":[`)
			for {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		},
		"never begins": func(_ http.ResponseWriter, stop <-chan struct{}) { <-stop },
	} {
		t.Run(name, func(t *testing.T) {
			server, c := fake(t, shop)
			c.timeout = 50 * time.Millisecond
			var asked atomic.Int32
			server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/version" {
					return false
				}
				asked.Add(1)
				w.Header().Set("Content-Type", "application/json")
				send(w, r.Context().Done())
				return true
			}
			_, err := read(t, c, Options{})
			if err == nil || !strings.Contains(err.Error(), "/version: no whole answer within 50ms (hint: --request-timeout") || asked.Load() != maxBroken {
				t.Errorf("%v after %d requests", err, asked.Load())
			}
		})
	}
}

// TestRedirect: the credentials go to the server that was named, and nowhere else.
func TestRedirect(t *testing.T) {
	var stolen atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer elsewhere.Close()
	server, c := fake(t, shop)
	var token string
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		token = r.Header.Get("Authorization")
		w.Header().Set("Location", elsewhere.URL+"/\u202e")
		w.WriteHeader(http.StatusFound)
		return true
	}
	_, err := read(t, c, Options{})
	if err == nil || !strings.Contains(err.Error(), "302 Found: to ") || !strings.Contains(err.Error(), "not followed") || strings.Contains(err.Error(), "\u202e") {
		t.Errorf("%v", err)
	}
	if stolen.Load() > 0 || token != "Bearer secret-token" {
		t.Errorf("%d requests elsewhere, token %q", stolen.Load(), token)
	}
}

// TestNoAPIServer: something else answers at the address.
func TestNoAPIServer(t *testing.T) {
	for answer, want := range map[string]string{
		`{"hello":"world"}`:                       "is this a Kubernetes API server?",
		`{"kind":"APIVersions"}`:                  "the server has no NetworkPolicy",
		`{"kind":"\u001b[31m"}`:                   `"\x1b[31m"`,
		`{"kind":"APIGroupList"}`:                 "the server has no NetworkPolicy",
		`"` + strings.Repeat("a", maxSmall) + `"`: "larger than 16 MiB",
	} {
		c := start(t, http.HandlerFunc(body("application/json", answer)))
		if _, err := read(t, c, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", answer, err, want)
		}
	}
}

// TestHostileDiscovery: names that discovery gives never become paths that nobody meant.
func TestHostileDiscovery(t *testing.T) {
	server, c := fake(t, shop)
	server.Legacy = true
	server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/apis/apps/v1" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"APIResourceList","resources":[{"name":"../../api/v1/secrets","kind":"Deployment","namespaced":true},{"name":"deployments/status","kind":"Deployment"},{"name":"Secrets?x","kind":"StatefulSet"}]}`)
		return true
	}
	mustRead(t, c, Options{})
	for _, r := range server.Requests() {
		if strings.Contains(strings.ToLower(r), "secrets") || strings.Contains(r, "..") || strings.Contains(r, "status") {
			t.Errorf("asked: %s", r)
		}
	}
}

// TestSecretsUnderAnotherName: what a server calls a list of pods is not asked for where it holds Secrets.
func TestSecretsUnderAnotherName(t *testing.T) {
	for plural := range neverRead {
		server, c := fake(t, shop)
		server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api" {
				return false
			}
			body("application/json", `{"kind":"APIGroupDiscoveryList","items":[{"metadata":{},"versions":[{"version":"v1","resources":[
				{"resource":"`+plural+`","responseKind":{"kind":"Pod"},"scope":"Namespaced"}]}]}]}`)(w, r)
			return true
		}
		if _, err := read(t, c, Options{}); err == nil || !strings.Contains(err.Error(), "the server has no Pod") {
			t.Errorf("%v", err)
		}
		for _, r := range server.Requests() {
			if strings.Contains(r, plural) {
				t.Errorf("asked: %s", r)
			}
		}
	}
}

// TestDiscoveryIsSmall: an answer takes no more memory than a few times its text.
func TestDiscoveryIsSmall(t *testing.T) {
	for _, list := range []string{`"items":[`, `"groups":[`, `"items":[{"versions":[`, `"items":[{"versions":[{"resources":[`} {
		text := []byte(`{` + list + strings.Repeat("{},", 1<<18) + `{}` + strings.Repeat("]}", strings.Count(list, "[")))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		runtime.ReadMemStats(&after)
		if times := (after.TotalAlloc - before.TotalAlloc) / uint64(len(text)); times > 150 {
			t.Errorf("%s takes %d times the memory of its text", list, times)
		}
	}
}

// TestCertificate: a server that cannot be believed is asked once.
func TestCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	c, err := newClient(&rest.Config{Host: server.URL, BearerToken: "secret-token"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.pause = func(context.Context, time.Duration) error {
		t.Error("it tries again")
		return nil
	}
	if _, err := read(t, c, Options{}); err == nil || !strings.Contains(err.Error(), "certificate") || !strings.Contains(err.Error(), "/version") {
		t.Errorf("%v", err)
	}
}

// TestStale: an API server behind the API server that does not answer hides what it would serve.
func TestStale(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		server, c := fake(t, shop)
		server.Legacy = legacy
		server.Kinds = append(server.Kinds, fakeapi.Kind{Group: "projectcalico.org", Version: "v3", Kind: "GlobalNetworkPolicy"})
		server.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/apis/projectcalico.org/v3":
				fakeapi.Refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "no endpoints")
			case r.URL.Path == "/apis" && !legacy:
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"kind":"APIGroupDiscoveryList","items":[
					{"metadata":{"name":"networking.k8s.io"},"versions":[{"version":"v1","resources":[{"resource":"networkpolicies","responseKind":{"kind":"NetworkPolicy"},"scope":"Namespaced"}]}]},
					{"metadata":{"name":"projectcalico.org"},"versions":[{"version":"v3","freshness":"Stale"}]}]}`)
			default:
				return false
			}
			return true
		}
		s := mustRead(t, c, Options{})
		if got := unread(s); !strings.Contains(got, "foreign: GlobalNetworkPolicy of projectcalico.org: ") || !strings.Contains(got, "foreign: NetworkPolicy of projectcalico.org: ") {
			t.Errorf("legacy %v: %q", legacy, got)
		}
	}
}
