package rulepacks

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/precept-cds/precept/rulepacks/manifest"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/rulepacks/packfile/packtest"
	"github.com/precept-cds/precept/rulepacks/vocab"
)

func TestArchiveAttacks(t *testing.T) {
	good := sample(t).Archive()
	zeros := strings.Repeat("\x00", 4<<20)
	dotManifest := string(sample(t).Files[0].Data)
	for _, test := range []struct {
		name   string
		expect packfile.Kind
		data   []byte
	}{
		// reference/trust.md 1.2: what OPA's own reader lets pass.
		{"same entry twice", ErrDuplicate, insert(t, entry{name: "NOTICE", data: "x"})},
		{"signature file", ErrUnsafeName, insert(t, entry{name: "rules/.signatures.json", data: "{}"})},
		{"signature file in a folder", ErrUnknownFile, insert(t, entry{name: "cases/sub/signatures.json", data: "{}"})},
		{"signature file by suffix", ErrUnknownFile, insert(t, entry{name: "cases/foosignatures.json", data: "{}"})},
		{"dot file in the root", ErrUnsafeName, insert(t, entry{name: ".signatures.json", data: "{}"})},
		{"data.json", ErrUnknownFile, insert(t, entry{name: "data.json", data: "{}"})},
		{"data.yaml among the cases", ErrUnknownFile, insert(t, entry{name: "cases/data.yaml", data: packtest.Cases})},
		{"delta bundle", ErrUnknownFile, insert(t, entry{name: "patch.json", data: "{}"})},
		{"wasm", ErrUnknownFile, insert(t, entry{name: "policy.wasm", data: "x"})},
		{"duplicate JSON key", packfile.ErrMalformed, edited(t, "valuesets/metformin.json", func(e *entry) {
			e.data = strings.Replace(e.data, `{"id"`, `{"id": "x", "id"`, 1)
		})},
		{"symlink pointing outside", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: '2',
			edit: link("../../etc/passwd")})},
		{"second gzip member", ErrNotCanonical, append(zip(good), zip([]byte("more"))...)},
		{"second empty gzip member", ErrNotCanonical, append(zip(good), zip(nil)...)},
		{"bytes after the gzip member", ErrNotCanonical, append(zip(good), 0)},
		{"another .manifest by suffix", ErrUnknownFile, insert(t, entry{name: "cases/x.manifest", data: dotManifest})},
		{"another .manifest in a folder", ErrUnsafeName, insert(t, entry{name: "t1/.manifest", data: dotManifest})},
		{".manifest.pb", ErrUnsafeName, insert(t, entry{name: ".manifest.pb", data: "x"})},
		{"many medium files", packfile.ErrTooLarge, zip(rawTar(manyFiles(8, zeros)...))},
		{"path through ..", ErrUnsafeName, insert(t, entry{name: "rules/../../x/data.json", data: "{}"})},
		{"path from ..", ErrUnsafeName, insert(t, entry{name: "../../x/data.json", data: "{}"})},
		{"case twins", ErrDuplicate, insert(t, entry{name: "cases/LOW.yaml", data: packtest.Cases})},
		{"case twin folders", ErrDuplicate, rawTar(entry{name: "cases/A/x.yaml"}, entry{name: "cases/a/y.yaml"})},
		{"file that is also a folder", ErrDuplicate, rawTar(entry{name: "cases/a.yaml"},
			entry{name: "cases/a.yaml/b.yaml"})},
		{"case twin of a file as folder", ErrDuplicate, rawTar(entry{name: "cases/A.yaml"},
			entry{name: "cases/a.yaml/b.yaml"})},

		// 1.3: the canonical form.
		{"absolute name", ErrUnsafeName, insert(t, entry{name: "/NOTICE", data: "x"})},
		{"dot segment", ErrUnsafeName, insert(t, entry{name: "./NOTICE", data: "x"})},
		{"empty segment", ErrUnsafeName, insert(t, entry{name: "rules//a.rego", data: "x"})},
		{"empty name", ErrUnsafeName, insert(t, entry{name: "", data: "x"})},
		{"backslash", ErrUnsafeName, insert(t, entry{name: `rules\a.rego`, data: "x"})},
		{"newline", ErrUnsafeName, insert(t, entry{name: "rules/a\n.rego", data: "x"})},
		{"escape sequence", ErrUnsafeName, insert(t, entry{name: "rules/\x1b[2J.rego", data: "x"})},
		{"not NFC", ErrUnsafeName, insert(t, entry{name: "cases/u\u0308.yaml", data: "x"})},
		{"not UTF-8", ErrUnsafeName, insert(t, entry{name: "cases/\xff.yaml", data: "x"})},
		{"not ASCII", ErrUnsafeName, insert(t, entry{name: "cases/\u00fc.yaml", data: "x"})},
		{"device name", ErrUnsafeName, insert(t, entry{name: "cases/con.yaml", data: "x"})},
		{"name of 201 bytes", ErrUnsafeName, insert(t, entry{name: longName(201), data: "x"})},
		{"unsorted", ErrNotCanonical, unsorted(t)},
		{"mode 0644", ErrNotCanonical, edited(t, "NOTICE", headerField(100, "0000644\x00"))},
		{"owner", ErrNotCanonical, edited(t, "NOTICE", headerField(108, "0001750\x00"))},
		{"owner name", ErrNotCanonical, edited(t, "NOTICE", headerField(265, "root"))},
		{"time", ErrNotCanonical, edited(t, "NOTICE", headerField(136, "14000000000\x00"))},
		{"link name on a file", ErrNotCanonical, edited(t, "NOTICE", headerField(157, "pack.yaml"))},
		{"bytes after the name", ErrNotCanonical, edited(t, "NOTICE", headerField(8, "hidden"))},
		{"bytes at the end of the header", ErrNotCanonical, edited(t, "NOTICE", headerField(505, "hidden"))},
		{"needless prefix", ErrNotCanonical, edited(t, "rules/low.rego", func(e *entry) {
			e.name, e.edit = "low.rego", func(h []byte) { copy(h[345:], "rules") }
		})},
		{"old tar", ErrNotCanonical, edited(t, "NOTICE", headerField(257, "\x00\x00\x00\x00\x00\x00\x00\x00"))},
		{"GNU magic", ErrNotRegular, edited(t, "NOTICE", headerField(257, "ustar  \x00"))},
		{"size in base 256", ErrNotCanonical, edited(t, "NOTICE", headerField(124,
			"\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"))},
		{"negative size", packfile.ErrMalformed, edited(t, "NOTICE", headerField(124, "-0000000001\x00"))},
		{"wrong checksum", packfile.ErrMalformed, flip(good, 148)},
		{"bytes in the padding", ErrNotCanonical, flip(good, blockSize*2-1)},
		{"one zero block", ErrNotCanonical, good[:len(good)-blockSize]},
		{"entry after a zero block", packfile.ErrMalformed, append(append(good[:len(good)-blockSize:len(good)-blockSize],
			entry{name: "rules/z.rego"}.bytes()...), make([]byte, 2*blockSize)...)},
		{"third zero block", ErrNotCanonical, append(bytes.Clone(good), make([]byte, blockSize)...)},
		{"byte after the end", ErrNotCanonical, append(bytes.Clone(good), 0)},

		// 1.4: known attacks on readers of archives.
		{"hard link", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: '1', edit: link("../pack.yaml")})},
		{"file through a symlink", ErrNotRegular, rawTar(entry{name: "cases", flag: '2', edit: link("/etc")},
			entry{name: "cases/x.yaml", data: "x"})},
		{"folder entry", ErrNotRegular, insert(t, entry{name: "rules/", flag: '5'})},
		{"character device", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: '3'})},
		{"block device", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: '4'})},
		{"pipe", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: '6'})},
		{"contiguous file", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: '7'})},
		{"type flag zero byte", ErrNotCanonical, edited(t, "NOTICE", func(e *entry) {
			e.edit = func(h []byte) { h[156] = 0 }
		})},
		{"PAX header of 2 MiB", packfile.ErrMalformed, rawTar(entry{name: "NOTICE", flag: 'x',
			data: strings.Repeat("9 a=bbbb\n", 233017)})},
		{"PAX header by the library", ErrNotRegular, stockTar(t, tar.Header{Name: "NOTICE", Mode: 0o600,
			Format: tar.FormatPAX, PAXRecords: map[string]string{"PRECEPT.x": "1"}}, "x")},
		{"global PAX header", ErrNotRegular, rawTar(entry{name: "NOTICE", flag: 'g', data: "9 a=bbbb\n"})},
		{"PAX header over the good name", ErrNotRegular, rawTar(append([]entry{{name: "x", flag: 'x',
			data: "18 path=.manifest\n"}}, entries(t)...)...)},
		{"GNU long name", ErrNotCanonical, rawTar(append([]entry{{name: "././@LongLink", flag: 'L', data: ".manifest\x00"}},
			entries(t)...)...)},
		{"GNU long link", ErrNotCanonical, rawTar(append([]entry{{name: "././@LongLink", flag: 'K',
			data: "/etc/passwd\x00"}}, entries(t)...)...)},
		{"GNU sparse file of 1 GiB", ErrNotRegular, insert(t, entry{name: "rules/x.rego", flag: 'S', edit: sparseFile})},
		{"GNU sparse file with a huge map", packfile.ErrMalformed, insert(t,
			entry{name: "rules/x.rego", flag: 'S', edit: sparseMap})},
		{"size larger than the archive", packfile.ErrMalformed, rawTar(entry{name: "NOTICE", data: "x", size: 200 << 20})},
		{"size larger than any limit", packfile.ErrTooLarge, zip(append(entry{name: "NOTICE", size: 300 << 20}.bytes(),
			bytes.Repeat([]byte(" "), 2<<20)...))},
		{"nested gzip", packfile.ErrMalformed, zip(zip(good))},
		{"too many entries", packfile.ErrTooLarge, rawTar(manyFiles(30_001, "")...)},
		{"BOM", packfile.ErrMalformed, edited(t, "messages/de.json", func(e *entry) { e.data = "\xef\xbb\xbf" + e.data })},
		{"lone surrogate", packfile.ErrMalformed, edited(t, "messages/de.json",
			func(e *entry) { e.data = `{"a": "\ud800"}` })},
		{"null value set", vocab.ErrValueSet, edited(t, "valuesets/metformin.json", func(e *entry) { e.data = "null" })},
		{"null pack", manifest.ErrManifest, edited(t, "pack.yaml", func(e *entry) { e.data = "null" })},
		{"changed .manifest", manifest.ErrManifest, edited(t, ".manifest",
			func(e *entry) { e.data = strings.Replace(e.data, "1.10.0", "1.10.1", 1) })},
		{"empty root in .manifest", manifest.ErrManifest, edited(t, ".manifest",
			func(e *entry) { e.data = strings.Replace(e.data, "packs/sample", "", 1) })},
		{"reformatted .manifest", manifest.ErrManifest, edited(t, ".manifest", func(e *entry) { e.data += "\n" })},
		{"no .manifest", ErrNotCanonical, rawTar(entries(t)[1:]...)},
		{"file unknown to pack.yaml", vocab.ErrValueSet, insert(t, entry{name: "valuesets/other.json",
			data: strings.Replace(packtest.ValueSet, `"metformin"`, `"other"`, 1)})},
		{"pack named by path", manifest.ErrManifest, edited(t, "pack.yaml",
			func(e *entry) { e.data = strings.Replace(e.data, "sample", "../sample", 1) })},

		// Cut and broken archives.
		{"nothing", packfile.ErrMalformed, nil},
		{"one byte", packfile.ErrMalformed, []byte{0x1f}},
		{"gzip header only", packfile.ErrMalformed, []byte{0x1f, 0x8b}},
		{"cut tar", packfile.ErrMalformed, good[:len(good)/2+7]},
		{"cut gzip", packfile.ErrMalformed, zip(good)[:200]},
		{"cut gzip checksum", packfile.ErrMalformed, zip(good)[:len(zip(good))-3]},
		{"wrong gzip checksum", packfile.ErrMalformed, flip(zip(good), len(zip(good))-6)},
		{"broken deflate", packfile.ErrMalformed,
			[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff\xff\xff")},
		{"empty tar", manifest.ErrManifest, make([]byte, 2*blockSize)},
		{"zip file", packfile.ErrMalformed, bytes.Repeat([]byte("PK\x03\x04\x00\x00\x01\x02"), 100)},
	} {
		t.Run(test.name, func(t *testing.T) {
			pack, err := ReadArchive(bytes.NewReader(test.data), Limits{})
			if pack != nil {
				t.Error("a pack was returned beside the error")
			}
			packtest.Refused(t, err, test.expect)
		})
	}
}

