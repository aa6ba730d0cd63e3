package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Layout knows what is in bodies and statements, which are opaque here: what records were indexed under when they
// were stored follows from it, so a verification can recompute it. One verification uses it at a time.
type Layout interface {
	// Index is what the entry of a record had in it. It is not ok if this program cannot tell, as of a schema that it
	// does not know: then nothing of the record's indexes is compared. An error ends the verification.
	Index(ctx context.Context, t tenant.ID, r Record) (i Indexed, ok bool, err error)
	// Blobs are those that a statement of the release log cannot do without.
	Blobs(statement []byte) []Digest
}

// Indexes lie beside the logs, so no hash covers them. What must be in them is recomputed from leaves and opened
// bodies as these are read, in one way: is everything there? The other way, is there anything else, needs no second
// opening of bodies while all is well: every entry of an index is read, must lead to a record of the log, and is
// counted. Only if there are more than were asked for is each held against the body it leads to.

// mend is how to go on after a finding about an index.
const mend = "; leaves and bodies are not touched by this, only what is found through the index: do not serve from" +
	" this store, put back a copy whose verification finds nothing"

// maxSkipped bounds what is remembered of records that could not be compared. With more of them, index entries are
// held against bodies one by one.
const maxSkipped = 1 << 18

// names of the indexes in findings.
var indexNames = map[Space]string{
	Records: "index of records", Patients: "index of patients", Lookups: "index of cards, calls and statements",
	Keys: "index of keys",
}

// due is one entry that an index must have.
type due struct {
	Key
	value  []byte
	log    LogName
	index  int64
	record RecordID
	call   bool // a newer record of the same call takes the entry over
}

// derived is the part of a verification that is about indexes.
type derived struct {
	layout  Layout
	sizes   map[LogName]int64 // leaves under the heads that are verified
	due     []due             // not compared yet
	found   [Spaces]int64     // entries that were asked for and are there
	skipped map[[16]byte]bool // records whose patient, rules, cards and call are not known
	overrun bool              // there were more than maxSkipped of them
	unknown int64             // opened bodies of which the layout cannot tell
}

// skip notes that nothing is known of what a record must be found by.
func (c *check) skip(id [16]byte) {
	if c.cfg.Ring == nil || c.layout == nil {
		return // of none, so none need be named
	}
	if len(c.skipped) == maxSkipped {
		c.overrun = true
		return
	}
	c.skipped[id] = true
}

// tagged computes what an opened record is indexed under, as Append does.
func (c *check) tagged(ctx context.Context, rec Record) (r *request, subject keyring.Tag, ok bool, err error) {
	if c.layout == nil {
		return nil, subject, false, nil
	}
	i, ok, err := c.layout.Index(ctx, c.report.Tenant, rec)
	if err != nil || !ok {
		return nil, subject, false, err
	}
	keys, err := c.keys(ctx, c.report.Tenant)
	if err != nil {
		return nil, subject, false, err
	}
	e := &Entry{Kind: rec.Leaf.Kind, Decided: rec.Leaf.Decided, Indexed: i}
	r = &request{entry: e}
	r.id, _ = rec.Leaf.RecordID.bytes() // ParseLeaf has checked it
	subject = e.subject(keys)
	r.tag(keys, subject)
	slices.SortFunc(r.lookups, func(a, b keyring.Tag) int { return bytes.Compare(a[:], b[:]) })
	r.lookups = slices.Compact(r.lookups) // each counts once
	return r, subject, true, nil
}

// expect notes what the indexes must have of an opened record.
func (c *check) expect(ctx context.Context, rec Record, index int64, place []byte) error {
	id, _ := rec.Leaf.RecordID.bytes() // ParseLeaf has checked it
	r, subject, ok, err := c.tagged(ctx, rec)
	if err != nil {
		return err
	}
	if !ok {
		c.unknown++
		c.skip(id)
		return nil
	}
	if at := appendPlace(nil, rec.Log, index); bytes.HasPrefix(place, at) && !bytes.Equal(place[len(at):], r.marks) {
		c.find(rec.Log, index, "index", "the %s has another kind or other rules for record %s%s", indexNames[Records],
			rec.Leaf.RecordID, mend)
	}
	add := func(space Space, key, value []byte, call bool) {
		c.due = append(c.due, due{Key{space, c.report.Tenant, key}, value, rec.Log, index, rec.Leaf.RecordID, call})
	}
	add(Keys, []byte(keyring.NameSubject(subject)), []byte(rec.Leaf.KeyRef), false)
	if r.patient != nil {
		add(Patients, r.patient, r.marks, false)
	}
	for i := range r.lookups {
		add(Lookups, r.lookups[i][:], r.id[:], false)
	}
	if r.idem != (keyring.Tag{}) {
		add(Lookups, r.idem[:], r.id[:], true)
	}
	if len(c.due) >= verifyChunk {
		return c.settle(ctx)
	}
	return nil
}

