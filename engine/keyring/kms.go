package keyring

import "context"

// KMS is the region key: a key that wraps other keys and never leaves its place. The file form is [FileKMS];
// cloud and HSM forms stand behind the same three methods. Implementations bind aad even where their backend
// cannot (by sealing its digest with the key), honour ctx, and are safe for concurrent use.
type KMS interface {
	// Wrap seals key under the current version of the region key, bound to aad.
	Wrap(ctx context.Context, key, aad []byte) ([]byte, error)
	// Unwrap opens what Wrap returned, under whichever version of the region key sealed it.
	Unwrap(ctx context.Context, wrapped, aad []byte) ([]byte, error)
	// Describe says which key this is, for start-up checks and key events. It returns no secret.
	Describe(ctx context.Context) (Description, error)
}

// Description identifies a region key without revealing it.
type Description struct {
	Provider string // "file", or the name of a KMS product
	Key      string // identifier of the key at the provider; for a file, its current tink key id
}