func TestArchiveLimits(t *testing.T) {
	good := sample(t).Archive()
	size := int64(len(good))
	noise := bytes.NewBuffer(nil)
	for i := range 200_000 {
		fmt.Fprintf(noise, "%x\n", uint32(i)*2654435761)
	}
	big := zip(edited(t, "NOTICE", func(e *entry) { e.data = noise.String() }))
	for _, test := range []struct {
		name string
		data []byte
		lim  Limits
		want error
	}{
		{"exact size of a tar", good, Limits{Expanded: size}, nil},
		{"exact size of a gzip", zip(good), Limits{Expanded: size, Compressed: int64(len(zip(good)))}, nil},
		{"expanded", good, Limits{Expanded: size - 1}, packfile.ErrTooLarge},
		{"expanded in gzip", zip(good), Limits{Expanded: size - 1}, packfile.ErrTooLarge},
		{"compressed", zip(good), Limits{Compressed: int64(len(zip(good))) - 1}, packfile.ErrTooLarge},
		{"entries", good, Limits{Entries: len(entries(t)) - 1}, packfile.ErrTooLarge},
		{"exact entries", good, Limits{Entries: len(entries(t))}, nil},
		{"ratio kept", big, Limits{Ratio: 10}, nil},
		{"ratio", big, Limits{Ratio: 1}, packfile.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadArchive(bytes.NewReader(test.data), test.lim)
			if !errors.Is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
		})
	}
}

