package signing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// packRelease admits a release by the authors of a trusted publisher.
func (e entry) packRelease(p statement.PackRelease) (*State, error) {
	s, pack := e.state, e.env.said.Archive
	r, ok := s.publishers[p.Publisher]
	if !ok {
		return nil, fmt.Errorf("%w: publisher %q has no root here; submit its root first", ErrUntrustedRoot,
			p.Publisher)
	}
	for _, judge := range []*root{s.root, r} {
		if err := e.unexpired(judge); err != nil {
			return nil, err
		}
	}
	found, err := e.signers(r)
	if err != nil {
		return nil, err
	}
	if _, err := threshold(found, r, trust.Author); err != nil {
		return nil, err
	}
	if err := e.notAhead(p.IssuedAt, "issuedAt"); err != nil {
		return nil, err
	}
	if err := e.followsRelease(p); err != nil {
		return nil, err
	}
	next := *s
	next.releases = changed(next.releases)
	next.releases[pack.SHA256] = &release{
		Release: Release{Statement: e.digest, Archive: pack, PackRelease: p, LoggedAt: e.at},
		// Whoever signs a release answers for it, with or without the role of author.
		authors: everyone(found),
	}
	next.packs = changed(next.packs)
	next.packs[p.Pack] = packLine{publisher: p.Publisher, seq: p.Seq, latest: pack.SHA256}
	return &next, nil
}

// followsRelease checks that a release follows the pack's latest one.
func (e entry) followsRelease(p statement.PackRelease) error {
	line, pack := e.state.packs[p.Pack], e.env.said.Archive
	switch {
	case line.publisher != "" && line.publisher != p.Publisher:
		return fmt.Errorf("%w: pack %s belongs to publisher %q; choose another name", ErrMismatch, p.Pack,
			line.publisher)
	case line.seq != 0 && p.Seq != line.seq+1:
		return fmt.Errorf("%w: release %d of %s cannot follow %d; submit every release in order",
			ErrSequence, p.Seq, p.Pack, line.seq)
	case line.seq != 0 && p.Supersedes != line.latest:
		return fmt.Errorf("%w: release %d of %s supersedes an archive that is not the latest here; release it anew",
			ErrSequence, p.Seq, p.Pack)
	case e.state.outOfService(archiveTarget(pack)):
		return fmt.Errorf("%w: archive %s; release other bytes", ErrRevoked, pack.SHA256)
	case e.state.releases[pack.SHA256] != nil:
		return fmt.Errorf("%w: archive %s was released already; release other bytes", ErrSequence, pack.SHA256)
	}
	for _, other := range e.state.releases {
		if other.Pack == p.Pack && other.Version == p.Version {
			return fmt.Errorf("%w: version %s of %s was released with other bytes; raise the version",
				ErrSequence, p.Version, p.Pack)
		}
	}
	return nil
}

// released returns the release a statement is about and refuses one that calls the
// same bytes by another name, version or directory hash.
func (e entry) released(pack statement.Pack, version string) (*release, error) {
	about := e.env.said.Archive
	r, ok := e.state.releases[about.SHA256]
	if !ok {
		return nil, fmt.Errorf("%w: archive %s was not released in this log; submit its release first",
			ErrUnknown, about.SHA256)
	}
	if r.Archive != about || r.Pack != pack || r.Version != version {
		return nil, fmt.Errorf("%w: archive %s was released as %s %s; name that pack, version and dirHash1",
			ErrMismatch, about.SHA256, r.Pack, r.Version)
	}
	return r, nil
}

