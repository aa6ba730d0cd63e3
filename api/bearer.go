package api

import (
	"net/http"
	"strings"

	"github.com/precept-cds/precept/api/wire"
)

// maxToken bounds a token. Those of EHRs have about one kilobyte.
const maxToken = 16 << 10

// bearer takes the token out of the request's only Authorization header. It
// returns "" if there is none, more than one, or something that cannot be a
// JWT in compact form.
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	token = strings.Trim(token, " ")
	if len(token) == 0 || len(token) > maxToken || strings.Count(token, ".") != 2 {
		return ""
	}
	for i := range len(token) {
		c := token[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return ""
		}
	}
	return token
}

// maxPurpose bounds the words with which a person says why.
const maxPurpose = 200

// purpose reads the Precept-Purpose header: printable ASCII, at most 200
// characters, or nothing.
func purpose(h http.Header) (string, error) {
	values := h.Values(wire.PurposeHeader)
	if len(values) == 0 {
		return "", nil
	}
	text := strings.TrimSpace(values[0])
	if len(values) > 1 || len(text) > maxPurpose {
		return "", badParameter(wire.PurposeHeader, "one header of at most 200 characters")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return "", badParameter(wire.PurposeHeader, "printable ASCII")
		}
	}
	return text, nil
}
