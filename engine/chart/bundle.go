package chart

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// tally is what a Bundle says about its own completeness.
type tally struct {
	total   int // -1 if not stated
	matches int
	next    bool
}

// judge lowers the completeness of a source by what its Bundle says.
func (t tally) judge(src *Source) {
	if t.next || t.total > t.matches {
		src.lower(Partial)
	}
}

// lower keeps the worse completeness.
func (s *Source) lower(c Completeness) { s.Completeness = min(s.Completeness, c) }

// source reads the value of one key: null, a resource, a Bundle, or an
// OperationOutcome in their place.
func (p *parser) source(src *Source) (tally, error) {
	none := tally{total: -1}
	switch p.s.Kind() {
	case 'n':
		p.s.Skip()
		return none, nil
	case '{':
	default:
		return none, &ShapeError{Want: "a resource, a Bundle or null"}
	}
	typ, err := p.resourceType()
	if err != nil {
		return none, err
	}
	switch typ {
	case "Bundle":
		return p.bundle(src)
	case "OperationOutcome":
		v := p.s.Skip()
		issues(v, src)
		src.Single = true
		src.lower(Failed)
		return none, nil
	default:
		src.Single = true
		return none, p.add(item{raw: p.s.Skip(), typ: typ})
	}
}

// resourceType looks ahead for the type of the resource that comes next. It
// is the first member of nearly every resource; else all members are searched.
func (p *parser) resourceType() (string, error) {
	look := p.s
	look.Max = 0
	var v rawjson.Value
	for look.Enter(); look.More(); {
		name := look.Name()
		if v = look.Skip(); name == "resourceType" {
			if !v.IsString() || v == `""` {
				break
			}
			return v.Text(), nil
		}
	}
	return "", &ShapeError{Path: "resourceType", Want: "the type of a resource"}
}

func (p *parser) add(it item) error {
	if p.added++; p.added > p.lim.Resources {
		return fmt.Errorf("%w: more than %d resources", ErrTooLarge, p.lim.Resources)
	}
	it.bundle = p.in
	p.items = append(p.items, it)
	return nil
}

// bundle reads a Bundle entry by entry. Nested Bundles are flattened and
// judged on their own.
func (p *parser) bundle(src *Source) (tally, error) {
	t := tally{total: -1}
	p.s.Enter()
	if err := p.tooDeep(); err != nil {
		return t, err
	}
	p.bundles++
	first, outer, ruled := len(p.items), p.in, false
	p.in = p.bundles
	var err error
	for p.s.More() {
		switch p.s.Name() {
		case "total":
			t.total, err = p.total()
		case "link":
			t.next, err = p.hasNext()
		case "entry":
			err = p.entries(src, &t)
		case "implicitRules", "modifierExtension":
			ruled = ruled || given(p.s.Skip())
		default:
			p.s.Skip()
		}
		if err != nil {
			return t, err
		}
	}
	p.in = outer
	if ruled { // even which of them are there
		src.lower(Partial)
		for n := range p.items[first:] {
			p.items[first+n].modified = true
		}
	}
	return t, nil
}

func (p *parser) total() (int, error) {
	v := p.s.Skip()
	if v.IsNull() {
		return -1, nil
	}
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 0 {
		return -1, &ShapeError{Path: "total", Want: "a count"}
	}
	return n, nil
}

func (p *parser) hasNext() (bool, error) {
	v := p.s.Skip()
	if !v.IsNull() && !v.IsArray() && !v.IsObject() {
		return false, &ShapeError{Path: "link", Want: "an array"}
	}
	next := false
	for e := v.Elements(); e.Next(); {
		next = next || e.Value.Get("relation").Text() == "next"
	}
	return next, nil
}

