package signing

import "errors"

// One sentinel per fact, besides those of statement and keys. Messages that wrap them
// end in a hint how to fix it.
var (
	// ErrUnsigned means there is no signature at all. Sign before submitting.
	ErrUnsigned = errors.New("unsigned")
	// ErrSignature means a signature does not belong to these bytes and this key:
	// the payload or the signature was altered. Raise an alarm; do not retry.
	ErrSignature = errors.New("signature does not match")
	// ErrUntrustedSigner means a key is not listed by the root that this kind of
	// statement is judged by. Add the person to the root, or use the right key.
	ErrUntrustedSigner = errors.New("untrusted signer")
	// ErrUntrustedRoot means a trust root is neither pinned nor trusted here.
	// Compare its digest with the one received out of band.
	ErrUntrustedRoot = errors.New("untrusted root")
	// ErrThreshold means too few distinct persons of the needed role signed. Collect
	// more signatures over the same payload.
	ErrThreshold = errors.New("too few signers")
	// ErrSelfReview means an author reviews, or alone activates, their own work, or
	// one person is behind the whole chain. Ask somebody else.
	ErrSelfReview = errors.New("authors may not approve their own work")
	// ErrSequence means the statement does not follow the current state: replayed,
	// skipped, or made against an older state. Make it again from the current state.
	ErrSequence = errors.New("out of sequence")
	// ErrWrongTenant means the statement is for another tenant. Never apply it here.
	ErrWrongTenant = errors.New("wrong tenant")
	// ErrWrongRegion means the statement is for another region. Never apply it here.
	ErrWrongRegion = errors.New("wrong region")
	// ErrRevoked means a pack, key or person was taken out of service. Use another,
	// or lift a suspension with a resumption; a revocation is final.
	ErrRevoked = errors.New("revoked or suspended")
	// ErrUnreviewed means the pack lacks a valid clinical approval, or a reviewer rejected
	// it. Obtain a review of exactly these bytes.
	ErrUnreviewed = errors.New("not clinically approved")
	// ErrExpired means a root, key, review or period is not valid at the log's time.
	// Renew it.
	ErrExpired = errors.New("not valid at this time")
	// ErrUnknown means the statement names a pack, key, person or statement that this
	// log has not seen. Check for a typing error, or submit what is missing first.
	ErrUnknown = errors.New("unknown here")
	// ErrMismatch means two statements, or a statement and the archive, disagree about
	// the same pack. Nobody should sign either until that is explained.
	ErrMismatch = errors.New("statements disagree")
)
