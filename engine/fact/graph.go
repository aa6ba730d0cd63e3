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
	if d.List == nil {
		d.List = make([]T, 0, 8) // most stay shorter
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
// once, in the order of reading. More counts what facts and values do not name; a
// resource may be among it more than once.
func (f *Fact) Gather() (list []Evidence, more int) {
	var all Distinct[Evidence]
	var values Distinct[*Value]
	f.Walk(func(f *Fact) {
		more += f.More
		for _, e := range f.Evidence {
			all.Add(e)
		}
		for _, v := range f.Values {
			if !values.Add(v) {
				continue
			}
			more += v.More
			for _, e := range v.Evidence {
				all.Add(e)
			}
		}
	})
	return all.List, more
}

// Keep appends e to a list of evidence, or counts it if the list has as many as it may.
func Keep(list []Evidence, more int, e Evidence, most int) ([]Evidence, int) {
	if len(list) >= most {
		return list, more + 1
	}
	return append(list, e), more
}

// Size returns about how many bytes the fact takes in a record, without the facts and
// values that it refers to.
func (f *Fact) Size() int {
	return 64 + len(f.Op) + len(f.Label) + len(f.At) + len(f.Limit) + 6*(len(f.Of)+len(f.Values)) +
		sizeOf(f.Reasons, f.Evidence)
}

// Size returns about how many bytes the value takes in a record.
func (v *Value) Size() int {
	size := 96 + len(v.Name) + len(v.Unit) + len(v.When) + len(v.Method) + len(v.At) + sizeOf(v.Reasons, v.Evidence)
	if v.Date != nil {
		size += 96 + len(v.Date.Text)
	}
	if v.Older != nil {
		size += v.Older.Size()
	}
	return size
}

func sizeOf(reasons []Reason, evidence []Evidence) (n int) {
	for _, r := range reasons {
		n += 24 + len(r.Code) + len(r.What)
	}
	for _, e := range evidence {
		n += 64 + len(e.Ref) + len(e.What) + len(e.Value) + len(e.Unit) + len(e.When) + len(e.Source) + len(e.Note)
	}
	return n
}
