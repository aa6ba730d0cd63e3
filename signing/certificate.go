package signing

import (
	"fmt"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
)

// NewCertificate makes and signs the certificate of a region whose one Ed25519 key signs
// both heads and suspensions. The same key gives the same bytes, in every version: tenants
// pin their digest.
func NewCertificate(region statement.Region, node keys.Private) (*Envelope, error) {
	public := string(node.Public().PEM())
	payload, err := statement.Statement{Predicate: statement.RegionCertificate{Region: region, Seq: 1,
		CheckpointKeyPEM: public, NodeKeysPEM: []string{public}}}.Payload()
	if err != nil {
		return nil, err
	}
	b, err := Sign(payload, node)
	if err != nil {
		return nil, err
	}
	return NewEnvelope(b)
}

// Certificate returns the region certificate that an envelope holds, if each key that it
// lists has signed it, and no other: whoever made it holds those keys. Another kind is
// [ErrMismatch], a key that did not sign or should not have [ErrSignature]. Whose region it
// is, its digest tells, if that came by another way.
func (e *Envelope) Certificate() (statement.RegionCertificate, error) {
	c, ok := e.said.Predicate.(statement.RegionCertificate)
	if !ok {
		return c, fmt.Errorf("reading region certificate: %w: it is a %s; "+
			"make one with precept keys region-certificate", ErrMismatch, e.said.Kind())
	}
	checkpoint, nodes, err := c.Keys()
	if err != nil {
		return c, fmt.Errorf("reading region certificate: %w: %w", statement.ErrMalformed, err)
	}
	listed := map[keys.ID]keys.Public{}
	for _, key := range append(nodes, checkpoint) {
		listed[key.ID()] = key
	}
	for _, b := range e.bundles {
		key, ok := listed[b.key]
		if !ok {
			return c, fmt.Errorf("reading region certificate: %w: key %s signs it and is not in it", ErrSignature,
				b.key)
		}
		if err := b.Verify(key); err != nil {
			return c, fmt.Errorf("reading region certificate: %w", err)
		}
		delete(listed, b.key) // no key signs twice
	}
	for id := range listed {
		return c, fmt.Errorf("reading region certificate: %w: key %s is in it and did not sign it", ErrSignature, id)
	}
	return c, nil
}
