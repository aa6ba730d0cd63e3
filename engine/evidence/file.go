package evidence

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
)

// Schema names the layout of evidence files.
const Schema = "precept-evidence/1"

// Limits of a file. What is larger is neither written nor read.
const (
	// DefaultBytes is how large a file may be unless more is asked for.
	DefaultBytes = 512 << 20
	maxManifest  = 8 << 20
	maxParts     = 1 << 15
)

// ErrFile says that bytes are not an evidence file, or not in the one form that such a file has.
var ErrFile = errors.New("not an evidence file in its one form")

// ErrSize says that an evidence file would be, or is, larger than allowed.
var ErrSize = errors.New("evidence file too large")

// Names of entries.
const (
	nameManifest    = "evidence.json"
	nameRecord      = "record.proof"
	nameOpening     = "record.opening"
	nameBody        = "record.body"
	nameReleases    = "releases.consistency"
	nameSince       = "since.consistency"
	nameExport      = "export.proof"
	nameExportSince = "export.consistency"
	nameExportOpen  = "export.opening"
	nameExportBody  = "export.body"
)

func nameStatement(i int64) string { return fmt.Sprintf("statements/%06d.jsonl", i) }
func nameTime(i int64) string      { return fmt.Sprintf("statements/%06d.proof", i) }
func nameLater(l audit.LogName) string {
	return "logs/" + strings.ReplaceAll(string(l), "/", "-") + ".proof"
}
func namePack(digest string) string { return "packs/" + digest + ".tar" }

// Manifest is the first entry of a file. It says what the file is about and lists every other entry but those of the
// export, which show that the manifest itself is recorded.
type Manifest struct {
	Schema string `json:"schema"`
	Prefix string `json:"prefix"` // first part of the names of the region's logs
	Region string `json:"region"`
	Tenant string `json:"tenant"`
	Record string `json:"record"` // id
	Log    string `json:"log"`    // that the record is in, such as "audit/2026-03"
	// Statements is how many entries of the release log, from the first on, were in force for the record.
	Statements int64 `json:"statements"`
	// Later are the tenant's later logs, oldest first.
	Later []string `json:"later"`
	// Since is what the file has a consistency proof from; absent if that was not asked for.
	Since *Since `json:"since,omitempty"`
	// Packs are the archives in force for a decision: digests, sorted. Missing are those that the store did not have.
	Packs   []string `json:"packs"`
	Missing []string `json:"missing"`
	Body    Content  `json:"body"`
	Parts   []Part   `json:"parts"` // in the order of the file
}

// Since is an older state of a log.
type Since struct {
	Log  string `json:"log"`
	Size int64  `json:"size"`
}

// Content says whether the record's body is in the file.
type Content string

// What became of the body.
const (
	Included Content = "included"
	LeftOut  Content = "left-out" // it was not asked for
	Erased   Content = "erased"   // its key was destroyed
)

// Part is one entry.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// names lists the entries that a file with this manifest has, in their order; those of the export come after them.
func (m *Manifest) names() []string {
	list := []string{nameRecord}
	if m.Body == Included {
		list = append(list, nameOpening, nameBody)
	}
	for i := range m.Statements {
		list = append(list, nameStatement(i), nameTime(i))
	}
	list = append(list, nameReleases)
	for _, l := range m.Later {
		list = append(list, nameLater(audit.LogName(l)))
	}
	if m.Since != nil {
		list = append(list, nameSince)
	}
	for _, d := range m.Packs {
		list = append(list, namePack(d))
	}
	return list
}

var exportNames = []string{nameExport, nameExportSince, nameExportOpen, nameExportBody}

// mostOf bounds one entry.
func mostOf(name string) int64 {
	switch {
	case name == nameManifest:
		return maxManifest
	case name == nameBody || name == nameExportBody:
		return audit.MaxBody
	case strings.HasPrefix(name, "packs/"):
		return audit.MaxBlob
	case strings.HasSuffix(name, ".jsonl"):
		return audit.MaxStatement
	case name == nameOpening || name == nameExportOpen:
		return openingSize
	}
	return 64 << 10 // a proof
}

