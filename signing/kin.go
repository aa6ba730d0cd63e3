package signing

// kin joins persons who share a name: a person id, a declared identity or a key. It
// is transitive, so a third root that declares two names to be one person joins them. It
// is a union-find in ten lines; a graph library would be more to import than to write.
//
// Only the roots that take part in one pack's chain are asked. A publisher could
// otherwise declare two of a tenant's persons to be one and block unrelated work.
type kin struct{ parent map[string]string }

func newKin(roots ...*root) kin {
	k := kin{parent: map[string]string{}}
	for _, r := range roots {
		for _, p := range r.Persons {
			k.join(p.Names())
		}
	}
	return k
}

// join declares names to be of one person.
func (k kin) join(names []string) {
	for _, name := range names[1:] {
		k.parent[k.find(name)] = k.find(names[0])
	}
}

func (k kin) find(name string) string {
	for {
		up, ok := k.parent[name]
		if !ok || up == name {
			return name
		}
		name = up
	}
}

// add takes voters of earlier statements with the names they had when they signed, so
// that a name dropped from a root since then still tells who they were.
func (k kin) add(votes []vote) {
	for _, v := range votes {
		k.join(v.names)
	}
}

// of returns the person behind a vote; equal results mean one person.
func (k kin) of(v vote) string { return k.find(v.names[0]) }

// others returns the votes by nobody of avoid.
func (k kin) others(votes, avoid []vote) []vote {
	taken := map[string]bool{}
	for _, v := range avoid {
		taken[k.of(v)] = true
	}
	var rest []vote
	for _, v := range votes {
		if !taken[k.of(v)] {
			rest = append(rest, v)
		}
	}
	return rest
}

// count returns how many persons cast votes.
func (k kin) count(votes []vote) int {
	seen := map[string]bool{}
	for _, v := range votes {
		seen[k.of(v)] = true
	}
	return len(seen)
}
