package signing_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// twoReviewers is the publisher's root with a threshold of two clinical reviewers.
func twoReviewers(t testing.TB) trust.Root {
	p := publisherRoot(t)
	p.Roles[trust.ClinicalReviewer] = role(2, "rex@heartland.example", "ria@heartland.example")
	return p
}

// TestWhoseReviewsCount: only the reviewers of the pack's own publisher make up its
// threshold, whether or not the tenant hears others, too.
func TestWhoseReviewsCount(t *testing.T) {
	two, one := twoReviewers(t), publisherRoot(t)
	for name, row := range map[string]struct {
		root  trust.Root
		heard bool
		by    []string
		want  error
	}{
		"both of its own":                 {two, false, []string{"rex", "ria"}, nil},
		"both of its own and another":     {two, true, []string{"rex", "ria", "sue"}, nil},
		"one of its own":                  {two, false, []string{"rex"}, signing.ErrUnreviewed},
		"one of its own and another":      {two, false, []string{"rex", "sue"}, signing.ErrUnreviewed},
		"one of its own and one heard":    {two, true, []string{"rex", "sue"}, signing.ErrUnreviewed},
		"another alone":                   {two, false, []string{"sue"}, signing.ErrUnreviewed},
		"two others":                      {two, false, []string{"sue", "sam"}, signing.ErrUnreviewed},
		"two who are heard":               {two, true, []string{"sue", "sam"}, signing.ErrUnreviewed},
		"another, threshold one":          {one, false, []string{"sue"}, signing.ErrUnreviewed},
		"one who is heard, threshold one": {one, true, []string{"sue"}, signing.ErrUnreviewed},
		"its own, threshold one":          {one, false, []string{"rex"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			change := map[bool]func(*trust.Root){true: heard(nil)}[row.heard]
			w := newWorldOf(t, change, row.root, society(t, person(t, "sue@society.example", nil, "sue")))
			w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
			for _, by := range row.by {
				w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), by))
			}
			a := sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe")
			if row.want != nil {
				w.refuse(a, row.want)
			} else {
				w.accept(a)
			}
			if r, _ := w.Release(archive(1).SHA256); len(r.Reviews) != len(row.by) {
				t.Errorf("%d reviews on record", len(r.Reviews))
			}
		})
	}
}

// TestOneEnvelopeOfTwoPublishers: reviewers of two publishers sign one review.
func TestOneEnvelopeOfTwoPublishers(t *testing.T) {
	w := newWorldOf(t, heard(nil), twoReviewers(t), society(t, person(t, "sue@society.example", nil, "sue")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "rex", "sue"))
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrUnreviewed)
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "ria"))
	w.activated(1)
}

