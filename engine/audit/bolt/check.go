package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/precept-cds/precept/engine/audit"
)

// Check reads a store file without bbolt, whose own code panics on damaged pages: every page that something in the
// store lies on, once, with plain reads. It holds the structure against what bbolt writes: pages that say who they
// are, elements without gaps, keys in order, every page used once or free. What values say is for the log's own
// verification.
//
// Not covered are free pages, the unused ends of pages, and the older one of the two headers.

// A Damage is one place of a store file that is not as it was written.
type Damage struct {
	Bucket string `json:"bucket,omitempty"` // the space it belongs to; empty if to the file as a whole
	Page   int64  `json:"page"`
	Offset int64  `json:"offset"` // of the page in the file, in bytes
	What   string `json:"what"`
}

// String tells it in one line.
func (d Damage) String() string {
	where := fmt.Sprintf("page %d at byte %d", d.Page, d.Offset)
	if d.Bucket != "" {
		where = d.Bucket + ", " + where
	}
	return where + ": " + d.What
}

// A CheckReport is what a check of a store file found.
type CheckReport struct {
	Tx     uint64   `json:"tx"`    // newest transaction
	Pages  int64    `json:"pages"` // of the file
	Read   int64    `json:"read"`  // pages that were read
	Damage []Damage `json:"damage,omitempty"`
	Notes  []string `json:"notes,omitempty"` // what is odd and harmless
}

// CheckOptions change a check.
type CheckOptions struct {
	// Quick reads headers, free list and the roots of all buckets only.
	Quick bool
	// Progress is told how many pages were read, of how many. It may be nil.
	Progress func(read, pages int64)
}

// Bounds of a check.
const (
	maxDamage = 100
	maxDepth  = 32
	maxRun    = audit.MaxBlob + 1<<20 // bytes of one page with those that go on from it
)

// Flags of pages and of elements.
const (
	pageBranch, pageLeaf, pageMeta, pageFreelist = 0x01, 0x02, 0x04, 0x10
	elementBucket                                = 0x01
	elementSize                                  = 16
	bucketHeader                                 = 16
)

// errTooMuch ends a check that has found enough.
var errTooMuch = errors.New("too much is damaged")

