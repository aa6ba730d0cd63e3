package signing

import (
	"fmt"
	"slices"
	"time"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// suspension admits taking a rule or pack out of service, by one person or a node.
func (e entry) suspension(p statement.Suspension) (*State, error) {
	s := e.state
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, err
	}
	if err := e.maySuspend(p); err != nil {
		return nil, err
	}
	if _, ok := s.packs[p.Pack]; !ok {
		return nil, fmt.Errorf("%w: no pack %s was released in this log", ErrUnknown, p.Pack)
	}
	if err := e.notAhead(p.SuspendedAt, "suspendedAt"); err != nil {
		return nil, err
	}
	return e.suspend(OpenSuspension{Digest: e.digest, Pack: p.Pack, Rule: p.Rule})
}

// SuspendByNode makes the suspension of a rule, or with an empty rule of a whole pack, by
// the node whose key this is. It passes [State.Check] on s at this time. Reason is shown to
// the tenant's people and kept for good: constant words, nothing of any call.
//
// A node that suspends again after a person lifted its suspension says so in other bytes,
// with a later second if need be: who kept the old ones cannot replay them. What is out of
// service already is [ErrSequence]: there is nothing to do. A key that is none of the
// region's is [ErrUntrustedSigner].
func (s *State) SuspendByNode(node keys.Private, pack statement.Pack, rule, reason string,
	at time.Time) (*Envelope, error) {
	if err := s.nodeMaySuspend(node.Public().ID(), pack, rule); err != nil {
		return nil, fmt.Errorf("making suspension: %w", err)
	}
	p := statement.Suspension{Tenant: s.tenant, Region: s.region, Pack: pack, Rule: rule, Reason: reason}
	for later := range maxClockLead / time.Second {
		p.SuspendedAt = at.UTC().Truncate(time.Second).Add(later * time.Second)
		payload, err := statement.Statement{Predicate: p}.Payload()
		if err != nil {
			return nil, err
		}
		if s.lifted[trust.DigestOf(payload)] {
			continue
		}
		b, err := Sign(payload, node)
		if err != nil {
			return nil, err
		}
		return NewEnvelope(b)
	}
	return nil, fmt.Errorf("making suspension: %w: as many as there are seconds were lifted just now; try later",
		ErrSequence)
}

// nodeMaySuspend accepts a key of the region for what is in service. Two nodes that see the
// same rule fail suspend it once, and one resumption lifts that.
func (s *State) nodeMaySuspend(key keys.ID, pack statement.Pack, rule string) error {
	if _, ok := s.nodeKey(key); !ok {
		return fmt.Errorf("%w: key %s is none that the placement in force pins; sign one that does",
			ErrUntrustedSigner, key)
	}
	if s.outOfService(keyTarget(key)) {
		return fmt.Errorf("%w: node key %s; use another key", ErrRevoked, key)
	}
	if s.Suspended(pack, rule) {
		return fmt.Errorf("%w: out of service already", ErrSequence)
	}
	return nil
}

// maySuspend accepts a node's own key, alone, or one remover.
func (e entry) maySuspend(p statement.Suspension) error {
	if b := e.env.bundles[0]; len(e.env.bundles) == 1 {
		if key, ok := e.state.nodeKey(b.key); ok {
			if err := e.state.nodeMaySuspend(b.key, p.Pack, p.Rule); err != nil {
				return err
			}
			return b.Verify(key)
		}
	}
	found, err := e.signers(e.state.root)
	if err != nil {
		return err
	}
	return mayRemove(found, e.state.root)
}

// suspend opens a suspension. Each counts once: a suspension that was lifted could
// otherwise be replayed by anyone who kept it.
func (e entry) suspend(open OpenSuspension) (*State, error) {
	if _, seen := e.state.suspensions[e.digest]; seen || e.state.lifted[e.digest] {
		return nil, fmt.Errorf("%w: this very statement was applied already; sign a new one", ErrSequence)
	}
	next := *e.state
	next.suspensions = changed(next.suspensions)
	next.suspensions[e.digest] = open
	return &next, nil
}

// resumption admits lifting one suspension, which adds power.
func (e entry) resumption(p statement.Resumption) (*State, error) {
	s := e.state
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, err
	}
	if err := e.unexpired(s.root); err != nil {
		return nil, err
	}
	found, err := e.signers(s.root)
	if err != nil {
		return nil, err
	}
	approvers, err := threshold(found, s.root, trust.Approver)
	if err != nil {
		return nil, err
	}
	open, ok := s.suspensions[p.Lifts]
	if s.lifted[p.Lifts] {
		return nil, fmt.Errorf("%w: suspension %s was lifted already", ErrSequence, p.Lifts)
	}
	if !ok {
		return nil, fmt.Errorf("%w: no suspension %s is open", ErrUnknown, p.Lifts)
	}
	if r := s.concerned(open); r != nil {
		k := newKin(s.root, s.publishers[r.Publisher])
		k.add(r.authors)
		if len(k.others(approvers, r.authors)) == 0 {
			return nil, fmt.Errorf("%w: only authors of the pack resume it; another approver must sign too",
				ErrSelfReview)
		}
	}
	if err := e.notAhead(p.ResumedAt, "resumedAt"); err != nil {
		return nil, err
	}
	next := *s
	next.suspensions = changed(next.suspensions)
	delete(next.suspensions, p.Lifts)
	next.lifted = changed(next.lifted)
	next.lifted[p.Lifts] = true
	return &next, nil
}

