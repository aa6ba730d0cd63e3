package clinical

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// answers is the evaluator's cache of what the rules of one query evaluated
// to: a list, because a query evaluates a dozen of them and a look-up then
// costs less than building the evaluator's own tree of maps.
type answers struct {
	session *Session // told of every rule; may be nil
	list    []cached
	terms   []*ast.Term    // of the references of list
	frames  []int          // where the frames below the active one begin
	begin   int            // of the active frame
	byHash  map[uint64]int // the newest of list with a hash; nil while list is short
}

var _ topdown.VirtualCache = (*answers)(nil)

// cached is one rule's value. Undefined says that it has none.
type cached struct {
	from, to  int // its reference, in terms
	value     *ast.Term
	undefined bool
	before    int // one before it with the same hash, or -1
}

// maxList is the length up to which looking through a list is cheaper than hashing.
const maxList = 64

func (a *answers) reset() {
	clear(a.list)
	clear(a.terms)
	a.list, a.terms, a.frames, a.begin, a.byHash = a.list[:0], a.terms[:0], a.frames[:0], 0, nil
}

// Push begins a new frame: nothing of the frames below is seen in it.
func (a *answers) Push() {
	a.frames = append(a.frames, a.begin)
	a.begin = len(a.list)
}

// Pop forgets the active frame.
func (a *answers) Pop() {
	last := len(a.frames) - 1
	if a.begin < len(a.list) {
		a.terms = a.terms[:a.list[a.begin].from]
	}
	a.list, a.byHash = a.list[:a.begin], nil
	a.begin, a.frames = a.frames[last], a.frames[:last]
}

// Get returns the value of a reference: nil and true if it is undefined, nil and
// false if it was not evaluated yet.
func (a *answers) Get(ref ast.Ref) (*ast.Term, bool) {
	c := a.find(ref)
	switch {
	case c == nil:
		return nil, false
	case c.undefined:
		return nil, true
	default:
		return c.value, false
	}
}

// Put notes the value of a reference, nil for undefined.
func (a *answers) Put(ref ast.Ref, value *ast.Term) {
	c := a.find(ref)
	if c == nil {
		from := len(a.terms)
		a.terms = append(a.terms, ref...)
		a.list = append(a.list, cached{from: from, to: len(a.terms)})
		c = &a.list[len(a.list)-1]
		if a.byHash != nil {
			a.hash(len(a.list) - 1)
		}
		if a.session != nil {
			a.session.useRule(ref, value)
		}
	}
	if value != nil {
		c.value = value
	} else {
		c.undefined = true
	}
}

// Keys returns the references of the active frame that have a value.
func (a *answers) Keys() []ast.Ref {
	var keys []ast.Ref
	for _, c := range a.list[a.begin:] {
		if c.value != nil {
			keys = append(keys, append(ast.Ref{}, a.terms[c.from:c.to]...))
		}
	}
	return keys
}

func (a *answers) find(ref ast.Ref) *cached {
	if len(a.list)-a.begin <= maxList {
		for i := len(a.list) - 1; i >= a.begin; i-- {
			if c := &a.list[i]; sameRef(a.terms[c.from:c.to], ref) {
				return c
			}
		}
		return nil
	}
	if a.byHash == nil {
		a.byHash = make(map[uint64]int, 4*maxList)
		for i := range a.list {
			a.hash(i)
		}
	}
	i, ok := a.byHash[hashOf(0, ref)]
	for ; ok && i >= a.begin; i = a.list[i].before {
		if c := &a.list[i]; sameRef(a.terms[c.from:c.to], ref) {
			return c
		}
	}
	return nil
}

// hash puts an entry where it can be found by the hash of its reference.
func (a *answers) hash(i int) {
	c := &a.list[i]
	h := hashOf(0, a.terms[c.from:c.to])
	c.before = -1
	if j, ok := a.byHash[h]; ok {
		c.before = j
	}
	a.byHash[h] = i
}

// sameRef compares from the end, where references differ.
func sameRef(a, b []*ast.Term) bool {
	if len(a) != len(b) {
		return false
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] && !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}