// An endless stream must be given up at the limit, not read to its end.
func TestArchiveEndless(t *testing.T) {
	head := entry{name: "NOTICE", size: 1 << 32}.bytes()
	endless := &countingReader{r: io.MultiReader(bytes.NewReader(head), forever{}), max: 1 << 40,
		lim: Limits{Expanded: 1 << 40}}
	_, err := ReadArchive(endless, Limits{Expanded: 1 << 20})
	packtest.Refused(t, err, packfile.ErrTooLarge)
	if endless.n > 2<<20 {
		t.Errorf("read %d bytes with a limit of 1 MiB", endless.n)
	}
}

type forever struct{}

func (forever) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

// The reader's own errors must come through, so that a caller can retry.
func TestArchiveReadError(t *testing.T) {
	broken := errors.New("connection lost")
	for _, data := range [][]byte{nil, sample(t).Archive()[:700], zip(sample(t).Archive())[:100]} {
		_, err := ReadArchive(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), Limits{})
		if !errors.Is(err, broken) || errors.Is(err, packfile.ErrMalformed) {
			t.Errorf("after %d bytes the error is %v", len(data), err)
		}
	}
}

// GNU tar, bsdtar and Go's own reader must agree on what an archive holds.
func TestArchiveStockReaders(t *testing.T) {
	p := sample(t)
	r := tar.NewReader(bytes.NewReader(p.Archive()))
	for _, f := range p.Files {
		head, err := r.Next()
		if err != nil || head.Name != f.Name || head.Mode != 0o600 || !head.ModTime.Equal(time.Unix(0, 0)) {
			t.Fatalf("archive/tar reads %v, %v; want %s", head, err, f.Name)
		}
		if data, _ := io.ReadAll(r); !bytes.Equal(data, f.Data) {
			t.Errorf("archive/tar reads other bytes of %s", f.Name)
		}
	}
	dir := t.TempDir()
	cmd := exec.Command("tar", "-xf", "-", "-C", dir)
	cmd.Stdin = bytes.NewReader(p.Archive())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	for _, f := range p.Files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || !bytes.Equal(data, f.Data) {
			t.Errorf("tar extracts other bytes of %s: %v", f.Name, err)
		}
	}
}

