package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
)

// A Report is the result of a full verification of one tenant.
type Report struct {
	Tenant   tenant.ID   `json:"tenant"`
	Logs     []LogReport `json:"logs"`
	Findings []Finding   `json:"findings"` // what is wrong; empty means verified
	// NotChecked says in words what could not be checked, as without keys.
	NotChecked []string `json:"notChecked,omitempty"`
}

// A LogReport says what was checked in one log.
type LogReport struct {
	Head   Head  `json:"head"`
	Leaves int64 `json:"leaves"` // read and hashed
	Opened int64 `json:"opened"` // bodies opened and found to be what was committed to
	Erased int64 `json:"erased"` // bodies whose key was destroyed
	Sealed int64 `json:"sealed"` // bodies not opened, for want of keys; their digests were checked
}

// A Finding is one thing that is wrong. Its check is one of head, leaf, tree, order, body, key, usage, commitment, month
// chain, record id, statement, index, blob, anchor, witness, and high-water mark.
type Finding struct {
	Log    LogName `json:"log"`
	Index  int64   `json:"index"`  // of the leaf; -1 if it is about the log as a whole
	Check  string  `json:"check"`  // which check failed
	Detail string  `json:"detail"` // in plain words; names no patient
}

// maxFindings bounds a report: after that many the store is not worth more lines.
const maxFindings = 1000

// verifyChunk is how many leaves are read in one view, so that no view stays open long.
const verifyChunk = 256

// Progress is told how far a verification is in a log. It may be nil.
type Progress func(log LogName, done, total int64)

