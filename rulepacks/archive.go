package rulepacks

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// Limits bound what [ReadArchive] reads. A zero field means its default. All
// are counted while reading; no size written in a header is believed.
type Limits struct {
	Compressed int64 // bytes of a gzip archive; default 32 MiB
	Expanded   int64 // bytes of the tar inside, in total; default 256 MiB
	Entries    int   // files; default 5,000
	Ratio      int64 // expanded to compressed, above the first MiB; default 100
}

func (l Limits) withDefaults() Limits {
	if l.Compressed == 0 {
		l.Compressed = 32 << 20
	}
	if l.Expanded == 0 {
		l.Expanded = 256 << 20
	}
	if l.Entries == 0 {
		l.Entries = 5000
	}
	if l.Ratio == 0 {
		l.Ratio = 100
	}
	return l
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
	case expanded > l.Expanded:
		what = fmt.Sprintf("the archive expands to more than %d bytes", l.Expanded)
	case packed >= 0 && expanded > ratioFloor && expanded/l.Ratio > packed:
		what = fmt.Sprintf("the archive expands to more than %d times its size", l.Ratio)
	default:
		return nil
	}
	return &Problem{What: what, Kind: ErrTooLarge, Hint: "a rule pack is small; split it, or ask its publisher"}
}

// ReadArchive reads a pack archive, a canonical tar or one gzip member holding
// it, from a source that is not trusted. It accepts exactly the canonical form
// (see the package comment), reads r to its end, and holds at most the expanded
// size in memory. Errors are *[Problem]s; errors of r itself are wrapped.
func ReadArchive(r io.Reader, lim Limits) (*Pack, error) {
	files, sum, err := readEntries(r, lim.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("reading a pack archive: %w", err)
	}
	if len(files) == 0 || files[0].Name != manifestFile {
		return nil, fmt.Errorf("reading a pack archive: %w", &Problem{File: manifestFile,
			What: "is missing", Kind: ErrManifest, Hint: hintRebuild})
	}
	pack, err := FromFiles(files)
	if err != nil {
		return nil, fmt.Errorf("reading a pack archive: %w", err)
	}
	if pack.Digest != sum {
		// readEntries compares every block, so this is the second line of defence.
		return nil, fmt.Errorf("reading a pack archive: %w", &Problem{Kind: ErrNotCanonical,
			What: "the archive differs from the one rebuilt from its files", Hint: hintRebuild})
	}
	return pack, nil
}

const hintRebuild = "build the archive with precept pack build"

// readEntries undoes the compression and reads the entries.
func readEntries(r io.Reader, lim Limits) ([]File, Digest, error) {
	source := bufio.NewReader(r)
	magic, err := source.Peek(2)
	if err != nil {
		return nil, "", truncated("", err)
	}
	tr := &tarReader{sum: sha256.New(), lim: lim}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		tr.src = &countingReader{r: source, max: lim.Expanded, lim: lim}
		err := tr.readAll()
		return tr.files, Digest(hex.EncodeToString(tr.sum.Sum(nil))), err
	}
	packed := &countingReader{r: source, max: lim.Compressed, lim: lim, isPacked: true}
	buffered := bufio.NewReader(packed)
	zr, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, "", truncated("", err)
	}
	zr.Multistream(false)
	tr.src = &countingReader{r: zr, max: lim.Expanded, lim: lim, packed: packed}
	if err := tr.readAll(); err != nil {
		return nil, "", err
	}
	if _, err := buffered.ReadByte(); err == nil {
		return nil, "", &Problem{What: "the archive has bytes after its gzip member",
			Kind: ErrNotCanonical, Hint: hintRebuild}
	} else if err != io.EOF {
		return nil, "", err
	}
	return tr.files, Digest(hex.EncodeToString(tr.sum.Sum(nil))), nil
}

// countingReader fails with ErrTooLarge as soon as it read too much.
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

// truncated explains an error of the underlying reader; name may be "".
func truncated(name string, err error) error {
	var known *Problem
	if errors.As(err, &known) {
		return err
	}
	p := &Problem{File: name, Kind: ErrMalformed, Hint: "fetch the archive again"}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		p.What = "the archive is cut short"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		p.What = "the archive is damaged: " + err.Error()
	case strings.HasPrefix(err.Error(), "flate:"):
		p.What = "the archive is damaged: " + err.Error()
	default:
		return err
	}
	return p
}

// tarReader reads a tar of regular files in canonical USTAR form. It is not
// archive/tar because that one also understands, and hides, everything a
// canonical archive must not hold.
type tarReader struct {
	src   io.Reader
	sum   hash.Hash // over everything read
	lim   Limits
	files []File
}