// TestRejections: a rejection blocks while somebody who has a say stands by it.
func TestRejections(t *testing.T) {
	rotate := func(w *world, change func(*trust.Root)) {
		p := publisherRoot(w)
		p.Version = 2
		change(&p)
		w.accept(say(w, p, "pat"))
	}
	withoutRole := func(p *trust.Root) {
		p.Roles[trust.ClinicalReviewer] = role(1, "rex@heartland.example")
	}
	for name, row := range map[string]struct {
		by    string
		heard bool
		then  func(w *world)
		want  error
	}{
		"of its own publisher": {"ria", false, func(*world) {}, signing.ErrUnreviewed},
		"of another publisher": {"sue", false, func(*world) {}, nil},
		"of one who is heard":  {"sue", true, func(*world) {}, signing.ErrUnreviewed},
		"taken back": {"ria", false, func(w *world) {
			w.accept(sayOf(w, archive(1), review(1, statement.Approve, noon.Add(time.Minute)), "ria"))
		}, nil},
		"of one who lost the role": {"ria", false, func(w *world) { rotate(w, withoutRole) }, nil},
		"of one who left": {"ria", false, func(w *world) {
			rotate(w, func(p *trust.Root) {
				withoutRole(p)
				p.Persons = slices.Delete(p.Persons, 2, 3)
			})
		}, nil},
		"of one who has the role by another name": {"ria", false, func(w *world) {
			rotate(w, func(p *trust.Root) {
				p.Persons[2].ID, p.Persons[2].Identities = "maria@heartland.example", []string{"ria@heartland.example"}
				p.Roles[trust.ClinicalReviewer] = role(1, "rex@heartland.example", "maria@heartland.example")
			})
		}, signing.ErrUnreviewed},
		"of one with another key": {"ria", false, func(w *world) {
			rotate(w, func(p *trust.Root) { p.Persons[2] = person(w, "ria@heartland.example", nil, "ria2") })
		}, signing.ErrUnreviewed},
		"of one who is revoked later": {"ria", false, func(w *world) {
			w.at = noon.Add(time.Hour)
			w.accept(say(w, revoke(statement.TargetPerson, "ria@heartland.example", statement.Revoke, w.at), "rick"))
		}, nil},
		"of one who is suspended": {"ria", false, func(w *world) {
			w.accept(say(w, revoke(statement.TargetPerson, "ria@heartland.example", statement.Suspend, noon), "rick"))
		}, nil},
		"of one who is back": {"ria", false, func(w *world) {
			s := w.accept(say(w, revoke(statement.TargetPerson, "ria@heartland.example", statement.Suspend, noon), "rick"))
			w.accept(say(w, resume(s.Digest()), "amy", "abe"))
		}, signing.ErrUnreviewed},
		"of one who is heard no more": {"sue", true, func(w *world) {
			next, _ := w.Root()
			next.Version, next.ReviewsFrom = 2, nil
			w.accept(say(w, next, "rosa", "rudy"))
		}, nil},
		"of one who is heard since": {"sue", false, func(w *world) {
			next, _ := w.Root()
			next.Version = 2
			heard(nil)(&next)
			w.accept(say(w, next, "rosa", "rudy"))
		}, signing.ErrUnreviewed},
	} {
		t.Run(name, func(t *testing.T) {
			change := map[bool]func(*trust.Root){true: heard(nil)}[row.heard]
			w := newWorldOf(t, change, publisherRoot(t), society(t, person(t, "sue@society.example", nil, "sue")))
			w.TB = t
			w.released(1)
			w.accept(sayOf(t, archive(1), review(1, statement.Reject, noon), row.by))
			row.then(w)
			a := sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe")
			if row.want != nil {
				w.refuse(a, row.want)
			} else {
				w.accept(a)
			}
		})
	}
}

// TestBorrowedKey: a publisher that lists another's reviewer, and says that it is the author,
// neither keeps them from reviewing nor voids what they said.
func TestBorrowedKey(t *testing.T) {
	for name, borrowed := range map[string]trust.Person{
		"as two of the tenant's": person(t, "x@society.example",
			[]string{"amy@north.example", "ann@heartland.example"}, "rex"),
		"as the author":        person(t, "ann@heartland.example", nil, "rex"),
		"with the author's id": person(t, "r.ex@society.example", []string{"ann@heartland.example"}, "rex"),
		"as an author's equal": person(t, "rex@heartland.example", []string{"ann@heartland.example"}, "rex"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, nil, publisherRoot(t), society(t, borrowed)).released(1)
			w.activated(1)
		})
	}
}

// TestStoredTenantRoot: a root without the new field has the bytes it had.
func TestStoredTenantRoot(t *testing.T) {
	root := tenantRoot(t, trust.DigestOf(nil))
	before := payload(t, statement.PackDigest{}, root)
	root.ReviewsFrom = []trust.Publisher{}
	if string(payload(t, statement.PackDigest{}, root)) != string(before) {
		t.Error("an empty list has other bytes than none")
	}
	root.Roles = maps.Clone(root.Roles)
	root.ReviewsFrom = []trust.Publisher{vendor}
	said, err := statement.Parse(payload(t, statement.PackDigest{}, root))
	if err != nil || !slices.Equal(said.Predicate.(trust.Root).ReviewsFrom, root.ReviewsFrom) {
		t.Errorf("%v, %v", said, err)
	}
}
