package signing_test

import (
	"slices"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// TestRefused is the table of statements that are well formed and well signed, and
// still must not take effect. Each row starts from a world with release 1 approved
// and, unless it says otherwise, nothing active.
func TestRefused(t *testing.T) {
	far := noon.AddDate(0, 7, 0) // every key has run out
	rows := []struct {
		name string
		want error
		make func(w *world) *signing.Envelope
	}{
		// Counting persons.
		{"one approver", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 1, ""), "amy")
		}},
		{"one approver with two keys", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "amy2")
		}},
		{"approver and somebody without the role", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "otto")
		}},
		{"approver and a stranger", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe", "mallory")
		}},
		{"the vendor activates", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 1, ""), "ann", "rex")
		}},
		{"the node activates", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 1, ""), "node")
		}},
		{"policy by one person in both roles", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, policy(1), "amy", "amy2")
		}},
		{"policy by approvers who do not operate", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, policy(1), "abe", "dana-n")
		}},
		// Validity at the log's time.
		{"keys ran out", signing.ErrExpired, func(w *world) *signing.Envelope {
			w.at = far
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"keys not valid yet", signing.ErrExpired, func(w *world) *signing.Envelope {
			w.at = noon.AddDate(0, -7, 0)
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"review ran out", signing.ErrUnreviewed, func(w *world) *signing.Envelope {
			w.at = noon.AddDate(0, 3, 0)
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"activation of the past", signing.ErrExpired, func(w *world) *signing.Envelope {
			a := activate(1, 1, "")
			a.DeactivateAt = noon.Add(-time.Hour)
			return sayOf(w, archive(1), a, "amy", "abe")
		}},
		{"reviewed in the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Approve, noon.Add(time.Hour)), "ria")
		}},
		{"released in the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			r := release(3, 2, archive(1).SHA256)
			r.IssuedAt = noon.Add(10*time.Minute + time.Second)
			return sayOf(w, archive(3), r, "ann")
		}},
		{"suspended in the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			return say(w, suspend("", noon.Add(time.Hour)), "rick")
		}},
		{"resumed in the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "rick")
			w.accept(s)
			r := resume(s.Digest())
			r.ResumedAt = noon.Add(time.Hour)
			return say(w, r, "amy", "abe")
		}},
		{"revoked in the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			r := revoke(statement.TargetPerson, "ada@north.example", statement.Revoke, noon.Add(time.Hour))
			return say(w, r, "rick")
		}},
		{"root of the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			next, _ := w.Root()
			next.Version, next.IssuedAt = 2, noon.Add(time.Hour)
			return say(w, next, "rosa", "rudy")
		}},
		{"suspension for another tenant", signing.ErrWrongTenant, func(w *world) *signing.Envelope {
			s := suspend("", noon)
			s.Tenant = "south"
			return say(w, s, "rick")
		}},
		{"revocation for another tenant", signing.ErrWrongTenant, func(w *world) *signing.Envelope {
			r := revoke(statement.TargetPerson, "ada@north.example", statement.Revoke, noon)
			r.Tenant = "south"
			return say(w, r, "rick")
		}},
		{"resumption for another region", signing.ErrWrongRegion, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "rick")
			w.accept(s)
			r := resume(s.Digest())
			r.Region = "eu-central"
			return say(w, r, "amy", "abe")
		}},
		// Tenant and region.
		{"activation for another tenant", signing.ErrWrongTenant, func(w *world) *signing.Envelope {
			a := activate(1, 1, "")
			a.Tenant = "south"
			return sayOf(w, archive(1), a, "amy", "abe")
		}},
		{"activation for another region", signing.ErrWrongRegion, func(w *world) *signing.Envelope {
			a := activate(1, 1, "")
			a.Region = "eu-central"
			return sayOf(w, archive(1), a, "amy", "abe")
		}},
		{"policy for another region", signing.ErrWrongRegion, func(w *world) *signing.Envelope {
			p := policy(1)
			p.Region = "eu-central"
			return say(w, p, "otto", "amy")
		}},
		// Sequence.
		{"activation skipped", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), activate(1, 2, ""), "amy", "abe")
		}},
		{"activation replayed to roll back", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.activated(1)
			old := w.log[len(w.log)-1]
			w.released(2).activated(2)
			return old
		}},
		{"activation made against an older state", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.activated(1)
			return sayOf(w, archive(1), activate(1, 2, archive(2).SHA256), "amy", "abe")
		}},
		{"policy replayed", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.accept(say(w, policy(1), "otto", "amy", "abe"))
			old := w.log[len(w.log)-1]
			w.accept(say(w, policy(2), "otto", "amy", "abe"))
			return old
		}},
		{"release skipped", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(3), release(3, 3, archive(1).SHA256), "ann")
		}},
		{"release forked", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(3), release(3, 1, ""), "ann")
		}},
		{"release supersedes another", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(3), release(3, 2, archive(9).SHA256), "ann")
		}},
		{"same version with other bytes", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(3), release(1, 2, archive(1).SHA256), "ann")
		}},
		{"same bytes twice", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), release(3, 2, archive(1).SHA256), "ann")
		}},
		{"approval replayed after it was taken back", signing.ErrSequence, func(w *world) *signing.Envelope {
			old := w.log[len(w.log)-1]
			w.accept(sayOf(w, archive(1), review(1, statement.Reject, noon.Add(time.Minute)), "rex"))
			return old
		}},
		{"two judgements of one time", signing.ErrSequence, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Reject, noon), "rex")
		}},
		{"suspension replayed after it was lifted", signing.ErrSequence, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "rick")
			w.accept(s)
			w.accept(say(w, resume(s.Digest()), "amy", "abe"))
			return s
		}},
		{"resumption replayed after a new suspension", signing.ErrSequence, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "rick")
			w.accept(s)
			r := say(w, resume(s.Digest()), "amy", "abe")
			w.accept(r)
			w.accept(say(w, suspend("", noon.Add(time.Minute)), "rick"))
			return r
		}},
		// Author, reviewer, approver.
		{"unsigned by an author", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return sayOf(w, archive(3), release(3, 2, archive(1).SHA256), "rex")
		}},
		{"author alone: no review", signing.ErrUnreviewed, func(w *world) *signing.Envelope {
			w.accept(sayOf(w, archive(2), release(2, 2, archive(1).SHA256), "ann"))
			return sayOf(w, archive(2), activate(2, 1, ""), "amy", "abe")
		}},
		{"reviewed by the author", signing.ErrSelfReview, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Approve, noon), "ann")
		}},
		{"reviewed by the author's second key", signing.ErrSelfReview, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Approve, noon), "ann2")
		}},
		{"reviewed by author and reviewer", signing.ErrSelfReview, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Approve, noon), "ann", "ria")
		}},
		{"reviewed by an approver of the tenant", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Approve, noon), "amy")
		}},
		{"reviewed by the publisher's admin", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(1, statement.Approve, noon), "pat")
		}},
		{"review of other bytes", signing.ErrUnknown, func(w *world) *signing.Envelope {
			return sayOf(w, archive(7), review(1, statement.Approve, noon), "ria")
		}},
		{"review of another version", signing.ErrMismatch, func(w *world) *signing.Envelope {
			return sayOf(w, archive(1), review(2, statement.Approve, noon), "ria")
		}},
		{"review under another pack's name", signing.ErrMismatch, func(w *world) *signing.Envelope {
			r := review(1, statement.Approve, noon)
			r.Pack = "other_pack"
			return sayOf(w, archive(1), r, "ria")
		}},
		{"review with another dirHash1", signing.ErrMismatch, func(w *world) *signing.Envelope {
			a := archive(1)
			a.DirHash1 = archive(2).DirHash1
			return sayOf(w, a, review(1, statement.Approve, noon), "ria")
		}},
		{"pack A with the review of pack B", signing.ErrUnreviewed, func(w *world) *signing.Envelope {
			w.accept(sayOf(w, archive(2), release(2, 2, archive(1).SHA256), "ann"))
			return sayOf(w, archive(2), activate(2, 1, ""), "amy", "abe")
		}},
		{"a reviewer rejects it", signing.ErrUnreviewed, func(w *world) *signing.Envelope {
			w.accept(sayOf(w, archive(1), review(1, statement.Reject, noon), "ria"))
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"library of another major version", signing.ErrMismatch, func(w *world) *signing.Envelope {
			a := activate(1, 1, "")
			a.Library = "10.0.0"
			return sayOf(w, archive(1), a, "amy", "abe")
		}},
		{"not released", signing.ErrUnknown, func(w *world) *signing.Envelope {
			return sayOf(w, archive(5), activate(1, 1, ""), "amy", "abe")
		}},
		{"release by an unknown publisher", signing.ErrUntrustedRoot, func(w *world) *signing.Envelope {
			r := release(3, 2, archive(1).SHA256)
			r.Publisher = "mallory"
			return sayOf(w, archive(3), r, "ann")
		}},
		// Removing power.
		{"operator suspends", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, suspend("", noon), "otto")
		}},
		{"node revokes", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return say(w, revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Revoke, noon), "node")
		}},
		{"one approver resumes", signing.ErrThreshold, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "rick")
			w.accept(s)
			return say(w, resume(s.Digest()), "amy")
		}},
		{"the node resumes", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "node")
			w.accept(s)
			return say(w, resume(s.Digest()), "node")
		}},
		{"nothing to resume", signing.ErrUnknown, func(w *world) *signing.Envelope {
			return say(w, resume(trust.DigestOf(nil)), "amy", "abe")
		}},
		{"suspension of an unknown pack", signing.ErrUnknown, func(w *world) *signing.Envelope {
			s := suspend("", noon)
			s.Pack = "renal_dozing"
			return say(w, s, "rick")
		}},
		{"revocation of a mistyped key", signing.ErrUnknown, func(w *world) *signing.Envelope {
			return say(w, revoke(statement.TargetKey, string(trust.DigestOf(nil)), statement.Revoke, noon), "rick")
		}},
		{"suspension replayed while it is open", signing.ErrSequence, func(w *world) *signing.Envelope {
			s := say(w, suspend("", noon), "rick")
			w.accept(s)
			return s
		}},
		{"operator revokes", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, revoke(statement.TargetPerson, "ada@north.example", statement.Revoke, noon), "otto")
		}},
		{"revocation of a mistyped person", signing.ErrUnknown, func(w *world) *signing.Envelope {
			w.activated(1)
			a := activate(1, 2, archive(1).SHA256)
			a.Mode = statement.Off
			w.accept(sayOf(w, archive(1), a, "rick"))
			return say(w, revoke(statement.TargetPerson, "amie@north.example", statement.Revoke, noon), "rick")
		}},
		{"revocation of a mistyped key while a pack is live", signing.ErrUnknown, func(w *world) *signing.Envelope {
			w.activated(1)
			return say(w, revoke(statement.TargetKey, string(trust.DigestOf(nil)), statement.Revoke, noon), "rick")
		}},
		{"revocation of an unknown archive", signing.ErrUnknown, func(w *world) *signing.Envelope {
			return say(w, revoke(statement.TargetDigest, string(archive(9).SHA256), statement.Revoke, noon), "rick")
		}},
		{"operator turns off", signing.ErrThreshold, func(w *world) *signing.Envelope {
			w.activated(1)
			a := activate(1, 2, archive(1).SHA256)
			a.Mode = statement.Off
			return sayOf(w, archive(1), a, "otto")
		}},
		{"turning off out of sequence", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.activated(1)
			a := activate(1, 3, archive(1).SHA256)
			a.Mode = statement.Off
			return sayOf(w, archive(1), a, "rick")
		}},
		{"turning off an archive that was replaced", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.activated(1).released(2).activated(2)
			a := activate(1, 3, archive(2).SHA256)
			a.Mode = statement.Off
			return sayOf(w, archive(1), a, "rick")
		}},
		{"turning off what is not current", signing.ErrSequence, func(w *world) *signing.Envelope {
			a := activate(1, 1, "")
			a.Mode = statement.Off
			return sayOf(w, archive(1), a, "rick")
		}},
		// Revoked.
		{"revoked archive", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Revoke, noon), "rick"))
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"suspended archive", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Suspend, noon), "rick"))
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"revoked key", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetKey, string(key(w, "amy").Public().ID()), statement.Revoke, noon),
				"rick"))
			return sayOf(w, archive(1), activate(1, 1, ""), "amy", "abe")
		}},
		{"revoked person with another key", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetPerson, "amy@north.example", statement.Revoke, noon), "rick"))
			return sayOf(w, archive(1), activate(1, 1, ""), "amy2", "abe")
		}},
		{"person revoked under their other identity", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetPerson, "dana@north.example", statement.Revoke, noon), "rick"))
			return sayOf(w, archive(3), release(3, 2, archive(1).SHA256), "dana-h")
		}},
		{"revoked archive released again", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Revoke, noon), "rick"))
			w.accept(say(w, revoke(statement.TargetKey, string(key(w, "ann").Public().ID()), statement.Revoke, noon),
				"rick"))
			return sayOf(w, archive(1), release(3, 2, archive(1).SHA256), "dana-h")
		}},
		{"revoked node key", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetKey, string(key(w, "node").Public().ID()), statement.Revoke, noon),
				"rick"))
			return say(w, suspend("", noon), "node")
		}},
		{"revocation replayed", signing.ErrSequence, func(w *world) *signing.Envelope {
			r := say(w, revoke(statement.TargetDigest, string(archive(1).SHA256), statement.Revoke, noon), "rick")
			w.accept(r)
			return r
		}},
		{"revoking the root-admins away", signing.ErrThreshold, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetPerson, "rosa@north.example", statement.Revoke, noon), "rick"))
			return say(w, revoke(statement.TargetPerson, "rudy@north.example", statement.Revoke, noon), "rick")
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t).released(1)
			w.TB = t
			w.refuse(row.make(w), row.want)
		})
	}
}

