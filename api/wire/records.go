package wire

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Search is the body of a search for records. Zero members do not restrict.
// Without Patient the same can be asked with GET and query parameters; a
// patient is never put into a URL, because URLs end up in logs.
type Search struct {
	From    time.Time `json:"from,omitzero"` // decided at or after
	To      time.Time `json:"to,omitzero"`   // decided before
	Patient *Patient  `json:"patient,omitzero"`
	Rule    string    `json:"rule,omitempty"` // "<pack>/<rule>"
	Kind    string    `json:"kind,omitempty"` // decision, refusal, feedback, statement, access or event
	Limit   int       `json:"limit,omitzero"` // 1 to 1000; 0 means 100
	Cursor  string    `json:"cursor,omitempty"`
}

// Patient is a patient as one registered EHR knows it.
type Patient struct {
	Base string `json:"base"` // FHIR base URL of the EHR, without a slash at the end
	ID   string `json:"id"`
}

// RecordPage is a part of a list of records, newest first.
type RecordPage struct {
	Records []RecordLine `json:"records"`
	Next    string       `json:"next,omitempty"` // cursor of the next page
}

// RecordLine is what a list shows of a record: nothing that is sealed.
type RecordLine struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Decided time.Time `json:"decided"`
	Log     string    `json:"log"` // "audit/<yyyy-mm>"
	Index   int64     `json:"index"`
}

// Record is one record with its body opened.
type Record struct {
	ID   string         `json:"id"`
	Kind string         `json:"kind"`
	Log  string         `json:"log"`
	Leaf jsontext.Value `json:"leaf"` // the JSON that was hashed
	Body []byte         `json:"body"`
}

// Proof shows that a leaf is in a log. Whoever has the node's public key can
// check it with nothing else at hand: Checkpoint is a C2SP signed note whose
// key name and first line are Log, and Path leads by RFC 6962 from the hash of
// Leaf, at Index, to the root in the note.
type Proof struct {
	Log        string   `json:"log"`  // origin, such as "audit.example.org/us-east/north/audit/2026-03"
	Leaf       []byte   `json:"leaf"` // exactly as hashed
	Index      int64    `json:"index"`
	Path       [][]byte `json:"path"` // hashes, from the leaf's sibling upwards
	Checkpoint string   `json:"checkpoint"`
}

// Logs are the newest heads of a tenant's logs: closed months in order, then
// the growing ones.
type Logs struct {
	Logs []Head `json:"logs"`
}

// Head is the newest signed state of a log.
type Head struct {
	Log       string    `json:"log"`    // "releases" or "audit/<yyyy-mm>"
	Origin    string    `json:"origin"` // the same with prefix, region and tenant
	Size      int64     `json:"size"`   // leaves
	Root      []byte    `json:"root"`   // RFC 6962 hash of the tree
	Committed time.Time `json:"committed"`
	Note      []byte    `json:"note"` // signed checkpoint, C2SP
}

// Report is the result of a full verification of one tenant's logs.
type Report struct {
	Tenant   string      `json:"tenant"`
	Logs     []LogReport `json:"logs"`
	Findings []Finding   `json:"findings"` // what is wrong; empty means verified
	// NotChecked says in words what could not be checked, as without keys.
	NotChecked []string `json:"notChecked,omitempty"`
}

// OK says that nothing is wrong.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

// LogReport says what was checked in one log.
type LogReport struct {
	Head   Head  `json:"head"`
	Leaves int64 `json:"leaves"` // read and hashed
	Opened int64 `json:"opened"` // bodies opened and found to be what was committed to
	Erased int64 `json:"erased"` // bodies whose key was destroyed
	Sealed int64 `json:"sealed"` // bodies not opened, for want of keys; their digests were checked
}

// Finding is one thing that is wrong.
type Finding struct {
	Log    string `json:"log"`
	Index  int64  `json:"index"`  // of the leaf; -1 if it is about the log as a whole
	Check  string `json:"check"`  // which check failed
	Detail string `json:"detail"` // in plain words; names no patient
}

// String is the finding in one line.
func (f Finding) String() string {
	at := f.Log
	if f.Index >= 0 {
		at = fmt.Sprintf("%s leaf %d", f.Log, f.Index)
	}
	return fmt.Sprintf("%s: %s: %s", at, f.Check, f.Detail)
}
