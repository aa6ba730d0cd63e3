// Package signing decides what signed statements may change.
//
// Nothing changes clinical advice but a signed artefact: a trust root, a pack release, a
// clinical review, an activation, a tenant policy, a suspension. This package signs,
// reads and judges those artefacts. It imports nothing else of Precept, so a publisher
// or an auditor can use it alone. It is made of:
//
//   - keys: private and public keys, their ids, their PEM files;
//   - trust: trust roots, persons, roles and thresholds;
//   - statement: what is said, and its one spelling in bytes.
//
// # Layout of an envelope
//
// An [Envelope] carries one payload and one Sigstore bundle (v0.3) per signer, as JSON
// Lines sorted by key id, each line ended by a line feed:
//
//	{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
//	 "verificationMaterial":{"publicKey":{"hint":"<key id>"}},
//	 "dsseEnvelope":{"payload":"<base64>","payloadType":"application/vnd.in-toto+json",
//	                 "signatures":[{"sig":"<base64>"}]}}
//
// The key id only says which key to try; the signature decides. Our own reader takes the
// bundles, not sigstore-go: it refuses every spelling but one, and needs seventy modules
// less (docs/decisions/0009).
//
// # What it guarantees
//
// [State] is the fold of one tenant's release log. [State.Check] judges one more envelope
// at the log's own time, [State.Apply] returns the state after it. A State is never
// changed in place, so any number of readers may share one.
//
//   - The first entry is the tenant's trust root, whose digest was pinned out of band.
//   - A root is followed only by version + 1, signed by the thresholds of both.
//   - Thresholds count persons, not signatures, keys or key ids.
//   - Adding power needs the threshold; removing power needs one person.
//   - The author of a release neither reviews it nor activates it alone. Persons
//     are equated across roots by person id, declared identity or common key,
//     however they are spelled.
//   - A tenant has one home: the region whose keys the newest placement pins, of those
//     that the root allows. A node of it may suspend, and nothing else.
//   - A pack is approved by the reviewers of its own publisher. Those of publishers that
//     the tenant's root names besides may reject it, too; all others have no say.
//   - Sequence numbers and digests make every statement usable once.
//
// Of a pack's activations the last one is current until it is turned off or withdrawn.
// It is live, that is in force, while its pack and archive are in service too.
//
// # What it does not do
//
// It does not keep a log, a clock or files, and it does not know whether a pack's bytes
// are good: the caller rebuilds the archive and compares [statement.PackDigest]. It
// believes the time it is given, which must be the log's own and never run backwards. It
// cannot know that two persons are one if no root declares it, nor what the logs of other
// regions were shown ([State.Home]). Keyless identities and X.509 certificates are not
// supported.
package signing