// TestAuthorIsNotSoleApprover uses Dana, who authors for the vendor under one address
// and approves for the tenant under another.
func TestAuthorIsNotSoleApprover(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) {
		root.Roles[trust.Approver] = role(1, "amy@north.example", "dana@north.example")
	}, publisherRoot(t))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "dana-h"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "dana-n"), signing.ErrSelfReview)

	// Dropping the common identity from the next root does not help: the release
	// remembers who Dana was.
	next := publisherRoot(t)
	next.Version, next.Persons[4].Identities = 2, nil
	w.accept(say(t, next, "pat"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "dana-n"), signing.ErrSelfReview)

	w.accept(sayOf(t, archive(1), activate(1, 1, ""), "dana-n", "amy"))
	suspended := say(t, suspend("", noon), "amy")
	w.accept(suspended)
	w.refuse(say(t, resume(suspended.Digest()), "dana-n"), signing.ErrSelfReview)
	w.accept(say(t, resume(suspended.Digest()), "amy"))
}

// society is a second publisher, whose persons only review.
func society(t testing.TB, reviewer trust.Person) trust.Root {
	return trust.Root{
		RootKind: trust.PublisherRoot, Name: "society", Version: 1, IssuedAt: noon, Expires: noon.AddDate(1, 0, 0),
		Persons: []trust.Person{reviewer, person(t, "sam@society.example", nil, "sam")},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Author:           role(1, "sam@society.example"),
			trust.ClinicalReviewer: role(1, reviewer.ID, "sam@society.example"),
			trust.RootAdmin:        role(1, "sam@society.example"),
		},
	}
}

