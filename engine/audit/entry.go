package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// An Entry is what the engine gives to be recorded.
type Entry struct {
	Kind     Kind
	Tenant   tenant.ID
	RecordID RecordID
	Decided  time.Time
	Engine   string // build of the program; printable ASCII
	Library  string // version of the clinical library
	// Release is how many statements of the release log were in force; ignored for a statement. A decision or
	// feedback is stored only while the release log has this size, and refused with ErrMoved otherwise: the tenant may
	// have moved away.
	Release int64
	Schema  string // layout of Body
	// Body is sealed as the concatenation of its segments. It is read before Append returns and not kept.
	Body [][]byte
	Indexed
	// Removes says that the entry only takes power away: it has a place in the queue kept for it, goes before others, and
	// is stored where they are not, as long as there is room at all.
	Removes bool
	// Quota is what the tenant may have stored with this entry. What removes power is stored beyond it.
	Quota Quota
	// Replaces is the record that Idem led to when the caller looked: the entry is then no repeat of it, but takes its
	// place for the next one. Empty means none.
	Replaces RecordID
	// Token came with the call and is remembered in the same transaction; nil for none. An entry that is a repeat does
	// not use it.
	Token *Token
	// Statement is added to the tenant's release log in the same transaction; required for, and only for, kind
	// Statement.
	Statement []byte
	// StatementIndex is the size of the release log that the statement was checked against; if it has another
	// size meanwhile, the entry is refused with ErrMoved.
	StatementIndex int64
}

// Indexed is what finds a record again. All of it must follow from the record's leaf and body and from the release
// log, as a [Layout] knows: a verification recomputes it.
type Indexed struct {
	// Patient is whom the record is about; it chooses the key that seals the body, so that erasing the patient
	// erases it. The zero value means nobody: then a key of the month is used.
	Patient Patient
	Rules   []string // rules with a finding, as "<pack>/<rule>", for searching; no duplicates
	Cards   []string // card uuids shown, so that feedback finds this record; no other record has them
	// Idem identifies the call, for repeats: whoever comes second with the same bytes gets the first one's
	// receipt. Empty means none.
	Idem []byte
}

// A Patient is an identity at one EHR. It stands in no leaf, only as a keyed digest in deletable indexes.
type Patient struct {
	Base string // FHIR base of the registered client
	ID   string // logical id there
}

// Kinds of tags.
const (
	tagPatient = "patient"
	tagMonth   = "month"
	tagRule    = "rule"
	tagCard    = "card"
	tagIdem    = "idempotency"
)

func (p Patient) tag(t *keyring.Tenant) keyring.Tag { return t.Tag(tagPatient, p.Base, p.ID) }

// kindCode is how a kind stands in the index.
func kindCode(k Kind) byte {
	switch k {
	case Decision:
		return 1
	case Refusal:
		return 2
	case Feedback:
		return 3
	case Statement:
		return 4
	case Access:
		return 5
	case Event:
		return 6
	}
	return 0
}

// check says whether the entry is well formed.
func (e *Entry) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrEntry, what) }
	if !e.Kind.valid() {
		return bad("kind")
	}
	if _, err := tenant.ParseID(string(e.Tenant)); err != nil {
		return bad("tenant")
	}
	if !plain(e.Engine) || !plain(e.Library) || !plain(e.Schema) || e.Schema == "" {
		return bad("engine, library or schema")
	}
	if y := e.Decided.UTC().Year(); y < 1970 || y > 9999 || e.Release < 0 {
		return bad("time or release index")
	}
	if (e.Patient.ID == "") != (e.Patient.Base == "") {
		return bad("patient needs base and id")
	}
	if len(e.Rules)+len(e.Cards) > maxTags || len(e.Statement) > MaxStatement {
		return bad("too many rules or cards, or statement too large")
	}
	if (e.Kind == Statement) != (len(e.Statement) > 0) {
		return bad("statement belongs to kind statement")
	}
	size := 0
	for _, s := range e.Body {
		size += len(s)
	}
	if size > MaxBody {
		return bad("body too large")
	}
	return nil
}

