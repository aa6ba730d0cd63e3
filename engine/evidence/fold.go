package evidence

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// logged is one entry of a release log with the proof of its record.
type logged struct {
	env   *signing.Envelope
	proof audit.Proof
	leaf  audit.Leaf
}

// readLogged reads an entry, and holds the record's leaf against it.
func readLogged(index int64, envelope []byte, proof audit.Proof) (logged, error) {
	env, err := signing.ReadEnvelope(envelope)
	if err != nil {
		return logged{}, err
	}
	leaf, err := audit.ParseLeaf(proof.Leaf)
	if err != nil {
		return logged{}, err
	}
	if leaf.Kind != audit.Statement || leaf.ReleaseIndex != index || leaf.Index != proof.Index ||
		leaf.Statement != audit.Digest(sha256.Sum256(envelope)) {
		return logged{}, fmt.Errorf("%w: the record beside it is about another statement", audit.ErrCorrupt)
	}
	return logged{env, proof, leaf}, nil
}

// Signer is who signed a statement.
type Signer struct {
	Key    keys.ID        `json:"key"`
	Person trust.PersonID `json:"person,omitempty"`
	Name   string         `json:"name,omitempty"`
	Root   string         `json:"root,omitempty"` // whose trust root lists the person, such as "tenant north"
}

// Statement is one entry of the release log, for people.
type Statement struct {
	Index  int64          `json:"index"`
	Kind   statement.Kind `json:"kind"`
	Says   string         `json:"says"`
	SHA256 trust.Digest   `json:"sha256"`
	// Time is the log's own time of it.
	Time    time.Time `json:"time"`
	Signers []Signer  `json:"signers"`
}

// fold judges statements one after the other, from a trust root on, as the log did when it took them. It returns what
// they amount to, and those that hold.
func fold(ctx context.Context, t tenant.ID, region tenant.Region, root trust.Digest,
	list []logged) (*signing.State, []Statement, error) {
	state, err := signing.NewState(statement.Tenant(t), statement.Region(region), root)
	if err != nil {
		return nil, nil, err
	}
	people := map[keys.ID]Signer{}
	var held []Statement
	for i, l := range list {
		if err := ctx.Err(); err != nil {
			return nil, held, err
		}
		v, err := state.Check(l.env, l.leaf.Decided)
		if err == nil {
			state, err = state.Apply(v)
		}
		if err != nil {
			return nil, held, fmt.Errorf("statement %d: %w", i, err)
		}
		meet(people, l.env.Statement().Predicate)
		s := Statement{Index: int64(i), Kind: l.env.Statement().Kind(), Says: says(l.env.Statement()),
			SHA256: l.env.Digest(), Time: l.leaf.Decided}
		for _, b := range l.env.Bundles() {
			by := people[b.KeyID()]
			by.Key = b.KeyID()
			s.Signers = append(s.Signers, by)
		}
		held = append(held, s)
	}
	return state, held, nil
}

// meet remembers whose keys a statement introduces.
func meet(people map[keys.ID]Signer, p statement.Predicate) {
	switch p := p.(type) {
	case trust.Root:
		for _, person := range p.Persons {
			for _, k := range person.Keys {
				people[k.KeyID] = Signer{Person: person.ID, Name: person.Name, Root: string(p.RootKind) + " " + p.Name}
			}
		}
	case statement.Placement:
		_, nodes, err := p.Certificate.Keys()
		if err != nil {
			return // it was checked before
		}
		for _, k := range nodes {
			people[k.ID()] = Signer{Name: "a node", Root: "region " + string(p.Certificate.Region)}
		}
	}
}