// heard makes the tenant's root hear the society about other publishers' packs, too.
func heard(change func(*trust.Root)) func(*trust.Root) {
	return func(root *trust.Root) {
		root.ReviewsFrom = []trust.Publisher{"society"}
		if change != nil {
			change(root)
		}
	}
}

// TestReviewedByAuthorUnderSecondIdentity equates an author and a reviewer of two
// publishers.
func TestReviewedByAuthorUnderSecondIdentity(t *testing.T) {
	both := func(root *trust.Root) {
		root.Persons[0].Identities = []string{"ann@heartland.example", "orcid:0000-0000-0000-0028"}
	}
	for name, row := range map[string]struct {
		reviewer trust.Person
		signer   string
		change   func(*trust.Root)
	}{
		"common identity": {
			person(t, "a.nn@society.example", []string{"ann@heartland.example"}, "society-ann"), "society-ann", nil,
		},
		"common key": {person(t, "a.nn@society.example", nil, "ann"), "ann", nil},
		"common id":  {person(t, "ann@heartland.example", nil, "society-ann"), "society-ann", nil},
		"joined by a third": {
			person(t, "a.nn@society.example", []string{"orcid:0000-0000-0000-0028"}, "society-ann"), "society-ann", both,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, heard(row.change), publisherRoot(t), society(t, row.reviewer))
			w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
			w.refuse(sayOf(t, archive(1), review(1, statement.Approve, noon), row.signer), signing.ErrSelfReview)
			w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "sam"))
			w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
			w.activated(1)
		})
	}
}

