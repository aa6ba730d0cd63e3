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

// firstRead is the largest buffer that a Content-Length alone is given. Beyond
// it the buffer grows only with bytes that have arrived.
const firstRead = 1 << 20

// body reads the body of a caller who is known, at most limit bytes. A length
// that is declared too large is refused before a byte is read.
func (x *exchange) body(limit int64) ([]byte, error) {
	if e := x.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, errEncoding
	}
	length := x.r.ContentLength
	if length > limit {
		x.Header().Set("Connection", "close") // the rest is not worth reading
		return nil, errBodyTooLarge
	}
	// One byte more than declared, so that the last Read sees the end and needs no growing.
	size := min(max(length, 511)+1, firstRead)
	buf := make([]byte, 0, size)
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
			bigger := make([]byte, len(buf), min(2*int64(cap(buf)), limit+1))
			copy(bigger, buf)
			buf = bigger
		}
	}
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
// application/fhir+json, parameters, or nothing at all.
func (x *exchange) wantJSON() error {
	value := x.r.Header.Get("Content-Type")
	if value == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(value)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		kind, _, _ = strings.Cut(strings.ToLower(value), ";")
	}
	if strings.Contains(kind, "json") {
		return nil
	}
	return errMediaType
}
