package signing_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

const west = statement.Region("us-west")

// lives fails unless the placement in force has this epoch and names this region; an empty
// region is for none in force.
func (w *world) lives(epoch uint64, r statement.Region, why error) {
	w.Helper()
	h, err := w.Home()
	if !errors.Is(err, why) || h.Certificate.Region != r || r != "" && h.Epoch != epoch || w.Epoch() != epoch {
		w.Fatalf("home %+v, newest epoch %d, error %v", h, w.Epoch(), err)
	}
}

// TestPlacement: a tenant lives where its newest placement says, and nowhere before the
// first.
func TestPlacement(t *testing.T) {
	w := newWorld(t)
	empty, err := signing.NewState(tenant, region, w.log[0].Digest())
	if err != nil {
		t.Fatal(err)
	}
	(&world{TB: t, State: empty}).lives(0, "", signing.ErrUnknown)
	w.lives(1, region, nil)
	h, _ := w.Home()
	if !slices.Equal(h.Signers, []trust.PersonID{"abe@north.example", "amy@north.example", "otto@north.example"}) ||
		h.Certificate.Digest() != certificate(t, region, "node").Digest() || h.Statement == h.Certificate.Digest() {
		t.Fatalf("home: %+v", h)
	}
	w.accept(say(t, place(t, 7, west, "node-w"), "otto", "amy", "abe"))
	w.lives(7, west, nil)
	w.accept(say(t, place(t, 8, region, "node"), "otto", "amy", "abe"))
	w.lives(8, region, nil)
}

// TestPlacementAttacks: where a tenant lives is not changed by replay, by too few, or by
// who wants to be its home.
func TestPlacementAttacks(t *testing.T) {
	for _, row := range []struct {
		name string
		want error
		make func(*world) *signing.Envelope
	}{
		{"the same again", signing.ErrSequence, func(w *world) *signing.Envelope { return w.log[2] }},
		{"same epoch, other home", signing.ErrSequence, func(w *world) *signing.Envelope {
			return say(w, place(w, 1, west, "node-w"), "otto", "amy", "abe")
		}},
		{"same epoch, other keys", signing.ErrSequence, func(w *world) *signing.Envelope {
			return say(w, place(w, 1, region, "node-2"), "otto", "amy", "abe")
		}},
		{"old epoch after moving away", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.accept(say(w, place(w, 5, west, "node-w"), "otto", "amy", "abe"))
			return say(w, place(w, 4, region, "node"), "otto", "amy", "abe")
		}},
		{"old epoch after a withdrawal", signing.ErrSequence, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetPerson, "otto@north.example", statement.Revoke, noon), "rick"))
			w.lives(1, "", signing.ErrRevoked)
			return say(w, place(w, 1, region, "node"), "amy", "abe")
		}},
		{"a region that the root does not allow", signing.ErrUntrustedRoot, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, "eu-central", "node-eu"), "otto", "amy", "abe")
		}},
		{"operators alone", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, west, "node-w"), "otto")
		}},
		{"approvers without an operator", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, west, "node-w"), "abe", "dana-n")
		}},
		{"one approver of two", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, west, "node-w"), "otto", "amy")
		}},
		{"revokers, who alone remove power", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, west, "node-w"), "rick")
		}},
		{"root-admins", signing.ErrThreshold, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, west, "node-w"), "rosa", "rudy", "rick")
		}},
		{"the region itself", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, region, "node-2"), "node")
		}},
		{"the region beside persons", signing.ErrUntrustedSigner, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, region, "node-2"), "node", "otto", "amy", "abe")
		}},
		{"a revoked signer", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.at = noon.Add(time.Hour)
			w.accept(say(w, revoke(statement.TargetPerson, "abe@north.example", statement.Revoke, w.at), "rick"))
			return say(w, place(w, 2, west, "node-w"), "otto", "amy", "abe")
		}},
		{"another tenant", signing.ErrWrongTenant, func(w *world) *signing.Envelope {
			p := place(w, 2, region, "node")
			p.Tenant = "south"
			return say(w, p, "otto", "amy", "abe")
		}},
		{"from the future", signing.ErrExpired, func(w *world) *signing.Envelope {
			p := place(w, 2, region, "node")
			p.PlacedAt = noon.Add(time.Hour)
			return say(w, p, "otto", "amy", "abe")
		}},
		{"under an expired root", signing.ErrExpired, func(w *world) *signing.Envelope {
			w.at = noon.AddDate(1, 0, 0)
			return say(w, place(w, 2, region, "node"), "otto", "amy", "abe")
		}},
		{"a person's key as the node's", signing.ErrMismatch, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, region, "rick"), "otto", "amy", "abe")
		}},
		{"a publisher's person's key as the node's", signing.ErrMismatch, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, region, "rex"), "otto", "amy", "abe")
		}},
		{"a person's key as another region's", signing.ErrMismatch, func(w *world) *signing.Envelope {
			return say(w, place(w, 2, west, "ada"), "otto", "amy", "abe")
		}},
		{"a revoked node key", signing.ErrRevoked, func(w *world) *signing.Envelope {
			w.accept(say(w, revoke(statement.TargetKey, string(key(w, "node").Public().ID()), statement.Revoke, noon),
				"rick"))
			return say(w, place(w, 2, region, "node"), "otto", "amy", "abe")
		}},
		{"a certificate instead", statement.ErrUnsupported, func(w *world) *signing.Envelope {
			return say(w, certificate(w, region, "node"), "otto", "amy", "abe")
		}},
		{"a policy that names another region", signing.ErrWrongRegion, func(w *world) *signing.Envelope {
			p := policy(1)
			p.Region = west
			return say(w, p, "otto", "amy", "abe")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			env := row.make(w)
			w.refuse(env, row.want)
		})
	}
}

