package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// Materials are what a file is made of.
type Materials struct {
	Tenant  tenant.ID
	Region  tenant.Region
	Extract audit.Extract
	// Body says what becomes of the body; Opened holds it and its opening if it is Included.
	Body   Content
	Opened audit.Record
	// Blob reads an archive by its digest.
	Blob func(context.Context, audit.Digest) ([]byte, error)
	// Most is how many bytes the file may have; 0 is DefaultBytes.
	Most int64
}

// Draft is a file that lacks what shows that its export was recorded.
type Draft struct {
	Manifest Manifest
	// Digest is what the record of the export must hold: SHA-256 of the manifest, hexadecimal.
	Digest string
	// Newest is the newest log of the tenant's records, and how many leaves it has in this file.
	Newest audit.Since

	manifest entry
	parts    []entry
	most     int64
}

// newest is the last log of an extract.
func newest(x *audit.Extract) (log audit.LogName, proof audit.Proof) {
	if n := len(x.Later); n > 0 {
		return x.Later[n-1].Log, x.Later[n-1].First
	}
	return x.Log, x.Record
}

// New drafts a file. Of archives that the store lacks it says so. What would be too large is [ErrSize].
func New(ctx context.Context, m Materials) (*Draft, error) {
	prefix, _, _ := strings.Cut(m.Extract.Record.Log, "/")
	d := &Draft{most: m.Most, Manifest: Manifest{Schema: Schema, Prefix: prefix, Region: string(m.Region),
		Tenant: string(m.Tenant), Record: string(m.Extract.Leaf.RecordID), Log: string(m.Extract.Log),
		Statements: int64(len(m.Extract.Statements)), Later: []string{}, Packs: []string{}, Missing: []string{},
		Body: m.Body}}
	if d.most <= 0 {
		d.most = DefaultBytes
	}
	if err := d.addParts(ctx, &m); err != nil {
		return nil, fmt.Errorf("drafting evidence: %w", err)
	}
	for i := range d.parts {
		d.Manifest.Parts = append(d.Manifest.Parts, d.parts[i].Part)
	}
	text, err := d.Manifest.encode()
	if err != nil {
		return nil, fmt.Errorf("drafting evidence: %w", err)
	}
	d.manifest = newEntry(nameManifest, text)
	d.Digest = d.manifest.SHA256
	if int64(len(text)) > maxManifest || d.size() > d.most {
		return nil, fmt.Errorf("drafting evidence: %w: it would have %d bytes, of at most %d", ErrSize, d.size(), d.most)
	}
	log, proof := newest(&m.Extract)
	size, err := sizeIn(proof.Note)
	if err != nil {
		return nil, fmt.Errorf("drafting evidence: %w", err)
	}
	d.Newest = audit.Since{Log: log, Size: size}
	return d, nil
}

// size is that of what is drafted.
func (d *Draft) size() int64 {
	n := 2*blockSize + sizeOf(d.manifest.Size)
	for i := range d.parts {
		n += sizeOf(d.parts[i].Size)
	}
	return n
}

func (d *Draft) add(name string, data []byte) { d.parts = append(d.parts, newEntry(name, data)) }

// addParts adds the entries in their order.
func (d *Draft) addParts(ctx context.Context, m *Materials) error {
	x := &m.Extract
	d.add(nameRecord, x.Record.Marshal())
	if m.Body == Included {
		d.add(nameOpening, m.Opened.Opening)
		d.add(nameBody, m.Opened.Body)
	}
	var list []logged
	for i, s := range x.Statements {
		l, err := readLogged(int64(i), s.Envelope, s.Record)
		if err != nil {
			return fmt.Errorf("statement %d: %w", i, err)
		}
		list = append(list, l)
		d.add(nameStatement(int64(i)), s.Envelope)
		d.add(nameTime(int64(i)), s.Record.Marshal())
	}
	d.add(nameReleases, x.Releases.Marshal())
	for _, l := range x.Later {
		d.Manifest.Later = append(d.Manifest.Later, string(l.Log))
		d.add(nameLater(l.Log), l.First.Marshal())
	}
	if x.Since != nil {
		d.Manifest.Since = &Since{Log: string(x.Since.Log), Size: x.Since.Size}
		d.add(nameSince, x.Since.Proof.Marshal())
	}
	if x.Leaf.Kind != audit.Decision {
		return nil
	}
	return d.addPacks(ctx, m, list)
}

// addPacks adds the archives that were in force by the release log.
func (d *Draft) addPacks(ctx context.Context, m *Materials, list []logged) error {
	state, _, err := fold(ctx, m.Tenant, m.Region, list[0].env.Digest(), list)
	if err != nil {
		return err
	}
	packs, err := packsOf(state, m.Extract.Leaf.Decided)
	if err != nil {
		return err
	}
	for _, text := range digests(packs) {
		digest, err := audit.ParseDigest(text)
		if err != nil {
			return err
		}
		load := func(ctx context.Context) ([]byte, error) { return m.Blob(ctx, digest) }
		tar, err := load(ctx) // only its size is kept: large archives are not held together
		if errors.Is(err, audit.ErrNotFound) || errors.Is(err, audit.ErrCorrupt) && !errors.Is(err, audit.ErrDamaged) {
			d.Manifest.Missing = append(d.Manifest.Missing, text)
			continue
		}
		if err != nil {
			return err
		}
		d.Manifest.Packs = append(d.Manifest.Packs, text)
		sum := sha256.Sum256(tar)
		d.parts = append(d.parts, entry{load: load, Part: Part{Name: namePack(text), Size: int64(len(tar)),
			SHA256: hex.EncodeToString(sum[:])}})
		if d.size() > d.most {
			return fmt.Errorf("%w: it would have more than %d bytes", ErrSize, d.most)
		}
	}
	return nil
}

// Export is the record of the export, opened, with the proof that it is in the log that the draft calls the newest,
// and that this log goes on from there.
type Export struct {
	Proof  audit.Proof
	Since  audit.Consistency
	Record audit.Record
}

// Package is a whole file, ready to be written.
type Package struct {
	Manifest Manifest
	Size     int64 // bytes that WriteTo writes
	entries  []entry
}

// Finish makes a whole file of a draft whose export was recorded.
func (d *Draft) Finish(e Export) *Package {
	p := &Package{Manifest: d.Manifest, entries: append([]entry{d.manifest}, d.parts...)}
	p.entries = append(p.entries, newEntry(nameExport, e.Proof.Marshal()),
		newEntry(nameExportSince, e.Since.Marshal()), newEntry(nameExportOpen, e.Record.Opening),
		newEntry(nameExportBody, e.Record.Body))
	p.Size = 2 * blockSize
	for i := range p.entries {
		p.Size += sizeOf(p.entries[i].Size)
	}
	return p
}

// Write writes the file. It holds one archive at a time.
func (p *Package) Write(ctx context.Context, w io.Writer) error {
	for i := range p.entries {
		if err := p.entries[i].write(ctx, w); err != nil {
			return fmt.Errorf("writing evidence: %w", err)
		}
	}
	if _, err := w.Write(make([]byte, 2*blockSize)); err != nil {
		return fmt.Errorf("writing evidence: %w", err)
	}
	return nil
}
