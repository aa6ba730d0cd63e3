package fact

import "slices"

// MaxNodes is the largest number of facts, and of values, that one finding may
// rest on. It bounds what reads a finding, however it was made.
const MaxNodes = 4096

// Distinct is a list in which nothing is twice. It stays fast as it grows. The
// zero value is empty.
type Distinct[T comparable] struct {
	List []T
	at   map[T]int // where each is; nil while looking through the list is cheaper
}

// Find returns the place of x.
func (d *Distinct[T]) Find(x T) (i int, ok bool) {
	if d.at != nil {
		i, ok = d.at[x]
		return i, ok
	}
	i = slices.Index(d.List, x)
	return i, i >= 0
}

// Add appends x unless it is there, and reports whether it did.
func (d *Distinct[T]) Add(x T) bool {
	if _, ok := d.Find(x); ok {
		return false
	}
	d.List = append(d.List, x)
	switch {
	case d.at != nil:
		d.at[x] = len(d.List) - 1
	case len(d.List) == 24:
		d.at = make(map[T]int, 2*len(d.List))
		for i, x := range d.List {
			d.at[x] = i
		}
	}
	return true
}

// Graph is the facts met so far. The zero value has met none.
type Graph struct{ met Distinct[*Fact] }

// Walk calls visit for f and every fact below it that was not met yet, parents
// first: a fact that several others are made of is visited once.
func (g *Graph) Walk(f *Fact, visit func(*Fact)) {
	if f == nil || !g.met.Add(f) {
		return
	}
	visit(f)
	for _, o := range f.Of {
		g.Walk(o, visit)
	}
}

// Has reports whether f was met.
func (g *Graph) Has(f *Fact) bool {
	_, ok := g.met.Find(f)
	return ok
}

// Walk calls visit for f and every fact below it, parents first, once each.
func (f *Fact) Walk(visit func(*Fact)) { new(Graph).Walk(f, visit) }

// Gather collects the evidence of f and of all below it, each resource and value
// once, in the order of reading.
func (f *Fact) Gather() []Evidence {
	var all Distinct[Evidence]
	var values Distinct[*Value]
	f.Walk(func(f *Fact) {
		for _, e := range f.Evidence {
			all.Add(e)
		}
		for _, v := range f.Values {
			if !values.Add(v) {
				continue
			}
			for _, e := range v.Evidence {
				all.Add(e)
			}
		}
	})
	return all.List
}
