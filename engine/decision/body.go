package decision

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// A record's body is a list of named sections, so that requests and answers
// stay byte for byte what they were and a reader needs no more than a text
// viewer:
//
//	precept-record/2
//	inputs 812
//	{"record_id":...}
//	request 83012
//	{"hook":"order-sign",...}
//	source:labs 1200
//	{...}
//	source:labs 800
//	{...}
//	decision 5120
//	{"findings":[...]}
//	response 900
//	{"cards":[...]}
//	end 0
//
// The number after a name is the length in bytes of what follows the line.
// Every section ends with a line feed that does not count. Each page of a fetched
// source is a section, in the order of the inputs.

// ErrBody says that bytes are not a record body of this schema. The record is
// damaged or was written by a newer version.
var ErrBody = errors.New("not a record body of this version")

// Encode returns the record body as segments; joined they are the body. The
// large ones are the caller's own slices, not copies.
func Encode(in *Inputs, d *Decision) ([][]byte, error) {
	inputs, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encoding inputs: %w", err)
	}
	dec, err := EncodeDecision(d)
	if err != nil {
		return nil, err
	}
	segments := make([][]byte, 0, 12)
	segments = append(segments, []byte(Schema+"\n"))
	section := func(name string, body []byte) {
		segments = append(segments, []byte(name+" "+strconv.Itoa(len(body))+"\n"), body, []byte("\n"))
	}
	section("inputs", inputs)
	section("request", in.Request)
	for _, s := range in.Sources {
		for _, p := range s.Pages {
			section("source:"+s.Key, p.Body)
		}
	}
	section("decision", dec)
	section("response", d.Response)
	section("end", nil)
	return segments, nil
}

// EncodeDecision returns the canonical bytes of the findings and notes, the
// bytes that replay compares.
func EncodeDecision(d *Decision) ([]byte, error) {
	b, err := json.Marshal(d, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encoding decision: %w", err)
	}
	return b, nil
}

// Decode reads a body that Encode wrote. The slices of the result point into
// body.
func Decode(body []byte) (*Inputs, *Decision, error) {
	rest, ok := bytes.CutPrefix(body, []byte(Schema+"\n"))
	if !ok {
		return nil, nil, fmt.Errorf("reading record body: first line is not %q: %w", Schema, ErrBody)
	}
	in, d := &Inputs{}, &Decision{}
	var pages []*Page // of the sources, in order
	var keys []string // of the pages
	seen := 0
	for order := 0; ; {
		name, section, tail, err := next(rest)
		if err != nil {
			return nil, nil, err
		}
		rest = tail
		place, known := sectionOrder[sectionKind(name)]
		if !known || place < order || place == order && place != sectionOrder["source"] {
			return nil, nil, fmt.Errorf("reading record body: section %q out of place: %w", name, ErrBody)
		}
		order = place
		seen |= 1 << place
		switch sectionKind(name) {
		case "inputs":
			err = json.Unmarshal(section, in, json.RejectUnknownMembers(true))
			for i := range in.Sources {
				for j := range in.Sources[i].Pages {
					pages, keys = append(pages, &in.Sources[i].Pages[j]), append(keys, "source:"+in.Sources[i].Key)
				}
			}
		case "request":
			in.Request = section
		case "source":
			if len(pages) == 0 || keys[0] != name {
				return nil, nil, fmt.Errorf("reading record body: section %q is not among the inputs: %w", name,
					ErrBody)
			}
			pages[0].Body = section
			pages, keys = pages[1:], keys[1:]
		case "decision":
			err = json.Unmarshal(section, d, json.RejectUnknownMembers(true))
		case "response":
			d.Response = section
		case "end":
			if len(rest) > 0 || len(section) > 0 || len(pages) > 0 || seen|1<<sectionOrder["source"] != allSections {
				return nil, nil, fmt.Errorf("reading record body: sections missing or bytes left over: %w", ErrBody)
			}
			d.Cut = in.Cut
			return in, d, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading record body: section %q: %w (%w)", name, err, ErrBody)
		}
	}
}

// allSections has a bit for every place in sectionOrder.
const allSections = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<6

var sectionOrder = map[string]int{"inputs": 1, "request": 2, "source": 3, "decision": 4, "response": 5, "end": 6}

func sectionKind(name string) string {
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

func next(b []byte) (name string, section, rest []byte, err error) {
	head, _, ok := bytes.Cut(b[:min(len(b), 300)], []byte("\n"))
	if !ok {
		return "", nil, nil, fmt.Errorf("reading record body: cut short: %w", ErrBody)
	}
	b = b[len(head)+1:]
	word, digits, ok := strings.Cut(string(head), " ")
	n, perr := strconv.Atoi(digits)
	if !ok || perr != nil || n < 0 || strconv.Itoa(n) != digits || n >= len(b) || b[n] != '\n' {
		return "", nil, nil, fmt.Errorf("reading record body: section line or length wrong: %w", ErrBody)
	}
	return word, b[:n:n], b[n+1:], nil
}
