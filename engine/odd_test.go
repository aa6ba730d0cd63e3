package engine

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/chart"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
	"github.com/precept-cds/precept/signing/statement"
)

func TestCallWithoutOrders(t *testing.T) {
	n := newRegion(t)
	for _, drafts := range []string{`null`, `{"resourceType":"Bundle"}`} {
		a, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.WithDrafts(drafts))
		if drafts != "null" { // a Bundle may be empty
			decidetest.Must(t, err)
			continue
		}
		decidetest.WantError(t, err, chart.ErrShape)
		if r := n.newest("north", audit.Refusal); a != nil || r.What.Code != "shape" ||
			r.What.Path != chart.DraftsKey {
			t.Errorf("answer %v, recorded %+v", a, r)
		}
	}
}

// TestRecordTooLarge holds that a call whose record cannot be kept is refused,
// and that this is recorded.
func TestRecordTooLarge(t *testing.T) {
	n := newRegion(t)
	pol := decidetest.PolicyFor(t, "north")
	pol.Limits.BodyBytes, pol.Limits.DeadlineMS = 20<<20, 10_000
	n.policy("north", pol)
	id := strings.Repeat("x", 12<<20) // which each finding repeats
	body := bytes.Replace(decidetest.Patient(t, "metformin-egfr-27"),
		[]byte(`"resourceType":"MedicationRequest","id":"`), []byte(`"resourceType":"MedicationRequest","id":"`+id), 1)
	if len(body) < len(id) {
		t.Fatal("the fixture has another shape")
	}
	a, err := n.Call(t.Context(), ehr("north"), "orders", body)
	decidetest.WantError(t, err, chart.ErrTooLarge)
	if r := n.newest("north", audit.Refusal); a != nil || r.What.Code != "too-large" {
		t.Errorf("answer %v, recorded %+v", a, r)
	}
}

// panicsOnce is randomness that fails the program at the first read.
type panicsOnce struct{ done bool }

func (p *panicsOnce) Read(b []byte) (int, error) {
	if !p.done {
		p.done = true
		panic("no randomness")
	}
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

func TestPanicIsRecorded(t *testing.T) {
	n := newRegion(t)
	n.Engine.cfg.Rand = &panicsOnce{}
	before := n.records("north", audit.Refusal)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the door does not learn of it")
			}
		}()
		_, err := n.Call(t.Context(), ehr("north"), "orders", decidetest.Patient(t, "clean"))
		t.Error(errors.Join(errors.New("answered"), err))
	}()
	if r := n.newest("north", audit.Refusal); n.records("north", audit.Refusal) != before+1 ||
		r.What.Code != "internal" {
		t.Errorf("recorded %+v", r)
	}
}

// TestPersonsTurnedAway holds that a known person who is refused leaves a
// record, and so does what could not take effect.
func TestPersonsTurnedAway(t *testing.T) {
	n := newRegion(t)
	nobody := Caller{Tenant: "north", Person: "nobody@north.example", Purpose: "curious"}
	silent := auditor("north")
	silent.Purpose = " "
	for name, test := range map[string]struct {
		do         func() error
		want       error
		kind       audit.Kind
		verb, code string
	}{
		"no auditor": {func() error { _, err := n.Records(t.Context(), nobody, audit.Filter{}); return err },
			ErrForbidden, audit.Refusal, "list", "forbidden"},
		"no purpose": {func() error { _, err := n.Explain(t.Context(), silent, decidetest.RecordID); return err },
			ErrPurpose, audit.Refusal, "explain", "purpose"},
		"no member": {func() error { _, err := n.Apply(t.Context(), nobody, []byte("{}")); return err }, ErrForbidden,
			audit.Refusal, "apply", "forbidden"},
		"no statement": {func() error { _, err := n.Apply(t.Context(), auditor("north"), []byte("{}")); return err },
			statement.ErrUnsupported, audit.Event, "apply", "refused"},
		"no pack": {func() error {
			return n.PutPack(t.Context(), person("north", "olga"), rulepacks.Digest(strings.Repeat("0", 64)),
				[]byte("no archive"))
		}, packfile.ErrMalformed, audit.Event, "put pack", "refused"},
	} {
		before := n.records("north", test.kind)
		decidetest.WantError(t, test.do(), test.want)
		if n.records("north", test.kind) != before+1 {
			t.Errorf("%s: %d records before, %d after", name, before, n.records("north", test.kind))
			continue
		}
		if r := n.newest("north", test.kind); r.What.Verb != test.verb || r.What.Code != test.code {
			t.Errorf("%s: recorded %+v", name, r)
		}
	}
}

// TestSuspensionOfNothing holds that a mistyped rule is not believed to be out
// of service.
func TestSuspensionOfNothing(t *testing.T) {
	n := newRegion(t)
	for rule, want := range map[string]error{"metformin-contraindication": ErrStatement,
		"metformin-contraindicated": nil} {
		_, err := n.Apply(t.Context(), person("north", "rick"),
			sign(t, statement.PackDigest{}, statement.Suspension{Tenant: "north", Region: statement.Region(testRegion),
				Pack: "renal_dosing", Rule: rule, Reason: "a doubt", SuspendedAt: n.clock.now()}, "rick@north").
				Bytes())
		if !errors.Is(err, want) || (err != nil) != (want != nil) {
			t.Errorf("%s: %v, want %v", rule, err, want)
		}
	}
}

// TestUploadIsBounded holds that an upload is not unpacked beyond what a pack
// may have.
func TestUploadIsBounded(t *testing.T) {
	n := newRegion(t)
	sub, err := fs.Sub(rulepacks.Embedded(), "renal_dosing")
	decidetest.Must(t, err)
	files := fstest.MapFS{}
	decidetest.Must(t, fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sub, name)
		files[name] = &fstest.MapFile{Data: data}
		return err
	}))
	files["README.md"] = &fstest.MapFile{Data: bytes.Repeat([]byte("A line as many others.\n"), decide.MaxPack/20)}
	pack, err := rulepacks.ReadFolder(files)
	decidetest.Must(t, err)
	decidetest.WantError(t, n.PutPack(t.Context(), person("north", "olga"), pack.Digest, pack.Archive()),
		packfile.ErrTooLarge)
}