// settle looks for what the indexes must have.
func (c *check) settle(ctx context.Context) error {
	keys := make([]Key, len(c.due))
	for i := range c.due {
		keys[i] = c.due[i].Key
	}
	values, err := c.values(ctx, keys)
	if err != nil {
		return err
	}
	for i := range c.due {
		d := &c.due[i]
		ok := bytes.Equal(values[i], d.value)
		if ok {
			c.found[d.Space]++
		} else if d.call && len(values[i]) == 16 {
			if ok, err = c.tookOver(ctx, d, values[i]); err != nil {
				return err
			}
		}
		if !ok && values[i] == nil {
			c.find(d.log, d.index, "index", "the %s has no entry for record %s%s", indexNames[d.Space], d.record, mend)
		} else if !ok {
			c.find(d.log, d.index, "index", "the %s has something else in place of record %s%s", indexNames[d.Space],
				d.record, mend)
		}
	}
	c.due = c.due[:0]
	return nil
}

// values reads copies.
func (c *check) values(ctx context.Context, keys []Key) (values [][]byte, err error) {
	err = c.view(ctx, func(v View) error {
		got, err := v.GetMany(keys)
		for _, b := range got {
			values = append(values, bytes.Clone(b))
		}
		return err
	})
	return values, err
}

// tookOver says whether a record may own the idempotency entry of an older one: it came later, and is of the same
// call as far as its body can be opened.
func (c *check) tookOver(ctx context.Context, d *due, id []byte) (bool, error) {
	rec, index, err := c.open(ctx, id)
	if later := compareLogs(rec.Log, d.log) > 0 || rec.Log == d.log && index > d.index; !later {
		return false, notStored(err)
	}
	if errors.Is(err, ErrErased) {
		return true, nil
	}
	if err != nil {
		return false, notStored(err)
	}
	r, _, ok, err := c.tagged(ctx, rec)
	return err == nil && (!ok || bytes.Equal(r.idem[:], d.Key.Key)), err
}

// notStored drops errors that say what is wrong with a record: its own leaf is the place to find that.
func notStored(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrErased) {
		return nil
	}
	return err
}

// open reads a record by its binary id, with its body.
func (c *check) open(ctx context.Context, id []byte) (rec Record, index int64, err error) {
	var sealed []byte
	err = c.view(ctx, func(v View) error {
		if rec, index, err = c.record(v, c.report.Tenant, id); err != nil {
			return err
		}
		b, err := v.Get(Bodies, c.report.Tenant, rec.Log.key(index))
		sealed = bytes.Clone(b)
		return err
	})
	if err == nil {
		rec.Opening, rec.Body, err = c.openBody(ctx, c.report.Tenant, &rec.Leaf, sealed)
	}
	return rec, index, err
}

