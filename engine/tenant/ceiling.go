package tenant

import (
	"errors"
	"fmt"
)

// A Ceiling is what the operator allows of any tenant. Zero members are no ceiling.
type Ceiling struct {
	Limits
	TokenSeconds int // of a client
}

// Allows reports, naming each, what a policy asks for above the ceiling. The error is ErrPolicy.
func (c Ceiling) Allows(p *Policy) error {
	err := p.Limits.Under(c.Limits)
	for _, client := range p.Clients {
		if c.TokenSeconds > 0 && client.TokenSeconds > c.TokenSeconds {
			err = errors.Join(err, fmt.Errorf("%w: client %q: tokenSeconds %d is above the operator's ceiling of %d",
				ErrPolicy, client.ID, client.TokenSeconds, c.TokenSeconds))
		}
	}
	return err
}

// Cap returns a policy with nothing above the ceiling.
func (c Ceiling) Cap(signed *Policy) *Policy {
	p := *signed
	p.Limits = p.Limits.Capped(c.Limits)
	if c.TokenSeconds > 0 {
		p.Clients = make([]Client, len(signed.Clients))
		for i, client := range signed.Clients {
			client.TokenSeconds = min(client.TokenSeconds, c.TokenSeconds)
			p.Clients[i] = client
		}
	}
	return &p
}
