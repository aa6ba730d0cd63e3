package signing_test

import (
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"github.com/precept-cds/precept/signing"
)

// A tenant's root is pinned, then its policy is signed by two persons, checked and
// applied. Real keys come from crypto/rand; this example wants the same ones each time.
func Example() {
	source := rand.NewChaCha8([32]byte{})
	newKey := func(alg signing.Algorithm) signing.PrivateKey {
		key, err := signing.GenerateKey(alg, source)
		if err != nil {
			log.Fatal(err)
		}
		return key
	}
	otto, amy := newKey(signing.Ed25519), newKey(signing.ECDSAP256)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // the log's time

	person := func(id signing.PersonID, key signing.PrivateKey) signing.Person {
		return signing.Person{ID: id, Name: string(id), Keys: []signing.PersonKey{
			signing.NewPersonKey(key.Public(), now, now.AddDate(1, 0, 0)),
		}}
	}
	one := func(id signing.PersonID) signing.RoleRule {
		return signing.RoleRule{Threshold: 1, Persons: []signing.PersonID{id}}
	}
	root := signing.TrustRoot{
		RootKind: signing.TenantRoot, Name: "north", Version: 1, IssuedAt: now, Expires: now.AddDate(1, 0, 0),
		Persons: []signing.Person{person("otto@north.example", otto), person("amy@north.example", amy)},
		Roles: map[signing.Role]signing.RoleRule{
			signing.Operator:  one("otto@north.example"),
			signing.Approver:  one("amy@north.example"),
			signing.RootAdmin: one("amy@north.example"),
		},
	}

	// Sign: one payload, one bundle for each signer.
	sign := func(p signing.Predicate, keys ...signing.PrivateKey) *signing.Envelope {
		payload, err := signing.Statement{Predicate: p}.Payload()
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
	policy := signing.TenantPolicy{Tenant: "north", Region: "us-east", Seq: 1, Policy: []byte(`{"services":[]}`)}
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
		fmt.Println(verified.Statement().Predicate.Kind(), "signed by", verified.Signers())
	}
	inForce, _ := state.Policy()
	fmt.Println("policy", inForce.Seq, "of", state.Size(), "entries:", inForce.Raw)

	// One person in both roles is not two persons.
	policy.Seq = 2
	_, err = state.Check(sign(policy, otto), now)
	fmt.Println(err)

	// Output:
	// trust-root signed by [amy@north.example]
	// tenant-policy signed by [amy@north.example otto@north.example]
	// policy 1 of 2 entries: {"services":[]}
	// checking tenant-policy statement: too few signers: 0 of 1 persons with role approver of root "north"; collect more signatures over the same payload
}
