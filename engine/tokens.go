package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// tokenOf is the token of a call for the log, as the policy has it of the client; nil
// where nobody looks.
func tokenOf(st *inForce, c Caller, call []byte) *audit.Token {
	client, ok := st.policy.Client(c.Client)
	if !ok || client.Reuse == tenant.AllowReuse || c.Token.ID == "" {
		return nil
	}
	return &audit.Token{Client: c.Client, ID: c.Token.ID, Call: call, Expires: c.Token.Expires,
		Enforce: client.Reuse == tenant.EnforceOnce}
}

// tokenRefused says that a call is not answered because of its token.
func tokenRefused(err error) bool {
	return errors.Is(err, audit.ErrTokenUsed) || errors.Is(err, audit.ErrTokensFull)
}

// spend uses the token of a call whose recorded answer is given again. Where tokens are
// good for one call it is remembered first; elsewhere a repeat writes nothing.
func (e *Engine) spend(ctx context.Context, token *audit.Token, a *Answer, t tenant.ID) (err error) {
	if token != nil {
		a.Token, err = e.cfg.Log.UseToken(ctx, t, *token, token.Enforce)
	}
	return err
}

// spendOnFeedback uses the token of feedback, before its entries are recorded.
func (e *Engine) spendOnFeedback(ctx context.Context, st *inForce, c Caller, service string, body []byte, a *Answer) (
	err error) {
	h := sha256.New()
	fmt.Fprintf(h, "feedback:%d:%s:", len(service), service)
	h.Write(body)
	token := tokenOf(st, c, h.Sum(nil))
	if token == nil {
		return nil
	}
	ctx, stop := durably(ctx)
	defer stop()
	a.Token, err = e.cfg.Log.UseToken(ctx, c.Tenant, *token, true)
	return err
}