// Check checks a store file that nobody writes to. The error says that the check could not be done; damage is in the
// report.
func Check(ctx context.Context, path string, o CheckOptions) (*CheckReport, error) {
	f, err := openFile(path, os.O_RDONLY, 0)
	if errors.Is(err, audit.ErrDamaged) {
		return &CheckReport{Damage: []Damage{{What: err.Error()}}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking store file %s: %w", path, err)
	}
	defer f.Close()
	w := &walker{ctx: ctx, f: f, options: o, report: &CheckReport{}}
	if err := w.run(); err != nil && !errors.Is(err, errTooMuch) {
		return nil, fmt.Errorf("checking store file %s: %w", path, err)
	}
	return w.report, nil
}

// walker is a check under way.
type walker struct {
	ctx     context.Context
	f       io.ReaderAt
	options CheckOptions
	report  *CheckReport
	size    int64 // of a page
	used    bitmap
	free    bitmap
	bucket  string
	visit   func(page, end, more int64) // of tests: what is used of each page
}

type bitmap []uint64

func (b bitmap) has(n int64) bool { return b[n/64]>>(n%64)&1 == 1 }
func (b bitmap) set(n int64)      { b[n/64] |= 1 << (n % 64) }

// damage notes what is wrong with a page.
func (w *walker) damage(page int64, format string, args ...any) error {
	w.report.Damage = append(w.report.Damage, Damage{w.bucket, page, page * w.size, fmt.Sprintf(format, args...)})
	if len(w.report.Damage) == maxDamage {
		return errTooMuch
	}
	return nil
}

func (w *walker) run() error {
	m, err := w.header()
	if err != nil {
		return err
	}
	w.report.Tx, w.report.Pages, w.size = m.tx, m.pages, m.pageSize
	w.used, w.free = make(bitmap, m.pages/64+1), make(bitmap, m.pages/64+1)
	w.used.set(0)
	w.used.set(1)
	if err := w.freelist(m.freelist); err != nil {
		return err
	}
	if err := w.tree(m.root, nil, nil, 0, true); err != nil {
		return err
	}
	lost := 0
	for page := int64(2); page < m.pages && !w.options.Quick && len(w.report.Damage) == 0; page++ {
		if !w.used.has(page) && !w.free.has(page) {
			lost++
		}
	}
	if lost > 0 {
		w.report.Notes = append(w.report.Notes, fmt.Sprintf("%d pages are neither used nor free", lost))
	}
	return nil
}

// header finds the newest valid header.
func (w *walker) header() (newest meta, err error) {
	valid := 0
	for _, pageSize := range pageSizes {
		for page := range int64(2) {
			buf := make([]byte, pageHeader+metaSize)
			if _, err := w.f.ReadAt(buf, page*pageSize); err != nil {
				continue
			}
			m, ok := parseMeta(buf[pageHeader:])
			if !ok || m.pageSize != pageSize {
				continue
			}
			if h := parseHeader(buf); h.id != page || h.flags != pageMeta || h.overflow != 0 {
				w.size = pageSize
				if err := w.damage(page, "header page does not say that it is one"); err != nil {
					return newest, err
				}
			}
			if valid++; m.tx >= newest.tx {
				newest = m
			}
		}
	}
	if valid < 2 {
		w.report.Notes = append(w.report.Notes, "one of the two headers is not valid: the state of the other one is shown")
	}
	return newest, nil
}

// header of a page.
type header struct {
	id, overflow int64
	flags, count uint16
}

func parseHeader(b []byte) header {
	e := binary.NativeEndian
	return header{id: int64(e.Uint64(b)), flags: e.Uint16(b[8:]), count: e.Uint16(b[10:]),
		overflow: int64(e.Uint32(b[12:]))}
}

// page reads a page with those that go on from it, and marks them used. Nil means that it is damaged, which is noted.
func (w *walker) page(page int64, what string) (h header, data []byte, err error) {
	if err := w.ctx.Err(); err != nil {
		return h, nil, err
	}
	if page < 2 || page >= w.report.Pages {
		return h, nil, w.damage(page, "%s would lie outside the file", what)
	}
	head := make([]byte, pageHeader)
	if _, err := w.f.ReadAt(head, page*w.size); err != nil {
		return h, nil, w.damage(page, "%s cannot be read: %v", what, err)
	}
	h = parseHeader(head)
	if h.id != page {
		return h, nil, w.damage(page, "%s says that it is page %d", what, h.id)
	}
	if h.overflow >= w.report.Pages-page || (h.overflow+1)*w.size > maxRun {
		return h, nil, w.damage(page, "%s says that it goes on for %d pages", what, h.overflow)
	}
	for p := page; p <= page+h.overflow; p++ {
		switch {
		case w.used.has(p):
			return h, nil, w.damage(p, "%s is used twice", what)
		case w.free.has(p):
			return h, nil, w.damage(p, "%s is in the list of free pages", what)
		}
		w.used.set(p)
	}
	n := (h.overflow + 1) * w.size
	data = make([]byte, n)
	if _, err := w.f.ReadAt(data, page*w.size); err != nil {
		return h, nil, w.damage(page, "%s cannot be read: %v", what, err)
	}
	w.report.Read += h.overflow + 1
	if w.options.Progress != nil {
		w.options.Progress(w.report.Read, w.report.Pages)
	}
	return h, data, nil
}

// freelist reads the list of free pages.
func (w *walker) freelist(page int64) error {
	h, data, err := w.page(page, "the list of free pages")
	if err != nil || data == nil {
		return err
	}
	if h.flags != pageFreelist {
		return w.damage(page, "the list of free pages does not say that it is one")
	}
	count, ids := int64(h.count), data[pageHeader:]
	if h.count == 0xFFFF {
		count, ids = int64(binary.NativeEndian.Uint64(ids)), ids[8:]
	}
	if count < 0 || count > int64(len(ids))/8 {
		return w.damage(page, "the list of free pages says that it has %d", count)
	}
	last := int64(1)
	for i := range count {
		id := int64(binary.NativeEndian.Uint64(ids[8*i:]))
		if id <= last || id >= w.report.Pages || w.used.has(id) {
			return w.damage(page, "page %d is not where it can be in the list of free pages", id)
		}
		last = id
		w.free.set(id)
	}
	w.visited(page, pageHeader+int64(len(data)-pageHeader-len(ids))+8*count, h.overflow)
	return nil
}

// element of a page: a key with a value, or with the page it leads to.
type element struct {
	flags      uint32
	key, value []byte
	page       int64
}

// elements takes a page apart. It says what is wrong if that cannot be.
func elements(h header, data []byte, leaf bool) (out []element, end int, wrong string) {
	e := binary.NativeEndian
	end = pageHeader + elementSize*int(h.count)
	if end > len(data) {
		return nil, 0, fmt.Sprintf("it says that it has %d elements", h.count)
	}
	out = make([]element, h.count)
	for i := range out {
		at := pageHeader + elementSize*i
		b := data[at:]
		var pos, ksize, vsize int
		if leaf {
			out[i].flags = e.Uint32(b)
			pos, ksize, vsize = int(e.Uint32(b[4:])), int(e.Uint32(b[8:])), int(e.Uint32(b[12:]))
		} else {
			pos, ksize, out[i].page = int(e.Uint32(b)), int(e.Uint32(b[4:])), int64(e.Uint64(b[8:]))
		}
		if at+pos != end || ksize == 0 || ksize > len(data)-end || vsize > len(data)-end-ksize {
			return nil, 0, fmt.Sprintf("element %d does not lie where the one before ends", i)
		}
		out[i].key, out[i].value = data[end:end+ksize], data[end+ksize:end+ksize+vsize]
		end += ksize + vsize
	}
	return out, end, ""
}

// tree reads the pages of a bucket from one on. Its keys begin with low, which is nil at the root, and lie below high,
// which is nil at the right edge: bbolt keeps the keys of a branch the first ones of its children.
func (w *walker) tree(page int64, low, high []byte, depth int, top bool) error {
	if depth > maxDepth {
		return w.damage(page, "the tree is too deep")
	}
	h, data, err := w.page(page, "the page")
	if err != nil || data == nil {
		return err
	}
	if h.flags != pageBranch && h.flags != pageLeaf {
		return w.damage(page, "it is neither a branch nor a leaf: flags %#x", h.flags)
	}
	leaf := h.flags == pageLeaf
	list, end, wrong := elements(h, data, leaf)
	if wrong == "" {
		wrong = inOrder(list, low, high)
	}
	if wrong == "" && int64(end+int(w.size)-1)/w.size != h.overflow+1 {
		wrong = fmt.Sprintf("it goes on for %d pages, and its elements end elsewhere", h.overflow)
	}
	if wrong == "" && !leaf && len(list) == 0 {
		wrong = "a branch without children"
	}
	if wrong != "" {
		return w.damage(page, "%s", wrong)
	}
	w.visited(page, int64(end), h.overflow)
	if leaf {
		return w.leaf(page, list, depth, top)
	}
	if w.options.Quick && !top {
		return nil
	}
	for i, e := range list {
		upper := high
		if i+1 < len(list) {
			upper = list[i+1].key
		}
		if err := w.tree(e.page, e.key, upper, depth+1, top); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) visited(page, end, more int64) {
	if w.visit != nil {
		w.visit(page, end, more)
	}
}

func inOrder(list []element, low, high []byte) string {
	for i, e := range list {
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 {
			return fmt.Sprintf("the key of element %d is not above the one before", i)
		}
	}
	n := len(list)
	if n > 0 && (low != nil && !bytes.Equal(list[0].key, low) || high != nil && bytes.Compare(list[n-1].key, high) >= 0) {
		return "its keys are not those that the page above says"
	}
	return ""
}

// leaf looks at the elements of a leaf: buckets at the top, values below.
func (w *walker) leaf(page int64, list []element, depth int, top bool) error {
	for i, e := range list {
		switch {
		case !top && e.flags != 0:
			if err := w.damage(page, "element %d is not a value: flags %#x", i, e.flags); err != nil {
				return err
			}
		case top:
			if err := w.root(page, e, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// root reads a bucket from what stands for it at the top.
func (w *walker) root(page int64, e element, depth int) error {
	defer func(before string) { w.bucket = before }(w.bucket)
	if e.flags != elementBucket || len(e.value) < bucketHeader || !spaceName(string(e.key)) {
		return w.damage(page, "an element at the top is not a bucket of a store")
	}
	w.bucket = string(e.key)
	root, sequence := int64(binary.NativeEndian.Uint64(e.value)), binary.NativeEndian.Uint64(e.value[8:])
	if sequence != 0 {
		return w.damage(page, "the bucket has a sequence")
	}
	if root != 0 {
		if len(e.value) != bucketHeader {
			return w.damage(page, "the bucket has both a page and values beside it")
		}
		return w.tree(root, nil, nil, depth+1, false)
	}
	// A small bucket lies within the element, as a leaf of its own.
	data := e.value[bucketHeader:]
	if len(data) < pageHeader {
		return w.damage(page, "the bucket is cut short")
	}
	h := parseHeader(data)
	list, end, wrong := elements(h, data, true)
	switch {
	case h.flags != pageLeaf || h.overflow != 0 || h.id != 0:
		wrong = "the bucket within is not a leaf"
	case wrong == "" && end != len(data):
		wrong = "the bucket within does not end with its elements"
	case wrong == "":
		wrong = inOrder(list, nil, nil)
	}
	if wrong != "" {
		return w.damage(page, "%s", wrong)
	}
	return w.leaf(page, list, depth+1, false)
}

func spaceName(name string) bool {
	for space := range audit.Spaces {
		if space.String() == name {
			return true
		}
	}
	return false
}