// An auditor computes both digests with find, sort and sha256sum.
func TestDigestsByShell(t *testing.T) {
	p := sample(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, filesFS(p.Files)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `find . -type f | sed 's,^\./,,' | LC_ALL=C sort | xargs sha256sum | sha256sum`)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), p.DirHash1) {
		t.Errorf("dirHash1 by shell is %s, %v; want %s", out, err, p.DirHash1)
	}
	cmd = exec.Command("sha256sum")
	cmd.Stdin = bytes.NewReader(p.Archive())
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), string(p.Digest)) {
		t.Errorf("sha256sum says %s, %v; want %s", out, err, p.Digest)
	}
}

func TestWriteArchiveRefusesWhatReadArchiveWould(t *testing.T) {
	p, err := ReadFolder(folder(packtest.With("NOTICE", strings.Repeat(" ", 8<<20))))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	packtest.Refused(t, p.WriteArchive(&b), packfile.ErrTooLarge)
	if b.Len() > 0 {
		t.Error("bytes were written before the refusal")
	}
	if _, err := ReadArchive(bytes.NewReader(zip(p.Archive())), Limits{}); !errors.Is(err, packfile.ErrTooLarge) {
		t.Errorf("ReadArchive says %v", err)
	}
}

func TestReadFolderRefusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		expect packfile.Kind
		edit   func(fstest.MapFS)
		want   string
	}{
		{"symlink", ErrNotRegular, func(m fstest.MapFS) {
			m["rules/x.rego"] = &fstest.MapFile{Data: []byte("../pack.yaml"), Mode: fs.ModeSymlink}
		}, "rules/x.rego"},
		{"backup file", ErrUnsafeName, func(m fstest.MapFS) { m["rules/low.rego~"] = &fstest.MapFile{} }, "rules/low.rego~"},
		{"nested rule", ErrUnknownFile, func(m fstest.MapFS) { m["rules/a/b.rego"] = &fstest.MapFile{} }, "rules/a/b.rego"},
		{"NUL byte", packfile.ErrMalformed, func(m fstest.MapFS) { m["NOTICE"] = &fstest.MapFile{Data: []byte("a\nb\x00")} },
			"NOTICE:2"},
		{"Latin-1", packfile.ErrMalformed, func(m fstest.MapFS) {
			m["NOTICE"] = &fstest.MapFile{Data: []byte("a\nb\n\xfc")}
		}, "NOTICE:3"},
		{"empty translation", ErrMessages, func(m fstest.MapFS) {
			m["messages/de.json"] = &fstest.MapFile{Data: []byte("{\n\"Low: {egfr}\": \" \"}")}
		}, "messages/de.json:2"},
		{"stale manifest", manifest.ErrManifest, func(m fstest.MapFS) {
			m[".manifest"] = &fstest.MapFile{Data: []byte("{}")}
		}, ".manifest"},
		{"no pack.yaml", manifest.ErrManifest, func(m fstest.MapFS) { delete(m, "pack.yaml") }, "pack.yaml"},
		{"no rules", manifest.ErrManifest, func(m fstest.MapFS) { delete(m, "rules/low.rego") }, "rules"},
		{"value set without file", vocab.ErrValueSet, func(m fstest.MapFS) { delete(m, "valuesets/metformin.json") },
			"pack.yaml:15"},
		{"table in a rules pack", ErrUnknownFile, func(m fstest.MapFS) {
			m["tables/products.json"] = &fstest.MapFile{Data: []byte("{}")}
		}, "tables"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := folder(packtest.With()).(fstest.MapFS)
			test.edit(m)
			_, err := ReadFolder(m)
			packtest.Refused(t, err, test.expect, test.want)
		})
	}
}

