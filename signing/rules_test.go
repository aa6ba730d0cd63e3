package signing_test

import (
	"slices"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// other makes the statements about another pack than that of these tests.
func other[P statement.PackRelease | statement.ClinicalReview | statement.Activation](p P) P {
	switch p := any(&p).(type) {
	case *statement.PackRelease:
		p.Pack = "other_pack"
	case *statement.ClinicalReview:
		p.Pack = "other_pack"
	case *statement.Activation:
		p.Pack = "other_pack"
	}
	return p
}

// TestLogStartsWithAnyRelease: a tenant may begin with the fifth release of a pack.
func TestLogStartsWithAnyRelease(t *testing.T) {
	w := newWorld(t)
	w.accept(sayOf(t, archive(5), release(5, 5, archive(4).SHA256), "ann"))
	w.refuse(sayOf(t, archive(7), release(7, 7, archive(5).SHA256), "ann"), signing.ErrSequence)
	w.accept(sayOf(t, archive(6), release(6, 6, archive(5).SHA256), "ann"))
}

// TestPacksAreApart: versions and sequence numbers belong to one pack each.
func TestPacksAreApart(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	again := other(release(1, 1, "")) // version 1.0.1 of another pack
	w.accept(sayOf(t, archive(2), again, "ann"))
	w.accept(sayOf(t, archive(2), other(review(1, statement.Approve, noon)), "rex"))
	w.accept(sayOf(t, archive(2), other(activate(1, 1, "")), "amy", "abe"))
	w.accept(say(t, suspend("", noon), "rick"))
	if live := w.Live(); len(live) != 1 || live[0].Pack != "other_pack" {
		t.Fatalf("live: %+v", live)
	}
}

// TestLatestReviewCounts: a reviewer may change their mind, either way.
func TestLatestReviewCounts(t *testing.T) {
	w := newWorld(t).released(1)
	w.accept(sayOf(t, archive(1), review(1, statement.Reject, noon.Add(time.Minute)), "rex"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon.Add(2*time.Minute)), "rex"))
	w.activated(1)
}

