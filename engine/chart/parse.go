package chart

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/google/uuid"

	"github.com/precept-cds/precept/engine/chart/rawjson"
)

// Parse reads the body of a CDS Hooks call. Unknown members are ignored
// everywhere; hook, hookInstance and context must be there; whether the
// context fits the hook is for the caller. A null stands for an absent member,
// except under prefetch, where it means that the client has no data. What has the
// wrong shape under a prefetch key is noted there (Source.Malformed), because only
// whoever knows the keys of the service can tell whether it matters.
//
// Errors are ErrJSON and ErrTooDeep (as *rawjson.SyntaxError with the byte),
// ErrTooLarge, ErrServer, and ErrShape (as *ShapeError with the path). body is not
// kept.
func Parse(body []byte, lim Limits) (*Request, error) {
	lim = lim.withDefaults()
	if err := check(body, lim); err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	req := &Request{}
	text, err := req.takeToken(body)
	if err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	p := newParser(text, lim)
	if err := p.request(req); err != nil {
		return nil, fmt.Errorf("reading request: %w", err)
	}
	return req, nil
}

// ParseSource reads a source that was fetched for a prefetch key: one read
// response, or the pages of a search in their order. It is complete if the
// last page has no next link and the pages hold as many matches as the total
// says. Errors are those of Parse. For a fetch that failed make a Source with
// the key and Failed instead.
func ParseSource(key string, lim Limits, pages ...[]byte) (*Source, error) {
	lim = lim.withDefaults()
	src := &Source{Key: key, Completeness: Complete}
	sum, bundles := tally{total: -1}, int32(0)
	for n, page := range pages {
		if err := check(page, lim); err != nil {
			return nil, fmt.Errorf("reading fetched %s: %w", rawjson.Step(key), err)
		}
		p := newParser(string(page), lim)
		p.items, p.added, p.bundles = src.items, len(src.items), bundles
		t, err := p.source(src)
		bundles = p.bundles
		if err == nil {
			err = p.tooDeep()
		}
		if err != nil {
			return nil, fmt.Errorf("reading fetched %s page %d: %w", rawjson.Step(key), n+1, err)
		}
		src.items = p.items
		sum.matches += t.matches
		sum.total = max(sum.total, t.total)
		sum.next = t.next
	}
	if len(pages) == 0 {
		src.Completeness = NotSupplied
	}
	sum.judge(src)
	return src, nil
}

func check(body []byte, lim Limits) error {
	if len(body) > lim.Bytes {
		return fmt.Errorf("%w: %d bytes, allowed are %d", ErrTooLarge, len(body), lim.Bytes)
	}
	return rawjson.Check(body, lim.Depth)
}

// takeToken moves the access token out of the body: Token has it, Body and
// the text to parse have "" in its place. The text shares the memory of Body,
// which nobody changes: two copies less are a quarter of the time of Parse.
func (r *Request) takeToken(body []byte) (text string, err error) {
	start, end, err := findToken(unsafe.String(unsafe.SliceData(body), len(body)))
	if err != nil {
		return "", err
	}
	r.Body = make([]byte, 0, len(body))
	r.Body = append(r.Body, body[:start]...)
	if end > 0 {
		r.Token = newToken(rawjson.Value(body[start:end]).Text())
		r.Body = append(r.Body, `""`...)
	}
	r.Body = append(r.Body, body[end:]...)
	return unsafe.String(unsafe.SliceData(r.Body), len(r.Body)), nil
}

// findToken returns where the value of fhirAuthorization.access_token lies;
// end is 0 if there is none. Names are compared without their escapes.
func findToken(text string) (start, end int, err error) {
	s := rawjson.Scanner{Src: text}
	if s.Kind() != '{' {
		return 0, 0, &ShapeError{Want: "an object"}
	}
	for s.Enter(); s.More(); s.Skip() {
		if s.Name() != "fhirAuthorization" {
			continue
		}
		switch s.Kind() {
		case 'n':
			return 0, 0, nil
		case '{':
		default:
			return 0, 0, &ShapeError{Path: "fhirAuthorization", Want: "an object"}
		}
		for s.Enter(); s.More(); s.Skip() {
			if s.Name() != "access_token" {
				continue
			}
			v := s.Skip()
			if v.IsNull() {
				return 0, 0, nil
			}
			if !v.IsString() {
				return 0, 0, &ShapeError{Path: "fhirAuthorization.access_token", Want: "a string"}
			}
			return s.Pos() - len(v), s.Pos(), nil
		}
		return 0, 0, nil
	}
	return 0, 0, nil
}