// TestRegionKeyNeverBecomesAPersons: not while it is pinned, not after, and not that of
// another region.
func TestRegionKeyNeverBecomesAPersons(t *testing.T) {
	w := newWorld(t)
	w.accept(say(t, place(t, 2, west, "node-w"), "otto", "amy", "abe"))
	w.accept(say(t, place(t, 3, region, "node-2"), "otto", "amy", "abe"))
	for _, name := range []string{"node", "node-w", "node-2"} {
		next := tenantRoot(t, w.log[1].Digest())
		next.Version, next.Persons[7] = 2, person(t, "ada@north.example", nil, name)
		w.refuse(say(t, next, "rosa", "rudy"), statement.ErrMalformed)
		p := publisherRoot(t)
		p.Version, p.Persons[1] = 2, person(t, "rex@heartland.example", nil, name)
		w.refuse(say(t, p, "pat"), statement.ErrMalformed)
	}
}

// TestPlacementWithdrawn: when a signature under the placement turns out to be void, nobody
// serves the tenant, rather than the region before.
func TestPlacementWithdrawn(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	w.at = noon.Add(time.Hour)
	w.accept(say(t, place(t, 2, west, "node-w"), "otto", "abe", "dana-n"))
	w.accept(say(t, place(t, 3, region, "node"), "otto", "amy", "abe"))
	w.accept(say(t, revoke(statement.TargetKey, string(key(t, "amy").Public().ID()), statement.Suspend, noon), "rick"))
	w.lives(3, region, nil) // nothing is withdrawn by what can be lifted
	w.accept(say(t, revoke(statement.TargetKey, string(key(t, "amy").Public().ID()), statement.Revoke, noon), "rick"))
	w.lives(3, "", signing.ErrRevoked)
	w.refuse(w.byNodeOf(rule), signing.ErrUntrustedSigner)
	w.accept(say(t, place(t, 4, region, "node"), "otto", "abe", "dana-n"))
	w.lives(4, region, nil)
}

// TestRootNoLongerAllows: who rotates the root decides where the tenant may be, at once.
func TestRootNoLongerAllows(t *testing.T) {
	w := newWorld(t)
	for version, regions := range map[uint64][]string{2: {string(west)}} {
		next := tenantRoot(t, w.log[1].Digest())
		next.Version, next.Regions = version, regions
		w.accept(say(t, next, "rosa", "rudy"))
	}
	w.lives(1, "", signing.ErrUntrustedRoot)
	w.refuse(say(t, place(t, 2, region, "node"), "otto", "amy", "abe"), signing.ErrUntrustedRoot)
	w.accept(say(t, place(t, 2, west, "node-w"), "otto", "amy", "abe"))
	w.lives(2, west, nil)
}

// TestRegionKeyRevoked: a region whose key is out of use is not the one that was pinned.
func TestRegionKeyRevoked(t *testing.T) {
	w := newWorld(t)
	checkpoint, _, err := certificate(t, region, "node").Keys()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []keys.Public{checkpoint, key(t, "node").Public()} {
		env := say(t, revoke(statement.TargetKey, string(k.ID()), statement.Suspend, noon), "rick")
		w.accept(env)
		w.lives(1, "", signing.ErrRevoked)
		w.accept(say(t, resume(env.Digest()), "amy", "abe"))
		w.lives(1, region, nil)
	}
}