func (t *tarReader) readAll() error {
	names := newNameSet()
	for {
		var block [blockSize]byte
		if err := t.readFull("", block[:]); err != nil {
			return err
		}
		if isZero(block[:]) {
			return t.readEnd()
		}
		name, size, err := t.parseHeader(&block)
		if err != nil {
			return err
		}
		if err := names.add(name); err != nil {
			return err
		}
		if n := len(t.files); n > 0 && t.files[n-1].Name >= name {
			return &Problem{File: name, What: "the entries are not sorted by name", Kind: ErrNotCanonical, Hint: hintRebuild}
		}
		if len(t.files) >= t.lim.Entries {
			return &Problem{What: fmt.Sprintf("the archive has more than %d files", t.lim.Entries),
				Kind: ErrTooLarge, Hint: "a rule pack is small; split it, or ask its publisher"}
		}
		data, err := t.readContent(name, size)
		if err != nil {
			return err
		}
		t.files = append(t.files, File{Name: name, Data: data})
	}
}

func (t *tarReader) readFull(name string, b []byte) error {
	if _, err := io.ReadFull(t.src, b); err != nil {
		return truncated(name, err)
	}
	t.sum.Write(b)
	return nil
}

// readEnd accepts the second zero block and then nothing.
func (t *tarReader) readEnd() error {
	var block [blockSize]byte
	if err := t.readFull("", block[:]); err != nil {
		return err
	}
	after := &Problem{What: "the tar does not end after two zero blocks", Kind: ErrNotCanonical, Hint: hintRebuild}
	if !isZero(block[:]) {
		return after
	}
	switch n, err := io.ReadFull(t.src, block[:1]); {
	case n > 0:
		return after
	case err != io.EOF:
		return truncated("", err)
	}
	return nil
}

// parseHeader returns name and size of a header that is exactly the one this
// package would write for them.
func (t *tarReader) parseHeader(block *[blockSize]byte) (string, int64, error) {
	name := cString(block[0:100])
	if prefix := cString(block[345:500]); prefix != "" && block[156] != 'S' {
		name = prefix + "/" + name
	}
	if string(block[257:262]) != "ustar" {
		return "", 0, &Problem{What: "it is no USTAR archive, plain or as one gzip member", Kind: ErrMalformed, Hint: hintRebuild}
	}
	if what := irregular(block[156]); what != "" {
		return "", 0, &Problem{File: printable(name), What: what, Kind: ErrNotRegular,
			Hint: "a pack archive holds regular files in USTAR form only; " + hintRebuild}
	}
	if err := checkName(name); err != nil {
		return "", 0, err
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(block[124:136]), " \x00"), 8, 64)
	if err != nil || size < 0 {
		return "", 0, &Problem{File: name, What: "the size in the tar header is not a plain octal number",
			Kind: ErrNotCanonical, Hint: hintRebuild}
	}
	want, err := headerBlock(name, size)
	if err != nil || !bytes.Equal(want, block[:]) {
		return "", 0, &Problem{File: name, Kind: ErrNotCanonical, Hint: hintRebuild,
			What: "the tar header is not the canonical one (USTAR, mode 0600, owner and time zero)"}
	}
	return name, size, nil
}

// readContent reads size bytes and their padding. The buffer grows with what
// arrives, never with what the header promises.
func (t *tarReader) readContent(name string, size int64) ([]byte, error) {
	var data bytes.Buffer
	if _, err := io.CopyN(io.MultiWriter(&data, t.sum), t.src, size); err != nil {
		return nil, truncated(name, err)
	}
	if rest := size % blockSize; rest != 0 {
		padding := make([]byte, blockSize-rest)
		if err := t.readFull(name, padding); err != nil {
			return nil, err
		}
		if !isZero(padding) {
			return nil, &Problem{File: name, What: "bytes are hidden after the end of the file", Kind: ErrNotCanonical, Hint: hintRebuild}
		}
	}
	return data.Bytes(), nil
}

// irregular says what a tar type flag other than '0' stands for.
func irregular(flag byte) string {
	switch flag {
	case '0':
		return ""
	case '1', '2':
		return "is a link"
	case '3', '4', '6':
		return "is a device or pipe"
	case '5':
		return "is a folder entry"
	case 'x', 'g':
		return "is a PAX header"
	case 'L', 'K', 'S', 'V', 'D', 'M', 'N':
		return "is a GNU extension"
	}
	return fmt.Sprintf("has the unknown tar type %q", flag)
}

func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
