package signing_test

import (
	"errors"
	"testing"
	"time"

	"github.com/precept-cds/precept/signing"
)

const rule = "metformin-contraindicated"

// byNode is the suspension that the region's node makes now.
func (w *world) byNode(rule string) *signing.Envelope {
	w.Helper()
	env, err := w.SuspendByNode(key(w, "node"), pack, rule, "failed too often", w.at)
	if err != nil {
		w.Fatal(err)
	}
	return env
}

// TestNodeSuspendsAgain: persons lift what the node suspended, the node may suspend it
// again in the same second, and whoever kept the first suspension cannot use it.
func TestNodeSuspendsAgain(t *testing.T) {
	w := newWorld(t).released(1)
	var kept []*signing.Envelope
	for range 5 {
		env := w.byNode(rule)
		w.accept(env)
		if !w.Suspended(pack, rule) || w.Suspended(pack, "") {
			t.Fatal("suspension of one rule")
		}
		w.accept(say(t, resume(env.Digest()), "amy", "abe"))
		kept = append(kept, env)
		for _, old := range kept {
			w.refuse(old, signing.ErrSequence)
		}
		w.refuse(say(t, resume(env.Digest()), "amy", "abe"), signing.ErrSequence)
	}
	w.at = w.at.Add(time.Hour)
	w.accept(w.byNode(""))
	w.refuse(kept[0], signing.ErrSequence)
}

// TestNodeSuspendsOnce: of two nodes that see one rule fail, one suspends it, and one
// resumption lifts that. A person may all the same.
func TestNodeSuspendsOnce(t *testing.T) {
	w := newWorld(t).released(1)
	first := w.byNode(rule)
	w.at = w.at.Add(time.Second)
	second := w.byNode(rule)
	whole := w.byNode("")
	w.accept(first)
	w.refuse(second, signing.ErrSequence)
	_, err := w.SuspendByNode(key(t, "node"), pack, rule, "failed too often", w.at)
	if !errors.Is(err, signing.ErrSequence) {
		t.Fatalf("suspending twice: %v", err)
	}
	w.accept(say(t, suspend(rule, noon), "rick"))
	w.accept(whole)
	w.refuse(w.byNodeOf(rule), signing.ErrSequence) // part of the pack that is out
}

// byNodeOf signs without asking what is out of service.
func (w *world) byNodeOf(rule string) *signing.Envelope { return say(w, suspend(rule, w.at), "node") }

// TestOnlyTheNode: no other key makes a node's suspension, and what is no suspension of a
// released pack is none.
func TestOnlyTheNode(t *testing.T) {
	w := newWorld(t).released(1)
	for name, row := range map[string]struct {
		key          string
		rule, reason string
		want         error
	}{
		"another node":     {"node of another region", rule, "failed too often", signing.ErrUntrustedSigner},
		"a person":         {"rick", rule, "failed too often", signing.ErrUntrustedSigner},
		"no reason":        {"node", rule, "", nil},
		"not a rule":       {"node", "Not A Rule", "failed too often", nil},
		"nothing is wrong": {"node", rule, "failed too often", nil},
	} {
		_, err := w.SuspendByNode(key(t, row.key), pack, row.rule, row.reason, w.at)
		if row.want != nil && !errors.Is(err, row.want) || (err == nil) != (name == "nothing is wrong") {
			t.Errorf("%s: %v", name, err)
		}
	}
	env, err := w.SuspendByNode(key(t, "node"), "other_pack", rule, "failed too often", w.at)
	if err != nil {
		t.Fatal(err)
	}
	w.refuse(env, signing.ErrUnknown)
}