// request is an entry on its way: sealed, tagged, waiting to be stored.
type request struct {
	ctx     context.Context // of the caller: an entry nobody waits for any more is not stored
	entry   *Entry
	id      [16]byte
	leaf    Leaf // all but index, times and tenant's reference
	sealed  []byte
	giveUp  func() // returns the buffer
	subject *keyring.Subject
	patient []byte // key in Patients; nil if about nobody
	marks   []byte
	lookups []keyring.Tag
	idem    keyring.Tag
	token   *tokenTags  // nil for none
	slot    int         // where its slot is among those that its part asks for
	use     TokenUse    // what becomes of it
	old     []byte      // record id that idem may lead to without making the entry a repeat; nil for none
	names   int         // where its keys begin among those that its part asks for
	done    chan result // buffered, one result
}

// size is how much the request stores, more or less.
func (r *request) size() int { return len(r.sealed) + len(r.entry.Statement) }

// result is what the writer answers.
type result struct {
	receipt Receipt
	err     error
}

// ruleTag is how much of a rule's tag stands in marks.
const ruleTag = 8

// prepare does, in the caller's goroutine, all that needs no order: compressing, sealing, hashing, tagging.
func (l *Log) prepare(ctx context.Context, e *Entry) (*request, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	id, err := e.RecordID.bytes()
	if err != nil {
		return nil, err
	}
	keys, err := l.keys(ctx, e.Tenant)
	if err != nil {
		return nil, err
	}
	tag := e.subject(keys)
	subject, err := keys.Subject(ctx, tag)
	if err != nil {
		return nil, tampered(err)
	}
	r := &request{entry: e, id: id, subject: subject, done: make(chan result, 1)}
	if err := l.seal(r); err != nil {
		subject.Release(keyring.Abandoned)
		return nil, err
	}
	r.tag(keys, tag)
	return r, nil
}

// subject is the tag of whose key seals the entry: the patient, or the month of an entry about nobody.
func (e *Entry) subject(keys *keyring.Tenant) keyring.Tag {
	if e.Patient.ID != "" {
		return e.Patient.tag(keys)
	}
	return keys.Tag(tagMonth, e.Decided.UTC().Format("2006-01"))
}

// seal fills leaf and sealed.
func (l *Log) seal(r *request) error {
	e := r.entry
	var salt [32]byte
	if _, err := io.ReadFull(l.cfg.Rand, salt[:]); err != nil {
		return fmt.Errorf("reading randomness: %w", err)
	}
	buf := l.sealer.buffers.Get().(*bytes.Buffer)
	r.giveUp = func() {
		if buf.Cap() <= maxPooled {
			l.sealer.buffers.Put(buf)
		}
	}
	err := l.sealer.pack(buf, salt[:], e.Body)
	if err == nil {
		r.sealed, err = r.subject.Seal(buf.Bytes(), keyring.Binding{Record: string(e.RecordID), Schema: e.Schema})
	}
	if err != nil {
		r.giveUp()
		return err
	}
	r.leaf = Leaf{
		Kind: e.Kind, RecordID: e.RecordID, Decided: e.Decided, Engine: e.Engine, Library: e.Library,
		ReleaseIndex: e.Release, Schema: e.Schema, Commit: commitment(salt[:], e.Body...),
		CTDigest: sha256.Sum256(r.sealed), CTLen: int64(len(r.sealed)), KeyRef: r.subject.Handle(),
	}
	if e.Kind == Statement {
		r.leaf.Statement = sha256.Sum256(e.Statement)
		r.leaf.ReleaseIndex = e.StatementIndex
	}
	return nil
}

// tag fills patient, marks, lookups and idem.
func (r *request) tag(keys *keyring.Tenant, subject keyring.Tag) {
	e := r.entry
	if e.Patient.ID != "" {
		r.patient = append(append(make([]byte, 0, 32), subject[:]...), r.id[:]...)
	}
	r.marks = append(make([]byte, 0, 1+ruleTag*len(e.Rules)), kindCode(e.Kind))
	for _, rule := range e.Rules {
		tag := keys.Tag(tagRule, rule)
		r.marks = append(r.marks, tag[:ruleTag]...)
	}
	for _, card := range e.Cards {
		r.lookups = append(r.lookups, keys.Tag(tagCard, card))
	}
	if len(e.Idem) > 0 {
		r.idem = keys.Tag(tagIdem, string(e.Idem))
	}
	if id, err := e.Replaces.bytes(); err == nil {
		r.old = id[:]
	}
	r.token = e.Token.tags(keys)
}

// answer ends a request: the lease, the buffer, and the caller's wait.
func (r *request) answer(res result, o keyring.Outcome) {
	r.subject.Release(o)
	r.sealed = nil
	r.giveUp()
	r.done <- res
}
