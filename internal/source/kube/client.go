package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"sallyport.dev/sallyport/internal/source/objects"
)

const (
	// maxAttempts is how often a request is sent where the server is busy or in trouble, and
	// maxBroken where the connection breaks or the answer takes too long.
	maxAttempts = 5
	maxBroken   = 2
	firstPause  = 200 * time.Millisecond
	// maxPause is the longest Retry-After that is waited for.
	maxPause = 30 * time.Second
	// maxSmall bounds every body that is read as a whole: discovery and the version.
	maxSmall = 16 << 20
	// maxStatus is how much of an error's body is looked at.
	maxStatus = 64 << 10
)

// client sends GET requests to one API server.
type client struct {
	http    *http.Client
	base    *url.URL
	timeout time.Duration // of one request with its body; 0: none
	pause   func(context.Context, time.Duration) error
}

func newClient(config *rest.Config, timeout time.Duration) (*client, error) {
	c := rest.CopyConfig(config)
	c.Timeout = 0 // ours covers the body as well and is told apart from other errors
	base, _, err := rest.DefaultServerUrlFor(c)
	if err != nil {
		return nil, errors.New("the kubeconfig's server: " + Text(err))
	}
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, errors.New("the kubeconfig: " + Text(err))
	}
	// The transport puts the credentials into every request, wherever it goes.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{http: h, base: base, timeout: timeout, pause: pause}, nil
}

// userinfo is what stands before the @ of a URL, and more where there are two: rather a word too few than
// a password, which may hold any character where the URL is not valid.
var userinfo = regexp.MustCompile(`(?s)//.*@`)

// Text gives the message of a library for clients as it may be printed: on one line, harmless, and without
// the password of a URL that stands in it.
func Text(err error) string {
	return objects.SafeText(userinfo.ReplaceAllString(err.Error(), "//…@"))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// request is one GET. The path is made of checked names and needs no escaping.
type request struct {
	path   string
	query  url.Values
	accept string // empty: JSON
}

func (c *client) url(r request) *url.URL {
	u := *c.base
	u.Path = strings.TrimRight(u.Path, "/") + r.path
	u.RawQuery = r.query.Encode()
	return &u
}

// name names a request in messages; a continue token says nothing to people.
func (c *client) name(r request) string {
	u := c.url(request{path: r.path})
	u.User = nil
	return "GET " + objects.SafeText(u.String())
}

// statusError is an answer of the server that is not the thing asked for.
type statusError struct {
	request string
	code    int
	message string
	after   time.Duration // Retry-After; 0: not said
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s: the server says %d %s", e.request, e.code, http.StatusText(e.code))
	if e.message != "" {
		text += ": " + e.message
	}
	switch {
	case e.code == http.StatusUnauthorized:
		text += " (hint: log in again, or choose a user with --user or --context)"
	case e.code >= 300 && e.code < 400:
		text += " (not followed, because the credentials would go along; hint: give the address itself with --server)"
	}
	return text
}

// asStatus gives the server's answer in an error, or nil.
func asStatus(err error) *statusError {
	var s *statusError
	errors.As(err, &s)
	return s
}

func isStatus(err error, codes ...int) bool {
	s := asStatus(err)
	return s != nil && slices.Contains(codes, s.code)
}

// isForbidden tells whether the server refuses to show something to this user.
func isForbidden(err error) bool {
	return isStatus(err, http.StatusForbidden, http.StatusUnauthorized)
}

// malformed is an answer that makes no sense, and would make none if it were asked for again.
type malformed struct{ text string }

func (e *malformed) Error() string { return e.text }

func malformedf(format string, args ...any) error { return &malformed{fmt.Sprintf(format, args...)} }

// get sends a request, again where that may help, and has its body read. After an error of read
// the body is asked for again from its beginning, so that read must start anew each time.
func (c *client) get(ctx context.Context, r request, read func(io.Reader) error) error {
	broken := 0
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, r, read)
		s := asStatus(err)
		wait := firstPause << (attempt - 1)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case s != nil:
			if !s.again(attempt) {
				return err
			}
			wait = cmp.Or(s.after, wait)
			if wait > maxPause {
				return fmt.Errorf("%w (it asks to wait for %s, which is too long)", err, wait)
			}
		default:
			if broken++; broken == maxBroken || isPermanent(err) {
				return fmt.Errorf("%s: %w", c.name(r), inWords(err, c.timeout))
			}
		}
		if err := c.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// again tells whether an answer may be another one the next time. A 401 is asked once more because
// a plugin for credentials renews them only when it sees one.
func (e *statusError) again(attempt int) bool {
	switch e.code {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return attempt < maxAttempts
	case http.StatusUnauthorized:
		return attempt == 1
	}
	return false
}

// isPermanent tells of errors that no second attempt changes.
func isPermanent(err error) bool {
	var m *malformed
	var dns *net.DNSError
	var unknown *url.Error
	if errors.As(err, &m) || errors.As(err, &dns) || errors.Is(err, syscall.ECONNREFUSED) {
		return true
	}
	// Everything else that happened before an answer came (certificates, proxies, credentials) is
	// said to the user at once; a connection that was cut is tried again.
	return errors.As(err, &unknown) && !unknown.Timeout() && !isCut(err)
}

func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// inWords says a transport's error so that people know what to do about it.
func inWords(err error, timeout time.Duration) error {
	var u *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no whole answer within %s (hint: --request-timeout allows more)", timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused (hint: is this the right cluster? see --context and --server)")
	case isCut(err):
		return errors.New("the answer breaks off in the middle")
	case errors.As(err, &u):
		return errors.New(Text(u.Err))
	}
	return errors.New(Text(err))
}

// once sends a request one time.
func (c *client) once(ctx context.Context, r request, read func(io.Reader) error) error {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(r).String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", cmp.Or(r.accept, "application/json"))
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refusal(r, resp)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return malformedf("the answer is %s and not JSON (hint: is there a proxy or a login page before the API server?)", contentType(resp))
	}
	err = read(resp.Body)
	if ctx.Err() != nil { // whatever the reader made of a body that stopped
		return ctx.Err()
	}
	return err
}

func contentType(resp *http.Response) string {
	return objects.Safe(cmp.Or(resp.Header.Get("Content-Type"), "of no type"))
}

// refusal makes an error of an answer that is not 200, with the server's own words if it has some.
func (c *client) refusal(r request, resp *http.Response) error {
	e := &statusError{request: c.name(r), code: resp.StatusCode}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	var status metav1.Status
	switch err := json.Unmarshal(data, &status); {
	case err == nil && status.Kind == "Status":
		e.message = objects.SafeText(status.Message)
	case resp.StatusCode < 300 || resp.StatusCode >= 400:
		e.message = "the answer is " + contentType(resp) + " and not an API server's"
	default:
		e.message = "to " + objects.Safe(resp.Header.Get("Location"))
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.after = time.Duration(min(n, 1<<20)) * time.Second
	}
	return e
}

// small reads a body as a whole into v.
func (c *client) small(ctx context.Context, r request, v any) error {
	return c.get(ctx, r, func(body io.Reader) error {
		data, err := whole(body, maxSmall)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, v); err != nil {
			return malformedf("the answer cannot be decoded: %s", objects.SafeText(err.Error()))
		}
		return nil
	})
}

// whole reads a body as a whole, up to a size.
func whole(body io.Reader, most int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, int64(most)+1))
	if err == nil && len(data) > most {
		err = malformedf("the answer is larger than %d MiB", most>>20)
	}
	return data, err
}
