package audit

import (
	"context"

	"github.com/precept-cds/precept/engine/tenant"
)

type scopeKey struct{}

// Only says that what is read under the context is about one tenant: a [Store] that can tell tenants apart by itself
// then shows nothing of others, whatever is asked for. What belongs to the region is shown all the same.
func Only(ctx context.Context, t tenant.ID) context.Context {
	if was, ok := Scope(ctx); ok && was == t {
		return ctx
	}
	return context.WithValue(ctx, scopeKey{}, t)
}

// Scope is the tenant that a read is about; without one it is about the region as a whole.
func Scope(ctx context.Context) (t tenant.ID, one bool) {
	t, one = ctx.Value(scopeKey{}).(tenant.ID)
	return t, one
}