// TestWhoComesBackFindsNothingLive: what was in force when a tenant left was decided on
// before it lived elsewhere. What is prepared while it is away is live when it comes back.
func TestWhoComesBackFindsNothingLive(t *testing.T) {
	w := newWorld(t).released(1).activated(1)
	w.accept(say(t, place(t, 2, region, "node-2"), "otto", "amy", "abe"))
	if len(w.live()) != 1 {
		t.Fatal("new keys of the same home ended an activation")
	}
	w.accept(say(t, place(t, 3, west, "node-w"), "otto", "amy", "abe"))
	if len(w.live()) != 0 {
		t.Fatal("live after leaving")
	}
	w.accept(say(t, place(t, 4, region, "node-2"), "otto", "amy", "abe"))
	if len(w.live()) != 0 {
		t.Fatal("live after coming back")
	}
	w.refuse(sayOf(t, archive(1), activate(1, 1, ""), "amy", "abe"), signing.ErrSequence)
	w.accept(say(t, place(t, 5, west, "node-w"), "otto", "amy", "abe"))
	w.activated(1)
	w.accept(say(t, place(t, 6, region, "node-2"), "otto", "amy", "abe"))
	if len(w.live()) != 1 {
		t.Fatal("what was prepared is not live")
	}
}

// TestFirstPlacementElsewhere: a region that is being prepared may be shown where the tenant
// lives now.
func TestFirstPlacementElsewhere(t *testing.T) {
	w := newWorldOf(t, func(root *trust.Root) { root.Regions = []string{string(west), string(region)} },
		publisherRoot(t))
	s, err := signing.NewState(tenant, west, w.log[0].Digest())
	if err != nil {
		t.Fatal(err)
	}
	x := &world{TB: t, State: s, at: noon}
	for _, env := range w.log[:2] {
		x.accept(env)
	}
	x.lives(0, "", signing.ErrUnknown)
	x.accept(w.log[2])
	x.lives(1, region, nil)
	x.accept(sayOf(t, archive(1), release(1, 1, ""), "ann"))
	x.refuse(say(t, func() statement.Suspension {
		p := suspend(rule, noon)
		p.Region = west
		return p
	}(), "node"), signing.ErrUntrustedSigner) // the home's node is none of this region
}

// TestNodeKeysOfThePlacement: only the keys pinned now suspend.
func TestNodeKeysOfThePlacement(t *testing.T) {
	w := newWorld(t).released(1)
	w.accept(say(t, place(t, 2, region, "node-2"), "otto", "amy", "abe"))
	w.refuse(say(t, suspend(rule, noon), "node"), signing.ErrUntrustedSigner)
	w.accept(say(t, suspend(rule, noon), "node-2"))
	w.accept(say(t, place(t, 3, west, "node-2"), "otto", "amy", "abe"))
	w.refuse(say(t, suspend("", noon), "node-2"), signing.ErrUntrustedSigner)
	if !w.Suspended(pack, rule) {
		t.Fatal("a move lifted a suspension")
	}
}

// TestEpochsOnlyGrow: whatever placements come in whatever order, the newest epoch is the
// highest that was taken, and what is in force is that one.
func TestEpochsOnlyGrow(t *testing.T) {
	homes := map[statement.Region]string{region: "node", west: "node-w"}
	var envelopes [4]map[statement.Region]*signing.Envelope
	for i := range envelopes {
		envelopes[i] = map[statement.Region]*signing.Envelope{}
		for r, node := range homes {
			envelopes[i][r] = say(t, place(t, uint64(i+2), r, node), "otto", "amy", "abe")
		}
	}
	start := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		s, top, lives := start.State, uint64(1), region
		for range rapid.IntRange(1, 8).Draw(rt, "n") {
			i := rapid.IntRange(0, 3).Draw(rt, "epoch")
			r := rapid.SampledFrom([]statement.Region{region, west}).Draw(rt, "region")
			v, err := s.Check(envelopes[i][r], noon)
			if epoch := uint64(i + 2); epoch > top {
				if err != nil {
					rt.Fatal(err)
				}
				if s, err = s.Apply(v); err != nil {
					rt.Fatal(err)
				}
				top, lives = epoch, r
			} else if !errors.Is(err, signing.ErrSequence) {
				rt.Fatalf("epoch %d after %d: %v", epoch, top, err)
			}
			if h, err := s.Home(); err != nil || h.Epoch != top || h.Certificate.Region != lives {
				rt.Fatalf("home %+v, %v; want %d in %s", h, err, top, lives)
			}
		}
	})
}
