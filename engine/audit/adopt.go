package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/precept-cds/precept/engine/tenant"
)

// noteSchema is the layout of the body of an adoption: that of the engine's other small records.
const noteSchema = "precept-note/1"

// An adoption is one log that a start took as it is in the store, although the mark lacks it or knows more of it.
type adoption struct {
	Kind    string `json:"kind"`    // of log
	Marked  string `json:"marked"`  // head that the mark knew; empty if none
	Adopted string `json:"adopted"` // head in the store; empty if it has no such log
}

// adopt notes that a log is adopted.
func (l *Log) adopt(key markKey, marked string, heads []MarkedHead) {
	a := adoption{Kind: key.stream, Marked: marked}
	for _, h := range heads {
		if h.key() == key {
			a.Adopted = h.Note
		}
	}
	l.adopted[key.tenant] = append(l.adopted[key.tenant], a)
}

// recordAdoptions stores, before anything else is stored or answered, an event in the log of each tenant of which
// something was adopted, and moves the mark to what is in the store. After a crash on the way, the mark is still
// behind for the tenants left, and the next start has to adopt them.
func (l *Log) recordAdoptions(ctx context.Context) error {
	turned := maps.Clone(l.turned)
	for _, t := range slices.Sorted(maps.Keys(turned)) {
		if err := l.recordTurn(ctx, t, turned[t]); err != nil {
			return fmt.Errorf("adopting the clock for tenant %s: %w", t, err)
		}
	}
	if len(l.adopted) == 0 {
		return nil
	}
	for _, t := range slices.Sorted(maps.Keys(l.adopted)) {
		if err := l.recordAdoption(ctx, t, l.adopted[t]); err != nil {
			return fmt.Errorf("adopting the logs of tenant %s: %w", t, err)
		}
	}
	heads, err := l.checkHeads(ctx)
	if err != nil {
		return err
	}
	for t, logs := range l.adopted {
		for _, a := range logs { // the event is in the audit log, so that has a head
			if a.Kind == streamReleases && a.Adopted == "" {
				heads = append(heads, MarkedHead{Tenant: t, Log: Releases})
			}
		}
	}
	return l.mark.Store(ctx, heads)
}

func (l *Log) recordAdoption(ctx context.Context, t tenant.ID, logs []adoption) error {
	type what struct {
		Verb string     `json:"verb"`
		Logs []adoption `json:"logs"`
	}
	return l.recordEvent(ctx, t, what{"adopt high-water mark", logs})
}

// recordTurn stores an event as the first entry of a new era.
func (l *Log) recordTurn(ctx context.Context, t tenant.ID, newest time.Time) error {
	type what struct {
		Verb   string    `json:"verb"`
		Newest time.Time `json:"newest"` // time of the newest record, in the future
	}
	return l.recordEvent(ctx, t, what{"adopt clock", newest})
}

// recordEvent stores an event in a tenant's log.
func (l *Log) recordEvent(ctx context.Context, t tenant.ID, what any) error {
	body, err := json.Marshal(struct {
		What any `json:"what"`
	}{what}, json.Deterministic(true))
	if err != nil {
		return err
	}
	now := l.cfg.Clock().UTC().Truncate(time.Millisecond)
	id, err := NewRecordID(now, l.cfg.Rand)
	if err != nil {
		return err
	}
	sizes, err := l.ReleaseSizes(ctx, t)
	if err != nil {
		return err
	}
	_, err = l.Append(ctx, Entry{Kind: Event, Tenant: t, RecordID: id, Decided: now, Engine: l.cfg.Build,
		Release: sizes[t], Schema: noteSchema, Body: [][]byte{body}})
	return err
}
