package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
)

// firstRead is the buffer for a body of no declared length. It grows with the
// bytes that arrive.
const firstRead = 4 << 10

// body reads the body of a caller who is known, at most limit bytes, when there is
// a place and room for it. A length that is declared too large is refused before a
// byte is read. What it took the exchange holds until it is answered.
func (s *Server) body(x *exchange, k kind, most int, limit int64) ([]byte, error) {
	if !plainCoding(x.r.Header) {
		return nil, errEncoding
	}
	length := x.r.ContentLength
	if length > limit {
		x.Header().Set("Connection", "close") // the rest is not worth reading
		return nil, errBodyTooLarge
	}
	x.share = share{of: s.shares, want: want{who: string(x.caller.Tenant), kind: k, most: most}}
	if k == aStatement {
		x.share.of, x.share.want.who = s.statementShares, string(x.caller.Tenant)+"/"+string(x.caller.Person)
	}
	// One byte more than declared, so that the last Read sees the end and needs no growing.
	size := length + 1
	if length < 0 {
		size = min(firstRead, limit+1)
	}
	if err := x.take(size); err != nil {
		return nil, fmt.Errorf("making room for the body: %w", err)
	}
	return x.readBody(make([]byte, 0, size), limit)
}

func (x *exchange) readBody(buf []byte, limit int64) ([]byte, error) {
	// The reader wants the server's own writer: it closes the connection of who sends too much.
	from := http.MaxBytesReader(x.ResponseWriter, x.r.Body, limit)
	for {
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, readError(err)
		case len(buf) == cap(buf):
			size := min(2*int64(cap(buf)), limit+1)
			if err := x.take(size); err != nil {
				return nil, fmt.Errorf("making room for more of the body: %w", err)
			}
			bigger := make([]byte, len(buf), size)
			copy(bigger, buf)
			x.giveBack(int64(cap(buf)))
			buf = bigger
		}
	}
}

// plainCoding says whether a body is sent as it is. Every coding in every header
// counts: what stands before the service may look at another one than we would.
func plainCoding(h http.Header) bool {
	for _, value := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			if c := strings.TrimSpace(coding); c != "" && !strings.EqualFold(c, "identity") {
				return false
			}
		}
	}
	return true
}

func readError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errBodyTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", errBody, os.ErrDeadlineExceeded)
	}
	return errBody
}

// wantJSON refuses what is clearly something else. EHRs send application/json,
// application/fhir+json, parameters, or nothing at all. Of several headers each
// counts.
func (x *exchange) wantJSON() error {
	for _, value := range x.r.Header.Values("Content-Type") {
		kind, _, err := mime.ParseMediaType(value)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
			kind, _, _ = strings.Cut(strings.ToLower(value), ";")
		}
		if value != "" && !strings.Contains(kind, "json") {
			return errMediaType
		}
	}
	return nil
}
