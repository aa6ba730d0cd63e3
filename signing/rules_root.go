package signing

import (
	"fmt"
	"maps"
	"slices"
)

// tenantRoot admits the tenant's first root by its pin, and later ones by rotation.
func (e entry) tenantRoot(p TrustRoot) (*State, []vote, error) {
	if p.Name != string(e.state.tenant) {
		return nil, nil, fmt.Errorf("%w: this log is of tenant %q; submit its own root", ErrWrongTenant, e.state.tenant)
	}
	if e.state.root == nil && e.digest != e.state.pin {
		return nil, nil, fmt.Errorf("%w: the payload's digest is %s, pinned is %s; compare both with the tenant", ErrUntrustedRoot, e.digest, e.state.pin)
	}
	accepted, found, err := e.succeed(e.state.root, p)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(accepted.keys)) {
		k := accepted.keys[id]
		if e.state.revoked[Target{TargetKey, string(id)}] || e.state.revoked[Target{TargetPerson, string(k.person.ID)}] {
			return nil, nil, fmt.Errorf("%w: the root lists key %s of %s; leave them out", ErrRevoked, id, k.person.ID)
		}
	}
	next := *e.state
	next.root = accepted
	next.dropUntrusted()
	return &next, everyone(found), nil
}

// publisherRoot admits the root of a publisher that the tenant's root trusts.
func (e entry) publisherRoot(p TrustRoot) (*State, []vote, error) {
	trust, ok := e.state.root.trusts(Publisher(p.Name))
	if !ok {
		return nil, nil, fmt.Errorf("%w: publisher %q is not in the tenant's trustedPublishers; rotate the tenant's root to add it", ErrUntrustedRoot, p.Name)
	}
	old := e.state.publishers[trust.Name]
	if old == nil && e.digest != trust.Root {
		return nil, nil, fmt.Errorf("%w: the payload's digest is %s, the tenant's root pins %s; submit the pinned version first", ErrUntrustedRoot, e.digest, trust.Root)
	}
	accepted, found, err := e.succeed(old, p)
	if err != nil {
		return nil, nil, err
	}
	accepted.pinned = trust.Root
	next := *e.state
	next.publishers = changed(next.publishers)
	next.publishers[trust.Name] = accepted
	return &next, everyone(found), nil
}

// succeed checks that p follows old, which is nil for a pinned first root. The old
// root may have expired: a tenant that overslept must still be able to rotate.
func (e entry) succeed(old *root, p TrustRoot) (*root, []signer, error) {
	if old != nil && p.Version != old.Version+1 {
		return nil, nil, fmt.Errorf("%w: version %d cannot follow %d; submit every version in order", ErrSequence, p.Version, old.Version)
	}
	accepted, err := newRoot(p, e.digest)
	if err != nil {
		return nil, nil, err
	}
	if err := e.unexpired(accepted); err != nil {
		return nil, nil, err
	}
	if err := e.notAhead(p.IssuedAt, "issuedAt"); err != nil {
		return nil, nil, err
	}
	for id := range e.state.nodes {
		if _, taken := accepted.keys[id]; taken {
			// Otherwise a node could act as that person.
			return nil, nil, fmt.Errorf("%w: key %s belongs to a node; give the person a key of their own", ErrMalformed, id)
		}
	}
	judges := []*root{accepted}
	if old != nil {
		judges = []*root{old, accepted}
	}
	found, err := e.signers(judges...)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range judges {
		if _, err := threshold(found, r, RootAdmin); err != nil {
			return nil, nil, fmt.Errorf("version %d: %w", r.Version, err)
		}
	}
	return accepted, found, nil
}

func (r *root) trusts(name Publisher) (TrustedPublisher, bool) {
	for _, p := range r.TrustedPublishers {
		if p.Name == name {
			return p, true
		}
	}
	return TrustedPublisher{}, false
}

// dropUntrusted withdraws publishers that the tenant's new root no longer trusts, or
// trusts under another pin, with everything that rests on their persons. Pinning the
// version already in force changes nothing.
func (s *State) dropUntrusted() {
	for _, name := range slices.Sorted(maps.Keys(s.publishers)) {
		old := s.publishers[name]
		trust, ok := s.root.trusts(name)
		if ok && trust.Root == old.pinned {
			continue
		}
		s.publishers = changed(s.publishers)
		if ok && trust.Root == old.digest {
			kept := *old
			kept.pinned = trust.Root
			s.publishers[name] = &kept
			continue
		}
		delete(s.publishers, name)
		s.packs = changed(s.packs)
		for pack, line := range s.packs {
			if line.publisher == name {
				line.publisher = "" // sequence numbers go on, ownership ends
				s.packs[pack] = line
			}
		}
		s.withdraw(func(v vote) bool { return v.publisher == name })
	}
}

// tenantPolicy admits a new policy of the tenant.
func (e entry) tenantPolicy(p TenantPolicy) (*State, []vote, error) {
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, nil, err
	}
	if err := e.unexpired(e.state.root); err != nil {
		return nil, nil, err
	}
	found, err := e.signers(e.state.root)
	if err != nil {
		return nil, nil, err
	}
	operators, err := threshold(found, e.state.root, Operator)
	if err != nil {
		return nil, nil, err
	}
	approvers, err := threshold(found, e.state.root, Approver)
	if err != nil {
		return nil, nil, err
	}
	if len(persons(append(operators, approvers...))) < 2 {
		return nil, nil, fmt.Errorf("%w: operator and approver must be two persons", ErrThreshold)
	}
	if p.Seq != e.state.policy.Seq+1 {
		return nil, nil, fmt.Errorf("%w: policy %d cannot follow %d; make it again from the current one", ErrSequence, p.Seq, e.state.policy.Seq)
	}
	next := *e.state
	next.policy = Policy{Raw: p.Policy, Seq: p.Seq, Digest: e.digest}
	return &next, everyone(found), nil
}

// changed returns a copy of m to write to: the old one belongs to earlier states.
func changed[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