// TestReviewersAreOfTheirPublisher: one id in two publishers' roots is two reviewers.
func TestReviewersAreOfTheirPublisher(t *testing.T) {
	w := newWorldOf(t, nil, publisherRoot(t), society(t, person(t, "rex@heartland.example", nil, "society-rex")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
	w.accept(sayOf(t, archive(1), review(1, statement.Reject, noon), "society-rex"))
	if r, _ := w.Release(archive(1).SHA256); len(r.Reviews) != 2 {
		t.Fatalf("reviews: %+v", r.Reviews)
	}
}

// TestReviewByFormerName: what a root said of the author at the release is remembered.
func TestReviewByFormerName(t *testing.T) {
	w := newWorldOf(t, heard(nil), publisherRoot(t), society(t, person(t, "dana@north.example", nil, "society-dana")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "dana-h"))
	next := publisherRoot(t)
	next.Version, next.Persons[4].Identities = 2, nil
	w.accept(say(t, next, "pat"))
	w.refuse(sayOf(t, archive(1), review(1, statement.Approve, noon), "society-dana"), signing.ErrSelfReview)
}

// TestJoinedByTwoOthers: the author and the reviewer are one person only by way of the
// reviewer's root and the tenant's together.
func TestJoinedByTwoOthers(t *testing.T) {
	reviewers := society(t, person(t, "a.nn@society.example", nil, "society-ann"))
	reviewers.Persons[1].Identities = []string{"ann@heartland.example", "orcid:0000-0000-0000-0095"}
	w := newWorldOf(t, heard(func(root *trust.Root) {
		root.Persons[0].Identities = []string{"orcid:0000-0000-0000-0095", "a.nn@society.example"}
	}), publisherRoot(t), reviewers)
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.refuse(sayOf(t, archive(1), review(1, statement.Approve, noon), "society-ann"), signing.ErrSelfReview)
}

// TestReviewerKnownByFormerName: the root dropped a name of the reviewer, and has since
// declared it to be the author's.
func TestReviewerKnownByFormerName(t *testing.T) {
	p := publisherRoot(t)
	p.Persons[1].Identities = []string{"orcid:0000-0000-0000-0079"}
	w := newWorldOf(t, nil, p)
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
	p.Version, p.Persons[0].Identities, p.Persons[1].Identities = 2, p.Persons[1].Identities, nil
	w.accept(say(t, p, "pat"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
}

// TestWhoseRootsAreAsked: the author's publisher says who the author is; a publisher without
// a say about a pack says nothing about who is behind it, even if its reviewers judge it.
func TestWhoseRootsAreAsked(t *testing.T) {
	alone := func(root *trust.Root) { root.Roles[trust.Approver] = role(1, "amy@north.example", "abe@north.example") }
	for name, row := range map[string]struct {
		change func(authors, bystander *trust.Root)
		want   error
	}{
		"nobody equates": {func(_, _ *trust.Root) {}, nil},
		"the author's equates": {func(a, _ *trust.Root) { a.Persons[0].Identities = []string{"amy@north.example"} },
			signing.ErrSelfReview},
		"a bystander's equates": {func(_, b *trust.Root) {
			b.Persons[0].Identities = []string{"ann@heartland.example", "amy@north.example"}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			authors, bystander := publisherRoot(t), society(t, person(t, "ben@bystander.example", nil, "ben"))
			bystander.Name = "bystander"
			w := newWorldOf(t, alone, authors, bystander)
			w.TB = t
			w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
			w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
			w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "ben"))
			row.change(&authors, &bystander)
			authors.Version, bystander.Version = 2, 2
			w.accept(say(t, authors, "pat"))
			w.accept(say(t, bystander, "sam"))
			env := sayOf(t, archive(1), activate(1, 1, ""), "amy")
			if row.want != nil {
				w.refuse(env, row.want)
			} else {
				w.accept(env)
			}
		})
	}
}

// TestLibraryOfActivation: exactly the release's library, or a version of it.
func TestLibraryOfActivation(t *testing.T) {
	terminology := release(1, 1, "")
	terminology.PackKind, terminology.Library = statement.TerminologyPack, ""
	for _, row := range []struct {
		release statement.PackRelease
		library string
		want    error
	}{
		{release(1, 1, ""), "1", nil},
		{release(1, 1, ""), "1.7.3", nil},
		{release(1, 1, ""), "2.0.0", signing.ErrMismatch},
		{release(1, 1, ""), "", signing.ErrMismatch},
		{terminology, "", nil},
		{terminology, "1.0.0", signing.ErrMismatch},
	} {
		w := newWorld(t)
		w.accept(sayOf(t, archive(1), row.release, "ann"))
		w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
		a := activate(1, 1, "")
		a.Library = row.library
		env := sayOf(t, archive(1), a, "amy", "abe")
		if row.want != nil {
			w.refuse(env, row.want)
		} else {
			w.accept(env)
		}
	}
}

// TestDeactivateAt: an activation may name its end, later than now.
func TestDeactivateAt(t *testing.T) {
	w := newWorld(t).released(1)
	a := activate(1, 1, "")
	a.DeactivateAt = noon
	w.refuse(sayOf(t, archive(1), a, "amy", "abe"), signing.ErrExpired)
	a.DeactivateAt = noon.Add(time.Second)
	w.accept(sayOf(t, archive(1), a, "amy", "abe"))
}

func TestRootMayNotListRevokedPersons(t *testing.T) {
	w := newWorld(t)
	w.accept(say(t, revoke(statement.TargetPerson, "ada@north.example", statement.Revoke, noon), "rick"))
	next, _ := w.Root()
	next.Version, next.Persons = 2, append([]trust.Person{}, next.Persons...)
	next.Persons[7] = person(t, "ada@north.example", nil, "ada3")
	w.refuse(say(t, next, "rosa", "rudy"), signing.ErrRevoked)
}

// TestPinOfPublisher follows a publisher's root and the tenant's through their versions:
// the same pin, or that of the version in force, changes nothing; another starts over.
func TestPinOfPublisher(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	root, _ := w.Root()
	publisher, version := publisherRoot(t), root.Version
	pins := root.TrustedPublishers[0].Root
	rotate := func(pin trust.Digest) {
		t.Helper()
		version++
		next := root
		next.Version, next.TrustedPublishers = version, []trust.TrustedPublisher{{Name: vendor, Root: pin}}
		w.accept(say(t, next, "rosa", "rudy"))
	}
	moveOn := func() trust.Digest {
		t.Helper()
		publisher.Version++
		env := say(t, publisher, "pat")
		w.accept(env)
		return env.Digest()
	}
	second := moveOn()
	rotate(pins) // the first version's pin, although the second is in force
	rotate(second)
	moveOn()
	rotate(second) // the second's, although the third is in force
	if len(w.Live()) != 1 {
		t.Fatal("a pin that was trusted already ended a live pack")
	}
	fresh := publisherRoot(t)
	fresh.Expires = fresh.Expires.Add(time.Hour)
	start := say(t, fresh, "pat")
	rotate(start.Digest())
	if _, ok := w.Release(archive(1).SHA256); ok || len(w.Live()) != 0 {
		t.Fatal("a pack outlived the root it was released under")
	}
	w.refuse(sayOf(t, archive(2), release(2, 2, archive(1).SHA256), "ann"), signing.ErrUntrustedRoot)
	w.accept(start)
	w.accept(sayOf(t, archive(2), release(2, 2, archive(1).SHA256), "ann"))
}

// TestDroppedPublisherLeavesItsPack: the name is free, its sequence goes on, and what
// others own stays theirs.
func TestDroppedPublisherLeavesItsPack(t *testing.T) {
	reviewers := society(t, person(t, "sue@society.example", nil, "sue"))
	bystander := society(t, person(t, "ben@bystander.example", nil, "ben"))
	bystander.Name = "bystander"
	w := newWorldOf(t, nil, publisherRoot(t), reviewers, bystander).released(1)
	mine := other(release(1, 1, ""))
	mine.Publisher = "society"
	w.accept(sayOf(t, archive(2), mine, "sam"))
	w.accept(sayOf(t, archive(2), other(review(1, statement.Approve, noon)), "sue"))
	w.accept(sayOf(t, archive(2), other(activate(1, 1, "")), "amy", "abe"))

	taken := release(3, 2, archive(1).SHA256)
	taken.Publisher = "society"
	w.refuse(sayOf(t, archive(3), taken, "sam"), signing.ErrMismatch)
	before := *w
	drop := func(name trust.Publisher) {
		t.Helper()
		next, _ := w.Root()
		next.Version++
		next.TrustedPublishers = slices.DeleteFunc(slices.Clone(next.TrustedPublishers),
			func(p trust.TrustedPublisher) bool { return p.Name == name })
		w.accept(say(t, next, "rosa", "rudy"))
	}
	drop(vendor)
	if len(w.Live()) != 1 {
		t.Fatal("dropping a publisher ended the pack of another")
	}
	theirs := other(release(4, 2, archive(2).SHA256))
	theirs.Publisher = "bystander"
	w.refuse(sayOf(t, archive(4), theirs, "sam"), signing.ErrMismatch)
	w.accept(sayOf(t, archive(3), taken, "sam"))
	before.refuse(sayOf(t, archive(3), taken, "sam"), signing.ErrMismatch)

	*w = before
	drop("society")
	mine = other(release(4, 2, archive(2).SHA256))
	w.accept(sayOf(t, archive(4), mine, "ann"))
	w.accept(sayOf(t, archive(3), release(3, 2, archive(1).SHA256), "ann"))
}

// TestBackToAnEarlierPin: a pin that was given up is another pin.
func TestBackToAnEarlierPin(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	second := publisherRoot(t)
	second.Version = 2
	env := say(t, second, "pat")
	w.accept(env)
	root, _ := w.Root()
	later := root
	later.Version, later.TrustedPublishers = 2, []trust.TrustedPublisher{{Name: vendor, Root: env.Digest()}}
	w.accept(say(t, later, "rosa", "rudy"))
	root.Version = 3
	w.accept(say(t, root, "rosa", "rudy"))
	if len(w.Live()) != 0 {
		t.Fatal("the publisher did not start over")
	}
}

// TestPublisherOfTheTenantsName: dropping it does not take the tenant's own signatures.
func TestPublisherOfTheTenantsName(t *testing.T) {
	namesake := society(t, person(t, "sue@society.example", nil, "sue"))
	namesake.Name = string(tenant)
	w := newWorldOf(t, nil, publisherRoot(t), namesake).released(1).activated(1)
	next, _ := w.Root()
	next.Version, next.TrustedPublishers = 2, next.TrustedPublishers[:1]
	w.accept(say(t, next, "rosa", "rudy"))
	if len(w.Live()) != 1 {
		t.Fatal("a live pack ended")
	}
}

// TestFormerSignersCanBeRevoked: who has left every root is known from what they signed.
func TestFormerSignersCanBeRevoked(t *testing.T) {
	for _, row := range []struct {
		person           string
		active, released bool
	}{
		{"ann@heartland.example", true, false}, {"ann@heartland.example", false, false},
		{"rex@heartland.example", true, true}, {"rex@heartland.example", false, true},
		{"amy@north.example", true, true},
	} {
		w, person := newWorld(t).released(1), row.person
		if row.active {
			w.activated(1)
		}
		publisher, tenants := publisherRoot(t), trust.Root{}
		tenants, _ = w.Root()
		publisher.Version, tenants.Version = 2, 2
		for _, r := range []*trust.Root{&publisher, &tenants} {
			gone := func(p trust.Person) bool { return p.ID == trust.PersonID(person) }
			r.Persons = slices.DeleteFunc(slices.Clone(r.Persons), gone)
			roles := map[trust.Role]trust.RoleRule{}
			for name, rule := range r.Roles {
				isGone := func(id trust.PersonID) bool { return string(id) == person }
				roles[name] = role(rule.Threshold, slices.DeleteFunc(slices.Clone(rule.Persons), isGone)...)
			}
			r.Roles = roles
		}
		w.accept(say(t, publisher, "pat"))
		w.accept(say(t, tenants, "rosa", "rudy"))
		w.accept(say(t, revoke(statement.TargetPerson, person, statement.Revoke, noon), "rick"))
		if _, known := w.Release(archive(1).SHA256); len(w.Live()) != 0 || known != row.released {
			t.Errorf("%s: live %d, release known %t", person, len(w.Live()), known)
		}
	}
}

// TestVoidReviewIsGone: the review of a lost key does not carry the next activation.
func TestVoidReviewIsGone(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	w.accept(say(t, revoke(statement.TargetPerson, "rex@heartland.example", statement.Revoke, noon), "rick"))
	if r, _ := w.Release(archive(1).SHA256); len(r.Reviews) != 0 {
		t.Fatalf("reviews: %+v", r.Reviews)
	}
	w.refuse(sayOf(t, archive(1), activate(1, 2, ""), "amy", "abe"), signing.ErrUnreviewed)
}

// TestKeyWithoutEnd counts for as long as its root.
func TestKeyWithoutEnd(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) {
		root.Expires = noon.AddDate(9, 0, 0)
		for _, p := range root.Persons {
			for i := range p.Keys {
				p.Keys[i].ValidUntil = time.Time{}
			}
		}
	}, publisherRoot(t))
	w.at = noon.AddDate(8, 0, 0)
	w.accept(say(t, policy(1), "otto", "amy", "abe"))
}

