package chart

import (
	"fmt"
	"io"
	"log/slog"
)

// Token is an access token. Every way of printing or encoding it yields
// "[token]"; only Reveal returns the secret. The zero Token is none.
type Token struct {
	// A function, because reflection cannot look into one: printers that walk
	// unexported fields show an address.
	reveal func() string
}

const hidden = "[token]"

func newToken(secret string) Token {
	if secret == "" {
		return Token{}
	}
	return Token{reveal: func() string { return secret }}
}

// Reveal returns the secret, for the Authorization header of a FHIR call and
// nothing else. It must not be stored or logged.
func (t Token) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.reveal == nil }

// String hides the token.
func (t Token) String() string { return hidden }

// GoString hides the token.
func (t Token) GoString() string { return hidden }

// Format hides the token from every verb of fmt.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides the token.
func (t Token) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the token.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// LogValue hides the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(hidden) }
