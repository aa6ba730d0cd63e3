package audit_test

import (
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/audit"
)

// TestSecondImplementation holds every proof of a log of many leaves, records' and heads', against another implementation
// of RFC 6962 than the one that made it; and what that one refuses is refused.
func TestSecondImplementation(t *testing.T) {
	const leaves = 70
	r := newRegion(t)
	l := r.open(t)
	type grown struct {
		size int64
		root tlog.Hash
	}
	var region, north []grown
	var ids []audit.RecordID
	for range leaves {
		rc := appendOK(t, l, r.entry("north", "p1"))
		ids, north = append(ids, rc.RecordID), append(north, grown{rc.Size, rc.Root})
		audit.AnchorNow(l)
		h, err := l.RegionHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		region = append(region, grown{h.Size, h.Root})
	}
	hasher := rfc6962.DefaultHasher
	raw := func(hashes []tlog.Hash) (out [][]byte) {
		for i := range hashes {
			out = append(out, hashes[i][:])
		}
		return out
	}
	for i, id := range ids {
		p, err := l.Proof(t.Context(), "north", id)
		if err != nil {
			t.Fatal(err)
		}
		leaf := hasher.HashLeaf(p.Leaf)
		root := north[leaves-1].root
		if err := proof.VerifyInclusion(hasher, uint64(i), leaves, leaf, raw(p.Hashes), root[:]); err != nil {
			t.Errorf("record %d: %v", i, err)
		}
		a, h := anchored(t, l.Reader, "north", "audit/2026-03", int64(i+1))
		entries, err := l.RegionEntries(t.Context(), 0, leaves)
		if err != nil {
			t.Fatal(err)
		}
		n := int(entries[1]) + 2
		blinded := hasher.HashLeaf(entries[n*i+2 : n*i+n])
		err = proof.VerifyInclusion(hasher, uint64(a.Index), uint64(h.Size), blinded, raw(a.Hashes), h.Root[:])
		if err != nil {
			t.Errorf("head %d: %v", i, err)
		}
		if i > 0 && len(p.Hashes) > 0 {
			if proof.VerifyInclusion(hasher, uint64(i-1), leaves, leaf, raw(p.Hashes), root[:]) == nil {
				t.Errorf("record %d holds at another place", i)
			}
		}
	}
	hashes := storedTree(t, l.Reader, leaves)
	for old := int64(1); old < leaves; old++ {
		for size := old; size <= leaves; size++ {
			p, err := tlog.ProveTree(size, old, hashes)
			if err != nil {
				t.Fatal(err)
			}
			a, b := region[old-1].root, region[size-1].root
			if err := proof.VerifyConsistency(hasher, uint64(old), uint64(size), raw(p), a[:], b[:]); err != nil {
				t.Errorf("from %d to %d: %v", old, size, err)
			}
			other := region[old%(leaves-1)].root
			one := tlog.CheckTree(p, size, b, old, other) == nil
			two := proof.VerifyConsistency(hasher, uint64(old), uint64(size), raw(p), other[:], b[:]) == nil
			if one || two {
				t.Errorf("from another %d to %d: %t and %t", old, size, one, two)
			}
		}
	}
}

// storedTree is the region's log as its tiles show it.
func storedTree(t *testing.T, r *audit.Reader, size int64) tlog.HashReader {
	t.Helper()
	data, err := r.RegionTile(t.Context(), 0, 0, int(size))
	if err != nil {
		t.Fatal(err)
	}
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if out[i], err = tlog.HashFromTile(tlog.Tile{H: 8, W: int(size)}, data, index); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}
