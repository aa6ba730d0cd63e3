package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt's two meta pages, as of its file version 2: a page header of 16 bytes, then magic, version, page size
// and flags (uint32 each), root page and sequence, free list page, number of pages, transaction (uint64 each)
// and an FNV-1a checksum of all before it, in the byte order of the machine.
const (
	pageHeader = 16
	metaSize   = 64
	metaMagic  = 0xED0CDAED
)

var pageSizes = []int64{4096, 8192, 16384, 32768, 65536}

// neededSize is how long the file must be for its newest valid meta page.
func neededSize(f io.ReaderAt, size int64) (int64, error) {
	var need int64
	var newest uint64
	for _, pageSize := range pageSizes {
		for page := range int64(2) {
			buf := make([]byte, pageHeader+metaSize)
			if _, err := f.ReadAt(buf, page*pageSize); err != nil {
				continue
			}
			m, ok := parseMeta(buf[pageHeader:])
			if ok && m.pageSize == pageSize && m.tx >= newest {
				newest, need = m.tx, m.pages*pageSize
			}
		}
	}
	if need == 0 {
		return 0, fmt.Errorf("%w: no valid header in its %d bytes", ErrDamaged, size)
	}
	return need, nil
}

type meta struct {
	pageSize, pages int64
	root, freelist  int64
	tx              uint64
}

func parseMeta(b []byte) (m meta, ok bool) {
	if len(b) < metaSize {
		return m, false
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	e := binary.NativeEndian
	if e.Uint32(b) != metaMagic || e.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return m, false
	}
	m = meta{pageSize: int64(e.Uint32(b[8:])), root: int64(e.Uint64(b[16:])), freelist: int64(e.Uint64(b[32:])),
		pages: int64(e.Uint64(b[40:])), tx: e.Uint64(b[48:])}
	return m, m.pages >= 2 && m.pages < 1<<44
}

// NewestTx is the number of the newest transaction of a store file.
func NewestTx(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("reading store file: %w", err)
	}
	defer f.Close()
	w := &walker{f: f, report: &CheckReport{}}
	m, err := w.header()
	return m.tx, err
}
