package decide

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/manifest"
)

// Trial is a pack of which nothing is known yet, to be unpacked and compiled, and to
// have its golden cases run. Each of these can take any time and memory.
type Trial struct {
	Archive []byte           // gzip or tar
	Digest  rulepacks.Digest // that the archive must have; "" for any
	Library string           // version to compile with; "" for the newest that the pack can be used with
	// Terminology is the archive that golden cases are run with; nil if only compiling is
	// tried.
	Terminology []byte
}

// Prover tries packs, where they can do no harm. The error is that of reading or
// compiling the pack, [ErrCases], [ErrNotTried], or that of ctx.
type Prover func(ctx context.Context, t Trial) error

// ErrNotTried says that nobody knows whether a pack can be used: it could not be tried
// now. Try again later.
var ErrNotTried = errors.New("the pack could not be tried now")

// MaxPack bounds a pack of strangers, unpacked.
const MaxPack = 32 << 20

// Try is a [Prover] in this process: for a process that is there for nothing else.
// Compiled, unless nil, is called when only the golden cases are left.
func Try(ctx context.Context, t Trial, compiled func()) error {
	pack, err := rulepacks.ReadArchive(bytes.NewReader(t.Archive), rulepacks.Limits{Expanded: MaxPack})
	if err != nil {
		return err
	}
	if t.Digest != "" && pack.Digest != t.Digest {
		return fmt.Errorf("trying pack: the archive has digest %s, not %s: %w", pack.Digest, t.Digest,
			rulepacks.ErrDigest)
	}
	m := NewMaterials()
	if err := m.AddPack(pack); err != nil || pack.Manifest.Kind != manifest.KindRules {
		return err
	}
	if t.Library == "" {
		l, err := m.newestFor(pack)
		if err != nil {
			return err
		}
		t.Library = l.Version()
	}
	if _, err := m.Program(pack.Digest, t.Library); err != nil {
		return err
	}
	if compiled != nil {
		compiled()
	}
	if t.Terminology == nil {
		return ctx.Err()
	}
	terms, err := rulepacks.ReadArchive(bytes.NewReader(t.Terminology), rulepacks.Limits{})
	if err != nil {
		return err
	}
	if err := m.AddPack(terms); err != nil {
		return err
	}
	results, err := runCases(ctx, m, pack, t.Library, terms)
	if err != nil {
		return err
	}
	return judge(pack, results)
}
