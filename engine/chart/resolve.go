package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
	"github.com/precept-cds/precept/engine/fact"
)

// Resolve finds the resource a reference in another resource points to:
// contained ("#id"), relative ("Type/id"), absolute on the call's FHIR server,
// the fullUrl of an entry (also urn:uuid), each with or without a version
// ("/_history/2"). It reports false for what was not sent, is entered in
// error, or lies on another server: unresolved-reference.
func (c *Chart) Resolve(from *Resource, ref string) (*Resource, bool) {
	r, why := c.resolve(from, ref)
	return r, why == ""
}

// resolve is Resolve; why is unresolved-reference, or not-understood for what came
// and has content that must be understood.
func (c *Chart) resolve(from *Resource, ref string) (r *Resource, why fact.Code) {
	if id, ok := strings.CutPrefix(ref, "#"); ok {
		return c.contained(from, id)
	}
	if from != nil && from.elsewhere && !absolute(ref) {
		base, _ := serverOf(from.fullURL, from.Type)
		ref = base + ref
	}
	if typ, id, ok := splitRef(c.LocalRef(ref)); ok {
		if r := c.index(typ).byID[id]; r != nil {
			return r, ""
		}
		if c.index(typ).leftOut(func(r *leftOut) bool { return r.ID == id && !r.elsewhere }) {
			return nil, fact.NotUnderstood
		}
	}
	it := c.entryOf(ref)
	if it == nil {
		return nil, fact.UnresolvedReference
	}
	idx := c.index(it.typ)
	if r := idx.ofURL(it.fullURL); r != nil {
		return r, ""
	}
	if idx.leftOut(func(r *leftOut) bool { return r.fullURL == it.fullURL }) {
		return nil, fact.NotUnderstood
	}
	return nil, fact.UnresolvedReference
}

// maxLookedAt bounds the search for the reason why a reference leads to nothing.
const maxLookedAt = 64

// leftOut reports whether a resource was left out because it is not understood.
func (x *typeIndex) leftOut(is func(*leftOut) bool) bool {
	for n := range x.out[:min(len(x.out), maxLookedAt)] {
		if o := &x.out[n]; o.code == fact.NotUnderstood && is(o) {
			return true
		}
	}
	return false
}

// ofURL returns the resource of an entry's fullUrl.
func (x *typeIndex) ofURL(url string) *Resource {
	if x.byURL == nil {
		x.byURL = make(map[string]*Resource, len(x.list))
		for n := range x.list {
			x.byURL[x.list[n].fullURL] = &x.list[n]
		}
	}
	return x.byURL[url]
}

// LocalRef writes a reference as "Type/id" where it names a resource of the
// call's FHIR server, without a version, so that references can be compared.
// Other references lose their version only.
func (c *Chart) LocalRef(ref string) string {
	if local, ok := LocalReference(c.base, ref); ok {
		return local
	}
	return unversioned(ref)
}

// contained finds a resource inside the one that refers to it; a contained
// resource refers to its siblings, and by "#" to what contains it.
func (c *Chart) contained(from *Resource, id string) (r *Resource, why fact.Code) {
	if from == nil {
		return nil, fact.UnresolvedReference
	}
	if from.container != nil {
		from = from.container
	}
	if id == "" {
		return from, ""
	}
	for e := from.JSON.Get("contained").Elements(); e.Next(); {
		if e.Value.Get("id").Text() != id {
			continue
		}
		r := &Resource{Type: e.Value.Get("resourceType").Text(), Source: from.Source, JSON: e.Value, container: from}
		var h header
		h.read(r, &r.Codings)
		r.Codings, r.Mapped = c.in.CodeMap.extend(r.Codings, 0)
		switch {
		case h.inError:
			return nil, fact.UnresolvedReference
		case h.modified:
			return nil, fact.NotUnderstood
		}
		return r, ""
	}
	return nil, fact.UnresolvedReference
}

// entryOf finds the entry with a fullUrl.
func (c *Chart) entryOf(url string) *item {
	if c.urls == nil {
		c.urls = make(map[string]*item)
		for _, src := range c.sources {
			for n := range src.items {
				it := &src.items[n]
				if u := urlKey(it.fullURL); u != "" && c.urls[u] == nil {
					c.urls[u] = it
				}
			}
		}
	}
	return c.urls[urlKey(url)]
}

// urlKey writes the address of a resource in its one spelling, without a version.
func urlKey(url string) string {
	if u, ok := CanonicalBase(url); ok {
		url = u
	}
	return unversioned(url)
}

// reference reads the target of a Reference. ok is false if the value is not
// one; a logical reference (identifier only) has an empty target.
func reference(v rawjson.Value) (target, display string, ok bool) {
	if !v.IsObject() {
		return "", "", v.Missing()
	}
	return v.Get("reference").Text(), v.Get("display").Text(), true
}

// references reads the targets of a list of References as local ones.
func (c *Chart) references(list []string, v rawjson.Value) []string {
	for e := v.Elements(); e.Next(); {
		if target, _, ok := reference(e.Value); ok && target != "" {
			list = append(list, c.LocalRef(target))
		}
	}
	return list
}