// says is a statement in a few words.
func says(s statement.Statement) string {
	switch p := s.Predicate.(type) {
	case trust.Root:
		return fmt.Sprintf("%s %s, version %d", p.RootKind, p.Name, p.Version)
	case statement.TenantPolicy:
		return fmt.Sprintf("policy %d", p.Seq)
	case statement.Placement:
		return fmt.Sprintf("region %s, epoch %d", p.Certificate.Region, p.Epoch)
	case statement.PackRelease:
		return fmt.Sprintf("%s %s", p.Pack, p.Version)
	case statement.ClinicalReview:
		return fmt.Sprintf("%s %s: %s", p.Pack, p.Version, p.Decision)
	case statement.Activation:
		return strings.TrimSpace(fmt.Sprintf("%s %s: %s %s", p.Pack, p.Version, p.Mode, library(p.Library)))
	case statement.Suspension:
		return fmt.Sprintf("%s: %s", strings.TrimSuffix(string(p.Pack)+"/"+p.Rule, "/"), p.Reason)
	case statement.Resumption:
		return fmt.Sprintf("lifts %s: %s", p.Lifts, p.Reason)
	case statement.Revocation:
		return fmt.Sprintf("%s %s %s: %s", p.Action, p.Target.Type, p.Target.Value, p.Reason)
	}
	return ""
}

func library(version string) string {
	if version == "" {
		return ""
	}
	return "with library " + version
}

// Pack is an archive that was in force for the decision.
type Pack struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"` // rules, terminology or codemap
	Version string    `json:"version"`
	SHA256  string    `json:"sha256"`
	Mode    string    `json:"mode"`
	Library string    `json:"library,omitempty"` // that it was approved with
	Since   time.Time `json:"since,omitzero"`    // the log's time of the activation
	// Authors released it, Reviewers approved it, Approvers put it into force.
	Authors   []trust.PersonID `json:"authors"`
	Reviewers []trust.PersonID `json:"reviewers"`
	Approvers []trust.PersonID `json:"approvers"`
	// Rules are those of the archive; empty where it was not opened.
	Rules  []string `json:"rules,omitempty"`
	InFile bool     `json:"inFile"`
}

// packsOf lists what was in force at a time by the release log.
func packsOf(state *signing.State, at time.Time) ([]Pack, error) {
	pol, ok := state.Policy()
	if !ok {
		return nil, nil
	}
	policy, err := tenant.Parse(pol.Raw)
	if err != nil {
		return nil, err
	}
	rel, _ := decide.ReleaseAt(state, policy, at)
	activations := map[string]signing.Activated{}
	for _, a := range state.Live() {
		activations[string(a.Pack)] = a
	}
	var list []Pack
	for _, ref := range rel.Artefacts() {
		p := Pack{Name: ref.Name, Version: ref.Version, SHA256: ref.Digest, Mode: string(ref.Mode), Library: ref.Library}
		if a, ok := activations[ref.Name]; ok {
			p.Since, p.Approvers = a.LoggedAt, a.Approvers
		}
		if r, ok := state.Release(trust.Digest(ref.Digest)); ok {
			p.Kind, p.Authors = string(r.PackKind), r.Authors
			for _, review := range r.Reviews {
				if review.Decision == statement.Approve {
					p.Reviewers = append(p.Reviewers, review.Reviewer)
				}
			}
		}
		list = append(list, p)
	}
	return list, nil
}

// digests lists the archives of packs, each once, in order.
func digests(packs []Pack) []string {
	list := make([]string, 0, len(packs))
	for _, p := range packs {
		list = append(list, p.SHA256)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// treeOf is the root of the tree of all these leaves.
func treeOf(leaves [][]byte) (tlog.Hash, error) {
	var stored hashes
	for i, leaf := range leaves {
		more, err := tlog.StoredHashes(int64(i), leaf, &stored)
		if err != nil {
			return tlog.Hash{}, fmt.Errorf("computing tree: %w", err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(len(leaves)), &stored)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("computing tree: %w", err)
	}
	return root, nil
}

// hashes are those of a tree, by index.
type hashes []tlog.Hash

// ReadHashes implements [tlog.HashReader].
func (h *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= int64(len(*h)) {
			return nil, fmt.Errorf("hash %d is not there", index)
		}
		out[i] = (*h)[index]
	}
	return out, nil
}
