// Package terminology holds one release of drug codes in compact tables: what drug
// codes there are, and which ingredients, dose form and strengths each stands for.
//
// A [Table] is one []byte with an index over it. It is shared by all who use the
// release, holds no object for each code, and is never changed. A [Builder] makes the
// bytes; [ReadRxNorm] and [ReadTable] fill one from what a publisher delivers.
//
// # The bytes
//
// A table begins with the eight bytes "PRECTERM" and the version 1. All numbers are
// unsigned, little-endian and 4 bytes long if nothing else is said.
//
//	magic     8 bytes
//	version   number, 1
//	release   text
//	length    of each of the six sections that follow, in bytes: 6 numbers
//	texts     for each text its length in 2 bytes, then that many bytes of UTF-8
//	systems   texts: URIs of code systems
//	lists     for each list its length, then that many concepts
//	strengths 32 bytes each: concept of the ingredient; unit and per unit, texts;
//	          amount and per amount, 8 bytes each; decimal places of both, 1 byte each;
//	          2 zero bytes
//	concepts  24 bytes each: display, text; code; list; form, concept; strengths, the
//	          first of them; then 1 byte each: how many strengths, kind, status, route
//	codes     12 bytes each, sorted by system, then code: code, text; concept; system
//	          and flags, 1 byte each; 2 zero bytes
//
// Where a section refers to another it does so by number: a text by its offset in
// texts, a list by the place of its length in lists, the rest by how many came before.
// The number 4294967295 is none. The list of a dose form are its groups, that of
// anything else its ingredients; an ingredient is its own list of one. A per unit of
// none says that the amount is in one dose unit.
//
// # Guarantees
//
// [Open] checks every reference once, so that nothing read later can lie outside; it
// takes memory in proportion to the bytes, and refuses what no builder writes. A
// builder writes the same bytes for the same content, whatever the order it came in.
//
// # What it does not do
//
// Whether a code exists, or is the right one for its display, only its publisher knows.
package terminology
