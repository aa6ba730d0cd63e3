package chart

import (
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// Resolve finds the resource a reference in another resource points to:
// contained ("#id"), relative ("Type/id"), absolute on the call's FHIR server,
// the fullUrl of an entry (also urn:uuid), each with or without a version
// ("/_history/2"). It reports false for what was not sent, is entered in
// error, or lies on another server: unresolved-reference.
func (c *Chart) Resolve(from *Resource, ref string) (*Resource, bool) {
	if id, ok := strings.CutPrefix(ref, "#"); ok {
		return c.contained(from, id)
	}
	if from != nil && from.elsewhere && !absolute(ref) {
		base, _ := serverOf(from.fullURL, from.Type)
		ref = base + ref
	}
	if typ, id, ok := splitRef(c.LocalRef(ref)); ok {
		if r := c.index(typ).byID[id]; r != nil {
			return r, true
		}
	}
	it := c.entryOf(ref)
	if it == nil {
		return nil, false
	}
	r := c.index(it.typ).ofURL(it.fullURL)
	return r, r != nil
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
func (c *Chart) contained(from *Resource, id string) (*Resource, bool) {
	if from == nil {
		return nil, false
	}
	if from.container != nil {
		from = from.container
	}
	if id == "" {
		return from, true
	}
	for e := from.JSON.Get("contained").Elements(); e.Next(); {
		if e.Value.Get("id").Text() != id {
			continue
		}
		r := &Resource{Type: e.Value.Get("resourceType").Text(), Source: from.Source, JSON: e.Value, container: from}
		var h header
		h.read(r, &r.Codings)
		r.Codings, r.Mapped = c.in.CodeMap.extend(r.Codings, 0)
		if h.inError || h.modified {
			return nil, false
		}
		return r, true
	}
	return nil, false
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
