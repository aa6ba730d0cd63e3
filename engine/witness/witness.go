// Package witness watches logs for others: it remembers the newest checkpoint of each log that it has cosigned, and
// cosigns a newer one only if that is proven to follow it (C2SP tlog-witness, tlog-cosignature). Whoever trusts the
// witness need not trust the log to show everybody the same history, and to keep it.
//
// What it guarantees: a checkpoint is on disk before a cosignature of it leaves; no two checkpoints of one log are ever
// cosigned of which one does not follow the other; a witness whose memory was lost does not start.
//
// What it does not do: it says nothing of what the log's leaves mean, and it knows no HTTP (package api/witnessing).
package witness

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	formats "github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/signing/keys"
)

// Why a witness does not cosign. Others are errors of its disk or of the context.
var (
	// ErrUnknownLog says that the witness does not watch a log of this origin.
	ErrUnknownLog = errors.New("the witness does not watch this log")
	// ErrKey says that no key of the log has signed the checkpoint.
	ErrKey = errors.New("checkpoint is not signed by a key of its log")
	// ErrProof says that the checkpoint is not shown to follow the one that was cosigned.
	ErrProof = errors.New("checkpoint is not shown to follow the one cosigned before")
	// ErrState says that the witness's memory is missing, damaged, in use, or of another witness.
	ErrState = errors.New("memory of the witness unusable")
	// ErrLogs says that a list of logs cannot be used.
	ErrLogs = errors.New("list of logs unusable")
)

// A ConflictError says that the newest checkpoint which was cosigned has another size than the request says, or
// another root at the same size.
type ConflictError struct {
	Size int64
	// Proof is that the log has signed two checkpoints of one size with different roots: both, one after the other.
	// Anybody who has the log's key can check it. Nil if the sizes just differ.
	Proof []byte
}

// Error says what is known.
func (e *ConflictError) Error() string {
	if e.Proof != nil {
		return fmt.Sprintf("another checkpoint of %d leaves was cosigned: the log has signed both", e.Size)
	}
	return fmt.Sprintf("the newest checkpoint that was cosigned has %d leaves", e.Size)
}

// maxSize bounds the size of a log.
const maxSize = 1 << 62

// A Log is one that is watched.
type Log struct {
	Origin string
	keys   []note.Verifier
}

// ParseLogs reads a list of logs: a verifier key on each line, <origin>+<hash>+<key> (C2SP signed-note, Ed25519). Empty
// lines and those that begin with # do not count. Several lines with one origin are several keys of one log.
func ParseLogs(text []byte) ([]Log, error) {
	var logs []Log
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		v, err := logKey(line)
		if err != nil {
			return nil, fmt.Errorf("reading logs: %w: line %d: %w", ErrLogs, n+1, err)
		}
		i := 0
		for i < len(logs) && logs[i].Origin != v.Name() {
			i++
		}
		if i == len(logs) {
			logs = append(logs, Log{Origin: v.Name()})
		}
		logs[i].keys = append(logs[i].keys, v)
		if len(logs) > maxLogs || len(logs[i].keys) > maxKeys {
			return nil, fmt.Errorf("reading logs: %w: more than %d logs, or than %d keys of one", ErrLogs, maxLogs, maxKeys)
		}
	}
	return logs, nil
}

const (
	maxLogs = 256
	maxKeys = 16
)

// logKey reads a verifier key that only one private key belongs to.
func logKey(line string) (note.Verifier, error) {
	v, err := note.NewVerifier(line)
	if err != nil {
		return nil, err
	}
	_, key, _ := strings.Cut(line[len(v.Name())+1:], "+") // base64 has a + of its own
	raw, err := base64.StdEncoding.DecodeString(key)
	if err == nil && len(raw) == 1+ed25519.PublicKeySize {
		err = keys.CheckEd25519(raw[1:])
	}
	return v, err
}

// algCosignature is the algorithm byte of cosignature/v1 with Ed25519.
const algCosignature = 4

// VerifierKey is how others name a witness and its key: <name>+<hash>+<key>.
func VerifierKey(name string, key ed25519.PublicKey) string {
	raw := append([]byte{algCosignature}, key...)
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, raw), base64.StdEncoding.EncodeToString(raw))
}

func keyHash(name string, raw []byte) uint32 {
	h := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return binary.BigEndian.Uint32(h[:])
}

// Config is what a Witness is made of. All fields are required.
type Config struct {
	Name  string       // like a URL without its scheme, such as "witness.example/w1"
	Key   keys.Private // Ed25519, of this witness alone
	Dir   string       // of its memory, made by [Create]
	Logs  []Log
	Clock func() time.Time
}

// Witness cosigns checkpoints. It is safe for concurrent use.
type Witness struct {
	cfg    Config
	public ed25519.PublicKey
	vkey   string
	logs   map[string][]note.Verifier

	mu     sync.Mutex
	memory *memory // guarded by mu
}