// TestWholePackSuspended is every rule suspended.
func TestWholePackSuspended(t *testing.T) {
	w := newWorld(t).released(1)
	w.accept(say(t, suspend("", noon), "rick"))
	if !w.Suspended(pack, "any-rule") || !w.Suspended(pack, "") || w.Suspended("other_pack", "any-rule") {
		t.Fatal("suspension of a pack")
	}
}

// TestNodeSignsAlone: a node's key beside a stranger's does not carry the stranger in.
func TestNodeSignsAlone(t *testing.T) {
	w := newWorld(t).released(1)
	for _, stranger := range []string{"mallory", "mallory2", "mallory3", "mallory4"} {
		w.refuse(say(t, suspend("", noon), "node", stranger), signing.ErrUntrustedSigner)
	}
}

// TestResumptionUnderExpiredRoot: lifting a suspension adds power.
func TestResumptionUnderExpiredRoot(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) { root.Expires = noon.Add(time.Hour) }, publisherRoot(t)).released(1)
	suspended := w.accept(say(t, suspend("", noon), "rick"))
	w.at = noon.Add(time.Hour)
	w.refuse(say(t, resume(suspended.Digest()), "amy", "abe"), signing.ErrExpired)
}

// TestAuthorDoesNotResumeAlone: whichever way the suspension names the pack, it is about
// the current archive, or the latest if none is.
func TestAuthorDoesNotResumeAlone(t *testing.T) {
	alone := func(root *trust.Root) {
		root.Roles[trust.Approver] = role(1, "amy@north.example", "dana@north.example")
	}
	byDigest := revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Suspend, noon)
	for name, row := range map[string]struct {
		active  bool
		suspend statement.Predicate
	}{
		"latest":                {false, suspend("", noon)},
		"current, not latest":   {true, suspend("", noon)},
		"rule of the current":   {true, suspend("egfr", noon)},
		"archive by its digest": {false, byDigest},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, alone, publisherRoot(t))
			w.TB = t
			w.accept(sayOf(t, archive(1), release(1, 1, ""), "dana-h"))
			if row.active {
				w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
				w.accept(sayOf(t, archive(1), activate(1, 1, ""), "amy"))
				w.accept(sayOf(t, archive(2), release(2, 2, archive(1).SHA256), "ann"))
			}
			suspended := w.accept(say(t, row.suspend, "rick"))
			w.refuse(say(t, resume(suspended.Digest()), "dana-n"), signing.ErrSelfReview)
			w.accept(say(t, resume(suspended.Digest()), "amy"))
		})
	}
}

