package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/precept-cds/precept/signing/trust"
)

// sample is a file as this version writes it: of a decision with its body, one later log, and a consistency proof from
// an older head of the release log. TestEvidenceSample of package engine made it; files of users last longer.
func sample(t testing.TB) (data []byte, known Known) {
	t.Helper()
	data, err := os.ReadFile("testdata/sample.tar")
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile("testdata/root.sha256")
	if err != nil {
		t.Fatal(err)
	}
	return data, Known{Root: trust.Digest(root)}
}

func read(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// written is the file that these parts make; without remaking the manifest.
func (f *File) written(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	names := []string{nameManifest}
	for _, p := range f.Manifest.Parts {
		names = append(names, p.Name)
	}
	p := &Package{}
	for _, name := range append(names, exportNames...) {
		data := f.parts[name]
		if name == nameManifest {
			data = f.manifest
		}
		p.entries = append(p.entries, newEntry(name, data))
	}
	if err := p.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (r *Result) outcome(name string) Check {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return Check{}
	}
	return r.Checks[i]
}

// TestSample: files that were written stay readable, and hold.
func TestSample(t *testing.T) {
	data, known := sample(t)
	f := read(t, data)
	r := f.Verify(t.Context(), Options{Known: known})
	for _, name := range []string{checkFile, checkParts, checkRoot, checkSigned, checkKey, checkReleases, checkTimes,
		checkRecord, checkLater, checkExport, checkPacks, checkBody} {
		if c := r.outcome(name); c.Outcome != OK {
			t.Errorf("%+v", c)
		}
	}
	if !bytes.Equal(f.written(t), data) {
		t.Error("written again it is another file")
	}
	if len(f.Manifest.Later) != 1 || f.Manifest.Since == nil || r.Decision == nil || f.Manifest.Body != Included {
		t.Errorf("manifest %+v", f.Manifest)
	}
}

// TestRemade changes every byte of every part, with a manifest that lists the changed part: whoever can write manifests
// is noticed by the record of the export, and by the part's own check as well.
func TestRemade(t *testing.T) {
	data, known := sample(t)
	own := func(name string) []string {
		switch {
		case name == nameRecord:
			return []string{checkRecord, checkLater}
		case name == nameOpening || name == nameBody:
			return []string{checkBody}
		case strings.HasSuffix(name, ".jsonl"):
			return []string{checkSigned, checkReleases}
		case strings.HasPrefix(name, "statements/"):
			return []string{checkSigned, checkTimes}
		case name == nameReleases:
			return []string{checkReleases}
		case strings.HasPrefix(name, "logs/"):
			return []string{checkLater}
		}
		return []string{checkPacks}
	}
	first := read(t, data)
	for i, p := range first.Manifest.Parts {
		step := 1 + len(first.part(p.Name))/29
		if p.Name == nameSince {
			continue // nothing in the file rests on it, only heads from elsewhere
		}
		for at := 0; at < len(first.part(p.Name)); at += step {
			f := read(t, data)
			changed := bytes.Clone(f.part(p.Name))
			changed[at] ^= 1 << (at % 8)
			f.parts[p.Name] = changed
			sum := sha256.Sum256(changed)
			f.Manifest.Parts[i].SHA256 = hex.EncodeToString(sum[:])
			var err error
			if f.manifest, err = f.Manifest.encode(); err != nil {
				t.Fatal(err)
			}
			r := read(t, f.written(t)).Verify(t.Context(), Options{Known: known})
			failed := func(name string) bool { return r.outcome(name).Outcome == Failed }
			if r.Verdict != DoesNot || !slices.ContainsFunc(own(p.Name), failed) {
				t.Errorf("%s, byte %d: none of %v failed: %+v", p.Name, at, own(p.Name), r.Checks)
			}
			if r.outcome(checkExport).Outcome == OK {
				t.Errorf("%s, byte %d: the record of the export does not notice", p.Name, at)
			}
		}
	}
}

// TestEveryByte changes every byte of a file in turn: it is refused, or a check fails by name. Of archives it takes some.
func TestEveryByte(t *testing.T) {
	data, known := sample(t)
	failed := func(f *File) bool {
		r := f.Verify(t.Context(), Options{Known: known})
		return r.Verdict == DoesNot && slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Outcome == Failed })
	}
	// Bytes of parts, in what was read; where they stand in the file.
	whole := read(t, data)
	inParts := make([]bool, len(data))
	at := int(sizeOf(int64(len(whole.manifest))))
	for _, p := range whole.Manifest.Parts {
		part, step := whole.parts[p.Name], 1
		if strings.HasPrefix(p.Name, "packs/") {
			step = 97
		}
		for i := range part {
			inParts[at+blockSize+i] = true
			if i%step != 0 {
				continue
			}
			part[i] ^= 1 << (i % 8)
			if !failed(whole) {
				t.Errorf("byte %d of %s was changed, and nobody noticed", i, p.Name)
			}
			part[i] ^= 1 << (i % 8)
		}
		if !bytes.Equal(part, data[at+blockSize:][:len(part)]) {
			t.Fatalf("%s is not where it should be", p.Name)
		}
		at += int(sizeOf(p.Size))
	}
	// All others, in the file itself.
	for i := range data {
		if inParts[i] {
			continue
		}
		data[i] ^= 1 << (i % 8)
		if f, err := Read(bytes.NewReader(data), int64(len(data))); err == nil && !failed(f) {
			t.Errorf("byte %d was changed, and nobody noticed", i)
		}
		data[i] ^= 1 << (i % 8)
	}
}

