package signing

import (
	"fmt"
	"slices"
)

// suspension admits taking a rule or pack out of service, by one person or a node.
func (e entry) suspension(p Suspension) (*State, []vote, error) {
	s := e.state
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, nil, err
	}
	votes, err := e.suspenders()
	if err != nil {
		return nil, nil, err
	}
	if _, ok := s.packs[p.Pack]; !ok {
		return nil, nil, fmt.Errorf("%w: no pack %s was released in this log", ErrUnknown, p.Pack)
	}
	if err := e.notAhead(p.SuspendedAt, "suspendedAt"); err != nil {
		return nil, nil, err
	}
	next, err := e.halt(stop{pack: p.Pack, rule: p.Rule})
	return next, votes, err
}

// suspenders accepts a node's own key, alone, or one remover.
func (e entry) suspenders() ([]vote, error) {
	if b := e.env.bundles[0]; len(e.env.bundles) == 1 {
		if key, ok := e.state.nodes[b.key]; ok {
			if e.state.stopped(Target{TargetKey, string(b.key)}) {
				return nil, fmt.Errorf("%w: node key %s; use another key", ErrRevoked, b.key)
			}
			return nil, b.verify(key)
		}
	}
	found, err := e.signers(e.state.root)
	if err != nil {
		return nil, err
	}
	if _, err := removers(found, e.state.root); err != nil {
		return nil, err
	}
	return everyone(found), nil
}

// halt opens a suspension. Each counts once: a suspension that was lifted could
// otherwise be replayed by anyone who kept it.
func (e entry) halt(open stop) (*State, error) {
	if _, seen := e.state.stops[e.digest]; seen || e.state.lifted[e.digest] {
		return nil, fmt.Errorf("%w: this very statement was applied already; sign a new one", ErrSequence)
	}
	next := *e.state
	next.stops = changed(next.stops)
	next.stops[e.digest] = open
	return &next, nil
}

// resumption admits lifting one suspension, which adds power.
func (e entry) resumption(p Resumption) (*State, []vote, error) {
	s := e.state
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, nil, err
	}
	if err := e.unexpired(s.root); err != nil {
		return nil, nil, err
	}
	found, err := e.signers(s.root)
	if err != nil {
		return nil, nil, err
	}
	approvers, err := threshold(found, s.root, Approver)
	if err != nil {
		return nil, nil, err
	}
	open, ok := s.stops[p.Lifts]
	if !ok && s.lifted[p.Lifts] {
		return nil, nil, fmt.Errorf("%w: suspension %s was lifted already", ErrSequence, p.Lifts)
	}
	if !ok {
		return nil, nil, fmt.Errorf("%w: no suspension %s is open", ErrUnknown, p.Lifts)
	}
	if r := s.concerned(open); r != nil {
		k := newKin(s.root, s.publishers[r.Publisher])
		k.add(r.authors)
		k.add(approvers)
		if len(k.others(approvers, r.authors)) == 0 {
			return nil, nil, fmt.Errorf("%w: only authors of the pack resume it; another approver must sign too", ErrSelfReview)
		}
	}
	if err := e.notAhead(p.ResumedAt, "resumedAt"); err != nil {
		return nil, nil, err
	}
	next := *s
	next.stops = changed(next.stops)
	delete(next.stops, p.Lifts)
	next.lifted = changed(next.lifted)
	next.lifted[p.Lifts] = true
	return &next, everyone(found), nil
}

// concerned returns the release that a suspension keeps out of service, if any.
func (s *State) concerned(open stop) *release {
	digest := Digest(open.target.Value)
	if open.pack != "" {
		if _, digest = s.Standing(open.pack); digest == "" {
			_, digest = s.Latest(open.pack)
		}
	}
	return s.releases[digest]
}

// revocation admits taking a pack, key or person out of use. A target may be revoked
// again with an earlier time, when a loss turns out to be older than was thought.
func (e entry) revocation(p Revocation) (*State, []vote, error) {
	s := e.state
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, nil, err
	}
	found, err := e.signers(s.root)
	if err != nil {
		return nil, nil, err
	}
	if _, err := removers(found, s.root); err != nil {
		return nil, nil, err
	}
	if err := e.notAhead(p.EffectiveAt, "effectiveAt"); err != nil {
		return nil, nil, err
	}
	if !s.knows(p.Target) {
		return nil, nil, fmt.Errorf("%w: this log has not seen that %s; check for a typing error", ErrUnknown, p.Target.Type)
	}
	next, err := e.halt(stop{target: p.Target})
	if err != nil {
		return nil, nil, err
	}
	if p.Action == Revoke {
		delete(next.stops, e.digest)
		next.lifted = changed(next.lifted)
		next.lifted[e.digest] = true
		next.revoked = changed(next.revoked)
		next.revoked[p.Target] = true
		next.withdraw(func(v vote) bool { return !v.at.Before(p.EffectiveAt) && v.by(p.Target) })
		next.dropLive(func(a *live) bool { return Target{TargetDigest, string(a.Archive.SHA256)} == p.Target })
	}
	// A tenant that cannot rotate its root can never recover; a rotation removes the
	// key or person just as well.
	if !next.canRotate(e) {
		return nil, nil, fmt.Errorf("%w: too few root-admins would be left to rotate the root; rotate it without the target instead", ErrThreshold)
	}
	return next, everyone(found), nil
}

// by reports whether a vote was cast by a revoked key or person.
func (v vote) by(t Target) bool {
	switch t.Type {
	case TargetKey:
		return string(v.key) == t.Value
	case TargetPerson:
		return slices.Contains(v.names, t.Value)
	default:
		return false
	}
}

// knows reports whether a target occurs in a root, a release or a vote.
func (s *State) knows(t Target) bool {
	if t.Type == TargetDigest {
		return s.releases[Digest(t.Value)] != nil
	}
	if _, node := s.nodes[KeyID(t.Value)]; node && t.Type == TargetKey {
		return true
	}
	for _, r := range append(s.publisherRoots(), s.root) {
		for _, p := range r.Persons {
			for _, name := range p.names() {
				if (t.Type == TargetPerson && name == t.Value) || (t.Type == TargetKey && name == "key:"+t.Value) {
					return true
				}
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
		if a.live != nil && slices.ContainsFunc(a.live.rests, func(v vote) bool { return v.by(t) }) {
			return true
		}
	}
	return false
}

// canRotate reports whether enough root-admins have a key that counts.
func (s *State) canRotate(e entry) bool {
	rule := s.root.Roles[RootAdmin]
	able := map[PersonID]bool{}
	for id, k := range s.root.keys {
		if _, err := s.usable(s.root, id, e.at); err == nil && slices.Contains(rule.Persons, k.person.ID) {
			able[k.person.ID] = true
		}
	}
	return len(able) >= rule.Threshold
}

// withdraw takes out everything that rests on a void vote: releases by their authors,
// reviews, and live activations by anyone in their chain. What would remain might still
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
	s.dropLive(func(a *live) bool { return slices.ContainsFunc(a.rests, void) })
}

// dropLive ends activations; their sequence numbers go on.
func (s *State) dropLive(ends func(*live) bool) {
	s.activations = changed(s.activations)
	for pack, a := range s.activations {
		if a.live != nil && ends(a.live) {
			s.activations[pack] = standing{seq: a.seq}
		}
	}
}
