package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/keyring"
)

// A Filter chooses records. Zero members do not restrict.
type Filter struct {
	From    time.Time // decided at or after
	To      time.Time // decided before
	Patient Patient
	Rule    string // "<pack>/<rule>"
	Kind    Kind
	Limit   int    // 1 to 1000; 0 means 100
	Cursor  string // Page.Next of the page before, with the same filter
}

// A Summary is what a list shows of a record.
type Summary struct {
	Log  LogName
	Leaf Leaf
}

// A Page is a part of a list, newest first.
type Page struct {
	Records []Summary
	Next    string // cursor of the next page; empty at the end
}

// List finds records by time, patient, rule and kind, newest first. Patients and rules are found through keyed tags, so it needs the keys.
func (r *Reader) List(ctx context.Context, t tenant.ID, f Filter) (Page, error) {
	q, err := r.query(ctx, t, f)
	if err != nil {
		return Page{}, fmt.Errorf("listing records: %w", err)
	}
	var page Page
	err = r.cfg.Store.View(ctx, func(v View) error {
		return v.Scan(Index, t, q.from, q.to, true, func(k, _ []byte) (bool, error) {
			if len(k) != tagKey {
				return false, fmt.Errorf("%w: damaged index", ErrCorrupt)
			}
			if ok, err := q.others(v, t, k); !ok || err != nil {
				return err == nil, err
			}
			if len(page.Records) == q.limit {
				last := page.Records[len(page.Records)-1].Leaf
				id, err := last.RecordID.bytes()
				page.Next = base64.RawURLEncoding.EncodeToString(appendIndexKey(nil, keyring.Tag{}, last.Decided, id)[16:])
				return false, err
			}
			rec, _, err := r.record(v, t, k[24:])
			page.Records = append(page.Records, Summary{rec.Log, rec.Leaf})
			return true, err
		})
	})
	if err != nil {
		return Page{}, fmt.Errorf("listing records: %w", err)
	}
	return page, nil
}

// query is a filter in terms of the index: a range under one tag, and more tags that must be there as well.
type query struct {
	from, to []byte
	tags     []keyring.Tag
	limit    int
}

func (r *Reader) query(ctx context.Context, t tenant.ID, f Filter) (q query, err error) {
	if q.limit = f.Limit; f.Limit == 0 {
		q.limit = 100
	}
	if q.limit < 1 || q.limit > 1000 {
		return q, fmt.Errorf("%w: limit must be 1 to 1000", ErrFilter)
	}
	tags, err := r.filterTags(ctx, t, f)
	if err != nil {
		return q, err
	}
	q.tags = tags[1:]
	var low, high, none [16]byte
	for i := range high {
		high[i] = 0xff
	}
	q.from, q.to = append(tags[0][:], none[:8]...), append(tags[0][:], high[:8]...)
	if !f.From.IsZero() && f.From.UnixMilli() > 0 {
		q.from = appendIndexKey(nil, tags[0], f.From.Add(time.Millisecond-1), low)
	}
	if !f.To.IsZero() {
		q.to = appendIndexKey(nil, tags[0], time.UnixMilli(max(0, f.To.Add(time.Millisecond-1).UnixMilli())), low)
	}
	if f.Cursor != "" {
		c, err := base64.RawURLEncoding.Strict().DecodeString(f.Cursor)
		if err != nil || len(c) != tagKey-16 {
			return q, fmt.Errorf("%w: cursor was not given by a list", ErrFilter)
		}
		if at := append(tags[0][:], c...); bytes.Compare(at, q.to) < 0 {
			q.to = at
		}
	}
	return q, nil
}

// filterTags are the tags a record must have, the rarest first.
func (r *Reader) filterTags(ctx context.Context, t tenant.ID, f Filter) (tags []keyring.Tag, err error) {
	if f.Patient != (Patient{}) || f.Rule != "" {
		keys, err := r.keys(ctx, t)
		if err != nil {
			return nil, err
		}
		if f.Patient != (Patient{}) {
			tags = append(tags, f.Patient.tag(keys))
		}
		if f.Rule != "" {
			tags = append(tags, keys.Tag(tagRule, f.Rule))
		}
	}
	if f.Kind != "" {
		tags = append(tags, kindTag(f.Kind))
	}
	if len(tags) == 0 {
		tags = append(tags, keyring.Tag{})
	}
	return tags, nil
}

// others says whether the record at an index key has the other tags too.
func (q *query) others(v View, t tenant.ID, key []byte) (bool, error) {
	for _, tag := range q.tags {
		got, err := v.Get(Index, t, append(tag[:], key[16:]...))
		if err != nil || got == nil {
			return false, err
		}
	}
	return true, nil
}
