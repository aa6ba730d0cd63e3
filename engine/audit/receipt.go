package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A Receipt is what the caller of Append gets: that a record with this leaf hash stands at this place of a log
// whose head is signed. It holds nothing about a patient and may be shown to anybody. With it and the node's
// public key its owner can show, against later denial, that the record was taken.
type Receipt struct {
	RecordID RecordID
	Log      string    // origin
	Index    int64     // of the leaf
	Leaf     tlog.Hash // RFC 6962 hash of the leaf
	Size     int64     // of the signed head, greater than Index
	Root     tlog.Hash // of the signed head
	Note     []byte    // the signed head, a C2SP checkpoint
	Token    TokenUse  // what became of the entry's token; stands in no text
	Repeated bool      // the entry was stored before; this is the first one's place, under the newest head
}

// maxReceipt bounds a receipt in a header.
const maxReceipt = 8 << 10

// String is the receipt as a dictionary of RFC 8941, for an HTTP header:
//
//	id="019c…", log="audit.example/eu/north/audit/2026-03", index=7, size=9, leaf=:…:, root=:…:, note=:…:
//
// followed by ", repeated" if so.
func (r Receipt) String() string {
	b64 := base64.StdEncoding
	b := make([]byte, 0, 512+2*len(r.Note))
	b = append(append(append(b, `id="`...), r.RecordID...), `", log="`...)
	b = append(append(b, r.Log...), `", index=`...)
	b = append(strconv.AppendInt(b, r.Index, 10), `, size=`...)
	b = append(strconv.AppendInt(b, r.Size, 10), `, leaf=:`...)
	b = append(b64.AppendEncode(b, r.Leaf[:]), `:, root=:`...)
	b = append(b64.AppendEncode(b, r.Root[:]), `:, note=:`...)
	b = append(b64.AppendEncode(b, r.Note), ':')
	if r.Repeated {
		b = append(b, ", repeated"...)
	}
	return string(b)
}

// ParseReceipt reads what String wrote, in that form only. It checks that the parts agree with each other;
// [Receipt.Verify] checks the signature.
func ParseReceipt(s string) (Receipt, error) {
	bad := func(what string) (Receipt, error) {
		return Receipt{}, fmt.Errorf("reading receipt: %w: %s", ErrReceipt, what)
	}
	if len(s) > maxReceipt {
		return bad("too long")
	}
	parts := strings.Split(s, ", ")
	if len(parts) != 7 && (len(parts) != 8 || parts[7] != "repeated") {
		return bad("wrong number of members")
	}
	r := Receipt{Repeated: len(parts) == 8}
	var values [7]string
	for i, m := range [7]struct{ before, after string }{
		{`id="`, `"`}, {`log="`, `"`}, {`index=`, ``}, {`size=`, ``}, {`leaf=:`, `:`}, {`root=:`, `:`}, {`note=:`, `:`},
	} {
		v, ok := strings.CutPrefix(parts[i], m.before)
		v, ok2 := strings.CutSuffix(v, m.after)
		if !ok || !ok2 {
			return bad("member " + strings.TrimRight(m.before, `=:"`) + " is missing or out of order")
		}
		values[i] = v
	}
	id, err := ParseRecordID(values[0])
	if err != nil || !plain(values[1]) {
		return bad("id or log")
	}
	r.RecordID, r.Log = id, values[1]
	index, err1 := strconv.ParseInt(values[2], 10, 64)
	size, err2 := strconv.ParseInt(values[3], 10, 64)
	leaf, err3 := base64.StdEncoding.DecodeString(values[4])
	root, err4 := base64.StdEncoding.DecodeString(values[5])
	r.Note, err = base64.StdEncoding.DecodeString(values[6])
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || err != nil || len(leaf) != 32 || len(root) != 32 {
		return bad("a number or a hash")
	}
	r.Index, r.Size, r.Leaf, r.Root = index, size, tlog.Hash(leaf), tlog.Hash(root)
	if r.Index < 0 || r.Size <= r.Index || r.String() != s {
		return bad("numbers or form")
	}
	text := r.Log + "\n" + strconv.FormatInt(r.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(r.Root[:]) + "\n"
	if !bytes.HasPrefix(r.Note, []byte(text)) {
		return bad("the note is of another head")
	}
	return r, nil
}

// Verify checks that the head in the receipt was signed by the node with this public key. That the leaf is in
// the tree is shown by a [Proof].
func (r Receipt) Verify(node ed25519.PublicKey) error {
	h, err := openNote(r.Log, r.Note, node)
	if err != nil {
		return fmt.Errorf("checking receipt: %w: %w", ErrReceipt, err)
	}
	if h.Size != r.Size || h.Root != r.Root {
		return fmt.Errorf("checking receipt: %w: the note is of another head", ErrReceipt)
	}
	return nil
}