func (p *parser) entries(src *Source, t *tally) error {
	switch p.s.Kind() {
	case 'n':
		p.s.Skip()
		return nil
	case '[':
	default:
		return &ShapeError{Path: "entry", Want: "an array"}
	}
	p.s.Enter()
	for n := 0; p.s.More(); n++ {
		switch p.s.Kind() {
		case '{':
		case 'n': // something is there that was not sent
			p.s.Skip()
			src.lower(Partial)
			continue
		default:
			return &ShapeError{Path: fmt.Sprintf("entry[%d]", n), Want: "an object"}
		}
		if err := p.entry(src, t); err != nil {
			return within(fmt.Sprintf("entry[%d]", n), err)
		}
	}
	return nil
}

// entry reads one entry; its members come in any order.
func (p *parser) entry(src *Source, t *tally) error {
	var fullURL, mode, status string
	typ, response, modified := "", false, false
	before := len(p.items)
	for p.s.Enter(); p.s.More(); {
		var err error
		switch name := p.s.Name(); name {
		case "fullUrl":
			fullURL, err = p.text(name)
		case "search":
			mode = p.s.Skip().Get("mode").Text()
		case "response":
			response, status = true, p.s.Skip().Get("status").Text()
		case "resource":
			typ, err = p.resource(src)
			err = within(name, err)
		case "modifierExtension":
			modified = modified || given(p.s.Skip())
		default:
			p.s.Skip()
		}
		if err != nil {
			return err
		}
	}
	switch {
	case strings.HasPrefix(status, "4"), strings.HasPrefix(status, "5"):
		src.lower(Failed) // a request of a batch failed
	case typ == "" && !response:
		src.lower(Partial) // something is there that was not sent
	}
	for n := range p.items[before:] {
		p.items[before+n].modified = p.items[before+n].modified || modified
	}
	if typ == "Bundle" || typ == "OperationOutcome" || typ == "" {
		if modified {
			src.lower(Partial)
		}
		return nil
	}
	p.items[before].fullURL = fullURL
	p.items[before].included = mode == "include"
	if mode != "include" && mode != "outcome" {
		t.matches++
	}
	return nil
}

// resource reads the resource of an entry; null is none.
func (p *parser) resource(src *Source) (string, error) {
	switch p.s.Kind() {
	case '{':
	case 'n':
		p.s.Skip()
		return "", nil
	default:
		return "", &ShapeError{Want: "a resource"}
	}
	typ, err := p.resourceType()
	if err != nil {
		return "", err
	}
	switch typ {
	case "Bundle":
		t, err := p.bundle(src)
		t.judge(src)
		return typ, err
	case "OperationOutcome":
		src.lower(issues(p.s.Skip(), src))
		return typ, nil
	default:
		return typ, p.add(item{raw: p.s.Skip(), typ: typ})
	}
}

// maxNotes bounds Source.Notes.
const maxNotes = 16

// issues notes the codes of an OperationOutcome inside a search result and
// returns what it means: a warning or information is a note, unless its code
// says that data sources were not reached or that entries may not be shown;
// anything else means that entries were left out.
func issues(outcome rawjson.Value, src *Source) Completeness {
	c := Suppressed
	for e, n := outcome.Get("issue").Elements(), 0; e.Next(); n++ {
		if n == 0 {
			c = Complete
		}
		var severity, code string
		for m := e.Value.Members(); m.Next(); {
			switch m.Name {
			case "severity":
				severity = m.Value.Text()
			case "code":
				code = m.Value.Text()
			}
		}
		if len(src.Notes) < maxNotes {
			src.Notes = append(src.Notes, rawjson.Step(code))
		}
		switch {
		case severity != "information" && severity != "warning":
			c = min(c, Suppressed)
		default:
			c = min(c, meant(code))
		}
	}
	return c
}

// meant returns what the code of a warning or information says about the search
// it came with.
func meant(code string) Completeness {
	switch code {
	case "suppressed", "security", "login", "unknown", "expired", "forbidden":
		return Suppressed
	case "incomplete", "timeout", "transient", "lock-error", "no-store", "exception", "throttled", "too-costly",
		"too-long", "limited-filter":
		return Partial
	default:
		return Complete
	}
}
