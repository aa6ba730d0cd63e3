package signing_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

func waiving(n byte, at time.Time, states ...string) statement.ClinicalReview {
	r := review(n, statement.Approve, at)
	r.Waives = []statement.Waiver{{Rule: rule, States: states, Reason: "reads nothing that can be missing"}}
	return r
}

// waived fails unless these states of the rule are waived now, and no others.
func (w *world) waived(want ...string) {
	w.Helper()
	got := w.Waived(archive(1).SHA256, w.at)
	slices.Sort(got[rule])
	if !slices.Equal(got[rule], want) || slices.ContainsFunc(slices.Collect(maps.Keys(got)),
		func(r string) bool { return r != rule }) {
		w.Fatalf("waived are %v, want %v", got, want)
	}
}

// TestWaivers: what a release may lack is what as many of its own publisher's reviewers
// waive as it takes to approve it, in their latest reviews that are in force.
func TestWaivers(t *testing.T) {
	two := publisherRoot(t)
	two.Roles[trust.ClinicalReviewer] = role(2, "rex@heartland.example", "ria@heartland.example",
		"ann@heartland.example")
	w := newWorldOf(t, heard(nil), two, society(t, person(t, "sue@society.example", nil, "sue")))
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.waived()
	w.accept(sayOf(t, archive(1), waiving(1, noon, "unknown", "true"), "rex"))
	w.waived() // one of two
	w.accept(sayOf(t, archive(1), waiving(1, noon, "unknown"), "sue"))
	w.waived() // of a publisher that is heard, but does not approve
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon), "ria"))
	w.waived() // the second approves, and waives nothing
	w.accept(sayOf(t, archive(1), waiving(1, noon.Add(time.Minute), "unknown", "false"), "ria"))
	w.waived("unknown") // both
	w.at = noon.AddDate(0, 3, 0)
	w.waived() // over with the approval
	w.at = noon.Add(time.Hour)
	w.waived("unknown")
	if other := w.Waived(archive(2).SHA256, w.at); len(other) != 0 {
		t.Fatalf("other bytes: %v", other)
	}
	w.accept(sayOf(t, archive(1), review(1, statement.Approve, noon.Add(2*time.Minute)), "rex"))
	w.waived() // taken back
	w.accept(sayOf(t, archive(1), waiving(1, noon.Add(3*time.Minute), "unknown"), "rex"))
	w.accept(sayOf(t, archive(1), review(1, statement.Reject, noon.Add(3*time.Minute)), "ria"))
	w.waived() // rejected
	w.accept(sayOf(t, archive(1), waiving(1, noon.Add(4*time.Minute), "unknown"), "ria"))
	w.waived("unknown")
	w.accept(say(t, revoke(statement.TargetPerson, "ria@heartland.example", statement.Revoke, noon), "rick"))
	w.waived() // by somebody whose signatures are void
}

// TestWaiverOfAnAuthor: whoever is behind the release waives nothing.
func TestWaiverOfAnAuthor(t *testing.T) {
	p := publisherRoot(t)
	p.Persons[1].Identities = []string{"orcid:0000-0000-0000-0079"}
	w := newWorldOf(t, nil, p)
	w.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	w.accept(sayOf(t, archive(1), waiving(1, noon, "unknown"), "rex"))
	w.waived("unknown")
	p.Version, p.Persons[0].Identities, p.Persons[1].Identities = 2, p.Persons[1].Identities, nil
	w.accept(say(t, p, "pat")) // rex's former name is the author's
	w.waived()
}