// parser reads one checked text from front to back.
type parser struct {
	s     rawjson.Scanner
	lim   Limits
	items []item // of the source being read
	added int    // of all sources

	bundles int32 // entered so far
	in      int32 // the one being read, 0 outside of any
}

func newParser(text string, lim Limits) *parser {
	return &parser{s: rawjson.Scanner{Src: text, Max: lim.Depth}, lim: lim}
}

// request reads the top level.
func (p *parser) request(r *Request) error {
	p.items = make([]item, 0, len(p.s.Src)/400+4) // a resource is mostly larger
	r.Drafts = Source{Key: DraftsKey}
	hasContext := false
	var err error
	for p.s.Enter(); p.s.More(); {
		switch name := p.s.Name(); name {
		case "hook":
			r.Hook, err = p.text(name)
		case "hookInstance":
			r.HookInstance, err = p.text(name)
		case "fhirServer":
			r.FHIRServer, err = p.text(name)
		case "fhirAuthorization":
			r.Authorization, err = p.authorization()
		case "context":
			hasContext, err = true, p.context(r)
		case "prefetch":
			err = p.prefetch(r)
		default:
			p.s.Skip()
		}
		if err != nil {
			return err
		}
	}
	if err := p.tooDeep(); err != nil {
		return err
	}
	if !hasContext {
		return &ShapeError{Path: "context", Want: "an object"}
	}
	return r.identify(p.lim)
}

// identify checks what names the call.
func (r *Request) identify(lim Limits) error {
	if r.Hook == "" {
		return &ShapeError{Path: "hook", Want: "the name of a hook"}
	}
	if !isUUID(r.HookInstance) && (!lim.AnyInstance || r.HookInstance == "" || len(r.HookInstance) > 200) {
		return &ShapeError{Path: "hookInstance", Want: "a UUID"}
	}
	base, _ := CanonicalBase(lim.Base)
	if server, ok := CanonicalBase(r.FHIRServer); ok {
		r.FHIRServer = server
	}
	switch {
	case base == "":
		base = r.FHIRServer
	case r.FHIRServer != "" && r.FHIRServer != base:
		return &ServerError{"fhirServer"}
	}
	for _, id := range [...]struct {
		path, typ string
		value     *string
	}{{"context.patientId", "Patient", &r.PatientID}, {"context.encounterId", "Encounter", &r.EncounterID}} {
		local, ok := LocalID(base, id.typ, *id.value)
		switch {
		case ok:
			*id.value = local
		case absolute(*id.value):
			return &ServerError{id.path}
		default:
			return &ShapeError{Path: id.path, Want: "the id of the resource, or a reference to it"}
		}
	}
	return nil
}

// isUUID accepts the 8-4-4-4-12 form of any version and case, and no other
// spelling: the library's braces, urn and form without hyphens have other lengths.
func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// text reads a string, or null as the empty one.
func (p *parser) text(path string) (string, error) {
	v := p.s.Skip()
	if !v.IsString() && !v.IsNull() {
		return "", &ShapeError{Path: path, Want: "a string"}
	}
	return v.Text(), nil
}

// authorization reads everything but the token, whose type findToken checked.
func (p *parser) authorization() (*Authorization, error) {
	v := p.s.Skip()
	if v.IsNull() {
		return nil, nil
	}
	a := &Authorization{}
	for m := v.Members(); m.Next(); {
		switch m.Name {
		case "token_type":
			a.TokenType = m.Value.Text()
		case "scope":
			a.Scope = m.Value.Text()
		case "subject":
			a.Subject = m.Value.Text()
		case "patient":
			a.Patient = m.Value.Text()
		case "expires_in": // some senders quote the number
			n, err := strconv.Atoi(strings.Trim(string(m.Value), `"`))
			if err == nil && n > 0 {
				a.ExpiresIn = n
			}
		default:
			continue
		}
		if m.Name != "expires_in" && !m.Value.IsString() && !m.Value.IsNull() {
			return nil, &ShapeError{Path: "fhirAuthorization." + m.Name, Want: "a string"}
		}
	}
	return a, nil
}

