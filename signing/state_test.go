package signing_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// TestLife walks a pack from release to revocation and folds the same log again.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.accept(say(t, policy(1), "otto", "amy", "abe"))
	w.released(1).activated(1)
	if got := w.live(); !slices.Equal(got, []trust.Digest{archive(1).SHA256}) {
		t.Fatalf("live: %v", got)
	}
	w.released(2).activated(2)
	if got := w.live(); !slices.Equal(got, []trust.Digest{archive(2).SHA256}) {
		t.Fatalf("live: %v", got)
	}
	w.activated(1) // roll back is a new activation
	suspended := w.accept(say(t, suspend("metformin-contraindicated", noon), "node"))
	if !w.Suspended(pack, "metformin-contraindicated") || w.Suspended(pack, "other") {
		t.Fatal("suspension of one rule")
	}
	w.accept(say(t, resume(suspended.Digest()), "amy", "abe"))
	if w.Suspended(pack, "metformin-contraindicated") || len(w.OpenSuspensions()) != 0 {
		t.Fatal("resumption")
	}
	off := activate(1, 4, archive(1).SHA256)
	off.Mode = statement.Off
	w.accept(sayOf(t, archive(1), off, "rick"))
	if len(w.Live()) != 0 {
		t.Fatal("off")
	}

	s, err := signing.NewState(tenant, region, w.log[0].Digest())
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range w.log {
		read, err := signing.ReadEnvelope(env.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Check(read, noon)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.Apply(v); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(s, w.State) {
		t.Fatal("folding the same log again gives another state")
	}
	if s.Size() != uint64(len(w.log)) {
		t.Fatalf("size %d, entries %d", s.Size(), len(w.log))
	}
}

func TestWhatStateShows(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	r, ok := w.Release(archive(1).SHA256)
	if !ok || r.Archive != archive(1) || r.Pack != pack ||
		!slices.Equal(r.Authors, []trust.PersonID{"ann@heartland.example"}) {
		t.Fatalf("release: %+v", r)
	}
	if len(r.Reviews) != 1 || r.Reviews[0].Reviewer != "rex@heartland.example" || r.Reviews[0].Publisher != vendor {
		t.Fatalf("reviews: %+v", r.Reviews)
	}
	a := w.Live()[0]
	if a.Pack != pack || a.Library != "1.0.0" ||
		!slices.Equal(a.Approvers, []trust.PersonID{"abe@north.example", "amy@north.example"}) {
		t.Fatalf("live: %+v", a)
	}
	if _, ok := w.Policy(); ok {
		t.Fatal("a policy nobody signed")
	}
	w.accept(say(t, policy(1), "otto", "amy", "abe"))
	if p, ok := w.Policy(); !ok || string(p.Raw) != `{"services":[]}` || p.Seq != 1 {
		t.Fatalf("policy: %+v", p)
	}
	p, public, err := w.Person(key(t, "ada").Public().ID(), noon)
	if err != nil || p.ID != "ada@north.example" || public.ID() != key(t, "ada").Public().ID() {
		t.Fatalf("person: %+v %v", p, err)
	}
	if !w.HasRole(p.ID, trust.Auditor) || w.HasRole(p.ID, trust.Operator) {
		t.Fatal("roles")
	}
	if _, _, err := w.Person(key(t, "ada").Public().ID(), noon.AddDate(1, 0, 0)); !errors.Is(err, signing.ErrExpired) {
		t.Fatalf("expired key: %v", err)
	}
	// Ids in a publisher's root are of the publisher's choosing: no tokens for them.
	if _, _, err := w.Person(key(t, "ann").Public().ID(), noon); !errors.Is(err, signing.ErrUntrustedSigner) {
		t.Fatalf("publisher's person: %v", err)
	}
	w.accept(say(t, revoke(statement.TargetPerson, "ada@north.example", statement.Suspend, noon), "rick"))
	if _, _, err := w.Person(key(t, "ada").Public().ID(), noon); !errors.Is(err, signing.ErrRevoked) ||
		w.HasRole("ada@north.example", trust.Auditor) {
		t.Fatalf("suspended person: %v", err)
	}
}

func TestApplyOnlyToTheStateChecked(t *testing.T) {
	w := newWorld(t)
	v, err := w.Check(say(t, policy(1), "otto", "amy", "abe"), noon)
	if err != nil {
		t.Fatal(err)
	}
	before := w.State
	w.accept(say(t, policy(1), "amy", "abe"))
	if _, err := w.Apply(v); !errors.Is(err, signing.ErrSequence) {
		t.Fatalf("applied to another state: %v", err)
	}
	if _, err := w.Apply(signing.Verified{}); !errors.Is(err, signing.ErrSequence) {
		t.Fatalf("applied nothing: %v", err)
	}
	if _, ok := before.Policy(); ok {
		t.Fatal("an earlier state changed")
	}
}

func TestCheckNeedsEnvelopeAndTime(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Check(nil, noon); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("no envelope: %v", err)
	}
	if _, err := w.Check(say(t, policy(1), "otto", "amy", "abe"), time.Time{}); !errors.Is(err,
		statement.ErrMalformed) {
		t.Errorf("no time: %v", err)
	}
}