// Verify reads all of a tenant's logs and recomputes everything: every leaf hash, every tree hash, the signed
// heads, the chain of months, the digest of every ciphertext and, with keys available, every body's commitment;
// that indexes follow each other, times do not go back and record ids are unique; that nothing ends before the
// high-water mark; and that what is found through the side indexes is what follows from leaves and bodies, no less
// and no more, as far as keys are available and the layout, which may be nil, can tell. Findings are in the report; an
// error means that the verification itself could not be done. It works beside a running writer: what is appended
// meanwhile is not looked at.
func (r *Reader) Verify(ctx context.Context, t tenant.ID, layout Layout, progress Progress) (*Report, error) {
	c := &check{Reader: r, report: &Report{Tenant: t}, progress: progress}
	c.layout, c.sizes, c.skipped = layout, map[LogName]int64{}, map[[16]byte]bool{}
	if c.progress == nil {
		c.progress = func(LogName, int64, int64) {}
	}
	report, err := leaving(Only(ctx, t), r.places, func(ctx context.Context) (*Report, error) {
		return c.report, c.run(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("verifying tenant %s: %w", t, err)
	}
	return report, nil
}

// check is a verification under way.
type check struct {
	*Reader
	derived
	report   *Report
	progress Progress
	ref      string     // tenantRef, as the store has it
	previous *Head      // of the month before the log being checked
	log      *LogReport // being checked
	last     time.Time  // committed time of the leaf before
	released int64      // statements before the leaf being checked
	used     Usage      // as counted
}

func (c *check) find(log LogName, index int64, check, format string, args ...any) {
	if len(c.report.Findings) < maxFindings {
		c.report.Findings = append(c.report.Findings, Finding{log, index, check, fmt.Sprintf(format, args...)})
	}
}

func (c *check) run(ctx context.Context) error {
	heads, beyond, err := c.heads(ctx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		c.sizes[h.Log] = h.Size
	}
	for _, h := range heads {
		c.log = &LogReport{Head: h}
		if err := c.checkLog(ctx, h, beyond[h.Log]); err != nil {
			return err
		}
		c.report.Logs = append(c.report.Logs, *c.log)
		c.previous = &h
	}
	if err := c.checkIndexes(ctx); err != nil {
		return err
	}
	if err := c.checkAnchors(ctx); err != nil {
		return err
	}
	if err := c.checkMark(ctx); err != nil {
		return err
	}
	c.report.NotChecked = c.unchecked()
	if c.ref == "" && len(heads) == 0 && len(c.report.Findings) == 0 {
		return ErrNotFound
	}
	return nil
}

// heads reads all heads in one view, with the reference of the tenant and, per growing log, whether a leaf lies
// beyond its head.
func (c *check) heads(ctx context.Context) (heads []Head, beyond map[LogName]bool, err error) {
	t := c.report.Tenant
	beyond = map[LogName]bool{}
	err = c.view(ctx, func(v View) error {
		ref, err := v.Get(Meta, "", []byte("tenant/"+t))
		if err != nil {
			return err
		}
		c.ref = string(ref)
		keys, err := headKeys(v, t)
		if err != nil {
			return err
		}
		for _, k := range keys {
			h, _, ok, err := c.head(v, t, k)
			if errors.Is(err, ErrCorrupt) {
				c.find(LogName(k), -1, "head", "%v", err)
				continue
			}
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if k != h.Log.stream() && k != string(h.Log) {
				c.find(LogName(k), -1, "head", "it is the head of %s", h.Log)
			}
			over, err := v.Get(Leaves, t, h.Log.key(h.Size))
			if err != nil {
				return err
			}
			beyond[h.Log] = over != nil
			heads = append(heads, h)
		}
		return nil
	})
	return heads, beyond, err
}

// checkLog reads one log from its first leaf to its head.
func (c *check) checkLog(ctx context.Context, h Head, beyond bool) error {
	if beyond {
		c.find(h.Log, -1, "head", "a leaf lies beyond the %d that the signed head covers", h.Size)
	}
	c.last = time.Time{}
	tree := &edge{}
	for next := int64(0); next < h.Size; {
		leaves, err := c.chunk(ctx, h, next)
		if err != nil {
			return err
		}
		for i, s := range leaves {
			hashes, err := tree.add(tlog.RecordHash(s.leaf))
			if err != nil {
				return err
			}
			c.checkHashes(h, next+int64(i), hashes, s.hashes)
			if err := c.checkLeaf(ctx, h, next+int64(i), s); err != nil {
				return err
			}
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
		next += int64(len(leaves))
		c.log.Leaves = next
		c.progress(h.Log, next, h.Size)
	}
	root, err := tree.root()
	if err != nil {
		return err
	}
	c.checkEnd(h)
	if root != h.Root {
		c.find(h.Log, -1, "tree", "the %d leaves do not have the signed root", h.Size)
	}
	return nil
}

// stored is one leaf with what lies beside it.
type stored struct{ leaf, hashes, body, place []byte }

// chunk reads some leaves in one view. A missing one is empty, and will not have the right hash.
func (c *check) chunk(ctx context.Context, h Head, from int64) ([]stored, error) {
	t := c.report.Tenant
	out := make([]stored, min(verifyChunk, h.Size-from))
	err := c.view(ctx, func(v View) error {
		var keys, places []Key
		for i := range out {
			k := h.Log.key(from + int64(i))
			keys = append(keys, Key{Leaves, t, k}, Key{Bodies, t, k})
		}
		values, err := v.GetMany(keys)
		if err != nil {
			return err
		}
		var at []int
		for i := range out {
			hashes, data := splitLeaf(values[2*i])
			out[i] = stored{leaf: bytes.Clone(data), hashes: bytes.Clone(hashes), body: bytes.Clone(values[2*i+1])}
			leaf, err := ParseLeaf(data)
			if err != nil || leaf.RecordID == "" {
				continue
			}
			id, _ := leaf.RecordID.bytes() // ParseLeaf has checked it
			places, at = append(places, Key{Records, t, id[:]}), append(at, i)
		}
		if values, err = v.GetMany(places); err != nil {
			return err
		}
		for n, i := range at {
			out[i].place = bytes.Clone(values[n])
		}
		return nil
	})
	return out, err
}

// checkHashes compares the recomputed tree hashes with the stored ones.
func (c *check) checkHashes(h Head, index int64, want []tlog.Hash, got []byte) {
	var b []byte
	for i := range want {
		b = append(b, want[i][:]...)
	}
	if !bytes.Equal(b, got) {
		c.find(h.Log, index, "tree", "its stored hashes are not those of the leaves")
	}
}

// checkLeaf checks one leaf and its body.
func (c *check) checkLeaf(ctx context.Context, h Head, index int64, s stored) error {
	if s.leaf == nil {
		c.find(h.Log, index, "leaf", "it is missing")
		return nil
	}
	if h.Log == Releases {
		return c.checkBlobs(ctx, index, s.leaf)
	}
	leaf, err := ParseLeaf(s.leaf)
	if err != nil {
		c.find(h.Log, index, "leaf", "%v", err)
		return nil
	}
	if leaf.Index != index {
		c.find(h.Log, index, "order", "it says that its index is %d", leaf.Index)
	}
	if leaf.TenantRef != c.ref {
		c.find(h.Log, index, "leaf", "it belongs to another tenant")
	}
	if leaf.Committed.Before(c.last) || monthLog(leaf.Committed, h.Log.era()) != h.Log {
		c.find(h.Log, index, "order", "its time is out of order")
	}
	c.last = leaf.Committed
	c.checkChain(h, index, &leaf)
	if leaf.Kind == Checkpoint {
		return nil
	}
	c.used = c.used.on(leaf.Committed)
	c.used.add(leaf.CTLen + recordOverhead)
	c.checkID(h, index, &leaf, s.place)
	c.checkRelease(h, index, &leaf)
	if err := c.checkStatement(ctx, h, index, &leaf); err != nil {
		return err
	}
	return c.checkBody(ctx, h, index, &leaf, s)
}

// checkChain checks that a month begins with the final head of the month before, and that this stands nowhere else.
func (c *check) checkChain(h Head, index int64, leaf *Leaf) {
	const check = "month chain"
	first := leaf.Kind == Checkpoint
	if index == 1 && c.previous != nil && h.Log.era() != c.previous.Log.era() && leaf.Kind != Event {
		c.find(h.Log, index, check, "the clock was set back after %s, and no event says so", c.previous.Log)
	}
	switch {
	case first && (index != 0 || c.previous == nil):
		c.find(h.Log, index, check, "it is a checkpoint of a month that is not there")
	case !first && index == 0 && c.previous != nil:
		c.find(h.Log, index, check, "the month does not begin with the final checkpoint of %s", c.previous.Log)
	case first && leaf.Checkpoint != string(c.previous.Note):
		c.find(h.Log, index, check, "the final checkpoint of %s is another one", c.previous.Log)
	}
}

func (c *check) checkID(h Head, index int64, leaf *Leaf, place []byte) {
	id, _ := leaf.RecordID.bytes()                               // ParseLeaf has checked it
	if !bytes.HasPrefix(place, appendPlace(nil, h.Log, index)) { // nor is the second of two records with one id
		c.find(h.Log, index, "record id", "record %s is not found here by its id", leaf.RecordID)
	}
	if leaf.Kind == Statement {
		c.due = append(c.due, due{Key{Lookups, c.report.Tenant, statementKey(leaf.ReleaseIndex)}, id[:], h.Log, index,
			leaf.RecordID, false})
	}
}

// checkRelease checks that statements follow each other and that decisions are stored under what they were made under.
func (c *check) checkRelease(h Head, index int64, leaf *Leaf) {
	if (leaf.Kind == Statement || leaf.Kind == Decision) && leaf.ReleaseIndex != c.released {
		c.find(h.Log, index, "order", "it was made under %d statements, and stored when there were %d",
			leaf.ReleaseIndex, c.released)
	}
	if leaf.Kind == Statement {
		c.released = leaf.ReleaseIndex + 1
	}
}

// checkStatement checks that a statement's record and the release log agree.
func (c *check) checkStatement(ctx context.Context, h Head, index int64, leaf *Leaf) error {
	if leaf.Kind != Statement {
		return nil
	}
	return c.view(ctx, func(v View) error {
		_, data, err := readLeaf(v, c.report.Tenant, Releases, leaf.ReleaseIndex)
		c.used.Bytes, c.used.Total = c.used.Bytes+int64(len(data)), c.used.Total+int64(len(data))
		if err == nil && (data == nil || Digest(sha256.Sum256(data)) != leaf.Statement) {
			c.find(h.Log, index, "statement", "statement %d of the release log is not the one recorded", leaf.ReleaseIndex)
		}
		return err
	})
}

func (c *check) checkBody(ctx context.Context, h Head, index int64, leaf *Leaf, s stored) error {
	id, _ := leaf.RecordID.bytes() // ParseLeaf has checked it
	sealed := s.body
	if sealed == nil {
		c.find(h.Log, index, "body", "the sealed body is missing")
		return nil
	}
	if Digest(sha256.Sum256(sealed)) != leaf.CTDigest || int64(len(sealed)) != leaf.CTLen {
		c.find(h.Log, index, "body", "the sealed body is not the one in the leaf")
		return nil
	}
	if c.cfg.Ring == nil {
		return c.checkKey(ctx, h, index, leaf)
	}
	_, body, err := c.openBody(ctx, c.report.Tenant, leaf, sealed)
	if err == nil {
		c.log.Opened++
		return c.expect(ctx, Record{Log: h.Log, Leaf: *leaf, Bytes: s.leaf, Body: body}, index, s.place)
	}
	c.skip(id)
	switch {
	case errors.Is(err, ErrErased):
		c.log.Erased++
	case errors.Is(err, keyring.ErrMissing):
		c.find(h.Log, index, "key", keyMissing)
	case errors.Is(err, ErrCorrupt):
		c.find(h.Log, index, "commitment", "%v", err)
	default:
		return err
	}
	return nil
}

// checkKey looks whether the key of a body is there, as far as that can be told without the region key.
func (c *check) checkKey(ctx context.Context, h Head, index int64, leaf *Leaf) error {
	err := keyring.Stored(ctx, KeyLookup(c.cfg.Store), string(c.report.Tenant), leaf.KeyRef)
	switch {
	case err == nil:
		c.log.Sealed++
	case errors.Is(err, keyring.ErrErased):
		c.log.Erased++
	case errors.Is(err, keyring.ErrMissing):
		c.find(h.Log, index, "key", keyMissing)
	case errors.Is(err, keyring.ErrOpen):
		c.find(h.Log, index, "key", "%v", err)
	default:
		return err
	}
	return nil
}

const keyMissing = "its key is gone, and not by an erasure (put back a copy of the store that has it)"

// checkEnd checks that the head says the time of its newest leaf.
func (c *check) checkEnd(h Head) {
	if h.used != nil && *h.used != c.used {
		c.find(h.Log, -1, "usage", "the tenant is said to have stored another number of records or bytes than it has")
	}
	if h.Log != Releases && !c.last.Equal(h.Committed) {
		c.find(h.Log, -1, "head", "it says another time than its newest leaf")
	}
}

// VerifyBlobs reads all blobs of the region, and says which do not have their digests.
func (r *Reader) VerifyBlobs(ctx context.Context) (findings []Finding, err error) {
	ctx = Only(ctx, "")
	var from []byte
	for {
		var key []byte
		ok := false
		err := r.view(ctx, func(v View) error {
			return v.Scan(Blobs, "", from, nil, false, func(k, value []byte) (bool, error) {
				key = bytes.Clone(k)
				sum := sha256.Sum256(value)
				ok = bytes.Equal(k, sum[:])
				return false, nil
			})
		})
		if err != nil {
			return nil, fmt.Errorf("verifying blobs: %w", err)
		}
		if key == nil {
			return findings, nil
		}
		if !ok && len(findings) < maxFindings {
			findings = append(findings, Finding{"", -1, "blob", fmt.Sprintf("blob %x does not have its digest (put back a"+
				" copy of the store)", key)})
		}
		from = append(key, 0)
	}
}

// checkMark compares the tenant's heads with the high-water mark. The mark is read anew: a running writer moves it.
func (c *check) checkMark(ctx context.Context) error {
	if c.cfg.Mark == nil {
		return nil
	}
	const check = "high-water mark"
	last, err := c.cfg.Mark.Load(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.find("", -1, check, "it is missing, so a log cut short cannot be noticed")
		return nil
	case errors.Is(err, ErrMark):
		c.find("", -1, check, "%v", err)
		return nil
	case err != nil:
		return err
	}
	named := map[string]bool{}
	for _, m := range last {
		if m.Tenant != c.report.Tenant {
			continue
		}
		named[m.Log.stream()] = true
		err := c.view(ctx, func(v View) error { return c.Reader.checkMark(v, m) })
		switch {
		case errors.Is(err, ErrCutShort), errors.Is(err, ErrCorrupt), errors.Is(err, ErrMark):
			c.find(m.Log, -1, check, "%v", err)
		case err != nil:
			return err
		}
	}
	for _, l := range c.report.Logs {
		if !named[l.Head.Log.stream()] {
			c.find(l.Head.Log, -1, check, "it does not name this log: it was emptied or lines are missing")
		}
	}
	return nil
}
