package signing

import (
	"fmt"
	"maps"
	"slices"

	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// tenantRoot admits the tenant's first root by its pin, and later ones by rotation.
func (e entry) tenantRoot(p trust.Root) (*State, error) {
	if p.Name != string(e.state.tenant) {
		return nil, fmt.Errorf("%w: this log is of tenant %q; submit its own root", ErrWrongTenant, e.state.tenant)
	}
	if e.state.root == nil && e.digest != e.state.pin {
		return nil, fmt.Errorf("%w: the payload's digest is %s, pinned is %s; compare both with the tenant",
			ErrUntrustedRoot, e.digest, e.state.pin)
	}
	accepted, err := e.succeed(e.state.root, p)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(accepted.keys)) {
		k := accepted.keys[id]
		if e.state.revoked[keyTarget(id)] || e.state.revoked[personTarget(k.person.Names()[0])] {
			return nil, fmt.Errorf("%w: the root lists key %s of %s; leave them out", ErrRevoked, id, k.person.ID)
		}
	}
	next := *e.state
	next.root = accepted
	next.dropUntrusted()
	return &next, nil
}

// publisherRoot admits the root of a publisher that the tenant's root trusts.
func (e entry) publisherRoot(p trust.Root) (*State, error) {
	trusted, ok := e.state.root.trusts(trust.Publisher(p.Name))
	if !ok {
		return nil, fmt.Errorf(
			"%w: publisher %q is not in the tenant's trustedPublishers; rotate the tenant's root to add it",
			ErrUntrustedRoot, p.Name)
	}
	old := e.state.publishers[trusted.Name]
	if old == nil && e.digest != trusted.Root {
		return nil, fmt.Errorf(
			"%w: the payload's digest is %s, the tenant's root pins %s; submit the pinned version first",
			ErrUntrustedRoot, e.digest, trusted.Root)
	}
	accepted, err := e.succeed(old, p)
	if err != nil {
		return nil, err
	}
	accepted.pinned = trusted.Root
	next := *e.state
	next.publishers = changed(next.publishers)
	next.publishers[trusted.Name] = accepted
	return &next, nil
}

// succeed checks that p follows old, which is nil for a pinned first root. The old
// root may have expired: a tenant that overslept must still be able to rotate.
func (e entry) succeed(old *root, p trust.Root) (*root, error) {
	if old != nil && p.Version != old.Version+1 {
		return nil, fmt.Errorf("%w: version %d cannot follow %d; submit every version in order",
			ErrSequence, p.Version, old.Version)
	}
	accepted, err := newRoot(p, e.digest)
	if err != nil {
		return nil, err
	}
	if err := e.unexpired(accepted); err != nil {
		return nil, err
	}
	if err := e.notAhead(p.IssuedAt, "issuedAt"); err != nil {
		return nil, err
	}
	for id := range e.state.regionKeys {
		if _, taken := accepted.keys[id]; taken {
			// Otherwise the region could act as that person.
			return nil, fmt.Errorf("%w: key %s belongs to a region; give the person a key of their own",
				statement.ErrMalformed, id)
		}
	}
	judges := []*root{accepted}
	if old != nil {
		judges = []*root{old, accepted}
	}
	found, err := e.signers(judges...)
	if err != nil {
		return nil, err
	}
	for _, r := range judges {
		if _, err := threshold(found, r, trust.RootAdmin); err != nil {
			return nil, fmt.Errorf("version %d: %w", r.Version, err)
		}
	}
	return accepted, nil
}

func (r *root) trusts(name trust.Publisher) (trust.TrustedPublisher, bool) {
	for _, p := range r.TrustedPublishers {
		if p.Name == name {
			return p, true
		}
	}
	return trust.TrustedPublisher{}, false
}

// dropUntrusted withdraws publishers that the tenant's new root no longer trusts, or
// trusts under another pin, with everything that rests on their persons. Pinning the
// version already in force changes nothing.
func (s *State) dropUntrusted() {
	for _, name := range slices.Sorted(maps.Keys(s.publishers)) {
		old := s.publishers[name]
		trusted, _ := s.root.trusts(name) // zero if it is not listed, which matches nothing
		if trusted.Root == old.pinned {
			continue
		}
		s.publishers = changed(s.publishers)
		if trusted.Root == old.digest {
			kept := *old
			kept.pinned = trusted.Root
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
func (e entry) tenantPolicy(p statement.TenantPolicy) (*State, error) {
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, err
	}
	if err := e.unexpired(e.state.root); err != nil {
		return nil, err
	}
	if _, err := e.operatorAndApprover(); err != nil {
		return nil, err
	}
	if p.Seq != e.state.policy.Seq+1 {
		return nil, fmt.Errorf("%w: policy %d cannot follow %d; make it again from the current one",
			ErrSequence, p.Seq, e.state.policy.Seq)
	}
	next := *e.state
	next.policy = Policy{Raw: p.Policy, Seq: p.Seq, Digest: e.digest}
	return &next, nil
}

// operatorAndApprover returns the votes for what decides how the tenant is served: the
// thresholds of both roles, and two persons.
func (e entry) operatorAndApprover() ([]vote, error) {
	found, err := e.signers(e.state.root)
	if err != nil {
		return nil, err
	}
	operators, err := threshold(found, e.state.root, trust.Operator)
	if err != nil {
		return nil, err
	}
	approvers, err := threshold(found, e.state.root, trust.Approver)
	if err != nil {
		return nil, err
	}
	votes := slices.Concat(operators, approvers)
	if len(persons(votes)) < 2 {
		return nil, fmt.Errorf("%w: operator and approver must be two persons", ErrThreshold)
	}
	return votes, nil
}

// changed returns a copy of m to write to: the old one belongs to earlier states.
func changed[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}
