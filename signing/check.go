package signing

import (
	"errors"
	"fmt"
	"time"

	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// Verified is an envelope that was judged against a state, and the state after it.
type Verified struct {
	envelope *Envelope
	base     *State
	next     *State
}

// Statement returns what the envelope says.
func (v Verified) Statement() statement.Statement { return v.envelope.said }

// Digest returns the digest of the payload.
func (v Verified) Digest() trust.Digest { return v.envelope.Digest() }

// maxClockLead is how far a signer's clock may run ahead of the log's.
const maxClockLead = 10 * time.Minute

// Check judges an envelope as the next entry of the log. At is the log's own time of
// the entry, and the only clock: keys, roots and reviews are valid at that time or not.
//
// The steps run from cheap to expensive, and what the statement asks for is looked at
// only once its signatures match: signers are looked up, signatures checked, persons
// counted, then the rules of the kind apply. Nothing changes before [State.Apply].
//
// Every refusal wraps one sentinel of this package, or [statement.ErrMalformed] for what
// no log could take.
func (s *State) Check(env *Envelope, at time.Time) (Verified, error) {
	if env == nil || at.IsZero() {
		return Verified{}, fmt.Errorf("checking statement: %w: no envelope or no time", statement.ErrMalformed)
	}
	e := entry{state: s, env: env, digest: env.Digest(), at: at.UTC()}
	next, err := e.admit()
	if err != nil {
		return Verified{}, fmt.Errorf("checking %s statement: %w", env.said.Kind(), err)
	}
	next.size = s.size + 1
	return Verified{envelope: env, base: s, next: next}, nil
}

// Apply returns the state after v. A v that was judged against another state is
// [ErrSequence]: check again, since what it rests on may have changed.
func (s *State) Apply(v Verified) (*State, error) {
	if v.base != s {
		return nil, fmt.Errorf("applying statement: %w: it was checked against another state; check again", ErrSequence)
	}
	return v.next, nil
}

// entry is one envelope being judged.
type entry struct {
	state  *State
	env    *Envelope
	digest trust.Digest
	at     time.Time
}

func (e entry) admit() (*State, error) {
	if e.state.root == nil {
		if r, _ := e.env.said.Predicate.(trust.Root); r.RootKind != trust.TenantRoot {
			return nil, fmt.Errorf("%w: the first entry must be the tenant's trust root", ErrUntrustedRoot)
		}
	}
	switch p := e.env.said.Predicate.(type) {
	case trust.Root:
		if p.RootKind == trust.TenantRoot {
			return e.tenantRoot(p)
		}
		return e.publisherRoot(p)
	case statement.TenantPolicy:
		return e.tenantPolicy(p)
	case statement.PackRelease:
		return e.packRelease(p)
	case statement.ClinicalReview:
		return e.clinicalReview(p)
	case statement.Activation:
		return e.activation(p)
	case statement.Suspension:
		return e.suspension(p)
	case statement.Resumption:
		return e.resumption(p)
	case statement.Revocation:
		return e.revocation(p)
	case statement.Placement:
		return e.placement(p)
	case statement.RegionCertificate:
		return nil, fmt.Errorf("kind is %w in a log; sign a placement that holds the certificate",
			statement.ErrUnsupported)
	default:
		return nil, fmt.Errorf("kind is %w", statement.ErrUnsupported)
	}
}

// signer is a signature that matches, and whose it is according to one root.
type signer struct {
	root *root
	vote
}

// signers looks up every bundle's key in the given roots and then checks every
// signature. One key that no root lists, or one signature that does not match, spoils
// the envelope: what nobody here can vouch for does not enter the log.
func (e entry) signers(roots ...*root) ([]signer, error) {
	var found []signer
	publics := make([]keys.Public, len(e.env.bundles))
	for i, b := range e.env.bundles {
		reason := fmt.Errorf("%w: key %s is not in the root that decides this kind; add the person or use another key",
			ErrUntrustedSigner, b.key)
		known := false
		for _, r := range roots {
			k, err := e.state.usable(r, b.key, e.at)
			if errors.Is(err, ErrUntrustedSigner) {
				continue
			}
			if err != nil {
				reason = err
				continue
			}
			known, publics[i] = true, k.public
			found = append(found, signer{r, vote{
				publisher: r.publisher(), person: k.person.ID, names: k.person.Names(), key: b.key, at: e.at,
			}})
		}
		if !known {
			return nil, reason
		}
	}
	for i, b := range e.env.bundles {
		if err := b.Verify(publics[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// usable returns a key of a root whose signature counts at this time.
func (s *State) usable(r *root, id keys.ID, at time.Time) (rootKey, error) {
	k, ok := r.keys[id]
	switch {
	case !ok:
		return rootKey{}, fmt.Errorf("%w: key %s is not listed", ErrUntrustedSigner, id)
	case s.outOfService(keyTarget(id)):
		return rootKey{}, fmt.Errorf("%w: key %s; use another key", ErrRevoked, id)
	case s.anyOutOfService(k.person.Names()):
		return rootKey{}, fmt.Errorf("%w: person %s; another person must sign", ErrRevoked, k.person.ID)
	case !k.valid(at):
		return rootKey{}, fmt.Errorf("%w: key %s is not valid at the log's time; list it with a new period",
			ErrExpired, id)
	}
	return k, nil
}

// holding returns the votes of those signers whom r gives any of the roles, one for
// each person however many keys they signed with.
func holding(found []signer, r *root, roles ...trust.Role) []vote {
	var votes []vote
	counted := map[trust.PersonID]bool{}
	for _, f := range found {
		if f.root != r || counted[f.person] {
			continue
		}
		for _, role := range roles {
			if r.has(role, f.person) {
				votes = append(votes, f.vote)
				counted[f.person] = true
				break
			}
		}
	}
	return votes
}

// everyone returns the vote of every signer, whatever their roles.
func everyone(found []signer) []vote {
	votes := make([]vote, len(found))
	for i, f := range found {
		votes[i] = f.vote
	}
	return votes
}

// mayRemove requires one person who may take something out of service.
func mayRemove(found []signer, r *root) error {
	if len(holding(found, r, trust.Revoker, trust.Approver)) == 0 {
		return fmt.Errorf("%w: removing power needs one person with role %s or %s",
			ErrThreshold, trust.Revoker, trust.Approver)
	}
	return nil
}

// threshold returns the votes of a role, or [ErrThreshold] if they are too few. A role
// that the root lacks has threshold 0, which nobody reaches; no root lists it with 0.
func threshold(found []signer, r *root, role trust.Role) ([]vote, error) {
	rule := r.Roles[role]
	if rule.Threshold < 1 {
		return nil, fmt.Errorf("%w: root %q has no role %s; add it", ErrThreshold, r.Name, role)
	}
	votes := holding(found, r, role)
	if len(votes) < rule.Threshold {
		return nil, fmt.Errorf(
			"%w: %d of %d persons with role %s of root %q; collect more signatures over the same payload",
			ErrThreshold, len(votes), rule.Threshold, role, r.Name)
	}
	return votes, nil
}

// ours refuses what is meant for another tenant or region.
func (e entry) ours(tenant statement.Tenant, region statement.Region) error {
	if tenant != e.state.tenant {
		return fmt.Errorf("%w: this log is of tenant %q; make the statement for it", ErrWrongTenant, e.state.tenant)
	}
	if region != e.state.region {
		return fmt.Errorf("%w: this log is in region %q; make the statement for it", ErrWrongRegion, e.state.region)
	}
	return nil
}

// unexpired refuses to add power under a root that has expired.
func (e entry) unexpired(r *root) error {
	if !e.at.Before(r.Expires) {
		return fmt.Errorf("%w: root %q version %d has expired; sign a new version", ErrExpired, r.Name, r.Version)
	}
	return nil
}

// notAhead refuses times that the signer cannot have lived through yet.
func (e entry) notAhead(t time.Time, field string) error {
	if t.After(e.at.Add(maxClockLead)) {
		return fmt.Errorf("%w: %s is in the future; check the signer's clock", ErrExpired, field)
	}
	return nil
}