// TestReadRefuses holds what is no evidence file in its one form to be refused by that name.
func TestReadRefuses(t *testing.T) {
	data, _ := sample(t)
	remade := func(change func(*Manifest)) []byte {
		f := read(t, data)
		change(&f.Manifest)
		var err error
		if f.manifest, err = f.Manifest.encode(); err != nil {
			t.Fatal(err)
		}
		f.Manifest = read(t, data).Manifest
		return f.written(t)
	}
	text := func(old, new string) []byte {
		f := read(t, data)
		f.manifest = bytes.Replace(f.manifest, []byte(old), []byte(new), 1)
		return f.written(t)
	}
	for name, data := range map[string][]byte{
		"nothing":             {},
		"zeros":               make([]byte, 10240),
		"another schema":      remade(func(m *Manifest) { m.Schema = "precept-evidence/2" }),
		"no statements":       remade(func(m *Manifest) { m.Statements = 0 }),
		"more statements":     remade(func(m *Manifest) { m.Statements++ }),
		"endless statements":  remade(func(m *Manifest) { m.Statements = 1 << 62 }),
		"negative statements": remade(func(m *Manifest) { m.Statements = -1 }),
		"no body":             remade(func(m *Manifest) { m.Body = LeftOut }),
		"another body":        remade(func(m *Manifest) { m.Body = "perhaps" }),
		"parts twice":         remade(func(m *Manifest) { m.Later = append(m.Later, m.Later...) }),
		"a log outside":       remade(func(m *Manifest) { m.Later[0] = "../../x" }),
		"large part":          remade(func(m *Manifest) { m.Parts[0].Size = 1 << 40 }),
		"negative part":       remade(func(m *Manifest) { m.Parts[0].Size = -1 }),
		"unknown member":      text(`{"schema"`, `{"x":1,"schema"`),
		"white space":         text(`{"schema"`, `{ "schema"`),
		"a member twice":      text(`{"schema"`, `{"tenant":"north","schema"`),
		"escaped":             text(`"north"`, `"nort\u0068"`),
		"null":                text(`"missing":[]`, `"missing":null`),
		"no line feed":        text("]}\n", "]}"),
	} {
		if _, err := Read(bytes.NewReader(data), 1<<30); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(bytes.NewReader(data), int64(len(data)-1)); !errors.Is(err, ErrSize) {
		t.Errorf("too large: %v", err)
	}
	// A header that claims the largest size there is costs no more than what comes.
	head, err := header(nameManifest, 1<<33-1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(bytes.NewReader(head), 1<<40); !errors.Is(err, ErrSize) {
		t.Errorf("a large claim: %v", err)
	}
}

// TestNoSlackInSignatures: base64 has spare bits, and readers of it do not look at them.
func TestNoSlackInSignatures(t *testing.T) {
	data, known := sample(t)
	f := read(t, data)
	proof := f.part(nameExport)
	end := bytes.LastIndexByte(proof, '=')
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for end > 0 && proof[end-1] == '=' {
		end--
	}
	proof[end-1] = alphabet[strings.IndexByte(alphabet, proof[end-1])^1]
	for _, name := range []string{nameExport, nameExportSince} {
		since := bytes.Clone(f.part(nameExportSince))
		note := proof[bytes.LastIndex(proof, []byte("\n— ")):]
		f.parts[nameExportSince] = append(since[:bytes.LastIndex(since, []byte("\n— "))], note...)
		if c := f.Verify(t.Context(), Options{Known: known}).outcome(checkExport); c.Outcome != Failed ||
			!strings.Contains(c.Detail, "one spelling") {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// FuzzRead: what is read is in its one form, and checking it ends well whatever it says.
func FuzzRead(f *testing.F) {
	data, known := sample(f)
	f.Add(data)
	f.Add(data[:4096])
	small := read(f, data)
	for name := range small.parts { // without the archives, so that inputs stay short
		if strings.HasPrefix(name, "packs/") {
			small.parts[name] = nil
		}
	}
	f.Add(small.written(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data), 1<<20)
		if err != nil {
			if !errors.Is(err, ErrFile) && !errors.Is(err, ErrSize) {
				t.Errorf("refused for another reason: %v", err)
			}
			return
		}
		if !bytes.Equal(file.written(t), data) {
			t.Error("two files are read as one")
		}
		r := file.Verify(t.Context(), Options{Known: known})
		var b bytes.Buffer
		if err := r.WritePage(&b); err != nil {
			t.Errorf("writing page: %v", err)
		}
	})
}

// FuzzVerify puts any bytes into a part, with a manifest that lists them.
func FuzzVerify(f *testing.F) {
	data, known := sample(f)
	whole := read(f, data)
	for i, p := range whole.Manifest.Parts {
		if !strings.HasPrefix(p.Name, "packs/") {
			f.Add(uint8(i), whole.part(p.Name))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, part []byte) {
		file := read(t, data)
		i := int(n) % len(file.Manifest.Parts)
		p := &file.Manifest.Parts[i]
		same := bytes.Equal(file.parts[p.Name], part)
		file.parts[p.Name] = part
		sum := sha256.Sum256(part)
		p.Size, p.SHA256 = int64(len(part)), hex.EncodeToString(sum[:])
		var err error
		if file.manifest, err = file.Manifest.encode(); err != nil {
			t.Fatal(err)
		}
		r := file.Verify(t.Context(), Options{Known: known})
		if r.Verdict != DoesNot && !same {
			t.Errorf("%s with other bytes: %s", p.Name, r.Verdict)
		}
	})
}