// TestSuspendedPersonComesBack: what is not a pack has no author to ask about.
func TestSuspendedPersonComesBack(t *testing.T) {
	w := newWorld(t)
	suspended := w.accept(say(t, revoke(statement.TargetPerson, "ada@north.example", statement.Suspend, noon), "rick"))
	if w.HasRole("ada@north.example", trust.Auditor) || len(w.OpenSuspensions()) != 1 {
		t.Fatal("not suspended")
	}
	w.accept(say(t, resume(suspended.Digest()), "amy", "abe"))
	if !w.HasRole("ada@north.example", trust.Auditor) || len(w.OpenSuspensions()) != 0 {
		t.Fatal("not back")
	}
}

// TestRevokedArchiveIsOver: a revocation is not a suspension that could be lifted, and it
// ends the activation.
func TestRevokedArchiveIsOver(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	revoked := w.accept(say(t, revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Revoke, noon),
		"rick"))
	if len(w.OpenSuspensions()) != 0 {
		t.Fatal("a revocation is shown as an open suspension")
	}
	if seq, digest := w.Succession(pack); seq != 1 || digest != "" {
		t.Fatalf("current: %d %s", seq, digest)
	}
	w.refuse(say(t, resume(revoked.Digest()), "amy", "abe"), signing.ErrSequence)
}