// openingSize is that of what a commitment was made with, beside the body.
const openingSize = 32

// encode returns the manifest's one spelling.
func (m *Manifest) encode() ([]byte, error) {
	b, err := jsonv2.Marshal(m, jsonv2.Deterministic(true), jsonv2.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, fmt.Errorf("writing manifest: %w", err)
	}
	return append(b, '\n'), nil
}

// readManifest takes that spelling only.
func readManifest(text []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := jsonv2.Unmarshal(text, m, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: the manifest is not the JSON of one", ErrFile)
	}
	again, err := m.encode()
	switch {
	case m.Schema != Schema:
		return nil, fmt.Errorf("%w: its schema is not %s: use the program that wrote it, or a newer one", ErrFile, Schema)
	case err != nil || !bytes.Equal(again, text):
		return nil, fmt.Errorf("%w: the manifest is not in its one spelling", ErrFile)
	case m.Statements < 1 || m.Statements > maxParts/2 || len(m.Later) > maxParts || len(m.Packs) > maxParts ||
		len(m.Parts) > maxParts:
		return nil, fmt.Errorf("%w: the manifest names too many things, or none", ErrFile)
	case m.Body != Included && m.Body != LeftOut && m.Body != Erased:
		return nil, fmt.Errorf("%w: the manifest does not say whether the body is there", ErrFile)
	}
	names := m.names()
	if len(names) != len(m.Parts) {
		return nil, fmt.Errorf("%w: the manifest lists %d parts where there must be %d", ErrFile, len(m.Parts), len(names))
	}
	seen := map[string]bool{}
	for i, p := range m.Parts {
		if p.Name != names[i] || seen[p.Name] || p.Size < 0 {
			return nil, fmt.Errorf("%w: part %d of the manifest is not what it must be", ErrFile, i)
		}
		seen[p.Name] = true
	}
	return m, nil
}

// File is an evidence file that was read: its form is right, and nothing else was checked yet.
type File struct {
	Manifest Manifest
	manifest []byte            // as it stands
	parts    map[string][]byte // by name
}

// part returns the bytes of an entry.
func (f *File) part(name string) []byte { return f.parts[name] }

const blockSize = 512

