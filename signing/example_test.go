package signing_test

import (
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// A tenant's root is pinned, then its policy is signed by two persons, checked and
// applied. Real keys come from crypto/rand; this example wants the same ones each time.
func Example() {
	source := rand.NewChaCha8([32]byte{})
	newKey := func(alg keys.Algorithm) keys.Private {
		key, err := keys.Generate(alg, source)
		if err != nil {
			log.Fatal(err)
		}
		return key
	}
	otto, amy := newKey(keys.Ed25519), newKey(keys.ECDSAP256)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // the log's time

	person := func(id trust.PersonID, key keys.Private) trust.Person {
		return trust.Person{ID: id, Name: string(id), Keys: []trust.PersonKey{
			trust.NewPersonKey(key.Public(), now, now.AddDate(1, 0, 0)),
		}}
	}
	one := func(id trust.PersonID) trust.RoleRule {
		return trust.RoleRule{Threshold: 1, Persons: []trust.PersonID{id}}
	}
	root := trust.Root{
		RootKind: trust.TenantRoot, Name: "north", Version: 1, IssuedAt: now, Expires: now.AddDate(1, 0, 0),
		Persons: []trust.Person{person("otto@north.example", otto), person("amy@north.example", amy)},
		Roles: map[trust.Role]trust.RoleRule{
			trust.Operator:  one("otto@north.example"),
			trust.Approver:  one("amy@north.example"),
			trust.RootAdmin: one("amy@north.example"),
		},
		Regions: []string{"us-east"},
	}

	// Sign: one payload, one bundle for each signer.
	sign := func(p statement.Predicate, keys ...keys.Private) *signing.Envelope {
		payload, err := statement.Statement{Predicate: p}.Payload()
		if err != nil {
			log.Fatal(err)
		}
		var bundles []signing.Bundle
		for _, key := range keys {
			bundle, err := signing.Sign(payload, key)
			if err != nil {
				log.Fatal(err)
			}
			bundles = append(bundles, bundle)
		}
		envelope, err := signing.NewEnvelope(bundles...)
		if err != nil {
			log.Fatal(err)
		}
		return envelope
	}
	policy := statement.TenantPolicy{Tenant: "north", Region: "us-east", Seq: 1, Policy: []byte(`{"services":[]}`)}
	entries := []*signing.Envelope{sign(root, amy), sign(policy, otto, amy)}

	// Check and apply: the state is the fold of the log.
	state, err := signing.NewState("north", "us-east", entries[0].Digest())
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range entries {
		verified, err := state.Check(entry, now)
		if err != nil {
			log.Fatal(err)
		}
		if state, err = state.Apply(verified); err != nil {
			log.Fatal(err)
		}
		fmt.Println(verified.Statement().Kind(), "applied")
	}
	inForce, _ := state.Policy()
	fmt.Println("policy", inForce.Seq, "of", state.Size(), "entries:", inForce.Raw)

	// One person in both roles is not two persons.
	policy.Seq = 2
	_, err = state.Check(sign(policy, otto), now)
	fmt.Println(errors.Is(err, signing.ErrThreshold))

	// Output:
	// trust-root applied
	// tenant-policy applied
	// policy 1 of 2 entries: {"services":[]}
	// true
}

// A release is verified against trust roots: the tenant's, whose digest came from another
// channel, pins the publisher's, whose author signed. The files are what the publisher and
// the tenant hand out; the bytes of the archive are compared last.
func Example_verifyRelease() {
	const pinned = "505430faa47e4c52208f47775c2192552d4af2c63f2a10309cda96cbe1d5f57a"
	at := time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC) // when it is verified
	state, err := signing.NewState("north", "us-east", pinned)
	if err != nil {
		log.Fatal(err)
	}
	var said statement.Statement
	for _, file := range []string{"tenant-root.jsonl", "publisher-root.jsonl", "release.jsonl"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			log.Fatal(err)
		}
		envelope, err := signing.ReadEnvelope(text)
		if err != nil {
			log.Fatal(err)
		}
		verified, err := state.Check(envelope, at)
		if err != nil {
			log.Fatal(err) // says which signature, person or rule is missing
		}
		if state, err = state.Apply(verified); err != nil {
			log.Fatal(err)
		}
		said = verified.Statement()
	}
	archive, err := os.ReadFile("testdata/pack.tar")
	if err != nil {
		log.Fatal(err)
	}
	release, ok := state.Release(trust.DigestOf(archive))
	fmt.Println("released:", ok, release.Pack, release.Version, "by", release.Authors)
	fmt.Println("same archive as signed:", release.Archive == said.Archive)
	fmt.Println("reviews:", len(release.Reviews))

	// Output:
	// released: true renal_dosing 1.0.1 by [ann@heartland.example]
	// same archive as signed: true
	// reviews: 0
}
