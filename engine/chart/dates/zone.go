package dates

import (
	"archive/zip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// TZData is the release of the IANA time-zone data in zoneinfo.zip, which is
// lib/time/zoneinfo.zip of Go 1.26, in the public domain. A record names it;
// whoever replaces the file changes this constant and the checksum in the test.
const TZData = "2025c"

//go:embed zoneinfo.zip
var zoneinfo string

// ErrZone means that TZData knows no zone of that name; the tenant's policy
// has to name one, such as America/New_York.
var ErrZone = errors.New("unknown time zone")

// Zone loads a zone from the embedded data, never from the machine. Loading
// takes a fraction of a millisecond: keep the result.
func Zone(name string) (*time.Location, error) {
	if name == "UTC" {
		return time.UTC, nil
	}
	archive, err := zip.NewReader(strings.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		return nil, fmt.Errorf("opening embedded time zones: %w", err)
	}
	for _, f := range archive.File {
		if f.Name != name || f.FileInfo().IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("opening time zone %q: %w", name, err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("reading time zone %q: %w", name, err)
		}
		return time.LoadLocationFromTZData(name, data)
	}
	return nil, fmt.Errorf("%w %q in release %s: use an IANA name such as America/New_York", ErrZone, name, TZData)
}
