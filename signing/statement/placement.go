package statement

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/precept-cds/precept/signing/internal/strict"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/trust"
)

// RegionCertificate says which keys a region has, and so who it is: a name in a
// configuration can be given to anything. Each of its keys signs it, which shows that the
// region holds them. Nothing else vouches for it: a tenant whose [Placement] holds it does.
// It enters no log by itself.
type RegionCertificate struct {
	Region Region `json:"region"`
	// Seq is 1 for the first keys of a region, then one more each time they change.
	Seq uint64 `json:"seq"`
	// CheckpointKeyPEM is the Ed25519 key that signs the heads of logs, and so receipts.
	CheckpointKeyPEM string `json:"checkpointKeyPem"`
	// NodeKeysPEM are the keys with which nodes of the region sign suspensions.
	NodeKeysPEM []string `json:"nodeKeysPem"`
}

// maxNodeKeys is how many keys of nodes a certificate may list.
const maxNodeKeys = 15

// Keys returns all keys of the certificate, each once: first that of checkpoints, then
// those that sign suspensions.
func (c RegionCertificate) Keys() (checkpoint keys.Public, nodes []keys.Public, err error) {
	if checkpoint, err = keys.ParsePublic([]byte(c.CheckpointKeyPEM)); err != nil {
		return keys.Public{}, nil, fmt.Errorf("field checkpointKeyPem: %w", err)
	}
	if _, ok := checkpoint.Crypto().(ed25519.PublicKey); !ok {
		return keys.Public{}, nil, errors.New("field checkpointKeyPem: expected an Ed25519 key")
	}
	seen := map[keys.ID]bool{}
	for i, text := range c.NodeKeysPEM {
		key, err := keys.ParsePublic([]byte(text))
		if err != nil {
			return keys.Public{}, nil, fmt.Errorf("field nodeKeysPem[%d]: %w", i, err)
		}
		if seen[key.ID()] {
			return keys.Public{}, nil, fmt.Errorf("field nodeKeysPem[%d]: name each key once", i)
		}
		seen[key.ID()] = true
		nodes = append(nodes, key)
	}
	return checkpoint, nodes, nil
}

// Check returns what makes c unfit to be signed, or nil.
func (c RegionCertificate) Check() error {
	var k strict.Checker
	c.check(&k, "")
	return k.Err()
}

func (c RegionCertificate) check(k *strict.Checker, at string) {
	k.Match(string(c.Region), strict.Name, at+"region")
	k.Seq(c.Seq, at+"seq")
	k.That(len(c.NodeKeysPEM) >= 1 && len(c.NodeKeysPEM) <= maxNodeKeys, at+"nodeKeysPem",
		fmt.Sprintf("expected 1 to %d keys", maxNodeKeys))
	if k.Err() == nil {
		_, _, err := c.Keys()
		k.Wrap(at+"keys", err)
	}
}

// Digest returns the digest of the statement that c is, which names a region's keys as a
// whole; empty if c is unfit.
func (c RegionCertificate) Digest() trust.Digest {
	payload, err := Statement{Predicate: c}.Payload()
	if err != nil {
		return ""
	}
	return trust.DigestOf(payload)
}

// Placement gives a tenant its one home: the region of the certificate, which the tenant's
// root must allow. It needs the operator and the approver threshold, and two distinct
// persons. A region serves a tenant only by the newest placement that it was shown, and
// only if that names it and its keys. No log knows what others were shown; persons who
// name two homes with one epoch have made two.
type Placement struct {
	Tenant Tenant `json:"tenant"`
	// Epoch counts the tenant's placements, wherever they lead. A region takes none whose
	// epoch is not above all that it has seen.
	Epoch       uint64            `json:"epoch"`
	Certificate RegionCertificate `json:"certificate"`
	PlacedAt    time.Time         `json:"placedAt"`
}

// Check returns what makes p unfit to be signed, or nil.
func (p Placement) Check() error {
	var c strict.Checker
	c.Match(string(p.Tenant), strict.Name, "tenant")
	c.Seq(p.Epoch, "epoch")
	p.Certificate.check(&c, "certificate.")
	c.Time(p.PlacedAt, "placedAt")
	return c.Err()
}