// checkIndexes reads all of each index, for what should not be there.
func (c *check) checkIndexes(ctx context.Context) error {
	for _, space := range []Space{Records, Patients, Lookups} {
		n, err := c.scan(ctx, space, false)
		if err != nil {
			return err
		}
		if space != Records && c.cfg.Ring != nil && c.layout != nil && (c.overrun || n != c.found[space]) {
			if _, err := c.scan(ctx, space, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry is one entry of an index, and the record it leads to.
type entry struct {
	key, value, id []byte
	place          []byte // in Records
	leaf           []byte // at that place, as stored
	bound          []byte // handle that the tag of a patient leads to
}

// scan goes through an index in pieces. It returns how many entries lead to records that were compared; with bodies, it
// opens those records and names the entries that do not follow from them, else those that lead to no record.
func (c *check) scan(ctx context.Context, space Space, bodies bool) (n int64, err error) {
	var from []byte
	for {
		entries, err := c.piece(ctx, space, from)
		if err != nil || len(entries) == 0 {
			return n, err
		}
		for i := range entries {
			counts, err := c.checkEntry(ctx, space, &entries[i], bodies)
			if err != nil {
				return n, err
			}
			if counts {
				n++
			}
		}
		from = append(entries[len(entries)-1].key, 0)
	}
}

// piece reads some entries of an index, in one view.
func (c *check) piece(ctx context.Context, space Space, from []byte) (entries []entry, err error) {
	t := c.report.Tenant
	err = c.view(ctx, func(v View) error {
		err := v.Scan(space, t, from, nil, false, func(key, value []byte) (bool, error) {
			e := entry{key: bytes.Clone(key), value: bytes.Clone(value)}
			switch {
			case space == Records:
				e.id = e.key
			case space == Lookups:
				e.id = e.value
			case len(key) == 32:
				e.id = e.key[16:]
			}
			entries = append(entries, e)
			return len(entries) < verifyChunk, nil
		})
		if err != nil {
			return err
		}
		var keys []Key
		for _, e := range entries {
			keys = append(keys, Key{Records, t, e.id}, Key{Keys, t, subjectName(space, e.key)})
		}
		values, err := v.GetMany(keys)
		if err != nil {
			return err
		}
		keys = keys[:0]
		for i := range entries {
			entries[i].place, entries[i].bound = bytes.Clone(values[2*i]), bytes.Clone(values[2*i+1])
			log, index, _, _ := readPlace(entries[i].place)
			keys = append(keys, Key{Leaves, t, log.key(index)})
		}
		values, err = v.GetMany(keys)
		for i, value := range values {
			entries[i].leaf = bytes.Clone(value)
		}
		return err
	})
	return entries, err
}

// subjectName is the name of the key binding that goes with an entry of the index of patients.
func subjectName(space Space, key []byte) []byte {
	if space != Patients || len(key) < 16 {
		return nil
	}
	return []byte(keyring.NameSubject(keyring.Tag(key[:16])))
}

// checkEntry looks at one entry of an index; it counts if its record was compared when the logs were read.
func (c *check) checkEntry(ctx context.Context, space Space, e *entry, bodies bool) (counts bool, err error) {
	log, index, marks, ok := readPlace(e.place)
	var rec Record
	if ok {
		rec, err = parseRecord(e.id, log, index, e.leaf)
		ok = err == nil
	}
	tell := func(format string, args ...any) {
		if !ok {
			log, index = "", -1
		}
		c.find(log, index, "index", "the "+indexNames[space]+" "+format+mend, args...)
	}
	switch {
	case !ok && !bodies:
		tell("has an entry that leads to no record of the log")
		return false, nil
	case !ok || index >= c.sizes[log]: // or stored since the heads were read
		return false, nil
	case bodies:
		return false, c.checkFollows(ctx, space, e, tell)
	}
	id := rec.Leaf.RecordID
	statement := space == Lookups && bytes.HasPrefix(e.key, []byte(statementPrefix))
	switch {
	case space == Records && (len(marks)%ruleTag != 1 || marks[0] != kindCode(rec.Leaf.Kind)):
		tell("has another kind for record %s", id)
	case space == Patients && !bytes.Equal(e.value, marks):
		tell("has another kind or other rules for record %s than the %s", id, indexNames[Records])
	case space == Patients && string(e.bound) != rec.Leaf.KeyRef && c.alive(ctx, rec.Leaf.KeyRef):
		tell("leads to record %s by a patient whose key is another one", id)
	case statement && (rec.Leaf.Kind != Statement || !bytes.Equal(e.key, statementKey(rec.Leaf.ReleaseIndex))):
		tell("leads to record %s by a statement that is not its own", id)
	}
	return statement || !c.skipped[[16]byte(e.id)], nil
}

// alive says that a key is in the store and was not destroyed.
func (c *check) alive(ctx context.Context, handle string) bool {
	v, _, err := KeyLookup(c.cfg.Store)(ctx, string(c.report.Tenant), keyring.NameKey(handle))
	return err == nil && len(v) > 1
}

// checkFollows holds an entry against the body of the record that it leads to.
func (c *check) checkFollows(ctx context.Context, space Space, e *entry, tell func(string, ...any)) error {
	if c.skipped[[16]byte(e.id)] || bytes.HasPrefix(e.key, []byte(statementPrefix)) {
		return nil
	}
	rec, _, err := c.open(ctx, e.id)
	if err != nil {
		return notStored(err)
	}
	r, _, ok, err := c.tagged(ctx, rec)
	if err != nil || !ok {
		return err
	}
	follows := space == Patients && bytes.Equal(e.key, r.patient)
	if space == Lookups {
		for _, tag := range append(r.lookups, r.idem) {
			follows = follows || bytes.Equal(e.key, tag[:])
		}
	}
	if !follows {
		tell("leads to record %s by what is not in it", rec.Leaf.RecordID)
	}
	return nil
}

// checkBlobs checks that what a statement cannot do without is stored.
func (c *check) checkBlobs(ctx context.Context, index int64, statement []byte) error {
	if c.layout == nil {
		return nil
	}
	for _, d := range c.layout.Blobs(statement) {
		_, err := c.Blob(ctx, d)
		switch {
		case errors.Is(err, ErrNotFound):
			c.find(Releases, index, "blob", "the pack %s that it needs is not in the store (upload the same archive again)", d)
		case errors.Is(err, ErrCorrupt):
			c.find(Releases, index, "blob", "the pack %s that it needs has other bytes in the store (put back a copy)", d)
		case err != nil:
			return err
		}
	}
	return nil
}

// unchecked says in words what could not be compared.
func (c *check) unchecked() (words []string) {
	var sealed, erased int64
	for _, l := range c.report.Logs {
		sealed, erased = sealed+l.Sealed, erased+l.Erased
	}
	say := func(n int64, why string) {
		if n > 0 {
			words = append(words, fmt.Sprintf("patient, rules, cards and call of %d records in the indexes: %s", n, why))
		}
	}
	say(sealed, "their bodies cannot be opened without keys")
	say(erased, "their keys were destroyed")
	say(c.unknown, "this program cannot tell from their bodies")
	if c.layout == nil {
		words = append(words, "packs that the release log needs: this program cannot tell from its statements")
	}
	return words
}
