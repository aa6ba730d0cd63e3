package rulepacks

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
)

func folder(files map[string]string) fs.FS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return out
}

func sample(t testing.TB) *Pack {
	t.Helper()
	p, err := ReadFolder(folder(packtest.With()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// entry is one tar entry of an attack archive. Zero fields are canonical.
type entry struct {
	name string
	data string
	flag byte         // type flag, '0' if zero
	size int64        // size in the header, len(data) if zero
	edit func([]byte) // edits the header block before its checksum is made
}

func (e entry) bytes() []byte {
	size := e.size
	if size == 0 {
		size = int64(len(e.data))
	}
	head := make([]byte, blockSize)
	copy(head, e.name)
	if len(e.name) > 100 {
		if canonical, err := headerBlock(e.name, size); err == nil {
			copy(head, canonical)
		}
	}
	for at, field := range map[int]string{100: "0000600\x00", 108: "0000000\x00", 116: "0000000\x00",
		136: "00000000000\x00", 257: "ustar\x0000", 329: "0000000\x00", 337: "0000000\x00"} {
		copy(head[at:], field)
	}
	copy(head[124:], fmt.Sprintf("%011o\x00", size))
	head[156] = e.flag
	if e.flag == 0 {
		head[156] = '0'
	}
	if e.edit != nil {
		e.edit(head)
	}
	sum := 0
	copy(head[148:], "        ")
	for _, b := range head {
		sum += int(b)
	}
	copy(head[148:], fmt.Sprintf("%06o\x00 ", sum))
	out := append(head, e.data...)
	if rest := len(e.data) % blockSize; rest != 0 {
		out = append(out, make([]byte, blockSize-rest)...)
	}
	return out
}

func rawTar(entries ...entry) []byte {
	var out []byte
	for _, e := range entries {
		out = append(out, e.bytes()...)
	}
	return append(out, make([]byte, 2*blockSize)...)
}

// entries returns the entries of the sample's canonical archive.
func entries(t testing.TB) []entry {
	var out []entry
	for _, f := range sample(t).Files {
		out = append(out, entry{name: f.Name, data: string(f.Data)})
	}
	return out
}

// insert puts an entry at the place its name sorts to, or at the end.
func insert(t testing.TB, e entry) []byte {
	all := entries(t)
	at := len(all)
	for i := range all {
		if all[i].name >= e.name {
			at = i
			break
		}
	}
	return rawTar(append(all[:at:at], append([]entry{e}, all[at:]...)...)...)
}

// edited changes the entry of a name.
func edited(t testing.TB, name string, change func(*entry)) []byte {
	all := entries(t)
	for i := range all {
		if all[i].name == name {
			change(&all[i])
		}
	}
	return rawTar(all...)
}

func zip(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// stockTar writes files as archive/tar does for a given format.
func stockTar(t testing.TB, head tar.Header, data string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	head.Size = int64(len(data))
	if err := w.WriteHeader(&head); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(data))
	w.Close()
	return b.Bytes()
}