// concerned returns the release that a suspension keeps out of service, if any.
func (s *State) concerned(open OpenSuspension) *release {
	digest := trust.Digest(open.Target.Value)
	if open.Pack != "" {
		if _, digest = s.Succession(open.Pack); digest == "" {
			_, digest = s.Latest(open.Pack)
		}
	}
	return s.releases[digest]
}

// revocation admits taking a pack, key or person out of use. A target may be revoked
// again with an earlier time, when a loss turns out to be older than was thought.
func (e entry) revocation(p statement.Revocation) (*State, error) {
	s := e.state
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, err
	}
	found, err := e.signers(s.root)
	if err != nil {
		return nil, err
	}
	if err := mayRemove(found, s.root); err != nil {
		return nil, err
	}
	if err := e.notAhead(p.EffectiveAt, "effectiveAt"); err != nil {
		return nil, err
	}
	if p.Target.Type == statement.TargetPerson {
		// As persons are compared, whatever the spelling that was signed.
		p.Target = personTarget(trust.Person{ID: trust.PersonID(p.Target.Value)}.Names()[0])
	}
	if !s.knows(p.Target) {
		return nil, fmt.Errorf("%w: this log has not seen that %s; check for a typing error", ErrUnknown, p.Target.Type)
	}
	next, err := e.suspend(OpenSuspension{Digest: e.digest, Target: p.Target})
	if err != nil {
		return nil, err
	}
	if p.Action == statement.Revoke {
		delete(next.suspensions, e.digest)
		next.lifted = changed(next.lifted)
		next.lifted[e.digest] = true
		next.revoked = changed(next.revoked)
		next.revoked[p.Target] = true
		next.withdraw(func(v vote) bool { return !v.at.Before(p.EffectiveAt) && v.by(p.Target) })
		next.endActivations(func(a *activation) bool { return archiveTarget(a.Archive) == p.Target })
	}
	// A tenant that cannot rotate its root can never recover; a rotation removes the
	// key or person just as well.
	if !next.canRotate(e) {
		return nil, fmt.Errorf(
			"%w: too few root-admins would be left to rotate the root; rotate it without the target instead",
			ErrThreshold)
	}
	return next, nil
}

// by reports whether a vote was cast by a revoked key or person.
func (v vote) by(t statement.Target) bool {
	switch t.Type {
	case statement.TargetKey:
		return string(v.key) == t.Value
	case statement.TargetPerson:
		return slices.Contains(v.names, t.Value)
	default:
		return false
	}
}

// knows reports whether a target occurs in a root, a release or a vote.
func (s *State) knows(t statement.Target) bool {
	if t.Type == statement.TargetDigest {
		return s.releases[trust.Digest(t.Value)] != nil
	}
	if s.regionKeys[keys.ID(t.Value)] {
		return true
	}
	name := t.Value
	if t.Type == statement.TargetKey {
		name = "key:" + name
	}
	for _, r := range append(s.publisherRoots(), s.root) {
		for _, p := range r.Persons {
			if slices.Contains(p.Names(), name) {
				return true
			}
		}
	}
	for _, r := range s.releases {
		if slices.ContainsFunc(r.authors, func(v vote) bool { return v.by(t) }) ||
			slices.ContainsFunc(r.reviews, func(v reviewVote) bool { return v.by(t) }) {
			return true
		}
	}
	for _, a := range s.activations {
		if a.current != nil && slices.ContainsFunc(a.current.rests, func(v vote) bool { return v.by(t) }) {
			return true
		}
	}
	return false
}

// canRotate reports whether enough root-admins have a key that counts.
func (s *State) canRotate(e entry) bool {
	rule := s.root.Roles[trust.RootAdmin]
	able := map[trust.PersonID]bool{}
	for id, k := range s.root.keys {
		if _, err := s.usable(s.root, id, e.at); err == nil && slices.Contains(rule.Persons, k.person.ID) {
			able[k.person.ID] = true
		}
	}
	return len(able) >= rule.Threshold
}

// withdraw takes out everything that rests on a void vote: releases by their authors,
// reviews, the placement, and activations by anyone in their chain. What would remain might still
// meet a threshold, but nobody approved that remainder.
func (s *State) withdraw(void func(vote) bool) {
	s.releases = changed(s.releases)
	for digest, r := range s.releases {
		if slices.ContainsFunc(r.authors, void) {
			delete(s.releases, digest)
			continue
		}
		kept := *r
		kept.reviews = slices.DeleteFunc(slices.Clone(r.reviews), func(v reviewVote) bool { return void(v.vote) })
		s.releases[digest] = &kept
	}
	if s.home != nil && slices.ContainsFunc(s.home.rests, void) {
		s.home = nil
	}
	s.endActivations(func(a *activation) bool { return slices.ContainsFunc(a.rests, void) })
}

// endActivations ends activations; their sequence numbers go on.
func (s *State) endActivations(ends func(*activation) bool) {
	s.activations = changed(s.activations)
	for pack, a := range s.activations {
		if a.current != nil && ends(a.current) {
			s.activations[pack] = succession{seq: a.seq}
		}
	}
}
