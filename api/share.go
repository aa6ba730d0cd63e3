package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/precept-cds/precept/engine"
)

// maxWait is how long a request waits for a place or for bytes, before it is
// refused: enough to level out a burst, and no queue that grows.
const maxWait = 100 * time.Millisecond

// How many bodies of a kind a tenant may have under way, where its policy does
// not say. Of statements it is a person's.
const (
	searchPlaces    = 8
	statementPlaces = 4
)

// statementShare bounds the bytes of statements, which do not count with other
// bodies: what takes power away is not held up by calls and uploads.
const statementShare = 16 << 20

// kind is what a body is for. Each has places of its own.
type kind int

const (
	aCall kind = iota
	anUpload
	aSearch
	aStatement
	kinds
)

// want is what a request needs before its body is read, and then holds until it is
// answered.
type want struct {
	who   string // whose share it is: a tenant's, for statements a person's
	kind  kind
	most  int // places of the kind; 0 if one is held already
	bytes int64
	ready chan struct{} // closed when it is given
}

// shares are the bytes of bodies that a region holds at once, or the calls that it
// works on. Nobody may hold more
// than what is then left: one alone gets half, two get a third each, and there is
// always something for who comes next.
type shares struct {
	full error // what who finds nothing left is told

	mu      sync.Mutex
	total   int64
	used    int64
	held    map[string]*holding
	waiting []*want // oldest first
}

type holding struct {
	bytes  int64
	places [kinds]int
}

func newShares(total int64, full error) *shares {
	return &shares{total: total, full: full, held: map[string]*holding{}}
}

func (s *shares) resize(total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = total
	s.wake()
}

// take gives what is wanted, now or after a short wait. What waits of one who has
// no place more is bounded by the places.
func (s *shares) take(ctx context.Context, w *want) error {
	s.mu.Lock()
	waiting := 0
	for _, other := range s.waiting {
		if other.who == w.who {
			waiting++
		}
	}
	why := s.lacks(w)
	if why == nil && waiting == 0 {
		s.give(w)
		s.mu.Unlock()
		return nil
	}
	if w.most > 0 && waiting >= w.most {
		s.mu.Unlock()
		return engine.ErrBusy
	}
	w.ready = make(chan struct{})
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	enough := time.NewTimer(maxWait)
	defer enough.Stop()
	select {
	case <-w.ready:
		return nil
	case <-enough.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, w)
	if i < 0 {
		return nil // given at the last moment
	}
	s.waiting = slices.Delete(s.waiting, i, i+1)
	if why = s.lacks(w); why == nil {
		s.give(w)
	}
	return why
}

// lacks says why what is wanted cannot be given now.
func (s *shares) lacks(w *want) error {
	h := s.held[w.who]
	if h == nil {
		h = &holding{}
	}
	switch {
	case w.most > 0 && h.places[w.kind] >= w.most:
		return engine.ErrBusy
	case h.bytes+w.bytes > s.total-s.used-w.bytes:
		return s.full
	}
	return nil
}

func (s *shares) give(w *want) {
	h := s.held[w.who]
	if h == nil {
		h = &holding{}
		s.held[w.who] = h
	}
	if w.most > 0 {
		h.places[w.kind]++
	}
	h.bytes += w.bytes
	s.used += w.bytes
}

// release takes back bytes, and the place if it goes with them.
func (s *shares) release(w *want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[w.who]
	if w.most > 0 {
		h.places[w.kind]--
	}
	h.bytes -= w.bytes
	s.used -= w.bytes
	if *h == (holding{}) {
		delete(s.held, w.who)
	}
	s.wake()
}

// wake gives to those who wait: who holds least comes first, and of equals who came
// first. Who wants too much is passed over. So a flood of one delays itself.
func (s *shares) wake() {
	for {
		next, least := -1, int64(0)
		for i, w := range s.waiting {
			if holds := s.holds(w.who); (next < 0 || holds < least) && s.lacks(w) == nil {
				next, least = i, holds
			}
		}
		if next < 0 {
			return
		}
		w := s.waiting[next]
		s.waiting = slices.Delete(s.waiting, next, next+1)
		s.give(w)
		close(w.ready)
	}
}

func (s *shares) holds(who string) int64 {
	if h := s.held[who]; h != nil {
		return h.bytes
	}
	return 0
}

func (s *shares) inUse() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// share is what one exchange holds.
type share struct {
	of   *shares
	want want
}

// take adds to what the exchange holds; the first time with a place.
func (x *exchange) take(bytes int64) error {
	w := x.share.want
	if w.bytes > 0 {
		w.most = 0
	}
	w.bytes = bytes
	if err := x.share.of.take(x.r.Context(), &w); err != nil {
		return err
	}
	x.share.want.bytes += bytes
	return nil
}

// giveBack takes bytes that are no longer needed from what the exchange holds.
func (x *exchange) giveBack(bytes int64) {
	x.share.of.release(&want{who: x.share.want.who, bytes: bytes})
	x.share.want.bytes -= bytes
}

// letGo ends what the exchange holds, if it holds anything.
func (x *exchange) letGo() {
	if x.share.want.bytes > 0 {
		x.share.of.release(&x.share.want)
	}
}
