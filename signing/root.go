package signing

import (
	"slices"
	"time"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/trust"
)

// root is a trust root as accepted: indexed by key.
type root struct {
	trust.Root
	digest trust.Digest // of the payload
	pinned trust.Digest // of the first accepted version; publishers only
	keys   map[keys.ID]rootKey
}

type rootKey struct {
	public keys.Public
	listed trust.PersonKey
	person *trust.Person
}

func newRoot(r trust.Root, digest trust.Digest) (*root, error) {
	indexed := &root{Root: r, digest: digest, keys: map[keys.ID]rootKey{}}
	for i := range r.Persons {
		for _, k := range r.Persons[i].Keys {
			public, err := keys.ParsePublic([]byte(k.PublicKeyPEM))
			if err != nil {
				return nil, err
			}
			indexed.keys[k.KeyID] = rootKey{public: public, listed: k, person: &r.Persons[i]}
		}
	}
	return indexed, nil
}

// publisher returns the publisher a root speaks for; empty for a tenant root.
func (r *root) publisher() trust.Publisher {
	if r.RootKind == trust.TenantRoot {
		return ""
	}
	return trust.Publisher(r.Name)
}

// valid reports whether a signature by k counts at the log's time.
func (k rootKey) valid(at time.Time) bool {
	return !at.Before(k.listed.ValidFrom) && (k.listed.ValidUntil.IsZero() || at.Before(k.listed.ValidUntil))
}

// has reports whether person is listed for role.
func (r *root) has(role trust.Role, person trust.PersonID) bool {
	return slices.Contains(r.Roles[role].Persons, person)
}
