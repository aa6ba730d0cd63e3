package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// suspendByNode takes a rule, or with an empty rule a whole pack, out of service in the
// name of this node: signed by its own key, logged, in force when it returns. The tenant's
// approvers lift it. It waits for no statement under check. Reason is kept for good and
// shown: constant words, nothing of any call. That the rule is out of service already is
// no error.
func (e *Engine) suspendByNode(ctx context.Context, l *served, pack, rule, reason string) error {
	_, err := upToDate(ctx, e, l.id, func() (*Applied, error) {
		st := l.now.Load()
		env, err := st.trust.SuspendByNode(e.cfg.Node, statement.Pack(pack), rule, reason, e.now())
		if errors.Is(err, signing.ErrSequence) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		a, next, err := e.take(ctx, l, st, Caller{Tenant: l.id}, env)
		if err != nil {
			return nil, err
		}
		l.put(next)
		return a, nil
	})
	if err != nil {
		return fmt.Errorf("suspending %s/%s by the node: %w", pack, rule, err)
	}
	return nil
}
