package audit

import (
	"context"
	"crypto/sha256"

	"bytes"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
	"testing"
)

// Floor compresses and hashes a body as Append does, and nothing else.
func Floor() func(body []byte) error {
	s := newSealer()
	salt := make([]byte, 32)
	return func(body []byte) error {
		buf := s.buffers.Get().(*bytes.Buffer)
		defer s.buffers.Put(buf)
		commitment(salt, body)
		return s.pack(buf, salt, [][]byte{body})
	}
}

// Waiting is how many entries are in the queue.
func Waiting(l *Log) int { return len(l.queue) }

// ForgeLeaf edits a stored leaf and puts its own hash right, so that only the tree above shows it.
func ForgeLeaf(from, to string) func([]byte) []byte {
	return func(b []byte) []byte {
		b = bytes.Replace(b, []byte(from), []byte(to), 1)
		h := tlog.RecordHash(b[1+int(b[0])*tlog.HashSize:])
		copy(b[1:], h[:])
		return b
	}
}

// Reseal seals another body for a stored record, as somebody with its keys can.
func Reseal(t testing.TB, ring *keyring.Ring, r *Reader, tn tenant.ID, id RecordID, body []byte) []byte {
	t.Helper()
	rec, err := r.Get(t.Context(), tn, id)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ring.Tenant(t.Context(), string(tn))
	if err != nil {
		t.Fatal(err)
	}
	s, err := keys.Subject(t.Context(), Patient{"https://ehr.example/fhir", "p1"}.tag(keys))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := newSealer().pack(&buf, make([]byte, 32), [][]byte{body}); err != nil {
		t.Fatal(err)
	}
	ct, err := s.Seal(buf.Bytes(), keyring.Binding{Record: string(id), Schema: rec.Leaf.Schema})
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// OpenForged opens other bytes as the body of a record, as if the leaf had their digest.
func OpenForged(t testing.TB, r *Reader, tn tenant.ID, id RecordID, forged []byte) error {
	t.Helper()
	rec, _ := r.Get(t.Context(), tn, id)
	leaf := rec.Leaf
	leaf.CTDigest, leaf.CTLen = sha256.Sum256(forged), int64(len(forged))
	_, _, err := r.openBody(t.Context(), tn, &leaf, forged)
	return err
}

// AnchorNow puts the heads that changed into the region's log, as the log does by itself from time to time.
func AnchorNow(l *Log) int { return l.anchorer.round(context.Background()) }

// AskWitnesses shows the newest head of the region's log to its witnesses, likewise.
func AskWitnesses(l *Log) error { return l.anchorer.ask(context.Background()) }

// AnchorHeads anchors the heads of some tenants, in place of a round.
func AnchorHeads(ctx context.Context, l *Log, tenants ...tenant.ID) (int, error) {
	return l.anchorer.anchor(ctx, tenants)
}
