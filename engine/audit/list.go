package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
)

// A Filter chooses records. Zero members do not restrict.
type Filter struct {
	From    time.Time // record ids of this time or later; the engine makes ids from the time of the decision
	To      time.Time // record ids before this time
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
	// Next is the cursor of the next page; empty at the end. A page can have fewer records than the limit, or
	// none, and still a next one: a call looks at a bounded number of records when few of them match.
	Next string
}

// maxScan is how many index entries one call of List looks at.
const maxScan = 100_000

// List finds records by time, patient, rule and kind, newest first. Patients and rules are found through keyed
// tags, so these need the keys. Time and patient are looked up; rule and kind are filtered from what lies
// between.
func (r *Reader) List(ctx context.Context, t tenant.ID, f Filter) (Page, error) {
	page, err := apart(Only(ctx, t), r.places, func(ctx context.Context) (Page, error) { return r.list(ctx, t, f) })
	if err != nil {
		return Page{}, fmt.Errorf("listing records: %w", err)
	}
	return page, nil
}

func (r *Reader) list(ctx context.Context, t tenant.ID, f Filter) (page Page, err error) {
	q, err := r.query(ctx, t, f)
	if err != nil {
		return page, err
	}
	var last []byte
	scanned := 0
	err = r.view(ctx, func(v View) error {
		return v.Scan(q.space, t, q.from, q.to, true, func(k, value []byte) (bool, error) {
			match, err := q.match(k, value)
			if err != nil {
				return false, err
			}
			if scanned == maxScan || match && len(page.Records) == q.limit {
				page.Next = base64.RawURLEncoding.EncodeToString(last)
				return false, nil
			}
			scanned++
			last = append(last[:0], k[len(q.tag):]...)
			if !match {
				return true, nil
			}
			rec, _, err := r.record(v, t, last)
			page.Records = append(page.Records, Summary{rec.Log, rec.Leaf})
			return true, err
		})
	})
	return page, err
}

// query is a filter in terms of the store: a range of keys, and what their marks must say.
type query struct {
	space    Space
	tag      []byte // in front of every key
	from, to []byte
	kind     byte   // 0: any
	rule     []byte // tag; nil: any
	limit    int
}

func (q *query) match(key, marks []byte) (bool, error) {
	ok := true
	if q.space == Records {
		_, _, marks, ok = readPlace(marks)
	}
	if !ok || len(key) != len(q.tag)+16 || len(marks)%ruleTag != 1 {
		return false, fmt.Errorf("%w: damaged index", ErrCorrupt)
	}
	if q.kind != 0 && marks[0] != q.kind {
		return false, nil
	}
	for tags := marks[1:]; q.rule != nil; tags = tags[ruleTag:] {
		if len(tags) == 0 {
			return false, nil
		}
		if bytes.Equal(tags[:ruleTag], q.rule) {
			break
		}
	}
	return true, nil
}

func (r *Reader) query(ctx context.Context, t tenant.ID, f Filter) (*query, error) {
	q := &query{space: Records, limit: f.Limit, kind: kindCode(f.Kind)}
	if q.limit == 0 {
		q.limit = 100
	}
	if q.limit < 1 || q.limit > 1000 {
		return nil, fmt.Errorf("%w: limit must be 1 to 1000", ErrFilter)
	}
	if f.Kind != "" && q.kind == 0 {
		return nil, fmt.Errorf("%w: unknown kind", ErrFilter)
	}
	if f.Patient != (Patient{}) || f.Rule != "" {
		keys, err := r.keys(ctx, t)
		if err != nil {
			return nil, err
		}
		if f.Patient != (Patient{}) {
			tag := f.Patient.tag(keys)
			q.space, q.tag = Patients, tag[:]
		}
		if f.Rule != "" {
			tag := keys.Tag(tagRule, f.Rule)
			q.rule = tag[:ruleTag]
		}
	}
	return q, q.span(f)
}

// span sets the range of keys.
func (q *query) span(f Filter) error {
	at := func(t time.Time) []byte { // the lowest id of a time, rounded up to milliseconds
		ms := max(0, t.Add(time.Millisecond-1).UnixMilli())
		return binary.BigEndian.AppendUint64(bytes.Clone(q.tag), uint64(ms)<<16)
	}
	q.from, q.to = bytes.Clone(q.tag), append(bytes.Clone(q.tag), bytes.Repeat([]byte{0xff}, 17)...)
	if !f.From.IsZero() {
		q.from = at(f.From)
	}
	if !f.To.IsZero() {
		q.to = at(f.To)
	}
	if f.Cursor == "" {
		return nil
	}
	c, err := base64.RawURLEncoding.Strict().DecodeString(f.Cursor)
	if err != nil || len(c) != 16 {
		return fmt.Errorf("%w: the cursor does not come from a list", ErrFilter)
	}
	if c = append(bytes.Clone(q.tag), c...); bytes.Compare(c, q.to) < 0 {
		q.to = c
	}
	return nil
}
