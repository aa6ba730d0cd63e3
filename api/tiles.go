package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/time/rate"

	"github.com/precept-cds/precept/engine/audit"
)

// Logs as C2SP tlog-tiles has them: checkpoint, tile/<level>/<n>[.p/<width>] and
// tile/entries/<n>[.p/<width>]. Those of a tenant are for its persons. The
// region's own is for everybody, without a token: whoever holds an old
// checkpoint of it need not be known to the region, and there is nothing in it
// to be kept from anybody. Strangers have few places and a pace of their own.

// regionPlaces bounds the requests for the region's log that are worked on at
// once.
const regionPlaces = 4

// strangers is what those may take of a node who need prove nothing.
type strangers struct {
	places chan struct{}
	pace   atomic.Pointer[rate.Limiter]
}

func newStrangers() *strangers { return &strangers{places: make(chan struct{}, regionPlaces)} }

// resize begins with a full bucket.
func (s *strangers) resize(perSecond int) {
	s.pace.Store(rate.NewLimiter(rate.Limit(perSecond), paceKept*perSecond))
}

// take waits a moment for a place.
func (s *strangers) take(ctx context.Context, now time.Time) (leave func(), err error) {
	if !s.pace.Load().AllowN(now, 1) {
		return nil, errRate
	}
	enough := time.NewTimer(maxWait)
	defer enough.Stop()
	select {
	case s.places <- struct{}{}:
		return func() { <-s.places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-enough.C:
		return nil, errNoTurn
	}
}

// toStrangers lets a stranger have something of the region's log.
func (s *Server) toStrangers(x *exchange, answer func() error) error {
	leave, err := s.strangers.take(x.r.Context(), s.cfg.Clock())
	if err != nil {
		return err
	}
	defer leave()
	return answer()
}

// regionCheckpoint sends the newest head of the region's log, with the
// cosignatures that it has.
func (s *Server) regionCheckpoint(x *exchange) error { return s.regionNote(x, s.engine.RegionHead) }

// regionWitnessed sends the newest head of the region's log that has enough
// cosignatures.
func (s *Server) regionWitnessed(x *exchange) error { return s.regionNote(x, s.engine.RegionWitnessed) }

func (s *Server) regionNote(x *exchange, read func(context.Context) (audit.Head, error)) error {
	return s.toStrangers(x, func() error {
		h, err := read(x.r.Context())
		if err != nil {
			return err
		}
		x.reply(http.StatusOK, noteType, h.Note)
		return nil
	})
}

// regionTile sends hashes or leaves of the region's log.
func (s *Server) regionTile(x *exchange) error {
	return s.toStrangers(x, func() error {
		n, entries, err := parseTile(x.param("*"))
		if err != nil {
			return err
		}
		var data []byte
		if entries {
			data, err = s.engine.RegionEntries(x.r.Context(), int(n.N), n.W)
		} else {
			data, err = s.engine.RegionTile(x.r.Context(), n.L, int(n.N), n.W)
		}
		if err != nil {
			return err
		}
		x.reply(http.StatusOK, tileType, data)
		return nil
	})
}

const (
	noteType = "text/plain; charset=utf-8"
	tileType = "application/octet-stream"
)

// checkpoint sends the newest signed head of one of the tenant's logs.
func (s *Server) checkpoint(x *exchange) error {
	log, err := x.logName()
	if err != nil {
		return err
	}
	note, err := s.engine.Checkpoint(x.r.Context(), x.caller, log)
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, noteType, note)
	return nil
}

// tile sends hashes or leaves of one of the tenant's logs.
func (s *Server) tile(x *exchange) error {
	log, err := x.logName()
	if err != nil {
		return err
	}
	t, entries, err := parseTile(x.param("*"))
	if err != nil {
		return err
	}
	var data []byte
	if entries {
		data, err = s.engine.Entries(x.r.Context(), x.caller, log, int(t.N), t.W)
	} else {
		data, err = s.engine.Tile(x.r.Context(), x.caller, log, t.L, int(t.N), t.W)
	}
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, tileType, data)
	return nil
}

// anchor proves that a head of one of the tenant's logs is in the region's log:
// the smallest that has the leaves asked for.
func (s *Server) anchor(x *exchange) error {
	log, err := x.logName()
	if err != nil {
		return err
	}
	size := int64(1)
	if given := x.r.URL.Query()["size"]; len(given) > 0 {
		size, err = strconv.ParseInt(given[0], 10, 64)
		if err != nil || len(given) != 1 || size < 1 {
			return badParameter("size", "a number of leaves")
		}
	}
	a, err := s.engine.Anchored(x.r.Context(), x.caller, log, size)
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, noteType, a.Marshal())
	return nil
}

// parseTile reads what comes after "tile/". Paths that C2SP does not write
// this way name nothing.
func parseTile(path string) (t tlog.Tile, entries bool, err error) {
	bundle, entries := strings.CutPrefix(path, "entries/")
	if entries {
		path = "0/" + bundle
	}
	t, err = tlog.ParseTilePath("tile/8/" + path)
	if err != nil || t.L < 0 {
		return tlog.Tile{}, false, fmt.Errorf("reading tile path: %w", audit.ErrNotFound)
	}
	return t, entries, nil
}
