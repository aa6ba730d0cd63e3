// Package rulepacks reads, checks and writes rule packs: the versioned sets of
// clinical rules that Precept signs, reviews, releases and evaluates.
//
// # Layout
//
// A pack is a folder, or an archive of the same files:
//
//	pack.yaml               name, version, publisher, parameters, value sets, sources
//	.manifest               generated here; what a stock OPA reads
//	rules/*.rego            one Rego package per rule
//	valuesets/<id>.json     {"id","kind","codes":[{"system","code","display"}]}
//	tables/products.json    drug products and their ingredients (kind: terminology)
//	messages/<lang>.json    {"source text {name}": "translated text {name}"}
//	cases/**/*.yaml|json    golden examples: a request, the findings, the cards
//	README.md, NOTICE
//
// Nothing else is allowed in it, no links, and no name that OPA would give a
// meaning of its own (data.json, patch.json, policy.wasm and so on).
//
// The archive is a tar, or one gzip member holding that tar. The tar is
// canonical: USTAR headers, names sorted bytewise, mode 0600, owner and time
// zero, two zero blocks at the end and nothing after them. One set of files has
// exactly one canonical tar. Its SHA-256 is [Pack.Digest]; the Go directory
// hash (Hash1) over the same files is [Pack.DirHash1].
//
// # Packages
//
// This package knows the pack as a whole: what belongs in it, its archive, its
// digests. One file of it is the matter of a package of its own:
//
//	packfile   strict YAML and JSON with lines; the problems all of them report
//	manifest   pack.yaml and its parameters
//	vocab      value sets and drug products
//	casefile   golden cases
//	duration   the durations that rules and parameters hold
//
// # Guarantees
//
// [ReadArchive] is made for bytes from strangers. It counts what it reads
// instead of believing headers, refuses everything that is not the canonical
// form, and computes the digests from the tar it rebuilds out of what it
// parsed. Two archives with the same digest therefore hold the same names and
// the same bytes, and no other reader of the archive can see anything else.
// Reading is a pure function of the bytes: no clock, network or environment.
//
// # What it does not do
//
// It verifies no signature (package signing does), does not parse or run Rego,
// and cannot tell whether a rule, a code or a translation is clinically right.
// A [Pack] is shared after it was read and must not be modified.
package rulepacks