// What an author's tools keep in the folder does not change the pack.
func TestReadFolderLeavesHiddenOut(t *testing.T) {
	p, err := ReadFolder(folder(packtest.With(".git/config", "x", ".editorconfig", "x", "rules/.low.rego.swp", "x")))
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest != sample(t).Digest {
		t.Error("hidden files changed the digest")
	}
}

func TestWalkFolderLimits(t *testing.T) {
	_, err := walkFolder(folder(packtest.With()), Limits{Entries: 6, Expanded: 1 << 20})
	packtest.Refused(t, err, packfile.ErrTooLarge, "more than 6 files")
	_, err = walkFolder(folder(packtest.With()), Limits{Entries: 7, Expanded: 1000})
	packtest.Refused(t, err, packfile.ErrTooLarge, "more than an archive may expand to")
}

// All problems of a folder come at once, each with its place.
func TestReadFolderReportsAll(t *testing.T) {
	_, err := ReadFolder(folder(packtest.With("valuesets/metformin.json", `{"id":"x","kind":"drug","codes":[]}`,
		"cases/low.yaml", "cases:\n  - name: a\n  - name: a\n", "messages/de.json", "{")))
	if n := len(packfile.Problems(err)); n < 7 {
		t.Errorf("%d problems, want at least 7:\n%v", n, err)
	}
}