// TestClockLead: a signer's clock may run ten minutes ahead of the log's.
func TestClockLead(t *testing.T) {
	w := newWorld(t).released(1)
	w.accept(say(t, suspend("", noon.Add(10*time.Minute)), "rick"))
}

func TestFirstEntry(t *testing.T) {
	publisher := say(t, publisherRoot(t), "pat")
	root := tenantRoot(t, publisher.Digest())
	pinned := say(t, root, "rosa", "rudy")
	s, err := signing.NewState(tenant, region, pinned.Digest())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Person(key(t, "otto").Public().ID(), noon); !errors.Is(err, signing.ErrUntrustedSigner) ||
		s.HasRole("otto@north.example", trust.Operator) {
		t.Fatalf("a person before the first root: %v", err)
	}
	w := &world{TB: t, State: s, at: noon}
	w.refuse(publisher, signing.ErrUntrustedRoot)
	w.refuse(say(t, policy(1), "otto", "amy"), signing.ErrUntrustedRoot)
	w.refuse(say(t, root, "rosa"), signing.ErrThreshold)
	w.refuse(say(t, root, "rosa", "amy"), signing.ErrThreshold)
	w.refuse(say(t, root, "rosa", "mallory"), signing.ErrUntrustedSigner)
	other := root
	other.Name = "south"
	w.refuse(say(t, other, "rosa", "rudy"), signing.ErrWrongTenant)
	other = root
	other.Expires = root.Expires.Add(time.Hour)
	w.refuse(say(t, other, "rosa", "rudy"), signing.ErrUntrustedRoot)
	w.accept(pinned)
}

func TestNewStateRefusesBadNames(t *testing.T) {
	good := trust.DigestOf(nil)
	for _, bad := range []string{"", "../north", "North", "a", "north\x00", "nörth", "n'or'th"} {
		if _, err := signing.NewState(statement.Tenant(bad), region, good); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("tenant %q: %v", bad, err)
		}
	}
	if _, err := signing.NewState(tenant, "US", good); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("region: %v", err)
	}
	if _, err := signing.NewState(tenant, region, "abc"); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("digest: %v", err)
	}
}

// BenchmarkFold reads, checks and applies a log of 43 entries: what a start costs for
// one tenant with one pack after twenty releases.
func BenchmarkFold(b *testing.B) {
	w := newWorld(b)
	w.accept(say(b, policy(1), "amy", "abe"))
	for n := byte(1); n <= 20; n++ {
		w.released(n)
	}
	var leaves [][]byte
	for _, env := range w.log {
		leaves = append(leaves, env.Bytes())
	}
	for b.Loop() {
		s, err := signing.NewState(tenant, region, w.log[0].Digest())
		if err != nil {
			b.Fatal(err)
		}
		for _, leaf := range leaves {
			env, err := signing.ReadEnvelope(leaf)
			if err != nil {
				b.Fatal(err)
			}
			v, err := s.Check(env, noon)
			if err != nil {
				b.Fatal(err)
			}
			if s, err = s.Apply(v); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(leaves)), "entries")
}
