package rulepacks

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	"github.com/precept-cds/precept/rulepacks/packfile"
)

const blockSize = 512

// writeTar writes the canonical tar of files, which are in canonical order.
func writeTar(w io.Writer, files []packfile.File) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := tw.WriteHeader(tarHeader(f.Name, int64(len(f.Data)))); err != nil {
			return fmt.Errorf("writing the header of %s: %w", f.Name, err)
		}
		if _, err := tw.Write(f.Data); err != nil {
			return fmt.Errorf("writing %s: %w", f.Name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("ending the archive: %w", err)
	}
	return nil
}

func tarHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
}

// headerBlock returns the one header block a file of this name and size may have.
func headerBlock(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(tarHeader(name, size)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Archive returns the canonical uncompressed tar, the bytes that Digest is of.
func (p *Pack) Archive() []byte {
	var b bytes.Buffer
	if err := writeTar(&b, p.Files); err != nil {
		// The same files were written once to compute Digest, and a buffer does
		// not fail: only a Pack that was modified after reading comes here.
		panic("rulepacks: " + err.Error())
	}
	return b.Bytes()
}

// WriteArchive writes the canonical tar as one gzip member. The compressed
// bytes may differ between Go releases; nothing is signed over them. It refuses
// with packfile.ErrTooLarge what [ReadArchive] would refuse with its default limits.
func (p *Pack) WriteArchive(w io.Writer) error {
	lim := Limits{}.withDefaults()
	size := sizes{lim: lim}
	for _, f := range p.Files {
		if err := size.add(f.Name, int64(len(f.Data))); err != nil {
			return fmt.Errorf("writing the pack archive: %w", err)
		}
	}
	var packed bytes.Buffer
	zw, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("starting gzip: %w", err)
	}
	count := &countingWriter{w: zw}
	if err := writeTar(count, p.Files); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("ending gzip: %w", err)
	}
	if err := lim.check(int64(packed.Len()), count.n); err != nil {
		return fmt.Errorf("writing the pack archive: %w", err)
	}
	if _, err := w.Write(packed.Bytes()); err != nil {
		return fmt.Errorf("writing the pack archive: %w", err)
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
