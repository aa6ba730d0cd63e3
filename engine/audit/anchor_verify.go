package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
)

// eachOpening calls fn with everything that a tenant keeps of the region's log, a few in each view.
func (c *check) eachOpening(ctx context.Context, t tenant.ID, fn func(v View, o *opening) error) error {
	for from := []byte{}; from != nil; {
		at := from
		from = nil
		err := c.view(ctx, func(v View) error {
			var list []*opening
			err := v.Scan(Anchors, t, at, nil, false, func(k, value []byte) (bool, error) {
				if len(list) == verifyChunk {
					from = bytes.Clone(k)
					return false, nil
				}
				o, ok := readOpening(k, value)
				if !ok {
					o = opening{}
				}
				list = append(list, &o)
				return true, nil
			})
			for _, o := range list {
				if err == nil {
					err = fn(v, o)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAnchors checks that each head which is said to be anchored is that of the tenant's log as it is now.
func (c *check) checkAnchors(ctx context.Context) error {
	last := &opening{}
	return c.eachOpening(ctx, c.report.Tenant, func(v View, o *opening) error {
		if o.log == "" {
			c.find("", -1, "anchor", "what opens a leaf of the region's log is damaged")
			return nil
		}
		if o.log == last.log && o.index <= last.index {
			c.find(o.log, -1, "anchor", "%d leaves are said to have been anchored before %d were", o.size, last.size)
		}
		last = o
		return c.checkAnchor(v, o)
	})
}

func (c *check) checkAnchor(v View, o *opening) error {
	h, err := c.logHead(v, c.report.Tenant, o.log)
	if err == nil && o.size > h.Size {
		err = fmt.Errorf("%w: %d leaves of it are anchored, it has %d", ErrCorrupt, o.size, h.Size)
	}
	if err == nil {
		_, err = c.opens(v, c.report.Tenant, o)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
		c.find(o.log, -1, "anchor", "%v", err)
		return nil
	}
	return err
}

// VerifyRegion recomputes the region's log: its tree, its head, that cosigned heads lie on its history, and that each of
// its leaves is opened by the log of one tenant as it is now. A tenant's log that was written anew opens its leaves no
// more, and neither does one that is gone.
func (r *Reader) VerifyRegion(ctx context.Context) (findings []Finding, err error) {
	c := &check{Reader: r, report: &Report{}, progress: func(LogName, int64, int64) {}}
	err = c.verifyRegion(ctx)
	if err != nil {
		return nil, fmt.Errorf("verifying the region's log: %w", err)
	}
	return c.report.Findings, nil
}

func (c *check) verifyRegion(ctx context.Context) error {
	h := Head{Log: RegionLog}
	err := c.view(ctx, func(v View) error {
		newest, err := c.regionHead(v)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil {
			h = newest
		}
		over, err := v.Get(Leaves, "", RegionLog.key(h.Size))
		if over != nil {
			c.find(RegionLog, -1, "head", "a leaf lies beyond the %d that the signed head covers", h.Size)
		}
		return err
	})
	if errors.Is(err, ErrCorrupt) {
		c.find(RegionLog, -1, "head", "%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.checkRegionTree(ctx, h); err != nil {
		return err
	}
	if err := c.checkWitnessed(ctx, h); err != nil {
		return err
	}
	opened := make([]byte, h.Size/8+1)
	tenants, err := c.Tenants(ctx)
	for _, t := range tenants {
		if err == nil {
			err = c.countOpenings(ctx, t, h, opened)
		}
	}
	if err != nil {
		return err
	}
	for index := range h.Size {
		if opened[index/8]>>(index%8)&1 == 0 {
			c.find(RegionLog, index, "anchor", "no log of a tenant is what this leaf was made of")
		}
	}
	return nil
}

// checkRegionTree reads the region's log from its first leaf to its head.
func (c *check) checkRegionTree(ctx context.Context, h Head) error {
	tree := &edge{}
	for next := int64(0); next < h.Size; {
		n := min(verifyChunk, h.Size-next)
		err := c.view(ctx, func(v View) error {
			keys := make([]Key, n)
			for i := range keys {
				keys[i] = Key{Leaves, "", RegionLog.key(next + int64(i))}
			}
			values, err := v.GetMany(keys)
			if err != nil {
				return err
			}
			for i, value := range values {
				stored, leaf := splitLeaf(value)
				hashes, err := tree.add(tlog.RecordHash(leaf))
				if err != nil {
					return err
				}
				c.checkHashes(h, next+int64(i), hashes, stored)
			}
			return nil
		})
		if err != nil {
			return err
		}
		next += n
	}
	root, err := tree.root()
	if err == nil && h.Size > 0 && root != h.Root {
		c.find(RegionLog, -1, "tree", "the %d leaves do not have the signed root", h.Size)
	}
	return err
}

// checkWitnessed holds cosigned heads against the region's log.
func (c *check) checkWitnessed(ctx context.Context, h Head) error {
	held := func(v View, signed []byte) error {
		w, err := c.openRegion(bytes.Clone(signed))
		if err == nil && w.Size <= h.Size {
			var root tlog.Hash
			if root, err = tlog.TreeHash(w.Size, storedHashes{v, "", RegionLog}); err == nil && root != w.Root {
				err = fmt.Errorf("%w: the first %d leaves are not those that witnesses have cosigned", ErrCorrupt, w.Size)
			}
		} else if now, headErr := c.regionHead(v); err == nil && (headErr != nil || now.Size < w.Size) {
			err = fmt.Errorf("%w: witnesses have cosigned %d leaves, it has %d", ErrCorrupt, w.Size, h.Size)
		}
		if errors.Is(err, ErrCorrupt) {
			c.find(RegionLog, -1, "witness", "%v", err)
			return nil
		}
		return err
	}
	return c.view(ctx, func(v View) error {
		newest, err := v.Get(Heads, "", []byte(keyWitnessed))
		if err == nil && newest != nil {
			err = held(v, newest)
		}
		if err != nil {
			return err
		}
		var kept [][]byte
		err = v.Scan(Anchors, "", RegionLog.key(0), RegionLog.key(-1), true, func(_, signed []byte) (bool, error) {
			kept = append(kept, bytes.Clone(signed))
			return len(kept) < maxKept, nil
		})
		for _, signed := range kept {
			if err == nil {
				err = held(v, signed)
			}
		}
		return err
	})
}

// maxKept bounds the cosigned heads that one verification looks at, the newest first: four weeks of them.
const maxKept = 1 << 12

// countOpenings notes which leaves a tenant's log opens.
func (c *check) countOpenings(ctx context.Context, t tenant.ID, h Head, opened []byte) error {
	return c.eachOpening(ctx, t, func(v View, o *opening) error {
		if o.log == "" || o.index >= h.Size {
			return nil
		}
		if _, err := c.opens(v, t, o); errors.Is(err, ErrCorrupt) {
			return nil // its leaf stays unopened
		} else if err != nil {
			return err
		}
		if bit := byte(1) << (o.index % 8); opened[o.index/8]&bit == 0 {
			opened[o.index/8] |= bit
		} else {
			c.find(RegionLog, o.index, "anchor", "two heads are said to be this leaf")
		}
		return nil
	})
}
