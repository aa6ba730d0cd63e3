package strict

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const timeLayout = "2006-01-02T15:04:05Z"

// codec is the one way JSON is read and written here: duplicate names and bad
// UTF-8 are refused by the library, unknown members by us, times are UTC seconds.
var codec = json.JoinOptions(
	json.Deterministic(true),
	json.RejectUnknownMembers(true),
	json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error {
		return e.WriteToken(jsontext.String(t.UTC().Format(timeLayout)))
	})),
	json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, t *time.Time) error {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() != '"' {
			return fmt.Errorf("expected a time like %s", timeLayout)
		}
		*t, err = time.Parse(timeLayout, token.String())
		return err
	})),
)

// Marshal writes v: fields in their order, no white space.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, codec) }

// Unmarshal reads one JSON value and nothing else into v. It does not refuse other
// spellings of the same value: write what was read, and compare.
func Unmarshal(text []byte, v any) error {
	if err := json.Unmarshal(text, v, codec); err != nil {
		return location(err)
	}
	return nil
}

// location says where JSON went wrong without repeating values from it.
func location(err error) error {
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("at %s: duplicate member name", pointer(syntax.JSONPointer))
	case errors.As(err, &syntax):
		return fmt.Errorf("at %s, byte %d: not valid JSON", pointer(syntax.JSONPointer), syntax.ByteOffset)
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return fmt.Errorf("at %s: unknown member", pointer(semantic.JSONPointer))
	case errors.As(err, &semantic):
		return fmt.Errorf("at %s: unexpected type or value", pointer(semantic.JSONPointer))
	default:
		return errors.New("not valid JSON")
	}
}

func pointer(p jsontext.Pointer) string {
	const most = 120
	if p == "" {
		return "the top"
	}
	if len(p) > most {
		p = p[:most]
	}
	return strconv.QuoteToASCII(string(p))
}
