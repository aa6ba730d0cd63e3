package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxRequest bounds a request to cosign, in bytes.
const MaxRequest = 32 << 10

// maxProof is how many hashes the proof of a request may have.
const maxProof = 63

// ErrRequest says that bytes are not a request as [Request.Marshal] writes it, or that what is asked for makes no sense.
var ErrRequest = errors.New("not a request to cosign a checkpoint")

// A Request asks a witness to cosign a checkpoint: the body of add-checkpoint of C2SP tlog-witness.
type Request struct {
	Old   int64          // size of the newest checkpoint that the witness has cosigned; 0 if none
	Proof tlog.TreeProof // that the checkpoint follows that one; empty if Old is 0
	Note  []byte         // the checkpoint, signed by its log
}

// Marshal is the request as it is sent.
func (r Request) Marshal() []byte {
	b := strconv.AppendInt([]byte("old "), r.Old, 10)
	b = append(b, '\n')
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.Note...)
}

// ParseRequest reads what Marshal wrote, in that form only. The note is not looked at.
func ParseRequest(body []byte) (r Request, err error) {
	bad := func(what string) (Request, error) {
		return Request{}, fmt.Errorf("reading request: %w: %s", ErrRequest, what)
	}
	if len(body) > MaxRequest {
		return bad("too long")
	}
	line, rest, _ := bytes.Cut(body, []byte{'\n'})
	size, ok := bytes.CutPrefix(line, []byte("old "))
	if r.Old, err = strconv.ParseInt(string(size), 10, 64); !ok || err != nil || r.Old < 0 {
		return bad("its first line is not an old size")
	}
	for len(rest) > 0 && rest[0] != '\n' {
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		h, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(h) != tlog.HashSize {
			return bad("a line of its proof is not a hash")
		}
		if r.Proof = append(r.Proof, tlog.Hash(h)); len(r.Proof) > maxProof {
			return bad("its proof is too long")
		}
	}
	if len(rest) == 0 {
		return bad("there is no checkpoint")
	}
	r.Note = rest[1:]
	if !bytes.Equal(r.Marshal(), body) {
		return bad("numbers or hashes are not in their one spelling")
	}
	return r, nil
}
