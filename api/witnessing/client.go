package witnessing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	formats "github.com/transparency-dev/formats/log"
	policy "github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/witness"
)

// maxAnswer bounds what a witness may answer.
const maxAnswer = 16 << 10

// ErrPolicy says that a policy of witnesses cannot be used.
var ErrPolicy = errors.New("policy of witnesses unusable")

// Policy says which witnesses there are and how many of them it takes.
type Policy struct{ group policy.Group }

// maxPolicy and maxWitnesses bound a policy.
const (
	maxPolicy    = 64 << 10
	maxWitnesses = 32
)

// ParsePolicy reads a policy in the C2SP tlog-policy form:
//
//	witness w1 witness.example/w1+5a6c7e1f+BJ… https://witness.example/w1
//	group quorum-group 2 w1 w2 w3
//	quorum quorum-group
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxPolicy {
		return nil, fmt.Errorf("reading policy of witnesses: %w: too long", ErrPolicy)
	}
	named := map[string]bool{}
	n := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] != "witness" {
			continue
		}
		u, err := url.Parse(f[3])
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
			return nil, fmt.Errorf("reading policy of witnesses: %w: want an address such as https://witness.example/w1"+
				" for %s", ErrPolicy, f[1])
		}
		n++
		named[strings.TrimRight(f[3], "/")] = true
	}
	if n > maxWitnesses || len(named) != n {
		return nil, fmt.Errorf("reading policy of witnesses: %w: more than %d, or two with one address", ErrPolicy,
			maxWitnesses)
	}
	g, err := policy.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("reading policy of witnesses: %w: %w", ErrPolicy, err)
	}
	keys := map[string]bool{}
	for _, v := range g.Endpoints() {
		key := fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash())
		if keys[key] {
			return nil, fmt.Errorf("reading policy of witnesses: %w: %s counts twice", ErrPolicy, key)
		}
		keys[key] = true
	}
	return &Policy{g}, nil
}

// Enough says whether a checkpoint has the cosignatures that the policy asks for.
func (p *Policy) Enough(checkpoint []byte) bool { return p.group.Satisfied(checkpoint) }

// Verifiers check the cosignatures of the policy's witnesses.
func (p *Policy) Verifiers() (list []note.Verifier) {
	for _, v := range p.group.Endpoints() {
		list = append(list, v)
	}
	return list
}

// Clients are the witnesses that the policy counts.
func (p *Policy) Clients() (list []audit.Witness) {
	http := newHTTP()
	for address, v := range p.group.Endpoints() {
		list = append(list, &Client{strings.TrimSuffix(address, "/add-checkpoint"), v, http})
	}
	return list
}

// newHTTP is a client that follows no redirects and waits for nothing long; the caller's context ends it sooner.
func newHTTP() *http.Client {
	return &http.Client{Timeout: time.Minute,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: 2 * time.Minute, MaxResponseHeaderBytes: 16 << 10, TLSHandshakeTimeout: 10 * time.Second,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Client is a witness elsewhere.
type Client struct {
	address  string
	verifier note.Verifier
	http     *http.Client
}

var _ audit.Witness = (*Client)(nil)

// Verifier implements [audit.Witness].
func (c *Client) Verifier() note.Verifier { return c.verifier }

// Cosign implements [audit.Witness].
func (c *Client) Cosign(ctx context.Context, old int64, proof tlog.TreeProof, head []byte) ([]byte, error) {
	body := witness.Request{Old: old, Proof: proof, Note: head}.Marshal()
	status, kind, text, err := c.do(ctx, http.MethodPost, "/add-checkpoint", body)
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
		return text, nil
	case http.StatusConflict:
		size, err := strconv.ParseInt(strings.TrimSuffix(string(text), "\n"), 10, 64)
		if err == nil && kind == sizeType && size >= 0 {
			return nil, &audit.KnowsError{Size: size}
		}
	}
	return nil, refused("status %d", status)
}

func refused(why string, values ...any) error {
	return &audit.RefusedError{Why: fmt.Sprintf(why, values...)}
}

// Newest implements [audit.Witness].
func (c *Client) Newest(ctx context.Context, origin string) ([]byte, error) {
	status, _, text, err := c.do(ctx, http.MethodGet, "/"+formats.ID(origin)+"/checkpoint", nil)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, fmt.Errorf("asking a witness: %w", audit.ErrNotFound)
	case status != http.StatusOK:
		return nil, refused("status %d", status)
	}
	return text, nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (status int, kind string, text []byte,
	err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.address+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, fmt.Errorf("asking a witness: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, fmt.Errorf("asking a witness: %w", err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = refused("its answer is too long")
	}
	if err != nil {
		return 0, "", nil, fmt.Errorf("asking a witness: %w", err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), text, nil
}