// TestReviewerFoundToBeAuthor: a root that declares the common identity only after the
// review still stops the activation.
func TestReviewerFoundToBeAuthor(t *testing.T) {
	w := newWorldOf(t, heard(nil), publisherRoot(t), society(t, person(t, "sue@society.example", nil, "sue")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
	both := []string{"ann@heartland.example", "rex@heartland.example"}
	later := society(t, person(t, "sue@society.example", both, "sue"))
	later.Version = 2
	w.accept(say(t, later, "sam"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
}

// TestRoleNobodyHas: a role that a root lacks is not a threshold of zero.
func TestRoleNobodyHas(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) { delete(root.Roles, trust.Approver) }, publisherRoot(t)).released(1)
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrThreshold)
	w.refuse(say(t, policy(1), "otto", "amy"), signing.ErrThreshold)

	p := publisherRoot(t)
	delete(p.Roles, trust.Author)
	w = newWorldOf(t, nil, p)
	w.refuse(sayOf(t, archive(1), release(1, 1, ""), "ann"), signing.ErrThreshold)

	p = publisherRoot(t)
	delete(p.Roles, trust.ClinicalReviewer)
	w = newWorldOf(t, nil, p, society(t, person(t, "sue@society.example", nil, "sue")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "sue"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
}

// TestBorrowedID: a publisher that lists the id of another's reviewer, with a key of its
// own, does not vote for that reviewer.
func TestBorrowedID(t *testing.T) {
	other := society(t, person(t, "sue@society.example", nil, "sue"))
	other.Persons = append(other.Persons, person(t, "rex@heartland.example", nil, "society-rex"))
	w := newWorldOf(t, nil, publisherRoot(t), other)
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.refuse(sayOf(t, archive(1), review(1, statement.Approve, noon), "society-rex"), signing.ErrThreshold)
}

// TestWhyAKeyDoesNotCount: of several roots, one that lists the key gives the reason.
func TestWhyAKeyDoesNotCount(t *testing.T) {
	p := publisherRoot(t)
	p.Persons[1].Keys[0].ValidUntil = noon.Add(time.Minute)
	w := newWorldOf(t, nil, p, society(t, person(t, "sue@society.example", nil, "sue")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.at = noon.Add(time.Minute)
	w.refuse(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"), signing.ErrExpired)
}

// TestPackBelongsToItsPublisher: another trusted publisher cannot take a name over.
func TestPackBelongsToItsPublisher(t *testing.T) {
	w := newWorldOf(t, nil, publisherRoot(t), society(t, person(t, "sue@society.example", nil, "sue"))).released(1)
	r := release(2, 2, archive(1).SHA256)
	r.Publisher = "society"
	w.refuse(sayOf(t, archive(2), r, "sam"), signing.ErrMismatch)
}

// TestReviewUnderExpiredRoot: reviewers of a publisher that let its root run out do
// not count until it signs a new one.
func TestReviewUnderExpiredRoot(t *testing.T) {
	p := publisherRoot(t)
	p.Expires = noon.Add(time.Hour)
	w := newWorldOf(t, nil, p)
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.at = noon.Add(2 * time.Hour)
	w.refuse(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"), signing.ErrThreshold)
	p.Version, p.Expires = 2, noon.AddDate(1, 0, 0)
	w.accept(say(t, p, "pat"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
}

// TestPolicyNeedsTwoPersons although each role's threshold is one.
func TestPolicyNeedsTwoPersons(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) {
		root.Roles[trust.Approver] = role(1, "amy@north.example", "abe@north.example")
	}, publisherRoot(t))
	w.refuse(say(t, policy(1), "amy", "amy2"), signing.ErrThreshold)
	w.accept(say(t, policy(1), "amy", "abe"))
}

// TestReviewersOfOneRootAddUp: each reviewer may sign a review of their own.
func TestReviewersOfOneRootAddUp(t *testing.T) {
	p := publisherRoot(t)
	p.Roles[trust.ClinicalReviewer] = role(2, "rex@heartland.example", "ria@heartland.example")
	w := newWorldOf(t, nil, p, society(t, person(t, "sue@society.example", nil, "sue")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon.Add(time.Minute)), "ria"))
	w.activated(1)
}

func TestRootRotation(t *testing.T) {
	w := newWorld(t)
	root, _ := w.Root()
	next := root
	next.Version = 2
	skip := root
	skip.Version = 3
	w.refuse(say(t, skip, "rosa", "rudy"), signing.ErrSequence)
	fork := root
	fork.Expires = root.Expires.Add(time.Hour)
	w.refuse(say(t, fork, "rosa", "rudy"), signing.ErrSequence)
	w.refuse(w.log[0], signing.ErrSequence)
	w.refuse(say(t, next, "rosa"), signing.ErrThreshold)

	// Version 2 hands over to new admins: both versions' thresholds must sign.
	next.Persons = append(slices.Clone(root.Persons),
		person(t, "nina@north.example", nil, "nina"), person(t, "nick@north.example", nil, "nick"))
	next.Roles = map[trust.Role]trust.RoleRule{}
	for r, rule := range root.Roles {
		next.Roles[r] = rule
	}
	next.Roles[trust.RootAdmin] = role(2, "nina@north.example", "nick@north.example")
	w.refuse(say(t, next, "nina", "nick"), signing.ErrThreshold)
	w.refuse(say(t, next, "rosa", "rudy"), signing.ErrThreshold)
	w.refuse(say(t, next, "rosa", "nina"), signing.ErrThreshold)
	w.accept(say(t, next, "rosa", "rudy", "nina", "nick"))
	if r, _ := w.Root(); r.Version != 2 {
		t.Fatalf("version %d", r.Version)
	}
}

func TestRootMayNotListNodeOrRevokedKeys(t *testing.T) {
	w := newWorld(t)
	w.accept(say(t, revoke(statement.TargetKey, string(key(t, "ada").Public().ID()), statement.Revoke, noon), "rick"))
	next, _ := w.Root()
	next.Version = 2
	w.refuse(say(t, next, "rosa", "rudy"), signing.ErrRevoked)
	next.Persons = slices.Clone(next.Persons)
	next.Persons[7] = person(t, "ada@north.example", nil, "node")
	w.refuse(say(t, next, "rosa", "rudy"), statement.ErrMalformed)
	next.Persons[7] = person(t, "ada@north.example", nil, "ada3")
	w.accept(say(t, next, "rosa", "rudy"))
}

// TestExpiredRoot: no new power, but the running packs, the kill switch and the
// rotation that mends it go on.
func TestExpiredRoot(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) { root.Expires = noon.Add(time.Hour) }, publisherRoot(t))
	w.released(1).activated(1).released(2)
	w.at = noon.Add(time.Hour)
	w.refuse(sayOf(t, archive(2), activate(2, 2, archive(1).SHA256), "amy", "abe"), signing.ErrExpired)
	w.refuse(sayOf(t, archive(3), release(3, 3, archive(2).SHA256), "ann"), signing.ErrExpired)
	w.refuse(say(t, policy(1), "otto", "amy"), signing.ErrExpired)
	if len(w.Live()) != 1 {
		t.Fatal("an expired root ended a live pack")
	}
	w.accept(say(t, suspend("", w.at), "amy"))
	if len(w.Live()) != 0 {
		t.Fatal("the kill switch does not work under an expired root")
	}
	next, _ := w.Root()
	next.Version, next.Expires = 2, noon.Add(30*time.Minute)
	w.refuse(say(t, next, "rosa", "rudy"), signing.ErrExpired)
	next.Expires = noon.AddDate(1, 0, 0)
	w.accept(say(t, next, "rosa", "rudy"))
}

func TestPublisherRootNeedsTrust(t *testing.T) {
	w := newWorld(t)
	stranger := publisherRoot(t)
	stranger.Name = "mallory"
	w.refuse(say(t, stranger, "pat"), signing.ErrUntrustedRoot)
	w.refuse(w.log[1], signing.ErrSequence)
	unpinned := newWorldOf(t, func(root *trust.Root) {
		root.TrustedPublishers = []trust.TrustedPublisher{{Name: vendor, Root: w.log[1].Digest()}}
	})
	forged := publisherRoot(t)
	forged.Expires = forged.Expires.Add(time.Hour)
	unpinned.refuse(say(t, forged, "pat"), signing.ErrUntrustedRoot)
	unpinned.accept(w.log[1])
	next := publisherRoot(t)
	next.Version = 2
	w.refuse(say(t, next, "ann"), signing.ErrThreshold)
	w.accept(say(t, next, "pat"))
	w.refuse(say(t, next, "pat"), signing.ErrSequence)
	next.Version = 3
	w.accept(say(t, next, "pat"))
}

// TestPublisherDropped withdraws what rests on a publisher that is no longer trusted.
func TestPublisherDropped(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	root, _ := w.Root()
	rotated := publisherRoot(t)
	rotated.Version = 2
	second := say(t, rotated, "pat")
	w.accept(second)

	same := root
	same.Version = 2
	same.TrustedPublishers = []trust.TrustedPublisher{{Name: vendor, Root: second.Digest()}}
	w.accept(say(t, same, "rosa", "rudy"))
	if len(w.Live()) != 1 {
		t.Fatal("pinning the current version ended a live pack")
	}

	dropped := root
	dropped.Version, dropped.TrustedPublishers = 3, nil
	w.accept(say(t, dropped, "rosa", "rudy"))
	if _, ok := w.Release(archive(1).SHA256); ok || len(w.Live()) != 0 {
		t.Fatal("a pack outlived the trust in its publisher")
	}
	w.refuse(sayOf(t, archive(2), release(2, 2, archive(1).SHA256), "ann"), signing.ErrUntrustedRoot)
	if seq, _ := w.Succession(pack); seq != 1 {
		t.Fatal("the sequence of activations started again")
	}
}

// TestRevocationReachesBack: what rests on signatures logged since the key was lost is
// withdrawn; what was signed before stays.
func TestRevocationReachesBack(t *testing.T) {
	for name, row := range map[string]struct {
		target statement.TargetType
		value  string
		from   time.Time
		live   int
		known  bool
	}{
		"approver's key, lost before": {
			statement.TargetKey, string(key(t, "amy").Public().ID()), noon.Add(-time.Hour), 0, true,
		},
		"approver's key, lost since": {
			statement.TargetKey, string(key(t, "amy").Public().ID()), noon.Add(time.Hour), 1, true,
		},
		"author, lost before": {statement.TargetPerson, "ann@heartland.example", noon.Add(-time.Hour), 0, false},
		"author, left since":  {statement.TargetPerson, "ann@heartland.example", noon.Add(time.Hour), 1, true},
		"reviewer's key, lost before": {
			statement.TargetKey, string(key(t, "rex").Public().ID()), noon.Add(-time.Hour), 0, true,
		},
		"somebody without part in it": {statement.TargetPerson, "otto@north.example", noon.Add(-time.Hour), 1, true},
		"the archive, whatever the time": {statement.TargetDigest, string(archive(1).SHA256), noon.Add(time.Hour), 0,
			true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).released(1).activated(1)
			w.TB, w.at = t, noon.Add(2*time.Hour)
			w.accept(say(t, revoke(row.target, row.value, statement.Revoke, row.from), "rick"))
			if _, known := w.Release(archive(1).SHA256); len(w.Live()) != row.live || known != row.known {
				t.Fatalf("live %d, release known %t", len(w.Live()), known)
			}
		})
	}
}

// TestSuspendedArchiveComesBack: suspending keeps the activation's place.
func TestSuspendedArchiveComesBack(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	digest := string(archive(1).SHA256)
	suspended := w.accept(say(t, revoke(statement.TargetDigest, digest, statement.Suspend, noon), "rick"))
	if len(w.Live()) != 0 {
		t.Fatal("suspended and live")
	}
	if seq, digest := w.Succession(pack); seq != 1 || digest != archive(1).SHA256 {
		t.Fatalf("standing: %d %s", seq, digest)
	}
	w.accept(say(t, resume(suspended.Digest()), "amy", "abe"))
	if len(w.Live()) != 1 {
		t.Fatal("lifted and not live")
	}
}

// TestShadowBeforeEffective: a pack may run unseen before its period, not with cards.
func TestShadowBeforeEffective(t *testing.T) {
	w := newWorld(t)
	r := release(1, 1, "")
	r.EffectivePeriod = statement.Period{Start: "2026-04-01", End: "2026-04-30"}
	w.accept(sayOf(t, archive(1), r, "ann"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex"))
	a := activate(1, 1, "")
	w.refuse(sayOf(t, archive(1), a, "amy", "abe"), signing.ErrExpired)
	a.ActivateAt = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	w.refuse(sayOf(t, archive(1), a, "amy", "abe"), signing.ErrExpired)
	a.ActivateAt, a.Mode = time.Time{}, statement.Shadow
	w.accept(sayOf(t, archive(1), a, "amy", "abe"))
	a = activate(1, 2, archive(1).SHA256)
	a.ActivateAt = time.Date(2026, 4, 30, 23, 0, 0, 0, time.UTC)
	w.accept(sayOf(t, archive(1), a, "amy", "abe"))
	a = activate(1, 3, archive(1).SHA256)
	a.ActivateAt = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	w.accept(sayOf(t, archive(1), a, "amy", "abe"))
}

// TestRevokedAgainFromEarlier: the loss of a key turns out to be older.
func TestRevokedAgainFromEarlier(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	w.at = noon.Add(2 * time.Hour)
	amy := string(key(t, "amy").Public().ID())
	w.accept(say(t, revoke(statement.TargetKey, amy, statement.Revoke, noon.Add(time.Hour)), "rick"))
	if len(w.Live()) != 1 {
		t.Fatal("what was signed before the loss ended")
	}
	w.accept(say(t, revoke(statement.TargetKey, amy, statement.Revoke, noon), "rick"))
	if len(w.Live()) != 0 {
		t.Fatal("what was signed after the loss stays")
	}
}