// clinicalReview admits a judgement by reviewers of trusted publishers.
func (e entry) clinicalReview(p statement.ClinicalReview) (*State, error) {
	s := e.state
	roots := s.publisherRoots()
	found, err := e.signers(roots...)
	if err != nil {
		return nil, err
	}
	r, err := e.released(p.Pack, p.Version)
	if err != nil {
		return nil, err
	}
	concerned := []*root{s.root, s.publishers[r.Publisher]}
	for _, f := range found {
		concerned = append(concerned, f.root)
	}
	k := newKin(concerned...)
	k.add(r.authors)
	if len(k.others(everyone(found), r.authors)) != len(found) {
		return nil, fmt.Errorf("%w: a signer is an author of the release; another clinical reviewer must sign",
			ErrSelfReview)
	}
	var votes []vote
	for _, judge := range roots {
		if e.unexpired(judge) == nil {
			votes = append(votes, holding(found, judge, trust.ClinicalReviewer)...)
		}
	}
	if len(votes) == 0 {
		return nil, fmt.Errorf("%w: nobody signs with role %s of an unexpired publisher root",
			ErrThreshold, trust.ClinicalReviewer)
	}
	if err := e.notAhead(p.ReviewedAt, "reviewedAt"); err != nil {
		return nil, err
	}
	reviewed := *r
	reviewed.reviews = slices.Clone(r.reviews)
	for _, v := range votes {
		if err := reviewed.record(reviewVote{v, p}); err != nil {
			return nil, err
		}
	}
	next := *s
	next.releases = changed(next.releases)
	next.releases[r.Archive.SHA256] = &reviewed
	return &next, nil
}

// record keeps the latest review of each person. An older one is refused, so nobody can
// replay the approval that a reviewer has since taken back.
func (r *release) record(v reviewVote) error {
	for i, old := range r.reviews {
		if old.publisher != v.publisher || old.person != v.person {
			continue
		}
		if !v.review.ReviewedAt.After(old.review.ReviewedAt) {
			return fmt.Errorf("%w: %s has reviewed this pack at that time or later; use a later reviewedAt",
				ErrSequence, v.person)
		}
		r.reviews[i] = v
		return nil
	}
	r.reviews = append(r.reviews, v)
	return nil
}

// publisherRoots returns the roots of all trusted publishers, sorted by name.
func (s *State) publisherRoots() []*root {
	var roots []*root
	for _, name := range slices.Sorted(maps.Keys(s.publishers)) {
		roots = append(roots, s.publishers[name])
	}
	return roots
}

// activation admits a change of what is live for the tenant.
func (e entry) activation(p statement.Activation) (*State, error) {
	if err := e.ours(p.Tenant, p.Region); err != nil {
		return nil, err
	}
	found, err := e.signers(e.state.root)
	if err != nil {
		return nil, err
	}
	var current *activation
	if p.Mode == statement.Off {
		err = e.mayTurnOff(p, found)
	} else {
		current, err = e.mayActivate(p, found)
	}
	if err != nil {
		return nil, err
	}
	next := *e.state
	next.activations = changed(next.activations)
	next.activations[p.Pack] = succession{seq: p.Seq, current: current}
	return &next, nil
}

// followsActivation stops roll-back by replay: an activation names its number and the
// archive that is current before it.
func (e entry) followsActivation(p statement.Activation) error {
	seq, current := e.state.Succession(p.Pack)
	if p.Seq != seq+1 {
		return fmt.Errorf("%w: activation %d of %s cannot follow %d; to roll back, sign a new activation",
			ErrSequence, p.Seq, p.Pack, seq)
	}
	if p.Previous != current {
		return fmt.Errorf(
			"%w: activation %d of %s was made when another archive was current; make it again from the current state",
			ErrSequence, p.Seq, p.Pack)
	}
	return nil
}

func (e entry) mayTurnOff(p statement.Activation, found []signer) error {
	if err := mayRemove(found, e.state.root); err != nil {
		return err
	}
	if err := e.followsActivation(p); err != nil {
		return err
	}
	if a := e.state.activations[p.Pack].current; a == nil || a.Archive != e.env.said.Archive {
		return fmt.Errorf("%w: that archive of %s is not the current one; turn off the current one",
			ErrSequence, p.Pack)
	}
	return nil
}

