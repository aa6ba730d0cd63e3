package terminology

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"
)

// ErrRelease means that the files of a publisher cannot be read as what they should
// be. Unpack them again, or look at the line.
var ErrRelease = errors.New("cannot read the release")

// maxLine bounds one row of a file. The longest of RxNorm are attributes of a few
// thousand bytes.
const maxLine = 1 << 20

// Progress is told how many of the bytes of all files were read.
type Progress func(read, total int64)

// source reads the files of a release and keeps the count for progress.
type source struct {
	ctx         context.Context
	fsys        fs.FS
	read, total int64
	progress    Progress
}

// rows reads a file of RRF row by row: columns between "|", no quotes, and "|" at the
// end of each row. A row with fewer columns than wanted ends the reading; more are
// allowed, as a later release may have them. What the columns hold is overwritten by
// the next row.
func (s *source) rows(name string, columns int, each func(row [][]byte) error) error {
	f, err := s.fsys.Open(name)
	if err != nil {
		return fmt.Errorf("opening %s: %w", name, err)
	}
	defer f.Close()
	line := 0
	fail := func(what string, args ...any) error {
		return fmt.Errorf("reading %s:%d: %w: %s", name, line, ErrRelease, fmt.Sprintf(what, args...))
	}
	r := bufio.NewReaderSize(f, maxLine)
	row := make([][]byte, 0, columns+8)
	for {
		line++
		b, err := r.ReadSlice('\n')
		s.read += int64(len(b))
		switch {
		case err == io.EOF && len(b) == 0:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return fail("the row has more than %d bytes", maxLine)
		case err != nil && err != io.EOF:
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if line%20_000 == 0 {
			if err := s.ctx.Err(); err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
			if s.progress != nil {
				s.progress(s.read, s.total)
			}
		}
		b = bytes.TrimRight(b, "\r\n")
		if len(b) == 0 {
			continue
		}
		row = row[:0]
		for len(row) < columns {
			column, rest, more := bytes.Cut(b, []byte{'|'})
			row = append(row, column)
			if b = rest; !more {
				break
			}
		}
		if len(row) < columns {
			return fail("the row has %d columns, want %d", len(row), columns)
		}
		if err := each(row); err != nil {
			return fail("%v", err)
		}
	}
}

// number reads a column that holds a number of at most nine digits; 0 is none.
func rowNumber(b []byte) uint32 {
	if len(b) == 0 || len(b) > 9 {
		return 0
	}
	n := uint32(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint32(c-'0')
	}
	return n
}

// rowText reads a column that holds a text.
func rowText(b []byte) (string, bool) {
	return string(b), len(b) > 0 && len(b) <= 4000 && utf8.Valid(b)
}

// size returns how long a file is; ok is false if there is none.
func size(fsys fs.FS, name string) (n int64, ok bool, err error) {
	info, err := fs.Stat(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("looking for %s: %w", name, err)
	}
	return info.Size(), true, nil
}
