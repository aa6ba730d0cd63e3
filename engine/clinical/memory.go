package clinical

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// memory remembers the calls of one pair. A call of the same function with the same
// arguments at the same place is the same question: it has the same answer, makes
// no other fact, and counts once, however often an evaluator asks it.
type memory struct {
	slots []question // open addressing; the length is a power of two
	args  []*ast.Term
	used  int
	pair  uint32 // tells the questions of the pair at hand from older ones
}

// question is one call and what it was answered.
type question struct {
	pair     uint32
	hash     uint64
	loc      *ast.Location
	callee   any // a pointer
	from, to int // its arguments
	answer   *ast.Term
}

// forget begins another pair.
func (a *memory) forget() {
	clear(a.args)
	a.args, a.used = a.args[:0], 0
	if a.pair++; a.pair == 0 || len(a.slots) > 1024 { // a large table is not kept
		a.slots, a.pair = nil, 1
	}
}

// clear drops what older pairs left.
func (a *memory) clear() {
	a.forget()
	clear(a.slots)
}

// find returns the question that a call asks, and whether it was asked before. It
// is valid until the next find.
func (a *memory) find(callee any, loc *ast.Location, args []*ast.Term) (q *question, known bool) {
	if 2*a.used >= len(a.slots) {
		a.grow()
	}
	hash := uint64(0)
	if loc != nil {
		hash = uint64(loc.Row)<<20 ^ uint64(loc.Col)
	}
	hash = hashOf(hash, args)
	q, known = a.slot(hash, func(q *question) bool {
		return loc != nil && q.loc == loc && q.callee == callee && same(a.args[q.from:q.to], args)
	})
	if !known {
		from := len(a.args)
		a.args = append(a.args, args...)
		*q = question{a.pair, hash, loc, callee, from, len(a.args), nil}
		a.used++
	}
	return q, known
}

// slot returns the question of a hash that fits, else the place for it.
func (a *memory) slot(hash uint64, fits func(*question) bool) (q *question, known bool) {
	mask := uint64(len(a.slots) - 1)
	for i := hash >> 32 & mask; ; i = (i + 1) & mask {
		q = &a.slots[i]
		switch {
		case q.pair != a.pair:
			return q, false
		case q.hash == hash && fits(q):
			return q, true
		}
	}
}

func (a *memory) grow() {
	old := a.slots
	a.slots = make([]question, max(64, 2*len(old)))
	for i := range old {
		if old[i].pair == a.pair {
			q, _ := a.slot(old[i].hash, func(*question) bool { return false })
			*q = old[i]
		}
	}
}

// hashOf continues a hash with some terms. Terms have a hash of their own, but that of
// an array is the same in whatever order its elements are.
func hashOf(hash uint64, terms []*ast.Term) uint64 {
	for _, t := range terms {
		if arr, ok := t.Value.(*ast.Array); ok && arr.Len() <= 32 {
			for i := range arr.Len() {
				hash = (hash ^ uint64(arr.Elem(i).Hash())) * mixer
			}
		}
		hash = (hash ^ uint64(t.Hash())) * mixer
		hash ^= hash >> 29
	}
	return hash
}

// mixer is an odd number without a pattern.
const mixer = 0x9e3779b97f4a7c15

// same reports whether two lists of arguments are the same.
func same(x, y []*ast.Term) bool {
	if len(x) != len(y) {
		return false
	}
	looks := maxLooks
	for i := range x {
		if !alike(x[i], y[i], &looks) {
			return false
		}
	}
	return true
}

// maxLooks bounds how many parts of two lists of arguments are compared. Longer ones
// are the same only if they are the very same.
const maxLooks = 1000

// alike reports that two arguments are the same. A handle is the same only as
// itself, because what merely looks like one is none; and so is a set, which
// cannot be compared without putting it in order.
func alike(a, b *ast.Term, looks *int) bool {
	if a == b {
		return true
	}
	if *looks--; *looks < 0 {
		return false
	}
	switch x := a.Value.(type) {
	case ast.Null, ast.Boolean, ast.String, ast.Number: // 1 and 1.0 are written differently
		return a.Value == b.Value
	case *ast.Array:
		y, ok := b.Value.(*ast.Array)
		if !ok || x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !alike(x.Elem(i), y.Elem(i), looks) {
				return false
			}
		}
		return true
	case ast.Object:
		y, ok := b.Value.(ast.Object)
		if !ok || x.Len() != y.Len() {
			return false
		}
		if a.Value == b.Value {
			return true
		}
		if x.Len() == 1 && isHandle(x) {
			return false
		}
		return !x.Until(func(k, v *ast.Term) bool {
			_, text := k.Value.(ast.String)
			w := (*ast.Term)(nil)
			if text {
				w = y.Get(k)
			}
			return w == nil || !alike(v, w, looks)
		})
	case ast.Set:
		return a.Value == b.Value
	}
	return false
}

// isHandle reports whether an object is a handle, or looks like one.
func isHandle(x ast.Object) bool {
	for _, h := range []*handles{factHandles, valueHandles, dateHandles, orderHandles, suggestionHandles} {
		if x.Get(h.key) != nil {
			return true
		}
	}
	return false
}