// header is the one header that an entry of this name and size may have.
func header(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err != nil {
		return nil, fmt.Errorf("writing the header of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// Read reads a file of at most so many bytes, from a source that nobody trusts. It takes the one form only, believes
// no size before the bytes are there, and ends at the end of r. An error is [ErrFile], [ErrSize] or that of r.
func Read(r io.Reader, most int64) (*File, error) {
	in := &reader{r: r, left: most}
	text, err := in.entry(nameManifest, -1)
	if err != nil {
		return nil, fmt.Errorf("reading evidence file: %w", err)
	}
	m, err := readManifest(text)
	if err != nil {
		return nil, fmt.Errorf("reading evidence file: %w", err)
	}
	f := &File{Manifest: *m, manifest: text, parts: map[string][]byte{}}
	for _, p := range m.Parts {
		if f.parts[p.Name], err = in.entry(p.Name, p.Size); err != nil {
			return nil, fmt.Errorf("reading evidence file: %w", err)
		}
	}
	for _, name := range exportNames {
		if f.parts[name], err = in.entry(name, -1); err != nil {
			return nil, fmt.Errorf("reading evidence file: %w", err)
		}
	}
	if err := in.end(); err != nil {
		return nil, fmt.Errorf("reading evidence file: %w", err)
	}
	return f, nil
}

// reader reads entries whose names are known.
type reader struct {
	r    io.Reader
	left int64 // bytes that may still come
}

// firstRead is how much room a read has from the beginning.
const firstRead = 64 << 10

// take reads so many bytes.
func (in *reader) take(n int64) ([]byte, error) {
	if in.left -= n; in.left < 0 {
		return nil, fmt.Errorf("%w: it is larger than this program was told to read", ErrSize)
	}
	var b bytes.Buffer // grows with what comes, not with what is claimed
	b.Grow(int(min(n, firstRead)) + bytes.MinRead)
	got, err := io.Copy(&b, io.LimitReader(in.r, n))
	if err != nil {
		return nil, err
	}
	if got < n {
		return nil, fmt.Errorf("%w: it is cut short", ErrFile)
	}
	return b.Bytes(), nil
}

// entry reads the next entry, which must have this name, and this size unless it is below 0.
func (in *reader) entry(name string, size int64) ([]byte, error) {
	block, err := in.take(blockSize)
	if err != nil {
		return nil, err
	}
	// Where a tar header has the size. The whole header is held against the one that it must be.
	claimed, err := strconv.ParseInt(strings.TrimRight(string(block[124:136]), "\x00 "), 8, 64)
	if err != nil || claimed < 0 {
		return nil, fmt.Errorf("%w: there is no entry %s where it must be", ErrFile, name)
	}
	want, err := header(name, claimed)
	if err != nil || !bytes.Equal(want, block) {
		return nil, fmt.Errorf("%w: there is no entry %s where it must be, or its header is another", ErrFile, name)
	}
	if size >= 0 && claimed != size {
		return nil, fmt.Errorf("%w: entry %s has another size than the manifest says", ErrFile, name)
	}
	if claimed > mostOf(name) {
		return nil, fmt.Errorf("%w: entry %s has more than %d bytes", ErrSize, name, mostOf(name))
	}
	data, err := in.take(claimed)
	if err != nil {
		return nil, err
	}
	padding, err := in.take((blockSize - claimed%blockSize) % blockSize)
	if err != nil {
		return nil, err
	}
	if len(bytes.Trim(padding, "\x00")) > 0 {
		return nil, fmt.Errorf("%w: there are bytes behind entry %s", ErrFile, name)
	}
	return data, nil
}

// end takes the two empty blocks, and nothing after them.
func (in *reader) end() error {
	blocks, err := in.take(2 * blockSize)
	if err != nil {
		return err
	}
	if len(bytes.Trim(blocks, "\x00")) > 0 {
		return fmt.Errorf("%w: there are entries that do not belong to it", ErrFile)
	}
	switch _, err := io.ReadFull(in.r, make([]byte, 1)); {
	case err == nil:
		return fmt.Errorf("%w: there are bytes behind its end", ErrFile)
	case err != io.EOF:
		return err
	}
	return nil
}

// entry is one entry to be written. Load, unless nil, gives its bytes when it is its turn.
type entry struct {
	Part
	data []byte
	load func(context.Context) ([]byte, error)
}

func newEntry(name string, data []byte) entry {
	sum := sha256.Sum256(data)
	return entry{Part: Part{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, data: data}
}

// write writes an entry in its one form.
func (e *entry) write(ctx context.Context, w io.Writer) error {
	data := e.data
	if e.load != nil {
		var err error
		if data, err = e.load(ctx); err != nil {
			return err
		}
		if sum := sha256.Sum256(data); int64(len(data)) != e.Size || hex.EncodeToString(sum[:]) != e.SHA256 {
			return fmt.Errorf("writing %s: %w: it has changed meanwhile", e.Name, audit.ErrCorrupt)
		}
	}
	head, err := header(e.Name, e.Size)
	if err != nil {
		return err
	}
	for _, b := range [][]byte{head, data, make([]byte, (blockSize-e.Size%blockSize)%blockSize)} {
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("writing %s: %w", e.Name, err)
		}
	}
	return nil
}

// sizeOf is how much an entry takes in a file.
func sizeOf(size int64) int64 { return blockSize + (size+blockSize-1)/blockSize*blockSize }
