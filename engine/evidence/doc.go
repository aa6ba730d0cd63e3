// Package evidence makes and checks evidence files: one file that shows, on a machine without network and with public
// keys only, what a record says, that it is in the log, what was in force when it was made and who had signed that, and
// that this advice follows from these inputs.
//
// # What it guarantees
//
// A file has one form: an archive in canonical USTAR form whose first entry, the manifest, lists all the others by size
// and SHA-256 but for the last four. These are the record of the export, which holds the digest of the manifest, its
// place in the log, and the proof that this log goes on from the heads in the file. So the region's signature of one
// head covers every byte, and a file that was not recorded does not hold. Signatures, proofs, leaves and manifest are
// read in one spelling each.
//
// [Read] takes bytes from strangers: it believes no size before the bytes are there, and holds no more of them than it
// was told to. [File.Verify] opens and runs packs only if somebody known vouches for them, and only after they were
// tried elsewhere.
//
// Without the body a file holds nothing about a patient.
//
// # What it does not do
//
// It does not decide who may have a file; package engine does, and records it. It cannot show that an input was true,
// nor, while nobody else signs heads, that the region did not write two histories; heads that were noted before show
// that ([Known]).
package evidence
