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

// clinicalReview admits a judgement by reviewers of trusted publishers. It is on record
// whoever's reviewers they are; whether it counts is asked when the pack is activated.
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
	// Who has no say about this release could otherwise list another's key, call its holder
	// an author, and so keep them from reviewing.
	judges := s.judges(r)
	heard := slices.DeleteFunc(slices.Clone(found), func(f signer) bool { return judges[f.root.publisher()] != f.root })
	k := newKin(append(slices.Collect(maps.Values(judges)), s.root)...)
	k.add(r.authors)
	if len(k.others(everyone(heard), r.authors)) != len(heard) {
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
	judges, k := e.state.behind(r)
	if v, rejected := e.state.rejected(r, judges, k); rejected {
		return nil, fmt.Errorf("%w: %s of publisher %q rejected it; release a new version or obtain a later review by them",
			ErrUnreviewed, v.person, v.publisher)
	}
	reviewers, err := r.approved(judges[r.Publisher], k, e.at)
	if err != nil {
		return nil, err
	}
	if len(k.others(approvers, r.authors)) == 0 {
		return nil, fmt.Errorf("%w: only authors of the release approve it; another approver must sign too",
			ErrSelfReview)
	}
	return slices.Concat(r.authors, reviewers, approvers), nil
}

// behind returns who judges a release, and who of all that are behind it is one person.
func (s *State) behind(r *release) (map[trust.Publisher]*root, kin) {
	judges := s.judges(r)
	k := newKin(append(slices.Collect(maps.Values(judges)), s.root)...)
	k.add(r.authors)
	for _, v := range r.reviews {
		if judges[v.publisher] != nil {
			k.add([]vote{v.vote})
		}
	}
	return judges, k
}

// Waived returns what a release may lack at this time: for each rule the states ("true",
// "false", "unknown") that no golden case need show. As many reviewers waive each by name
// as it takes to approve the release, and they are among those who do.
func (s *State) Waived(pack trust.Digest, at time.Time) map[string][]string {
	r := s.releases[pack]
	if r == nil {
		return nil
	}
	judges, k := s.behind(r)
	own := judges[r.Publisher]
	if own == nil {
		return nil
	}
	type state struct{ rule, state string }
	by := map[state][]reviewVote{}
	for _, v := range r.reviews {
		for _, w := range v.review.Waives {
			for _, name := range w.States {
				by[state{w.Rule, name}] = append(by[state{w.Rule, name}], v)
			}
		}
	}
	waived := map[string][]string{}
	for x, reviews := range by {
		waiving := *r
		waiving.reviews = reviews
		if _, err := waiving.approved(own, k, at); err == nil {
			waived[x.rule] = append(waived[x.rule], x.state)
		}
	}
	return waived
}

// judges returns the roots whose clinical reviewers have a say about a release: that of its
// own publisher, and those that the tenant's root adds. Any other publisher that the tenant
// trusts, trusts its own reviewers with its own packs only.
func (s *State) judges(r *release) map[trust.Publisher]*root {
	judges := map[trust.Publisher]*root{r.Publisher: s.publishers[r.Publisher]}
	for _, name := range s.root.ReviewsFrom {
		if p := s.publishers[name]; p != nil { // its root may not have been submitted yet
			judges[name] = p
		}
	}
	return judges
}

// rejected returns a rejection that blocks a release: by one of its judges' reviewers, in
// their latest review, who has the role still. Nobody could take back that of a person
// who has left.
func (s *State) rejected(r *release, judges map[trust.Publisher]*root, k kin) (reviewVote, bool) {
	i := slices.IndexFunc(r.reviews, func(v reviewVote) bool {
		judge := judges[v.publisher]
		return v.review.Decision == statement.Reject && judge != nil && s.reviews(judge, v.vote, k)
	})
	if i < 0 {
		return reviewVote{}, false
	}
	return r.reviews[i], true
}

// reviews reports whether the person behind a vote is, under whatever name, a clinical
// reviewer of a root and in service.
func (s *State) reviews(judge *root, v vote, k kin) bool {
	return !s.anyOutOfService(v.names) && slices.ContainsFunc(judge.Persons, func(p trust.Person) bool {
		return judge.has(trust.ClinicalReviewer, p.ID) && k.find(p.Names()[0]) == k.of(v) && !s.anyOutOfService(p.Names())
	})
}

// approved returns the reviewers who make a release fit for activation at this time: the
// threshold of its own publisher, and not its authors.
func (r *release) approved(own *root, k kin, at time.Time) ([]vote, error) {
	var votes []vote
	others := 0
	for _, v := range r.reviews {
		switch {
		case v.review.Decision != statement.Approve || !at.Before(v.review.ValidUntil):
		case v.publisher == r.Publisher:
			votes = append(votes, v.vote)
		default:
			others++
		}
	}
	votes = k.others(votes, r.authors)
	need := own.Roles[trust.ClinicalReviewer].Threshold
	if need < 1 {
		return nil, fmt.Errorf("%w: its publisher %q lists no clinical reviewers; only they can approve it",
			ErrUnreviewed, r.Publisher)
	}
	if n := k.count(votes); n < need {
		return nil, fmt.Errorf("%w: %d of %d clinical reviewers of its publisher %q, other than its authors, approve it "+
			"(%d approvals of other publishers do not count for them); have these bytes reviewed",
			ErrUnreviewed, n, need, r.Publisher, others)
	}
	return votes, nil
}
