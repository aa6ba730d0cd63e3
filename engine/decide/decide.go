// Package decide makes decisions: from the artefacts a tenant's release log
// names, and from the recorded inputs of one call, it makes findings and
// cards. It also decides again (replay), decides a pack's golden cases, and
// says in words why a decision is what it is.
//
// What it guarantees: a decision is a pure function of its inputs and of the
// artefacts that they name by digest. The same inputs give the same bytes, in
// any process, on any machine. A rule that fails, or cannot tell, never hides
// another and never reads as "no finding"; a pack that cannot be run is named,
// and so are its rules, as checks that were not done.
//
// What it does not do: it knows no region, store, clock, key or caller. Whoever
// holds the artefacts can decide: a region, an auditor's laptop, a test.
package decide

import "errors"

var (
	// ErrPack says that a pack cannot be run: it does not compile, or a rule of
	// it contradicts its metadata. The message names file and line.
	ErrPack = errors.New("pack cannot be run")
	// ErrCodes says that a code map means drugs that the terminology does not have.
	ErrCodes = errors.New("the code map does not fit the terminology")
	// ErrCases says that a pack's own golden cases do not hold in this process.
	ErrCases = errors.New("cases of the pack do not hold")
	// ErrHook says that the service does not answer the hook of the request.
	ErrHook = errors.New("the service does not answer this hook")
	// ErrMissing says that an artefact which the inputs name is not at hand. Add
	// it to the materials first.
	ErrMissing = errors.New("artefact is not at hand")
	// ErrLibrary says that a decision was made with another version of the
	// clinical library than this program has, so deciding again here would prove
	// nothing. Use a program that has it.
	ErrLibrary = errors.New("decided with another version of the clinical library")
	// ErrNotLive says that a record names packs, a terminology, a policy or
	// suspensions that were not in force by the tenant's release log. Treat it as
	// tampering with one of the two.
	ErrNotLive = errors.New("record and release log contradict each other")
)
