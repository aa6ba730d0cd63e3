package audit

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/tlog"
)

// LogName names a log within its tenant: "releases", or "audit/<yyyy-mm>"; with ".<n>" at the end, n being 2 or more, if
// the clock was set back n-1 times.
type LogName string

// Releases is the tenant's release log.
const Releases LogName = "releases"

const (
	streamAudit    = "audit"
	streamReleases = string(Releases)
)

// monthLog is the log that takes what is committed at t in an era.
func monthLog(t time.Time, era int) LogName {
	name := t.UTC().AppendFormat([]byte(streamAudit+"/"), "2006-01")
	if era > 1 {
		name = strconv.AppendInt(append(name, '.'), int64(era), 10)
	}
	return LogName(name)
}

// maxEra bounds eras, each of which somebody has asked for.
const maxEra = 9999

// cutEra takes the era off the end of a name.
func cutEra(s string) (month string, era int, ok bool) {
	month, digits, ok := strings.Cut(s, ".")
	era, err := strconv.Atoi(digits)
	if !ok || err != nil || era < 2 || era > maxEra || strconv.Itoa(era) != digits {
		return s, 1, false
	}
	return month, era, true
}

// stream is the key of the newest head of this kind of log.
func (n LogName) stream() string {
	stream, _, _ := strings.Cut(string(n), "/")
	return stream
}

// ParseLogName checks s and returns it as the name of a log.
func ParseLogName(s string) (LogName, error) {
	if s == string(Releases) {
		return Releases, nil
	}
	month, ok := strings.CutPrefix(s, streamAudit+"/")
	month, _, _ = cutEra(month)
	if t, err := time.Parse("2006-01", month); !ok || err != nil || t.Format("2006-01") != month {
		return "", fmt.Errorf("reading log name: %w: neither \"releases\" nor \"audit/<yyyy-mm>\"", ErrEntry)
	}
	return LogName(s), nil
}

// key is where things of one leaf lie.
func (n LogName) key(index int64) []byte {
	k := make([]byte, 0, len(n)+9)
	return n.appendKey(k, index)
}

func (n LogName) appendKey(dst []byte, index int64) []byte {
	dst = append(append(dst, n...), 0)
	return binary.BigEndian.AppendUint64(dst, uint64(index))
}

// identity is what all origins of a region begin with.
type identity struct {
	prefix string
	region tenant.Region
}

func (i identity) String() string { return i.prefix + "/" + string(i.region) }

func (i identity) origin(t tenant.ID, n LogName) string {
	return i.String() + "/" + string(t) + "/" + string(n)
}

// A Head is the newest signed state of a log.
type Head struct {
	Log       LogName   `json:"log"`
	Origin    string    `json:"origin"`
	Size      int64     `json:"size"`
	Root      tlog.Hash `json:"root"`
	Committed time.Time `json:"committed"` // of the newest leaf
	Note      []byte    `json:"note"`      // signed checkpoint
	used      *Usage
}

// wireHead is a head as it is stored.
type wireHead struct {
	Log       LogName `json:"log"`
	Committed string  `json:"committed"`
	Note      string  `json:"note"`
	Used      *Usage  `json:"used,omitzero"` // of the tenant, beside the newest head of its audit log
}

func encodeHead(log LogName, committed time.Time, note []byte, used *Usage) ([]byte, error) {
	b, err := json.Marshal(wireHead{log, committed.UTC().Format(timeForm), string(note), used})
	if err != nil {
		return nil, fmt.Errorf("encoding head: %w", err)
	}
	return b, nil
}

// decodeHead is the reverse of encodeHead. It checks no signature.
func decodeHead(value []byte) (w wireHead, committed time.Time, err error) {
	if err := json.Unmarshal(value, &w, json.RejectUnknownMembers(true)); err != nil {
		return w, committed, fmt.Errorf("reading head: %w: not the JSON of a head", ErrCorrupt)
	}
	if committed, err = time.Parse(timeForm, w.Committed); err != nil {
		return w, committed, fmt.Errorf("reading head: %w: bad time", ErrCorrupt)
	}
	return w, committed, nil
}

// openHead reads a stored head and checks its signature.
func (i identity) openHead(t tenant.ID, value []byte, node ed25519.PublicKey) (Head, error) {
	w, committed, err := decodeHead(value)
	if err != nil {
		return Head{}, err
	}
	if _, err := ParseLogName(string(w.Log)); err != nil {
		return Head{}, fmt.Errorf("reading head: %w: unknown log", ErrCorrupt)
	}
	h, err := openNote(i.origin(t, w.Log), []byte(w.Note), node)
	if err != nil {
		return Head{}, fmt.Errorf("reading head of %s: %w", w.Log, err)
	}
	h.Log, h.Committed, h.used = w.Log, committed, w.Used
	return h, nil
}

// OpenHead reads a signed checkpoint of the log of this origin, and checks that the node with this public key signed
// it. The name of the log and the time are not in it.
func OpenHead(origin string, signed []byte, node ed25519.PublicKey) (Head, error) {
	h, err := openNote(origin, signed, node)
	if err != nil {
		return Head{}, fmt.Errorf("checking head: %w", err)
	}
	return h, nil
}

// openNote checks a signed checkpoint of one log.
func openNote(origin string, signed []byte, node ed25519.PublicKey) (Head, error) {
	v, err := keyring.Verifier(origin, node)
	if err != nil {
		return Head{}, err
	}
	c, _, _, err := formats.ParseCheckpoint(signed, origin, v)
	if err != nil {
		return Head{}, fmt.Errorf("%w: signature of the head: %w", ErrCorrupt, err)
	}
	if !oneSpelling(signed) {
		return Head{}, fmt.Errorf("%w: signature of the head: not in its one spelling", ErrCorrupt)
	}
	if len(c.Hash) != tlog.HashSize || c.Size > 1<<62 {
		return Head{}, fmt.Errorf("%w: malformed head", ErrCorrupt)
	}
	return Head{Origin: origin, Size: int64(c.Size), Root: tlog.Hash(c.Hash), Note: signed}, nil
}

