// Package signing decides what signed statements may change.
//
// Nothing changes clinical advice but a signed artefact: a trust root, a pack
// release, a clinical review, an activation, a tenant policy, a suspension. This
// package makes, reads and judges those artefacts. It imports nothing else of
// Precept, so a publisher or an auditor can use it alone.
//
// # Layout of a statement
//
// A statement is an in-toto Statement v1 with exactly one subject and one of the
// predicates below, in canonical form: the field order of the Go types, no
// white space, times in UTC with whole seconds. Reading refuses any other bytes,
// so one statement has one digest.
//
//	{"_type":"https://in-toto.io/Statement/v1",
//	 "subject":[{"name":"pack.tar","digest":{"sha256":"…","dirHash1":"…"}}],
//	 "predicateType":"https://github.com/precept-cds/precept/statement/activation/v1",
//	 "predicate":{"tenant":"north","region":"us-east",…}}
//
// The subject of pack-release, clinical-review and activation is the canonical
// uncompressed archive. The subject of every other kind has the name of the kind
// and the SHA-256 of the predicate's own bytes.
//
// An [Envelope] carries one payload and one Sigstore bundle (v0.3) per signer, as
// JSON Lines sorted by key id, each line ended by a line feed:
//
//	{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
//	 "verificationMaterial":{"publicKey":{"hint":"<key id>"}},
//	 "dsseEnvelope":{"payload":"<base64>","payloadType":"application/vnd.in-toto+json",
//	                 "signatures":[{"sig":"<base64>"}]}}
//
// A key id is the hex SHA-256 of the key's SubjectPublicKeyInfo. It only says
// which key to try; the signature decides.
//
// # Layout of trust
//
// [State] is the fold of one tenant's release log. [State.Check] judges one more
// envelope at the log's own time, [State.Apply] returns the state after it. A
// State is never changed in place, so any number of readers may share one.
//
//   - The first entry is the tenant's trust root, whose digest was pinned out of band.
//   - A root is followed only by version + 1, signed by the thresholds of both.
//   - Thresholds count persons, not signatures, keys or key ids.
//   - Adding power needs the threshold; removing power needs one person.
//   - The author of a release neither reviews it nor activates it alone. Persons
//     are equated across roots by person id, declared identity or common key.
//   - Sequence numbers and digests make every statement usable once.
//
// # What it does not do
//
// It does not keep a log, a clock or files, and it does not know whether a pack's
// bytes are good: the caller rebuilds the archive and compares [PackDigest]. It
// believes the time it is given, which must be the log's own and never run
// backwards. It cannot know that two persons are one if no root declares it.
// Keyless identities and certificates are not supported.
package signing
