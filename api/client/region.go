package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Region reads a region's own log, for which nobody need prove who they are. It
// is safe for concurrent use.
type Region struct {
	url  string
	http *http.Client
}

// NewRegion makes a reader of the log of the region that is reached under a URL,
// without a slash at the end.
func NewRegion(url string) (*Region, error) {
	if err := checkBase(url); err != nil {
		return nil, err
	}
	return &Region{url, newHTTP()}, nil
}

// Checkpoint reads the newest signed head, with the cosignatures it has.
func (r *Region) Checkpoint(ctx context.Context) ([]byte, error) { return r.get(ctx, "checkpoint") }

// Witnessed reads the newest head that enough witnesses have cosigned.
func (r *Region) Witnessed(ctx context.Context) ([]byte, error) { return r.get(ctx, "witnessed") }

// Tile reads hashes of the log's tree.
func (r *Region) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	t.H = tileHeight
	return r.get(ctx, "tile/"+strings.TrimPrefix(t.Path(), "tile/8/"))
}

func (r *Region) get(ctx context.Context, path string) ([]byte, error) {
	answer, _, err := do(ctx, r.http, request{method: http.MethodGet, url: r.url + "/v1/log/anchor/" + path})
	if err != nil {
		return nil, fmt.Errorf("reading the region's log: %w", err)
	}
	return answer, nil
}

// Anchor reads the proof, in the C2SP tlog-proof form, that a head of a log, the
// smallest with so many leaves or more, is in the region's log.
func (c *Client) Anchor(ctx context.Context, log string, size int64) ([]byte, error) {
	return c.send(ctx, http.MethodGet, fmt.Sprintf("log/%s/anchor?size=%d", log, size), "", nil)
}