func filesFS(files []packfile.File) fs.FS {
	out := fstest.MapFS{}
	for _, f := range files {
		out[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o600}
	}
	return out
}

func manyFiles(n int, data string) []entry {
	var out []entry
	for i := range n {
		out = append(out, entry{name: fmt.Sprintf("cases/%05d.yaml", i), data: data})
	}
	return out
}

func link(target string) func([]byte) {
	return func(h []byte) { copy(h[157:257], target) }
}

func headerField(at int, field string) func(*entry) {
	return func(e *entry) { e.edit = func(h []byte) { copy(h[at:], field) } }
}

// sparseMap fills the GNU sparse map of a header and says that more follows.
func sparseMap(h []byte) {
	copy(h[257:], "ustar  \x00")
	for at := 386; at < 482; at += 12 {
		copy(h[at:], "77777777777\x00")
	}
	h[482] = 1
	copy(h[483:], "77777777777\x00")
}

// sparseFile makes a header of a file of 1 GiB that is one hole.
func sparseFile(h []byte) {
	copy(h[257:], "ustar  \x00")
	copy(h[386:], "10000000000\x0000000000000\x00")
	copy(h[483:], "10000000000\x00")
}

// unsorted is the sample with its last two files in the wrong order.
func unsorted(t testing.TB) []byte {
	all := entries(t)
	n := len(all)
	all[n-2], all[n-1] = all[n-1], all[n-2]
	return rawTar(all...)
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}

func longName(n int) string {
	name := "cases/" + strings.Repeat("a", 60) + "/" + strings.Repeat("b", 80) + "/"
	return name + strings.Repeat("c", n-len(name)-len(".yaml")) + ".yaml"
}
