package engine

import "github.com/precept-cds/precept/engine/tenant"

// SetCeiling changes what the operator allows of any tenant, see [Config.Ceiling], from
// the next call on.
func (e *Engine) SetCeiling(c tenant.Ceiling) { e.ceiling.Store(&c) }

// capped returns what is in force with nothing above the operator's ceiling as it is
// now.
func (e *Engine) capped(st *inForce) *inForce {
	c := e.ceiling.Load()
	if st.signed == nil || st.ceiling == c {
		return st
	}
	next := *st
	next.policy, next.ceiling = c.Cap(st.signed), c
	return &next
}

// held is what is in force for a tenant, under the ceiling as it is now.
func (e *Engine) held(l *served) *inForce {
	st := l.now.Load()
	next := e.capped(st)
	if next != st && !l.now.CompareAndSwap(st, next) {
		return e.capped(l.now.Load()) // what came meanwhile
	}
	return next
}