func (e entry) mayActivate(p statement.Activation, found []signer) (*activation, error) {
	s := e.state
	if err := e.unexpired(s.root); err != nil {
		return nil, err
	}
	approvers, err := threshold(found, s.root, trust.Approver)
	if err != nil {
		return nil, err
	}
	if err := e.followsActivation(p); err != nil {
		return nil, err
	}
	r, err := e.released(p.Pack, p.Version)
	if err != nil {
		return nil, err
	}
	if s.outOfService(archiveTarget(r.Archive)) {
		return nil, fmt.Errorf("%w: archive %s; activate another", ErrRevoked, r.Archive.SHA256)
	}
	if p.Library != r.Library && !strings.HasPrefix(p.Library, r.Library+".") {
		return nil, fmt.Errorf("%w: %s %s needs library %s, but the activation names %q",
			ErrMismatch, p.Pack, p.Version, r.Library, p.Library)
	}
	if err := e.inPeriod(p, r.EffectivePeriod); err != nil {
		return nil, err
	}
	rests, err := e.chain(r, approvers)
	if err != nil {
		return nil, err
	}
	return &activation{
		Activated: Activated{
			Statement:  e.digest,
			Archive:    r.Archive,
			Activation: p,
			LoggedAt:   e.at,
			Approvers:  persons(approvers),
		},
		rests: rests,
	}, nil
}

// inPeriod compares the activation's times with the log's and with the release's days
// (UTC). A shadow run may begin before the pack is effective: that is its use.
func (e entry) inPeriod(p statement.Activation, effective statement.Period) error {
	if !p.DeactivateAt.IsZero() && !p.DeactivateAt.After(e.at) {
		return fmt.Errorf("%w: deactivateAt has passed; give a later time", ErrExpired)
	}
	from := e.at
	if p.ActivateAt.After(from) {
		from = p.ActivateAt
	}
	day := from.UTC().Format(time.DateOnly)
	if p.Mode == statement.Active && day < effective.Start {
		return fmt.Errorf("%w: the pack is effective from %s; set activateAt", ErrExpired, effective.Start)
	}
	if effective.End != "" && day > effective.End {
		return fmt.Errorf("%w: the pack was effective until %s; release a new version", ErrExpired, effective.End)
	}
	return nil
}

// chain judges the persons behind a pack: authors, reviewers, approvers. No reviewer that
// counts is an author, so at least two persons are behind whatever is live. It returns
// all votes that the activation rests on.
func (e entry) chain(r *release, approvers []vote) ([]vote, error) {
	roots := []*root{e.state.root}
	for _, judge := range e.state.publisherRoots() {
		if judge.publisher() == r.Publisher ||
			slices.ContainsFunc(r.reviews, func(v reviewVote) bool { return v.publisher == judge.publisher() }) {
			roots = append(roots, judge)
		}
	}
	k := newKin(roots...)
	k.add(r.authors)
	for _, v := range r.reviews {
		k.add([]vote{v.vote})
	}
	reviewers, err := r.approved(roots[1:], k, e.at)
	if err != nil {
		return nil, err
	}
	if len(k.others(approvers, r.authors)) == 0 {
		return nil, fmt.Errorf("%w: only authors of the release approve it; another approver must sign too",
			ErrSelfReview)
	}
	return slices.Concat(r.authors, reviewers, approvers), nil
}

// approved returns the reviewers who make a release fit for activation at this time:
// nobody's latest review rejects it, and one publisher's threshold of reviewers approve.
func (r *release) approved(roots []*root, k kin, at time.Time) ([]vote, error) {
	byPublisher := map[trust.Publisher][]vote{}
	for _, v := range r.reviews {
		if v.review.Decision == statement.Reject {
			return nil, fmt.Errorf("%w: %s rejected it; release a new version or obtain a later review by them",
				ErrUnreviewed, v.person)
		}
		if at.Before(v.review.ValidUntil) {
			byPublisher[v.publisher] = append(byPublisher[v.publisher], v.vote)
		}
	}
	for _, judge := range roots {
		rule := judge.Roles[trust.ClinicalReviewer]
		votes := k.others(byPublisher[judge.publisher()], r.authors)
		if rule.Threshold >= 1 && k.count(votes) >= rule.Threshold {
			return votes, nil
		}
	}
	return nil, fmt.Errorf(
		"%w: too few unexpired approvals by clinical reviewers other than the authors; have these bytes reviewed",
		ErrUnreviewed)
}
