package signing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// Home is where a tenant lives, by the newest placement that its log was shown.
type Home struct {
	// Statement is the digest of the placement statement's payload.
	Statement trust.Digest
	statement.Placement
	LoggedAt time.Time
	Signers  []trust.PersonID
}

// home is a placement as accepted.
type home struct {
	Home
	pinned []keys.ID               // every key of the region
	nodes  map[keys.ID]keys.Public // those of this region that sign suspensions; none of another's
	rests  []vote                  // on whose signatures it rests
}

// Home returns the placement in force. Nobody may serve the tenant while there is none:
// the error is [ErrUnknown] if the log was shown none, [ErrRevoked] if the newest was
// withdrawn with a signature that it rests on, or pins a key that was taken out of
// service, and [ErrUntrustedRoot] if the tenant's root no longer allows the region. An
// older placement does not come back in any of these cases.
func (s *State) Home() (Home, error) {
	next := s.epoch + 1
	h := s.home
	switch {
	case s.epoch == 0:
		return Home{}, fmt.Errorf("%w: no placement was applied yet; sign one with epoch %d", ErrUnknown, next)
	case h == nil:
		return Home{}, fmt.Errorf("%w: placement %d rests on a signature that was revoked; sign one with epoch %d",
			ErrRevoked, s.epoch, next)
	case !s.root.allows(h.Certificate.Region):
		return Home{}, fmt.Errorf("%w: the tenant's root no longer allows region %s; sign a placement with epoch %d",
			ErrUntrustedRoot, h.Certificate.Region, next)
	}
	for _, id := range h.pinned {
		if s.outOfService(keyTarget(id)) {
			return Home{}, fmt.Errorf("%w: key %s of region %s; sign a placement with epoch %d that pins others",
				ErrRevoked, id, h.Certificate.Region, next)
		}
	}
	return h.Home, nil
}

// Epoch returns the epoch of the newest placement that the log was shown, in force or not;
// 0 if there is none. The next one has to be above it.
func (s *State) Epoch() uint64 { return s.epoch }

// allows reports whether a tenant root names a region.
func (r *root) allows(region statement.Region) bool {
	return slices.Contains(r.Regions, string(region))
}

// nodeKey returns a key with which a node of this region may suspend now.
func (s *State) nodeKey(id keys.ID) (keys.Public, bool) {
	if s.home == nil {
		return keys.Public{}, false
	}
	key, ok := s.home.nodes[id]
	return key, ok
}

// placement admits the newest word on where the tenant lives, here or elsewhere.
func (e entry) placement(p statement.Placement) (*State, error) {
	s, region := e.state, p.Certificate.Region
	if p.Tenant != s.tenant {
		return nil, fmt.Errorf("%w: this log is of tenant %q; make the statement for it", ErrWrongTenant, s.tenant)
	}
	if err := e.unexpired(s.root); err != nil {
		return nil, err
	}
	votes, err := e.operatorAndApprover()
	if err != nil {
		return nil, err
	}
	if p.Epoch <= s.epoch {
		return nil, fmt.Errorf("%w: placement %d cannot follow %d; sign one with a higher epoch", ErrSequence, p.Epoch,
			s.epoch)
	}
	if err := e.notAhead(p.PlacedAt, "placedAt"); err != nil {
		return nil, err
	}
	if !s.root.allows(region) {
		return nil, fmt.Errorf("%w: the tenant's root does not allow region %s, only %v; rotate the root to add it",
			ErrUntrustedRoot, region, s.root.Regions)
	}
	checkpoint, nodes, err := p.Certificate.Keys()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", statement.ErrMalformed, err)
	}
	h := &home{
		Home:  Home{Statement: e.digest, Placement: p, LoggedAt: e.at, Signers: persons(votes)},
		nodes: map[keys.ID]keys.Public{}, rests: votes,
	}
	next := *s
	next.regionKeys = maps.Clone(s.regionKeys)
	if next.regionKeys == nil {
		next.regionKeys = map[keys.ID]bool{}
	}
	for _, key := range append(nodes, checkpoint) {
		if err := s.free(key.ID()); err != nil {
			return nil, err
		}
		next.regionKeys[key.ID()] = true
		h.pinned = append(h.pinned, key.ID())
	}
	if region == s.region {
		for _, key := range nodes {
			h.nodes[key.ID()] = key
		}
	} else if s.epoch > 0 {
		// Who comes back finds nothing live that was decided on before leaving.
		next.endActivations(func(*activation) bool { return true })
	}
	next.home, next.epoch = h, p.Epoch
	return &next, nil
}

// free refuses to pin a key that was taken out of service, or with which a person signs: a
// node could act as that person, or they as the node.
func (s *State) free(id keys.ID) error {
	if s.outOfService(keyTarget(id)) {
		return fmt.Errorf("%w: key %s of the region; give the region another", ErrRevoked, id)
	}
	for _, r := range append(s.publisherRoots(), s.root) {
		if k, taken := r.keys[id]; taken {
			return fmt.Errorf("%w: key %s of the region belongs to %s in root %q; give each a key of their own",
				ErrMismatch, id, k.person.ID, r.Name)
		}
	}
	return nil
}
