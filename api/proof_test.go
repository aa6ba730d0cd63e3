package api

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/audit"
)

// holds checks a proof as somebody would who has the node's public key and
// nothing of Precept.
func holds(p *wire.Proof, node ed25519.PublicKey) error {
	vkey, err := note.NewEd25519VerifierKey(p.Log, node)
	if err != nil {
		return err
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	n, err := note.Open([]byte(p.Checkpoint), note.VerifierList(v))
	if err != nil {
		return err
	}
	var size int64
	var root string
	if _, err := fmt.Sscanf(n.Text, p.Log+"\n%d\n%s\n", &size, &root); err != nil {
		return err
	}
	hash, err := base64.StdEncoding.DecodeString(root)
	if err != nil || len(hash) != tlog.HashSize {
		return errors.New("root is not a hash")
	}
	var path tlog.RecordProof
	for _, h := range p.Path {
		path = append(path, tlog.Hash(h))
	}
	return tlog.CheckRecord(path, size, tlog.Hash(hash), p.Index, tlog.RecordHash(p.Leaf))
}

func TestProof(t *testing.T) {
	w := newWorld(t, nil)
	ada := w.as("north", "ada@north.example")
	var receipts []audit.Receipt
	for i := range 5 {
		a, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(i))
		w.must(err)
		r, err := audit.ParseReceipt(a.Receipt)
		w.must(err)
		receipts = append(receipts, r)
	}
	status, err := ada.Status(t.Context())
	w.must(err)
	for _, r := range receipts {
		p, err := ada.Proof(t.Context(), string(r.RecordID))
		w.must(err)
		if err := holds(p, status.NodeKey); err != nil || p.Log != r.Log || p.Index != r.Index ||
			tlog.RecordHash(p.Leaf) != r.Leaf {
			t.Errorf("%+v: %v", p, err)
		}
		record, err := ada.Record(t.Context(), string(r.RecordID))
		w.must(err)
		if !bytes.Equal(p.Leaf, record.Leaf) {
			t.Errorf("proof of %s, record of %s", p.Leaf, record.Leaf)
		}
		for name, change := range map[string]func(p *wire.Proof){
			"leaf":       func(p *wire.Proof) { p.Leaf[9] ^= 1 },
			"path":       func(p *wire.Proof) { p.Path[len(p.Path)-1][31] ^= 1 },
			"short path": func(p *wire.Proof) { p.Path = p.Path[1:] },
			"index":      func(p *wire.Proof) { p.Index ^= 1 },
			"log":        func(p *wire.Proof) { p.Log = strings.Replace(p.Log, "north", "south", 1) },
			"head":       func(p *wire.Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n", "0\n", 2) },
			"signature": func(p *wire.Proof) {
				b := []byte(p.Checkpoint)
				b[len(b)-10] ^= 1
				p.Checkpoint = string(b)
			},
		} {
			bad := *p
			bad.Leaf, bad.Path = bytes.Clone(p.Leaf), slices.Clone(p.Path)
			for i := range bad.Path {
				bad.Path[i] = bytes.Clone(p.Path[i])
			}
			if change(&bad); holds(&bad, status.NodeKey) == nil {
				t.Errorf("a proof with another %s holds", name)
			}
		}
		if holds(p, bytes.Repeat([]byte{7}, ed25519.PublicKeySize)) == nil {
			t.Error("a proof holds under another node's key")
		}
	}
	page, err := ada.Records(t.Context(), wire.Search{Kind: "access"})
	w.must(err)
	var looked []string
	for _, line := range page.Records {
		access, err := ada.Record(t.Context(), line.ID)
		w.must(err)
		looked = append(looked, string(access.Body))
	}
	for _, r := range receipts {
		want := fmt.Sprintf(`"purpose":"test of the door","what":{"verb":"proof","record":"%s"}`, r.RecordID)
		if !slices.ContainsFunc(looked, func(body string) bool { return strings.Contains(body, want) }) {
			t.Errorf("no access record of the proof of %s in %s", r.RecordID, looked)
		}
	}
}

func TestProofOfStatements(t *testing.T) {
	w := newWorld(t, nil)
	otto := w.as("north", "otto@north.example")
	status, err := otto.Status(t.Context())
	w.must(err)
	statements, err := otto.Statements(t.Context())
	w.must(err)
	for _, s := range statements {
		p, err := otto.StatementProof(t.Context(), s.Index)
		w.must(err)
		if err := holds(p, status.NodeKey); err != nil || p.Index != s.Index || string(p.Leaf) != s.Envelope {
			t.Errorf("statement %d: %v", s.Index, err)
		}
	}
	heads, err := otto.Logs(t.Context())
	w.must(err)
	if len(heads) != 2 || heads[0].Log != "audit/2026-03" || heads[1].Log != "releases" ||
		heads[1].Size != int64(len(statements)) {
		t.Errorf("heads %+v", heads)
	}
	for _, h := range heads {
		checkpoint, err := otto.Checkpoint(t.Context(), h.Log)
		w.must(err)
		if !bytes.Equal(checkpoint, h.Note) {
			t.Errorf("%s: %q and %q", h.Log, checkpoint, h.Note)
		}
	}
}

func TestProofRefuses(t *testing.T) {
	w := newWorld(t, nil)
	a, err := w.ehr("north", "ES256").Call(t.Context(), "orders", w.standard(1))
	w.must(err)
	receipt, err := audit.ParseReceipt(a.Receipt)
	w.must(err)
	id := string(receipt.RecordID)
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"not an auditor": {errOf(w.as("north", "otto@north.example").Proof(t.Context(), id)), "forbidden"},
		"no purpose":     {errOf(w.as("north", "ada@north.example").WithPurpose("").Proof(t.Context(), id)), "purpose"},
		"another tenant": {errOf(w.as("south", "ada@north.example").Proof(t.Context(), id)), "not-found"},
		"no id":          {errOf(w.as("north", "ada@north.example").Proof(t.Context(), "../../north")), "not-found"},
		"past the end":   {errOf(w.as("north", "otto@north.example").StatementProof(t.Context(), 99)), "not-found"},
		"negative":       {errOf(w.as("north", "otto@north.example").StatementProof(t.Context(), -1)), "not-found"},
	} {
		if p := problemOf(c.err); p.Code != c.code {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }
