package rulepacks

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

// Limits bound what [ReadArchive] reads. A zero field means its default. All
// are counted while reading; no size written in a header is believed.
type Limits struct {
	Compressed int64 // bytes of a gzip archive; default 32 MiB
	Expanded   int64 // bytes of the tar inside without its tables; default 256 MiB
	Tables     int64 // bytes of tables/*.bin; default 60 MiB
	Entries    int   // files; default 30,000
	Ratio      int64 // expanded to compressed, above the first MiB; default 100
}

func (l Limits) withDefaults() Limits {
	if l.Compressed == 0 {
		l.Compressed = 32 << 20
	}
	if l.Expanded == 0 {
		l.Expanded = 256 << 20
	}
	if l.Tables == 0 {
		l.Tables = 60 << 20
	}
	if l.Entries == 0 {
		l.Entries = 30_000
	}
	if l.Ratio == 0 {
		l.Ratio = 100
	}
	return l
}

// all bounds the tar as a whole.
func (l Limits) all() int64 { return l.Expanded + l.Tables }

// sizes counts the files of a pack against the limits: tables of a terminology release
// may be large, nothing else need be.
type sizes struct {
	lim           Limits
	files, tables int64
}

// room is how many bytes the next file may have.
func (s *sizes) room(name string) int64 {
	if isTable(name) {
		return s.lim.Tables - s.tables
	}
	return s.lim.Expanded - s.files
}

// add counts a file with its header, as the archive has it.
func (s *sizes) add(name string, n int64) error {
	n = blockSize + (n+blockSize-1)/blockSize*blockSize
	if s.files == 0 {
		s.files = 2 * blockSize // the end of the archive
	}
	if n > s.room(name) {
		most, what := s.lim.Expanded, "the files other than tables/*.bin are"
		if isTable(name) {
			most, what = s.lim.Tables, "tables/*.bin are"
		}
		what = fmt.Sprintf("%s more than an archive may expand to, %d bytes", what, most)
		return &packfile.Problem{What: what, Kind: packfile.ErrTooLarge, Hint: "split the pack, or ask its publisher"}
	}
	if isTable(name) {
		s.tables += n
	} else {
		s.files += n
	}
	return nil
}

// ratioFloor is the expanded size below which the ratio is not looked at: a
// small pack is mostly header blocks, which compress well and harm nobody.
const ratioFloor = 1 << 20

// check refuses sizes beyond the limits; packed < 0 means not compressed.
func (l Limits) check(packed, expanded int64) error {
	what := ""
	switch {
	case packed > l.Compressed:
		what = fmt.Sprintf("the archive has more than %d bytes", l.Compressed)
	case expanded > l.all():
		what = fmt.Sprintf("the archive expands to more than %d bytes", l.all())
	case packed >= 0 && expanded > ratioFloor && expanded/l.Ratio > packed:
		what = fmt.Sprintf("the archive expands to more than %d times its size", l.Ratio)
	default:
		return nil
	}
	return &packfile.Problem{What: what, Kind: packfile.ErrTooLarge,
		Hint: "a rule pack is small; split it, or ask its publisher"}
}

// ReadArchive reads a pack archive, a canonical tar or one gzip member holding
// it, from a source that is not trusted. It accepts exactly the canonical form
// (see the package comment), reads r to its end, and holds at most the expanded
// size in memory. Errors are *[packfile.Problem]s; errors of r itself are wrapped.
func ReadArchive(r io.Reader, lim Limits) (*Pack, error) {
	files, sum, err := readEntries(r, lim.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("reading a pack archive: %w", err)
	}
	pack, err := FromFiles(files)
	if err != nil {
		return nil, fmt.Errorf("reading a pack archive: %w", err)
	}
	if pack.Digest != sum {
		// Whatever the tar reader understood, skipped or hid on the way here is
		// in sum, and nothing but the files' names and bytes is in Digest.
		return nil, fmt.Errorf("reading a pack archive: %w", &packfile.Problem{Kind: ErrNotCanonical, Hint: hintRebuild,
			What: "the archive differs from the one rebuilt from its files (sorted, USTAR, mode 0600, owner and time zero)"})
	}
	return pack, nil
}

const hintRebuild = "build the archive with precept pack build"

// readEntries undoes the compression and reads the entries, with the SHA-256 of
// all bytes they were read from.
func readEntries(r io.Reader, lim Limits) ([]packfile.File, Digest, error) {
	source := bufio.NewReader(r)
	magic, err := source.Peek(2)
	if err != nil {
		return nil, "", broken("", err)
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return readTar(&countingReader{r: source, max: lim.all(), lim: lim}, lim)
	}
	packed := &countingReader{r: source, max: lim.Compressed, lim: lim, isPacked: true}
	buffered := bufio.NewReader(packed)
	zr, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, "", broken("", err)
	}
	zr.Multistream(false)
	files, sum, err := readTar(&countingReader{r: zr, max: lim.all(), lim: lim, packed: packed}, lim)
	if err != nil {
		return nil, "", err
	}
	if _, err := buffered.ReadByte(); err == nil {
		return nil, "", &packfile.Problem{What: "the archive has bytes after its gzip member",
			Kind: ErrNotCanonical, Hint: hintRebuild}
	} else if err != io.EOF {
		return nil, "", err
	}
	return files, sum, nil
}

// countingReader fails with packfile.ErrTooLarge as soon as it read too much.
type countingReader struct {
	r        io.Reader
	n        int64
	max      int64
	lim      Limits
	isPacked bool            // r is the compressed archive
	packed   *countingReader // where the compressed bytes were counted, or nil
}

func (c *countingReader) Read(b []byte) (int, error) {
	// One byte more than allowed may be read, to tell "all" from "too much".
	if room := max(c.max+1-c.n, 1); int64(len(b)) > room {
		b = b[:room]
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	var tooMuch error
	switch {
	case c.isPacked:
		tooMuch = c.lim.check(c.n, 0)
	case c.packed != nil:
		tooMuch = c.lim.check(c.packed.n, c.n)
	default:
		tooMuch = c.lim.check(-1, c.n)
	}
	if tooMuch != nil {
		return 0, tooMuch
	}
	return n, err
}

// broken explains an error of the underlying readers; name may be "".
func broken(name string, err error) error {
	if len(packfile.Problems(err)) > 0 {
		return err
	}
	p := &packfile.Problem{File: name, Kind: packfile.ErrMalformed, Hint: "fetch the archive again, or " + hintRebuild}
	switch text := err.Error(); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		p.What = "the archive is cut short"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), strings.HasPrefix(text, "flate: "):
		p.What = "the archive is damaged: " + text
	case strings.HasPrefix(text, "archive/tar: "):
		p.What = "it is not a tar archive, plain or as one gzip member: " + strings.TrimPrefix(text, "archive/tar: ")
	default:
		return err
	}
	return p
}

// readTar reads regular files, and the rest of r. It is lenient where
// archive/tar is: only the sum of all bytes tells whether they were canonical.
func readTar(r io.Reader, lim Limits) ([]packfile.File, Digest, error) {
	sum := sha256.New()
	r = io.TeeReader(r, sum)
	var files []packfile.File
	size := sizes{lim: lim}
	for tr := tar.NewReader(r); ; {
		head, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, "", broken("", err)
		}
		if what := irregular(head); what != "" {
			return nil, "", &packfile.Problem{File: packfile.Short(head.Name), What: what, Kind: ErrNotRegular,
				Hint: "a pack archive holds regular files in USTAR form only; " + hintRebuild}
		}
		if len(files) >= lim.Entries {
			return nil, "", &packfile.Problem{What: fmt.Sprintf("the archive has more than %d files", lim.Entries),
				Kind: packfile.ErrTooLarge, Hint: "a rule pack is small; split it, or ask its publisher"}
		}
		data, err := io.ReadAll(io.LimitReader(tr, size.room(head.Name)+1))
		if err != nil {
			return nil, "", broken(packfile.Short(head.Name), err)
		}
		if err := size.add(head.Name, int64(len(data))); err != nil {
			return nil, "", err
		}
		files = append(files, packfile.File{Name: head.Name, Data: data})
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, "", broken("", err)
	}
	return files, Digest(hex.EncodeToString(sum.Sum(nil))), nil
}

// irregular says why an entry is not just a file, before its content is read:
// a sparse file may claim any length.
func irregular(head *tar.Header) string {
	switch head.Typeflag {
	case tar.TypeReg:
		if head.Format&(tar.FormatPAX|tar.FormatGNU) != 0 {
			return "has a PAX or GNU extension"
		}
		return ""
	case tar.TypeLink, tar.TypeSymlink:
		return "is a link"
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return "is a device or pipe"
	case tar.TypeDir:
		return "is a folder entry"
	}
	return fmt.Sprintf("has the tar type %q", head.Typeflag)
}
