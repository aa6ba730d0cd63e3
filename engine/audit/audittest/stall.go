package audittest

import (
	"context"
	"sync"

	"github.com/precept-cds/precept/engine/audit"
)

// Stalling is a store on a disk that hangs at times: reads and commits that meet that do not come back before it has
// passed, whatever becomes of their callers.
type Stalling struct {
	audit.Store

	mu   sync.Mutex
	gate chan struct{} // closed when the stall is over; nil if there is none
}

// NewStalling wraps a store that does not stall yet.
func NewStalling(s audit.Store) *Stalling { return &Stalling{Store: s} }

// Stall hangs what begins from now on, until Resume.
func (s *Stalling) Stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate == nil {
		s.gate = make(chan struct{})
	}
}

// Resume lets everything go on.
func (s *Stalling) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil {
		close(s.gate)
		s.gate = nil
	}
}

func (s *Stalling) wait() {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

// View implements [audit.Store].
func (s *Stalling) View(ctx context.Context, fn func(audit.View) error) error {
	s.wait()
	return s.Store.View(ctx, fn)
}

// Commit implements [audit.Store].
func (s *Stalling) Commit(ctx context.Context, b *audit.Batch) error {
	s.wait()
	return s.Store.Commit(ctx, b)
}

// Metered is a store whose space a test sets.
type Metered struct {
	audit.Store

	mu   sync.Mutex
	room audit.Room
}

// NewMetered wraps a store that has so much space.
func NewMetered(s audit.Store, r audit.Room) *Metered { return &Metered{Store: s, room: r} }

// Set changes how many bytes are free.
func (m *Metered) Set(free int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room.Free = free
}

// Room implements [audit.Meter].
func (m *Metered) Room() (audit.Room, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.room, nil
}
