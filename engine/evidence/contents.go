package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
)

// checkPacks holds the archives against what was in force by the release log. They are opened only if somebody known
// vouches for them.
func (v *verifier) checkPacks(ctx context.Context) {
	m := &v.file.Manifest
	switch {
	case !v.is(checkRecord, OK) || v.state == nil:
		v.cannot(checkPacks, "the record or the statements do not hold")
		return
	case v.leaf.Kind != audit.Decision:
		v.cannot(checkPacks, "the record is a %s: no pack decided", v.leaf.Kind)
		return
	}
	packs, err := packsOf(v.state, v.leaf.Decided)
	if err != nil {
		v.fail(checkPacks, err)
		return
	}
	listed := slices.Concat(m.Packs, m.Missing)
	slices.Sort(listed)
	if !slices.Equal(listed, digests(packs)) {
		v.failf(checkPacks, "other archives are in the file than were in force by the release log")
		return
	}
	for i, part := range m.Parts[len(m.Parts)-len(m.Packs):] {
		if part.SHA256 != m.Packs[i] { // the digest of an archive is that of its bytes
			v.failf(checkPacks, "archive %s does not have its digest", m.Packs[i])
			return
		}
		v.packs[part.SHA256] = true
	}
	for i := range packs {
		packs[i].InFile = v.packs[packs[i].SHA256]
	}
	v.result.Packs = packs
	opened, err := v.openPacks(ctx)
	switch {
	case errors.Is(err, decide.ErrNotTried) || ctx.Err() != nil:
		v.cannotHere(checkPacks, "%v", err)
	case err != nil:
		v.fail(checkPacks, err)
	case len(m.Missing) > 0:
		v.cannot(checkPacks, "%d of %d are not in the file: the store did not have them; the others are the bytes that "+
			"were signed", len(m.Missing), len(listed))
	case !opened:
		v.ok(checkPacks, "%d archives, the bytes that were signed; not opened: nobody known vouches for them", len(m.Packs))
	default:
		v.ok(checkPacks, "%d archives, the bytes that were released, reviewed and in force", len(m.Packs))
	}
}

// openPacks reads the archives, after they were tried where they can do no harm.
func (v *verifier) openPacks(ctx context.Context) (opened bool, err error) {
	if !v.firm || v.opt.Prove == nil {
		return false, nil
	}
	for _, digest := range v.file.Manifest.Packs {
		data := v.file.part(namePack(digest))
		err := v.opt.Prove(ctx, decide.Trial{Archive: data, Digest: rulepacks.Digest(digest)})
		if err != nil && !errors.Is(err, decide.ErrLibrary) && !errors.Is(err, decide.ErrPack) {
			return false, fmt.Errorf("archive %s: %w", digest, err)
		}
		pack, err := rulepacks.ReadArchive(bytes.NewReader(data), rulepacks.Limits{Expanded: decide.MaxPack})
		if err != nil {
			return false, err
		}
		for i := range v.result.Packs {
			if p := &v.result.Packs[i]; p.SHA256 == digest {
				for _, f := range pack.Rules {
					p.Rules = append(p.Rules, f.Name)
				}
			}
		}
	}
	return true, nil
}

// body holds the record's body against its leaf.
func (v *verifier) body() {
	f, m := v.file, &v.file.Manifest
	switch {
	case m.Body == LeftOut:
		v.cannot(checkBody, "body not included")
		return
	case m.Body == Erased:
		v.cannot(checkBody, "body erased: its key was destroyed")
		return
	case !v.is(checkRecord, OK):
		v.cannot(checkBody, "the record does not hold")
		return
	}
	body := f.part(nameBody)
	if len(f.part(nameOpening)) != openingSize || audit.Committed(f.part(nameOpening), body) != v.leaf.Commit {
		v.failf(checkBody, "it is not the one that the leaf commits to")
		return
	}
	if v.leaf.Kind == audit.Decision && v.leaf.Schema == decision.Schema {
		in, d, err := decision.Decode(body)
		if err != nil {
			v.fail(checkBody, err)
			return
		}
		l := &v.leaf
		if in.RecordID != string(l.RecordID) || in.Tenant != tenant.ID(m.Tenant) || in.Region != tenant.Region(m.Region) ||
			!in.Time.Equal(l.Decided) || in.Release.Size != l.ReleaseIndex || in.Engine.Build != l.Engine ||
			in.Engine.Library != l.Library {
			v.failf(checkBody, "it says something else than the leaf")
			return
		}
		v.result.Inputs, v.result.Decision = in, d
	}
	v.result.Body = body
	v.ok(checkBody, "the one that the leaf commits to: %d bytes of %s", len(body), v.leaf.Schema)
}

// replay decides again and compares byte by byte.
func (v *verifier) replay(ctx context.Context) {
	switch {
	case v.leaf.Kind != audit.Decision && v.is(checkRecord, OK):
		v.cannot(checkReplay, "the record is a %s, not a decision", v.leaf.Kind)
	case v.file.Manifest.Body != Included:
		v.cannot(checkReplay, "%s", v.checks[checkBody].Detail)
	case v.result.Decision == nil || v.state == nil:
		v.cannot(checkReplay, "the body, or what it rests on, does not hold")
	case !v.firm:
		v.cannotHere(checkReplay, "nobody known vouches for the packs, so they are not run")
	case v.opt.Prove == nil:
		v.cannotHere(checkReplay, "it was not asked for")
	case !v.is(checkPacks, OK) && !v.is(checkPacks, NotPossible):
		v.cannot(checkReplay, "the packs do not hold")
	default:
		v.decideAgain(ctx)
	}
}

func (v *verifier) decideAgain(ctx context.Context) {
	in, d := v.result.Inputs, v.result.Decision
	log := make([]decide.Logged, len(v.logged))
	for i, l := range v.logged {
		log[i] = decide.Logged{Index: int64(i), Time: l.leaf.Decided, Envelope: string(l.env.Bytes())}
	}
	m, err := decide.MaterialsFromLog(ctx, tenant.ID(v.file.Manifest.Tenant), v.logged[0].env.Digest(), log,
		func(_ context.Context, d rulepacks.Digest) ([]byte, error) {
			if !v.packs[string(d)] {
				return nil, fmt.Errorf("archive %s: %w", d, decide.ErrMissing)
			}
			return v.file.part(namePack(string(d))), nil
		})
	if err != nil {
		v.fail(checkReplay, err)
		return
	}
	r, err := m.Replay(ctx, in, d)
	switch {
	case ctx.Err() != nil:
		v.cannotHere(checkReplay, "it took too long")
	case errors.Is(err, decide.ErrMissing):
		v.cannot(checkReplay, "%v", err)
	case errors.Is(err, decide.ErrLibrary):
		v.cannotHere(checkReplay, "%v", err)
	case err != nil:
		v.fail(checkReplay, err)
	case r.Same:
		v.ok(checkReplay, "same bytes (%d findings, %d bytes of answer)", len(d.Findings), len(d.Response))
	case in.Engine.Build != v.opt.Build || in.Engine.OPA != decide.OPAVersion:
		v.cannotHere(checkReplay, "it differs, and build %s decided, not this one, %s: use that one; the first difference:"+
			" %s", in.Engine.Build, v.opt.Build, r.Differences[0])
	default:
		v.failf(checkReplay, "it differs: %s", r.Differences[0])
	}
}
