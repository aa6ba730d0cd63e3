package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// Kind says what a record is about.
type Kind string

// The kinds of records.
const (
	Decision   Kind = "decision"   // an answered call
	Refusal    Kind = "refusal"    // an authenticated call that was refused or failed
	Feedback   Kind = "feedback"   // what became of a card
	Statement  Kind = "statement"  // a statement was added to the release log
	Access     Kind = "access"     // somebody read records
	Event      Kind = "event"      // something the node saw or did, e.g. a spool, an outage, a suspension
	Checkpoint Kind = "checkpoint" // first leaf of a month: final head of the month before; written by the log itself
)

// valid says whether k is a kind that Append takes.
func (k Kind) valid() bool {
	switch k {
	case Decision, Refusal, Feedback, Statement, Access, Event:
		return true
	}
	return false
}

// leafVersion is the version of the leaf's form.
const leafVersion = 1

// timeForm is how times stand in leaves: UTC, milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

// A Leaf is the public part of a record: what the log's hashes cover. See the package comment for its bytes.
type Leaf struct {
	Kind         Kind
	TenantRef    string   // random name of the tenant, 32 hexadecimal digits
	RecordID     RecordID // empty in a checkpoint leaf
	Index        int64    // place in its log, from 0
	Decided      time.Time
	Committed    time.Time
	Engine       string // build of the program
	Library      string // version of the clinical library
	ReleaseIndex int64  // statements of the release log in force; in a statement leaf, the statement's own index
	Schema       string // layout of the body
	Commit       Digest // binding, hiding commitment to the body
	CTDigest     Digest // SHA-256 of the ciphertext
	CTLen        int64  // length of the ciphertext in bytes
	KeyRef       string // random handle of the key that seals the body
	Statement    Digest // SHA-256 of the envelope; only in a statement leaf
	Checkpoint   string // signed note; only in a checkpoint leaf
}

// append adds the leaf's canonical bytes to dst. Strings must have passed plain, so none needs escaping, except
// the note.
func (l *Leaf) append(dst []byte) []byte {
	text := func(name, value string) {
		dst = append(append(append(append(append(dst, ',', '"'), name...), `":"`...), value...), '"')
	}
	number := func(name string, value int64) {
		dst = append(append(append(dst, ',', '"'), name...), `":`...)
		dst = strconv.AppendInt(dst, value, 10)
	}
	moment := func(name string, value time.Time) {
		dst = append(append(append(dst, ',', '"'), name...), `":"`...)
		dst = append(value.UTC().AppendFormat(dst, timeForm), '"')
	}
	digest := func(name string, value *Digest) {
		dst = append(append(append(dst, ',', '"'), name...), `":"`...)
		dst = append(hex.AppendEncode(dst, value[:]), '"')
	}
	dst = append(dst, `{"v":1`...)
	text("kind", string(l.Kind))
	text("tenantRef", l.TenantRef)
	if l.Kind == Checkpoint {
		number("index", l.Index)
		moment("committed", l.Committed)
		text("checkpoint", string(bytes.ReplaceAll([]byte(l.Checkpoint), []byte("\n"), []byte(`\n`))))
		return append(dst, '}')
	}
	text("recordId", string(l.RecordID))
	number("index", l.Index)
	moment("decided", l.Decided)
	moment("committed", l.Committed)
	text("engine", l.Engine)
	text("library", l.Library)
	number("releaseIndex", l.ReleaseIndex)
	text("schema", l.Schema)
	digest("commit", &l.Commit)
	digest("ctDigest", &l.CTDigest)
	number("ctLen", l.CTLen)
	text("keyRef", l.KeyRef)
	if l.Kind == Statement {
		digest("statement", &l.Statement)
	}
	return append(dst, '}')
}

// wireLeaf is the leaf as JSON has it.
type wireLeaf struct {
	V            int      `json:"v"`
	Kind         Kind     `json:"kind"`
	TenantRef    string   `json:"tenantRef"`
	RecordID     RecordID `json:"recordId"`
	Index        int64    `json:"index"`
	Decided      string   `json:"decided"`
	Committed    string   `json:"committed"`
	Engine       string   `json:"engine"`
	Library      string   `json:"library"`
	ReleaseIndex int64    `json:"releaseIndex"`
	Schema       string   `json:"schema"`
	Commit       string   `json:"commit"`
	CTDigest     string   `json:"ctDigest"`
	CTLen        int64    `json:"ctLen"`
	KeyRef       string   `json:"keyRef"`
	Statement    string   `json:"statement"`
	Checkpoint   string   `json:"checkpoint"`
}

// maxLeaf bounds a leaf; a checkpoint leaf with many signatures stays below.
const maxLeaf = 16 << 10

// ParseLeaf reads a leaf and refuses every form but the canonical one.
func ParseLeaf(data []byte) (Leaf, error) {
	bad := func(what string) (Leaf, error) {
		return Leaf{}, fmt.Errorf("reading leaf: %w: %s", ErrCorrupt, what)
	}
	if len(data) > maxLeaf {
		return bad("too long")
	}
	var w wireLeaf
	if err := json.Unmarshal(data, &w, json.RejectUnknownMembers(true)); err != nil {
		return bad("not the JSON of a leaf")
	}
	if w.V != leafVersion {
		return bad("version " + strconv.Itoa(w.V) + " is not known")
	}
	l, ok := w.leaf()
	if !ok || !bytes.Equal(l.append(nil), data) {
		return bad("not in canonical form")
	}
	return l, nil
}

// leaf converts; members that do not convert are caught by the canonical form, so only the impossible is
// reported here.
func (w *wireLeaf) leaf() (l Leaf, ok bool) {
	l = Leaf{
		Kind: w.Kind, TenantRef: w.TenantRef, RecordID: w.RecordID, Index: w.Index,
		Engine: w.Engine, Library: w.Library, ReleaseIndex: w.ReleaseIndex, Schema: w.Schema,
		CTLen: w.CTLen, KeyRef: w.KeyRef, Checkpoint: w.Checkpoint,
	}
	var err error
	if l.Committed, err = time.Parse(timeForm, w.Committed); err != nil || l.Index < 0 || !plain(w.TenantRef) {
		return l, false
	}
	if w.Kind == Checkpoint {
		return l, plainNote(w.Checkpoint)
	}
	if l.Decided, err = time.Parse(timeForm, w.Decided); err != nil || !w.Kind.valid() {
		return l, false
	}
	for _, s := range []string{w.Engine, w.Library, w.Schema, w.KeyRef} {
		if !plain(s) {
			return l, false
		}
	}
	if _, err := w.RecordID.bytes(); err != nil {
		return l, false
	}
	digests := map[*Digest]string{&l.Commit: w.Commit, &l.CTDigest: w.CTDigest}
	if w.Kind == Statement {
		digests[&l.Statement] = w.Statement
	}
	for d, s := range digests {
		if *d, err = ParseDigest(s); err != nil {
			return l, false
		}
	}
	return l, l.CTLen >= 0 && l.ReleaseIndex >= 0
}

// plain says whether s may stand in a leaf: at most 200 printable ASCII characters without quote and backslash.
func plain(s string) bool {
	if len(s) > 200 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// plainNote is plain for a signed note: several lines, the em dash of signature lines.
func plainNote(s string) bool {
	for _, c := range s {
		if c != '\n' && c != '—' && (c < ' ' || c > '~' || c == '"' || c == '\\') {
			return false
		}
	}
	return true
}