// Open reads the witness's memory, and holds it against the keys of the logs. Close lets it go.
func Open(c Config) (*Witness, error) {
	public, ok := c.Key.Public().Crypto().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("opening witness: %w: its key must be Ed25519", ErrState)
	}
	w := &Witness{cfg: c, public: public, vkey: VerifierKey(c.Name, public), logs: map[string][]note.Verifier{}}
	if _, err := cosigned.NewVerifierForCosignatureV1(w.vkey); err != nil {
		return nil, fmt.Errorf("opening witness: %w: it cannot be called %q", ErrState, c.Name)
	}
	for _, l := range c.Logs {
		w.logs[l.Origin] = l.keys
	}
	var err error
	if w.memory, err = openMemory(c.Dir, w.vkey); err != nil {
		return nil, fmt.Errorf("opening witness: %w", err)
	}
	for origin, signed := range w.memory.newest {
		if keys, ok := w.logs[origin]; ok {
			if _, err := openCheckpoint(origin, signed, keys); err != nil {
				return nil, errors.Join(fmt.Errorf("opening witness: %w: what it holds of %s: %w", ErrState, origin, err),
					w.Close())
			}
		}
	}
	return w, nil
}

// Close lets another process have the witness's memory.
func (w *Witness) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.memory.close()
}

// VerifierKey is how others name this witness and its key.
func (w *Witness) VerifierKey() string { return w.vkey }

// checkpoint is a signed head of a log.
type checkpoint struct {
	size int64
	root tlog.Hash
	note *note.Note // with the signatures of the log alone
}

func openCheckpoint(origin string, signed []byte, keys []note.Verifier) (*checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(keys...))
	if _, unsigned := errors.AsType[*note.UnverifiedNoteError](err); unsigned {
		return nil, ErrKey
	}
	if _, forged := errors.AsType[*note.InvalidSignatureError](err); forged {
		return nil, ErrKey
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	var c formats.Checkpoint
	_, err = c.Unmarshal([]byte(n.Text))
	if err != nil || c.Origin != origin || c.Size > maxSize || len(c.Hash) != tlog.HashSize {
		return nil, fmt.Errorf("%w: the note is not a checkpoint", ErrRequest)
	}
	n.UnverifiedSigs = nil
	return &checkpoint{int64(c.Size), tlog.Hash(c.Hash), n}, nil
}

// Add checks a request and cosigns its checkpoint. It returns the signature line.
func (w *Witness) Add(ctx context.Context, body []byte) ([]byte, error) {
	line, err := w.add(ctx, body)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	return line, nil
}

func (w *Witness) add(ctx context.Context, body []byte) ([]byte, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return nil, err
	}
	origin, _, _ := bytes.Cut(r.Note, []byte{'\n'})
	keys, ok := w.logs[string(origin)]
	if !ok {
		return nil, ErrUnknownLog
	}
	c, err := openCheckpoint(string(origin), r.Note, keys)
	if err != nil {
		return nil, err
	}
	if r.Old > c.size {
		return nil, fmt.Errorf("%w: the old size is larger than the checkpoint's", ErrRequest)
	}
	signed, err := note.Sign(c.note) // as it came, without what others signed
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := w.follows(string(origin), c, r, signed, keys); err != nil {
		return nil, err
	}
	if err := w.memory.keep(string(origin), signed); err != nil {
		return nil, err
	}
	return w.cosign(c.note.Text)
}

// follows says whether a checkpoint follows the newest one.
func (w *Witness) follows(origin string, c *checkpoint, r Request, signed []byte, keys []note.Verifier) error {
	known := w.memory.newest[origin]
	old := &checkpoint{root: emptyRoot}
	if known != nil {
		var err error
		if old, err = openCheckpoint(origin, known, keys); err != nil {
			return fmt.Errorf("%w: what it holds of %s: %w", ErrState, origin, err)
		}
	}
	switch {
	case old.size == c.size && old.root != c.root && known != nil:
		return &ConflictError{old.size, bytes.Join([][]byte{known, signed}, []byte{'\n'})}
	case r.Old != old.size:
		return &ConflictError{Size: old.size}
	case old.size == c.size || old.size == 0:
		if len(r.Proof) > 0 || old.size == c.size && old.root != c.root {
			return ErrProof
		}
	default:
		if tlog.CheckTree(r.Proof, c.size, c.root, old.size, old.root) != nil {
			return ErrProof
		}
	}
	return nil
}

// emptyRoot is the root of a log without leaves.
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// cosign makes a cosignature/v1 line.
func (w *Witness) cosign(text string) ([]byte, error) {
	now := w.cfg.Clock().Unix()
	sig, err := w.cfg.Key.Crypto().Sign(nil, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", now, text), crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	raw := binary.BigEndian.AppendUint32(nil, keyHash(w.cfg.Name, append([]byte{algCosignature}, w.public...)))
	raw = append(binary.BigEndian.AppendUint64(raw, uint64(now)), sig...)
	return fmt.Appendf(nil, "— %s %s\n", w.cfg.Name, base64.StdEncoding.EncodeToString(raw)), nil
}

// Newest is the newest checkpoint of a log that was cosigned, as its log signed it; nil if there is none. id is the
// SHA-256 of the origin in hexadecimal.
func (w *Witness) Newest(id string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for origin, signed := range w.memory.newest {
		if formats.ID(origin) == id {
			return bytes.Clone(signed)
		}
	}
	return nil
}
