package rulepacks

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

const samplePackYAML = `name: sample
version: "1.10.0"
title: A sample pack
status: draft
publisher: {name: North Society, contact: rules@north.example}
effective_period: {start: 2026-01-01, end: ""}
review_due: "2027-01-01"
library: "1"
terminology: {min: "2026.1", max: ""}
languages: [en, de]
parameters:
  max_age: {type: string, format: duration, default: P365D, description: How old a result may be.}
  limit: {type: number, minimum: 1.50, maximum: 90, default: 30, description: Where the card begins.}
value_sets:
  - {id: metformin, title: Metformin, source: RxNorm, version: "2026-09", licence: public domain}
sources:
  - {id: fda2016, title: Safety communication, url: "https://www.fda.gov/drugs", date: "2016-04-08", strength: strong}
`

const sampleRule = `package packs.sample.low

holds := fact.less(fhir.egfr({"max_age": param("max_age")}), param("limit"))

card := {"summary": fhir.text("Low: {egfr}", {"egfr": egfr})}

set := fhir.order_in({"set": "metformin"})
`

const sampleValueSet = `{"id": "metformin", "kind": "medication", "codes": [
  {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809", "display": "metformin"}
]}
`

const sampleCases = `cases:
  - name: low
    vector: "sample 1"
    time: 2026-03-02T10:00:00-05:00
    zone: America/New_York
    parameters: {limit: 45.0}
    context: &context
      patientId: p1
      userId: Practitioner/1
      draftOrders: {resourceType: Bundle}
    prefetch:
      patient: &patient {resourceType: Patient, id: p1, birthDate: 1955-06-15}
      weight: {value: 81.10}
      meds: null
    want:
      - {rule: low, subject: MedicationRequest/d1, state: "true", reasons: []}
    want_cards:
      - {indicator: critical, detail_contains: ["27.0"], suggestions: 1}
  - name: merged
    time: "2026-03-02T10:00:00Z"
    context:
      <<: *context
      userId: Practitioner/2
    prefetch: {patient: *patient}
    want: []
`

func sampleFiles() map[string]string {
	return map[string]string{
		"pack.yaml":                samplePackYAML,
		"rules/low.rego":           sampleRule,
		"valuesets/metformin.json": sampleValueSet,
		"messages/de.json":         `{"Low: {egfr}": "Niedrig: {egfr}"}`,
		"cases/low.yaml":           sampleCases,
		"README.md":                "# Sample\n",
		"NOTICE":                   "Sample data, no copyright.\n",
	}
}

// with returns the sample with changes; an empty content removes the file.
func with(changes ...string) map[string]string {
	files := sampleFiles()
	for i := 0; i < len(changes); i += 2 {
		files[changes[i]] = changes[i+1]
		if changes[i+1] == "" {
			delete(files, changes[i])
		}
	}
	return files
}

func folder(files map[string]string) fs.FS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return out
}

func sample(t testing.TB) *Pack {
	t.Helper()
	p, err := ReadFolder(folder(sampleFiles()))
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

// wantRefusal checks sentinel, place and hint of an error.
func wantRefusal(t *testing.T, err, kind error, contains ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v; want one that is %q", err, kind)
	}
	found := Problems(err)
	if len(found) == 0 {
		t.Fatalf("error %v holds no problem", err)
	}
	for _, p := range found {
		if p.Hint == "" || p.What == "" || strings.ContainsAny(p.Error(), "\x00\x1b") {
			t.Errorf("problem %q lacks a hint or shows control characters", p.Error())
		}
	}
	for _, part := range contains {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error is %q; want it to contain %q", err, part)
		}
	}
}
