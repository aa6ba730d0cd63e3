package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/precept-cds/precept/signing/keys"
)

const nameNode = "node/1"

// algEd25519 is the algorithm byte of golang.org/x/mod/sumdb/note.
const algEd25519 = 1

// Node is the key with which a region signs the heads of its logs, and suspensions.
type Node struct {
	public ed25519.PublicKey
	seed   [ed25519.SeedSize]byte
}

// Node returns the region's signing key. A key made just now comes with its stored form (under tenant ""), which
// must be durable before anything signed by it leaves the process; otherwise fresh is empty.
func (r *Ring) Node(ctx context.Context) (n *Node, fresh []Named, err error) {
	v, ok, err := r.lookup(ctx, "", nameNode)
	if err != nil {
		return nil, nil, fmt.Errorf("reading node key: %w", err)
	}
	if !ok {
		return r.newNode(ctx)
	}
	public, seed, err := r.unwrapByRegion(ctx, "", ed25519.PublicKeySize, Named{Name: nameNode, Value: v})
	if err != nil {
		return nil, nil, err
	}
	defer clear(seed)
	n = nodeFromSeed(seed)
	if !bytes.Equal(n.public, public) {
		return nil, nil, fmt.Errorf("reading node key: %w: public and private part differ", ErrOpen)
	}
	return n, nil, nil
}

func (r *Ring) newNode(ctx context.Context) (*Node, []Named, error) {
	seed, err := r.random(ed25519.SeedSize)
	if err != nil {
		return nil, nil, fmt.Errorf("making node key: %w", err)
	}
	defer clear(seed)
	n := nodeFromSeed(seed)
	w, err := r.wrapByRegion(ctx, "", nameNode, n.public, seed)
	if err != nil {
		return nil, nil, fmt.Errorf("making node key: %w", err)
	}
	return n, []Named{w}, nil
}

func nodeFromSeed(seed []byte) *Node {
	private := ed25519.NewKeyFromSeed(seed)
	return &Node{public: private.Public().(ed25519.PublicKey), seed: [ed25519.SeedSize]byte(seed)}
}

// Public is the public part, for auditors to pin.
func (n *Node) Public() ed25519.PublicKey { return bytes.Clone(n.public) }

// Signer signs notes under a key name. For a log the name is its origin, as C2SP tlog-checkpoint asks, so one key
// has a different key id in every log and a head cannot be shown as that of another.
func (n *Node) Signer(name string) (note.Signer, error) {
	vkey, err := note.NewEd25519VerifierKey(name, n.public)
	if err != nil {
		return nil, fmt.Errorf("naming node key: %w", err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("naming node key: %w", err)
	}
	private := base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, n.seed[:]...))
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, v.KeyHash(), private))
	if err != nil {
		return nil, fmt.Errorf("naming node key: %w", err)
	}
	return s, nil
}

// Key is the same key for signing statements. What is signed then begins with another label than a note does, so
// that neither can be shown as the other.
func (n *Node) Key() (keys.Private, error) {
	key, err := keys.NewPrivate(ed25519.NewKeyFromSeed(n.seed[:]))
	if err != nil {
		return keys.Private{}, fmt.Errorf("naming node key: %w", err)
	}
	return key, nil
}

// Verifier checks notes that [Node.Signer] signed under the same name, with nothing but the public key.
func Verifier(name string, public ed25519.PublicKey) (note.Verifier, error) {
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, fmt.Errorf("naming node key: %w", err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("naming node key: %w", err)
	}
	return v, nil
}

// PublicNode reads the node's public key from the store without the KMS, for checks that run without secrets. ok
// is false when the region has none yet. Whoever can write the store can replace it: an auditor pins the key
// instead.
func PublicNode(ctx context.Context, lookup Lookup) (public ed25519.PublicKey, ok bool, err error) {
	v, ok, err := lookup(ctx, "", nameNode)
	if err != nil {
		return nil, false, fmt.Errorf("reading node key: %w", err)
	}
	if !ok {
		return nil, false, nil
	}
	if err := checkFormat(nameNode, v, 1+ed25519.PublicKeySize+1); err != nil {
		return nil, false, err
	}
	return bytes.Clone(v[1 : 1+ed25519.PublicKeySize]), true, nil
}