func (p *parser) context(r *Request) error {
	if p.s.Kind() != '{' {
		return &ShapeError{Path: "context", Want: "an object"}
	}
	var err error
	for p.s.Enter(); p.s.More(); {
		switch p.s.Name() {
		case "userId":
			r.UserID, err = p.text("context.userId")
		case "patientId":
			r.PatientID, err = p.text("context.patientId")
		case "encounterId":
			r.EncounterID, err = p.text("context.encounterId")
		case "selections":
			r.Selections, err = p.selections()
		case "draftOrders":
			err = within(DraftsKey, p.drafts(r))
		default:
			p.s.Skip()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) selections() ([]string, error) {
	v := p.s.Skip()
	if v.IsNull() {
		return nil, nil
	}
	if !v.IsArray() {
		return nil, &ShapeError{Path: "context.selections", Want: "an array of strings"}
	}
	var list []string
	for e, n := v.Elements(), 0; e.Next(); n++ {
		switch {
		case e.Value.IsString():
			list = append(list, e.Value.Text())
		case !e.Value.IsNull():
			return nil, &ShapeError{Path: fmt.Sprintf("context.selections[%d]", n), Want: "a string"}
		}
	}
	return list, nil
}

func (p *parser) drafts(r *Request) error {
	if p.s.Kind() == 'n' {
		p.s.Skip()
		return nil
	}
	r.Drafts.Completeness = Complete
	t, err := p.source(&r.Drafts)
	if err != nil {
		return err
	}
	if r.Drafts.Single {
		return &ShapeError{Want: "a Bundle"}
	}
	t.judge(&r.Drafts)
	r.Drafts.items = p.take()
	return nil
}

// maxKeys bounds the prefetch keys of a call; services declare about ten.
const maxKeys = 1000

func (p *parser) prefetch(r *Request) error {
	switch p.s.Kind() {
	case 'n':
		p.s.Skip()
		return nil
	case '{':
	default:
		return &ShapeError{Path: "prefetch", Want: "an object"}
	}
	for p.s.Enter(); p.s.More(); {
		if len(r.Prefetch) == maxKeys {
			return fmt.Errorf("%w: more than %d prefetch keys", ErrTooLarge, maxKeys)
		}
		key := p.s.Name()
		r.Prefetch = append(r.Prefetch, Source{Key: key, Completeness: Complete})
		src := &r.Prefetch[len(r.Prefetch)-1]
		before := *p
		t, err := p.source(src)
		if err != nil {
			if err = malformed(src, err); err != nil {
				return err
			}
			*p = before
			p.s.Skip()
			continue
		}
		t.judge(src)
		src.items = p.take()
	}
	return nil
}

// malformed makes a source one whose value has the wrong shape, which matters only
// if the service asks for its key. Other errors it returns.
func malformed(src *Source, err error) error {
	var shape *ShapeError
	if !errors.As(err, &shape) {
		return err
	}
	_ = within("prefetch", within(rawjson.Step(src.Key), shape))
	*src = Source{Key: src.Key, Completeness: Failed, Malformed: shape}
	return nil
}

// take returns the resources read since the last take; sources share one array.
func (p *parser) take() []item {
	n := len(p.items)
	taken := p.items[:n:n]
	p.items = p.items[n:]
	return taken
}

func (p *parser) tooDeep() error {
	if p.s.Deep == 0 {
		return nil
	}
	return &rawjson.SyntaxError{Offset: int64(p.s.Deep - 1), Err: ErrTooDeep}
}

// within puts a step in front of the path of a ShapeError.
func within(step string, err error) error {
	if err == nil {
		return nil
	}
	var shape *ShapeError
	if !errors.As(err, &shape) {
		return err
	}
	switch {
	case shape.Path == "":
		shape.Path = step
	case shape.Path[0] == '[':
		shape.Path = step + shape.Path
	default:
		shape.Path = step + "." + shape.Path
	}
	return err
}