// edge is the right edge of a growing tree: the hash of each complete subtree that later leaves build on.
type edge struct {
	size int64
	hash [63]tlog.Hash // hash[l] covers 2^l leaves; meaningful where bit l of size is set
}

var errEdge = errors.New("hash is not on the edge of the tree")

// ReadHashes implements [tlog.HashReader] for the hashes of the edge.
func (e *edge) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		if level >= len(e.hash) || n != e.size>>level-1 || e.size>>level&1 == 0 {
			return nil, errEdge
		}
		out[i] = e.hash[level]
	}
	return out, nil
}

// completes is how many hashes the next leaf brings: its own and one for each subtree that ends with it.
func (e *edge) completes() int { return 1 + bits.TrailingZeros64(uint64(e.size+1)) }

// add appends a leaf hash and returns the hashes to be stored with it.
func (e *edge) add(leaf tlog.Hash) ([]tlog.Hash, error) {
	hashes, err := tlog.StoredHashesForRecordHash(e.size, leaf, e)
	if err != nil {
		return nil, fmt.Errorf("growing tree: %w", err)
	}
	copy(e.hash[:], hashes)
	e.size++
	return hashes, nil
}

// root is the hash of the whole tree.
func (e *edge) root() (tlog.Hash, error) {
	h, err := tlog.TreeHash(e.size, e)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("computing root: %w", err)
	}
	return h, nil
}

// splitLeaf parts what is stored for a leaf into tree hashes and leaf; both are nil if there is nothing, or
// nothing that can be told apart.
func splitLeaf(value []byte) (hashes, leaf []byte) {
	if len(value) == 0 || len(value) < 1+int(value[0])*tlog.HashSize {
		return nil, nil
	}
	n := 1 + int(value[0])*tlog.HashSize
	return value[1:n], value[n:]
}

// readLeaf reads a leaf and the tree hashes stored with it.
func readLeaf(v View, t tenant.ID, log LogName, index int64) (hashes, leaf []byte, err error) {
	value, err := v.Get(Leaves, t, log.key(index))
	hashes, leaf = splitLeaf(value)
	return hashes, leaf, err
}

// appendPlace adds where a record lies.
func appendPlace(dst []byte, log LogName, index int64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(index))
	return append(append(dst, byte(len(log))), log...)
}

// readPlace is the reverse; marks are what follows.
func readPlace(b []byte) (log LogName, index int64, marks []byte, ok bool) {
	if len(b) < 9 || len(b) < 9+int(b[8]) {
		return "", 0, nil, false
	}
	n := 9 + int(b[8])
	return LogName(b[9:n]), int64(binary.BigEndian.Uint64(b)), b[n:], true
}

// storedHashes reads tree hashes of a log from a view.
type storedHashes struct {
	view   View
	tenant tenant.ID
	log    LogName
}

// ReadHashes implements [tlog.HashReader].
func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	values, err := s.view.GetMany(hashKeys(nil, s.tenant, s.log, indexes))
	if err != nil {
		return nil, err
	}
	return takeHashes(s.log, indexes, values)
}

// hashKeys adds the keys of the leaves that tree hashes are stored with: those that completed their subtrees.
func hashKeys(keys []Key, t tenant.ID, log LogName, indexes []int64) []Key {
	for _, index := range indexes {
		keys = append(keys, Key{Leaves, t, log.key(completedBy(index))})
	}
	return keys
}

func completedBy(index int64) (leaf int64) {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+1)<<level - 1
}

// takeHashes finds the tree hashes in what hashKeys lead to.
func takeHashes(log LogName, indexes []int64, values [][]byte) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, _ := tlog.SplitStoredHashIndex(index)
		hashes, _ := splitLeaf(values[i])
		if len(hashes) < (level+1)*tlog.HashSize {
			return nil, fmt.Errorf("%w: tree hashes of leaf %d of %s are missing", ErrCorrupt, completedBy(index), log)
		}
		out[i] = tlog.Hash(hashes[level*tlog.HashSize:][:tlog.HashSize])
	}
	return out, nil
}

// edgeIndexes are the hashes that make the edge of a tree.
func edgeIndexes(size int64) (indexes []int64) {
	for level := range 63 {
		if size>>level&1 == 1 {
			indexes = append(indexes, tlog.StoredHashIndex(level, size>>level-1))
		}
	}
	return indexes
}

// newEdge makes the edge of a tree from its hashes and checks that it has the signed root.
func newEdge(h Head, hashes []tlog.Hash) (*edge, error) {
	e := &edge{size: h.Size}
	for level := range e.hash {
		if h.Size>>level&1 == 1 {
			e.hash[level], hashes = hashes[0], hashes[1:]
		}
	}
	root, err := e.root()
	if err != nil {
		return nil, err
	}
	if root != h.Root {
		return nil, fmt.Errorf("%w: tree of %s does not have the signed root", ErrCorrupt, h.Log)
	}
	return e, nil
}

// checkEdge checks that the tree in the store has the signed root.
func checkEdge(v View, t tenant.ID, h Head) error {
	hashes, err := storedHashes{v, t, h.Log}.ReadHashes(edgeIndexes(h.Size))
	if err == nil {
		_, err = newEdge(h, hashes)
	}
	return err
}
