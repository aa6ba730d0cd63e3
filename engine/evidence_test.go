package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decide/decidetest"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/evidence"
	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// smallRegion is a region in which north has one small pack live, so that its evidence is small, too.
func smallRegion(t testing.TB, rules ...decidetest.Rule) *node {
	t.Helper()
	n := newNode(t)
	n.say("north", publisherRoot(t), "pat@heartland.example")
	p := decidetest.PolicyFor(t, "north")
	p.Services = slices.DeleteFunc(p.Services, func(s tenant.Service) bool { return s.Hook != "order-sign" })[:1]
	p.Services[0].Packs, p.Services[0].ID = []string{"trial"}, "orders"
	for i := range p.Clients {
		p.Clients[i].Services = []string{"orders"}
	}
	n.policy("north", p)
	n.place("north")
	n.activate("north", decidetest.ReferencePack(t, terms))
	if len(rules) == 0 {
		rules = []decidetest.Rule{decidetest.RuleFires}
	}
	n.activate("north", decidetest.Pack(t, "1.0.0", rules...))
	return n
}

// smallCall is a short request about a patient.
const smallCall = `{"hook":"order-sign","hookInstance":"11d1ed76-5b6e-11ee-8c99-0242ac120002","context":` +
	`{"userId":"Practitioner/1","patientId":"zebra-1","draftOrders":{"resourceType":"Bundle","type":"collection"}},` +
	`"prefetch":{"patient":{"resourceType":"Patient","id":"zebra-1","gender":"female","birthDate":"1951-02-03"}}}`

// takeOut is the evidence of a record as an auditor gets it.
func (n *node) takeOut(id tenant.ID, record string, o EvidenceOptions) []byte {
	n.Helper()
	p, done, err := n.Evidence(n.Context(), auditor(id), record, o)
	decidetest.Must(n, err)
	defer done()
	var b bytes.Buffer
	decidetest.Must(n, p.Write(n.Context(), &b))
	if int64(b.Len()) != p.Size {
		n.Errorf("the file has %d bytes, it was to have %d", b.Len(), p.Size)
	}
	return b.Bytes()
}

// inProcess tries packs of tests, which do no harm.
func inProcess(ctx context.Context, t decide.Trial) error { return decide.Try(ctx, t, nil) }

// known is what an auditor of a tenant has by another way.
func (n *node) knownRoot(id tenant.ID) evidence.Options {
	i := slices.IndexFunc(n.roots, func(r Root) bool { return r.Tenant == id })
	return evidence.Options{Known: evidence.Known{Root: n.roots[i].Digest}, Prove: inProcess, Build: "test"}
}

func (n *node) nodeKey() ed25519.PublicKey { return n.log.NodeKey() }

// verified checks a file.
func verified(t testing.TB, data []byte, o evidence.Options) *evidence.Result {
	t.Helper()
	f, err := evidence.Read(bytes.NewReader(data), int64(len(data)))
	decidetest.Must(t, err)
	return f.Verify(t.Context(), o)
}

// outcome is what came of one check.
func outcome(r *evidence.Result, name string) evidence.Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return evidence.Check{}
}

func wantCheck(t testing.TB, r *evidence.Result, name string, o evidence.Outcome, detail string) {
	t.Helper()
	if c := outcome(r, name); c.Outcome != o || !strings.Contains(c.Detail, detail) {
		t.Errorf("check %q: %s: %s; want %s: ...%s...", name, c.Outcome, c.Detail, o, detail)
	}
}

func wantVerdict(t testing.TB, r *evidence.Result, v evidence.Verdict) {
	t.Helper()
	if r.Verdict != v {
		t.Errorf("verdict %q (%s), want %q: %+v", r.Verdict, r.Why, v, r.Checks)
	}
}

func TestEvidence(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	r := verified(t, n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true}), n.knownRoot("north"))
	wantVerdict(t, r, evidence.Holds)
	for _, c := range r.Checks {
		if (c.Outcome != evidence.OK) != (c.Name == "witnesses") {
			t.Errorf("%+v", c)
		}
	}
	wantCheck(t, r, "replay", evidence.OK, "same bytes")
	wantCheck(t, r, "region key", evidence.OK, "pinned by placement 1")
	if len(r.Packs) != 4 || len(r.Packs[0].Rules) == 0 || r.Packs[0].Authors[0] != author ||
		r.Packs[0].Approvers[0] != "amy@north" || !r.Packs[0].InFile {
		t.Errorf("packs %+v", r.Packs)
	}
	if len(r.Statements) != 16 || r.Statements[0].Signers[0].Person != "rosa@north" || r.Statements[15].Time.IsZero() {
		t.Errorf("statements %+v", r.Statements)
	}
	if r.Exported.Person != "ada@north" || r.Exported.Purpose != "complaint 7" || r.Decision == nil {
		t.Errorf("exported %+v", r.Exported)
	}
}

// TestEvidenceWithoutPatient: nothing of the patient is in the file, and what that leaves open is said.
func TestEvidenceWithoutPatient(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	data := n.takeOut("north", a.RecordID, EvidenceOptions{})
	for _, word := range []string{"zebra-1", "1951-02-03", "11d1ed76"} {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("%q is in the file", word)
		}
	}
	r := verified(t, data, n.knownRoot("north"))
	wantVerdict(t, r, evidence.Holds)
	wantCheck(t, r, "body", evidence.NotPossible, "body not included")
	wantCheck(t, r, "replay", evidence.NotPossible, "body not included")
	full := n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true})
	if !bytes.Contains(full, []byte("zebra-1")) {
		t.Error("the body is not in the file in which it was asked for")
	}
}

// TestEvidenceIsRecorded: who asked is recorded before anything is looked at, and exactly what was handed out.
func TestEvidenceIsRecorded(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	before := n.records("north", audit.Access)
	r := verified(t, n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true}), n.knownRoot("north"))
	if got := n.records("north", audit.Access) - before; got != 2 {
		t.Errorf("%d records of accesses, want 2", got)
	}
	rec, err := n.log.Get(t.Context(), "north", audit.RecordID(r.Exported.Record))
	decidetest.Must(t, err)
	want := `{"person":"ada@north","purpose":"complaint 7","what":{"verb":"evidence","record":"` + a.RecordID +
		`","patient_data":true,"digest":"`
	if rec.Leaf.Kind != audit.Access || !strings.HasPrefix(string(rec.Body), want) {
		t.Errorf("record of the export: %s", rec.Body)
	}
	for name, c := range map[string]struct {
		who    Caller
		record string
		kind   audit.Kind
		err    error
	}{
		"no such record": {auditor("north"), decidetest.RecordID, audit.Access, audit.ErrNotFound},
		"no id":          {auditor("north"), "../north", audit.Access, audit.ErrNotFound},
		"not an auditor": {person("north", "olga"), a.RecordID, audit.Refusal, ErrForbidden},
		"nothing there":  {person("north", "olga"), decidetest.RecordID, audit.Refusal, ErrForbidden},
		"no purpose":     {Caller{Tenant: "north", Person: "ada@north"}, a.RecordID, audit.Refusal, ErrPurpose},
	} {
		before := n.records("north", c.kind)
		_, _, err := n.Evidence(t.Context(), c.who, c.record, EvidenceOptions{PatientData: true})
		decidetest.WantError(t, err, c.err)
		if n.records("north", c.kind) != before+1 {
			t.Errorf("%s: not recorded", name)
		}
	}
	if len(n.exports) != 0 {
		t.Error("places were not given back")
	}
	_, done, err := n.Evidence(t.Context(), auditor("north"), a.RecordID, EvidenceOptions{})
	decidetest.Must(t, err)
	_, _, err = n.Evidence(t.Context(), auditor("north"), a.RecordID, EvidenceOptions{})
	decidetest.WantError(t, err, ErrExports)
	_, _, err = n.Evidence(t.Context(), auditor("south"), a.RecordID, EvidenceOptions{})
	decidetest.WantError(t, err, audit.ErrNotFound) // that of one tenant is not in the way of others
	done()
	for range defaultExports {
		n.exports <- struct{}{}
	}
	_, _, err = n.Evidence(t.Context(), auditor("north"), a.RecordID, EvidenceOptions{})
	decidetest.WantError(t, err, ErrExports)
	for range defaultExports {
		<-n.exports
	}
	n.takeOut("north", a.RecordID, EvidenceOptions{})
}

// TestEvidenceOfOtherKinds: whatever the record, its place and what was in force can be shown.
func TestEvidenceOfOtherKinds(t *testing.T) {
	n := smallRegion(t)
	n.suspend("north", "trial", "fires", "wrong limit")
	decidetest.Must(t, n.Refuse(t.Context(), ehr("north"), Refusal{Code: "body"}))
	page, err := n.log.List(t.Context(), "north", audit.Filter{Limit: 1000})
	decidetest.Must(t, err)
	kinds := map[audit.Kind]bool{}
	for _, s := range page.Records {
		if kinds[s.Leaf.Kind] || s.Leaf.Kind == audit.Statement && s.Leaf.ReleaseIndex+1 < int64(n.trust("north").Size()) {
			continue
		}
		kinds[s.Leaf.Kind] = true
		data := n.takeOut("north", string(s.Leaf.RecordID), EvidenceOptions{PatientData: true})
		r := verified(t, data, n.knownRoot("north"))
		wantVerdict(t, r, evidence.Holds)
		wantCheck(t, r, "record", evidence.OK, string(s.Leaf.Kind))
		wantCheck(t, r, "body", evidence.OK, "")
		wantCheck(t, r, "replay", evidence.NotPossible, "not a decision")
		if s.Leaf.Kind == audit.Statement && len(r.Statements) != int(s.Leaf.ReleaseIndex)+1 {
			t.Errorf("%d statements of one that is number %d", len(r.Statements), s.Leaf.ReleaseIndex)
		}
		if s.Leaf.Kind == audit.Statement {
			wantSuspension(t, r)
		}
	}
	if len(kinds) < 3 {
		t.Errorf("only the kinds %v", kinds)
	}
	// The first statement is older than any placement: its region's key comes from elsewhere, or nobody can tell.
	first := slices.IndexFunc(page.Records, func(s audit.Summary) bool {
		return s.Leaf.Kind == audit.Statement && s.Leaf.ReleaseIndex == 0
	})
	data := n.takeOut("north", string(page.Records[first].Leaf.RecordID), EvidenceOptions{})
	r := verified(t, data, n.knownRoot("north"))
	wantVerdict(t, r, evidence.CannotTell)
	wantCheck(t, r, "record", evidence.NotPossible, "key of the region is not known")
	o := n.knownRoot("north")
	o.Node = n.nodeKey()
	wantVerdict(t, verified(t, data, o), evidence.Holds)
}

func wantSuspension(t *testing.T, r *evidence.Result) {
	t.Helper()
	if last := r.Statements[len(r.Statements)-1]; last.Kind != "suspension" || last.Signers[0].Person != "rick@north" ||
		!strings.Contains(last.Says, "trial/fires: wrong limit") {
		t.Errorf("%+v", last)
	}
}

// TestEvidenceAnchors: what is proven depends on what the one who checks has by another way, and each check says so.
func TestEvidenceAnchors(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	receipt := []byte(a.Receipt)
	early, err := n.log.Checkpoint(t.Context(), "north", "audit/2026-03")
	decidetest.Must(t, err)
	size, _, _ := strings.Cut(strings.SplitN(string(early), "\n", 2)[1], "\n")
	var leaves int64
	fmt.Sscan(size, &leaves)
	releases, err := n.log.Checkpoint(t.Context(), "north", "releases")
	decidetest.Must(t, err)
	n.call("north", []byte(strings.Replace(smallCall, "zebra-1", "zebra-2", 2)))
	o := EvidenceOptions{PatientData: true}
	plain := n.takeOut("north", a.RecordID, o)
	o.Since = audit.Since{Log: "audit/2026-03", Size: leaves}
	since := n.takeOut("north", a.RecordID, o)
	root := n.knownRoot("north").Root
	forged := forgedHead(t, n, "audit/2026-03", leaves)
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for name, c := range map[string]struct {
		known   evidence.Known
		data    []byte
		verdict evidence.Verdict
		check   string
		outcome evidence.Outcome
		detail  string
	}{
		"nothing": {evidence.Known{}, plain, evidence.CannotTell, "region key", evidence.NotPossible, "nobody vouches for"},
		"nothing, so packs are not run": {evidence.Known{}, plain, evidence.CannotTell, "replay", evidence.NotPossible,
			"not run"},
		"root": {evidence.Known{Root: root}, plain, evidence.Holds, "trust root", evidence.OK, string(root)},
		"another's root": {evidence.Known{Root: n.knownRoot("south").Root}, plain, evidence.DoesNot,
			"trust root", evidence.Failed, ""},
		"node": {evidence.Known{Node: n.nodeKey()}, plain, evidence.Holds, "trust root", evidence.NotPossible,
			"word of the region"},
		"another's node": {evidence.Known{Node: other}, plain, evidence.DoesNot, "region key",
			evidence.Failed, "pins another"},
		"root, another's node": {evidence.Known{Root: root, Node: other}, plain, evidence.DoesNot,
			"region key", evidence.Failed, ""},
		"head, without a proof from it": {evidence.Known{Earlier: [][]byte{early}}, plain, evidence.CannotTell,
			"earlier heads", evidence.NotPossible, "--since"},
		"head": {evidence.Known{Earlier: [][]byte{early}}, since, evidence.Holds, "region key", evidence.OK,
			"noted before"},
		"receipt": {evidence.Known{Earlier: [][]byte{receipt}}, since, evidence.Holds, "earlier heads", evidence.OK,
			"still has"},
		"head of the release log": {evidence.Known{Root: root, Earlier: [][]byte{releases}}, plain, evidence.Holds,
			"earlier heads", evidence.OK, "releases still has"},
		"head of another history": {evidence.Known{Root: root, Earlier: [][]byte{forged}}, since, evidence.DoesNot,
			"earlier heads", evidence.Failed, "rewritten"},
		"head signed by another": {evidence.Known{Root: root, Earlier: [][]byte{bytes.Replace(early, []byte("\n"),
			[]byte("\n1"), 1)}}, since, evidence.DoesNot, "earlier heads", evidence.Failed, "not signed"},
		"no head": {evidence.Known{Root: root, Earlier: [][]byte{[]byte("x")}}, since, evidence.CannotTell,
			"earlier heads", evidence.NotPossible, "no log of this file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := verified(t, c.data, evidence.Options{Known: c.known, Prove: inProcess, Build: "test"})
			wantVerdict(t, r, c.verdict)
			wantCheck(t, r, c.check, c.outcome, c.detail)
		})
	}
	// A receipt of this record from another history, under a head that is not in the file.
	at := strings.Index(a.Receipt, "leaf=:") + len("leaf=:")
	moved := []byte(a.Receipt[:at] + "AAAA" + a.Receipt[at+4:])
	r := verified(t, plain, evidence.Options{Known: evidence.Known{Root: root, Earlier: [][]byte{moved}}})
	wantVerdict(t, r, evidence.DoesNot)
	wantCheck(t, r, "earlier heads", evidence.Failed, "rewritten")
	tried := 0
	verified(t, plain, evidence.Options{Prove: func(context.Context, decide.Trial) error { tried++; return nil }})
	if tried > 0 {
		t.Error("packs that nobody vouches for were opened")
	}
}

// forgedHead is a head that the region's own key signed over a tree that was never in its log.
func forgedHead(t *testing.T, n *node, log string, size int64) []byte {
	t.Helper()
	kms, err := keyring.OpenFileKMS(filepath.Join(n.dir, "region.key"))
	decidetest.Must(t, err)
	ring, err := keyring.New(keyring.Config{Region: string(testRegion), KMS: kms, Lookup: audit.KeyLookup(n.store),
		Rand: rand.Reader})
	decidetest.Must(t, err)
	own, _, err := ring.Node(t.Context())
	decidetest.Must(t, err)
	origin := "audit.example/us-east/north/" + log
	s, err := own.Signer(origin)
	decidetest.Must(t, err)
	text, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size,
		base64.StdEncoding.EncodeToString(make([]byte, 32)))}, s)
	decidetest.Must(t, err)
	return text
}

// TestEvidenceAcrossMonths: a record of an old month is shown to be followed by the logs of today.
func TestEvidenceAcrossMonths(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	for i := range 3 {
		n.clock.advance(31 * 24 * time.Hour)
		n.call("north", []byte(strings.Replace(smallCall, "zebra-1", fmt.Sprint("zebra-", i+2), 2)))
	}
	r := verified(t, n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true}), n.knownRoot("north"))
	wantVerdict(t, r, evidence.Holds)
	wantCheck(t, r, "later logs", evidence.OK, "3, each beginning with the last head")
	if !slices.Equal(r.Manifest.Later, []string{"audit/2026-04", "audit/2026-05", "audit/2026-06"}) {
		t.Errorf("later logs %v", r.Manifest.Later)
	}
}

// TestEvidenceReplayDiffers: another build is told apart from tampering.
func TestEvidenceReplayDiffers(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	in, d := n.opened("north", a.RecordID)
	d.Response = bytes.Replace(d.Response, []byte("It holds"), []byte("It hold5"), 1)
	body, err := decisionBody(in, d)
	decidetest.Must(t, err)
	// A node that lies: it records an answer that it never gave, under a record id of its own.
	rec, err := n.log.Get(t.Context(), "north", audit.RecordID(a.RecordID))
	decidetest.Must(t, err)
	id, err := audit.NewRecordID(n.clock.now(), rand.Reader)
	decidetest.Must(t, err)
	body = bytes.ReplaceAll(body, []byte(a.RecordID), []byte(id))
	_, err = n.log.Append(t.Context(), audit.Entry{Kind: audit.Decision, Tenant: "north", RecordID: id, Decided: in.Time,
		Engine: "test", Library: in.Engine.Library, Release: in.Release.Size, Schema: rec.Leaf.Schema, Body: [][]byte{body},
		Indexed: audit.Indexed{Patient: audit.Patient{Base: "https://ehr.north.example/fhir/R4", ID: "zebra-1"}}})
	decidetest.Must(t, err)
	data := n.takeOut("north", string(id), EvidenceOptions{PatientData: true})
	o := n.knownRoot("north")
	r := verified(t, data, o)
	wantVerdict(t, r, evidence.DoesNot)
	wantCheck(t, r, "replay", evidence.Failed, "differs")
	o.Build = "another"
	r = verified(t, data, o)
	wantVerdict(t, r, evidence.CannotTell)
	wantCheck(t, r, "replay", evidence.NotPossible, "build test decided, not this one")
}

// TestEvidenceOfAnotherTenant: a file of south is none of north.
func TestEvidenceOfAnotherTenant(t *testing.T) {
	n := newRegion(t)
	a := n.call("south", decidetest.Patient(t, "clean"))
	data := n.takeOut("south", a.RecordID, EvidenceOptions{})
	wantVerdict(t, verified(t, data, n.knownRoot("south")), evidence.Holds)
	r := verified(t, data, n.knownRoot("north"))
	wantVerdict(t, r, evidence.DoesNot)
	wantCheck(t, r, "trust root", evidence.Failed, "not the one that was given")
	_, _, err := n.Evidence(t.Context(), auditor("north"), a.RecordID, EvidenceOptions{})
	decidetest.WantError(t, err, audit.ErrNotFound)
}

// entries takes a file apart.
func entries(t testing.TB, data []byte) (names []string, parts map[string][]byte) {
	t.Helper()
	parts = map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, parts
		}
		decidetest.Must(t, err)
		names = append(names, h.Name)
		parts[h.Name], err = io.ReadAll(r)
		decidetest.Must(t, err)
	}
}

// together puts a file together.
func together(t testing.TB, names []string, parts map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		decidetest.Must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(parts[name])),
			Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}))
		_, err := w.Write(parts[name])
		decidetest.Must(t, err)
	}
	decidetest.Must(t, w.Close())
	return b.Bytes()
}

// noticed says that a file is refused, or that a check of it fails by name.
func noticed(ctx context.Context, data []byte, o evidence.Options) bool {
	f, err := evidence.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return true
	}
	r := f.Verify(ctx, o)
	return r.Verdict == evidence.DoesNot &&
		slices.ContainsFunc(r.Checks, func(c evidence.Check) bool { return c.Outcome == evidence.Failed && c.Name != "" })
}

// TestEvidenceMixed puts parts of another file of the same tenant into a file, each alone and all of a kind together,
// and changes the order of parts.
func TestEvidenceMixed(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	b := n.call("north", []byte(strings.Replace(smallCall, "zebra-1", "zebra-2", 2)))
	o := n.knownRoot("north")
	o.Prove = nil
	names, parts := entries(t, n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true}))
	_, again := entries(t, n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true}))
	_, others := entries(t, n.takeOut("north", b.RecordID, EvidenceOptions{PatientData: true}))
	if r := verified(t, together(t, names, parts), o); outcome(r, "export").Outcome != evidence.OK {
		t.Fatalf("put together again it is another file: %+v", r.Checks)
	}
	kind := func(name string) string { k, _, _ := strings.Cut(strings.ReplaceAll(name, "/", "."), "."); return k }
	for _, from := range []map[string][]byte{again, others} {
		for _, name := range names {
			for _, take := range []func(string) bool{
				func(s string) bool { return s == name },
				func(s string) bool { return kind(s) == kind(name) },
				func(s string) bool { return s != name },
			} {
				mixed := map[string][]byte{}
				differs := false
				for _, s := range names {
					mixed[s] = parts[s]
					if take(s) {
						differs = differs || !bytes.Equal(parts[s], from[s])
						mixed[s] = from[s]
					}
				}
				whole := together(t, names, mixed)
				if differs && !bytes.Equal(whole, together(t, names, from)) && !noticed(t.Context(), whole, o) {
					t.Errorf("parts like %s of another file were not noticed", name)
				}
			}
		}
	}
	for i := range names {
		for j := range i {
			swapped := slices.Clone(names)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			if !noticed(t.Context(), together(t, swapped, parts), o) {
				t.Errorf("%s and %s changed places, and nobody noticed", names[i], names[j])
			}
			crossed := map[string][]byte{}
			for s, data := range parts {
				crossed[s] = data
			}
			crossed[names[i]], crossed[names[j]] = parts[names[j]], parts[names[i]]
			if !bytes.Equal(parts[names[i]], parts[names[j]]) && !noticed(t.Context(), together(t, names, crossed), o) {
				t.Errorf("%s and %s changed names, and nobody noticed", names[i], names[j])
			}
		}
		for _, list := range [][]string{slices.Delete(slices.Clone(names), i, i+1),
			slices.Insert(slices.Clone(names), i, names[i])} {
			if !noticed(t.Context(), together(t, list, parts), o) {
				t.Errorf("%s was left out or came twice, and nobody noticed", names[i])
			}
		}
	}
}

// TestEvidenceSpoilt changes bytes of a file in turn, cuts it short, and adds and removes bytes: some check fails by name,
// each time. TestEveryByte of package evidence does it with every byte.
func TestEvidenceSpoilt(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	data := n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true})
	o := n.knownRoot("north")
	wantVerdict(t, verified(t, data, o), evidence.Holds)
	o.Prove = nil
	large := archives(t, data)
	spoilt(t, data, func(i int) int {
		if slices.ContainsFunc(large, func(a [2]int) bool { return i > a[0]+512 && i < a[1]-512 }) {
			return 997
		}
		return 7
	}, o)
}

// TestEvidenceSpoiltLarge does the same with the reference packs.
func TestEvidenceSpoiltLarge(t *testing.T) {
	n := newRegion(t)
	a := n.call("north", decidetest.Patient(t, "metformin-egfr-27"))
	data := n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true})
	o := n.knownRoot("north")
	o.Prove = nil
	spoilt(t, data, func(int) int { return 4001 }, o)
}

// archives are where archives of packs stand in a file, from and to.
func archives(t *testing.T, data []byte) (list [][2]int) {
	t.Helper()
	r := bytes.NewReader(data)
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return list
		}
		decidetest.Must(t, err)
		if at := len(data) - r.Len(); strings.HasPrefix(h.Name, "packs/") {
			list = append(list, [2]int{at, at + int(h.Size)})
		}
	}
}

// spoilt spoils a file at each place; step says how far it is from one to the next.
func spoilt(t *testing.T, data []byte, step func(int) int, o evidence.Options) {
	t.Helper()
	ctx := t.Context()
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // a hundred thousand files are read
	places := make(chan int, 64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			own := bytes.Clone(data)
			for i := range places {
				spoil(ctx, t, own, i, o)
			}
		})
	}
	for i := 0; i < len(data); i += step(i) {
		places <- i
	}
	close(places)
	wg.Wait()
	for _, tail := range [][]byte{{0}, make([]byte, 512), make([]byte, 10240), data} {
		if !noticed(ctx, slices.Concat(data, tail), o) {
			t.Errorf("%d bytes were put behind the end, and nobody noticed", len(tail))
		}
	}
}

// spoil changes a byte, cuts the file off before it, takes it away, and puts others in. In the end data are as before.
func spoil(ctx context.Context, t *testing.T, data []byte, i int, o evidence.Options) {
	data[i] ^= 1 << (i % 8)
	if !noticed(ctx, data, o) {
		t.Errorf("byte %d was changed, and nobody noticed", i)
	}
	data[i] ^= 1 << (i % 8)
	// All that a file cut short can get past is the first block of its end.
	if i%4 == 0 || i > len(data)-2048 {
		if _, err := evidence.Read(bytes.NewReader(data[:i]), int64(len(data))); err == nil {
			t.Errorf("cut short to %d bytes, and nobody noticed", i)
		}
	}
	if i%5 != 0 {
		return
	}
	for _, b := range []byte{0, data[i]} {
		if more := slices.Insert(bytes.Clone(data), i, b); !noticed(ctx, more, o) {
			t.Errorf("a byte was put in before byte %d, and nobody noticed", i)
		}
	}
	if less := slices.Delete(bytes.Clone(data), i, i+1); !noticed(ctx, less, o) {
		t.Errorf("byte %d was taken away, and nobody noticed", i)
	}
}

// TestEvidencePage: the page shows what a person asks for, asks for nothing from elsewhere, and what strangers have
// written stays text.
func TestEvidencePage(t *testing.T) {
	const hostile = `<script>alert(1)</script><img src=x onerror=alert(1)>" onload="x' {{.}} javascript:alert(1)`
	n := smallRegion(t, decidetest.Rule{ID: "fires", Body: decidetest.AlwaysTrue + "\n\n" +
		`card := {"summary": fhir.text("It holds {x}", {"x": "<script>alert(2)</script><b>\u202e"})}`})
	body := strings.ReplaceAll(smallCall, `"gender"`, fmt.Sprintf(`"name":[{"text":%q}],"gender"`, hostile))
	a := n.call("north", []byte(body))
	c := auditor("north")
	c.Purpose = "complaint </td><script>alert(3)</script>"
	p, done, err := n.Evidence(t.Context(), c, a.RecordID, EvidenceOptions{PatientData: true})
	decidetest.Must(t, err)
	var data bytes.Buffer
	decidetest.Must(t, p.Write(t.Context(), &data))
	done()
	r := verified(t, data.Bytes(), n.knownRoot("north"))
	wantVerdict(t, r, evidence.Holds)
	var b bytes.Buffer
	decidetest.Must(t, r.WritePage(&b))
	page := b.String()
	for _, want := range []string{"The evidence holds.", "trial 1.0.0", "It holds", "ann@heartland.example", "amy@north",
		"Facts and evidence", "same bytes", "&lt;script&gt;alert(1)", "&lt;script&gt;alert(3)", "zebra-1", a.RecordID,
		"order-sign of service orders", "FIRED"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "url(", "@import", "\u202e", "<link", "<iframe"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	tags := inTags(page)
	for _, bad := range []string{"src=", "href=", "onload", "onerror", "javascript:"} {
		if strings.Contains(tags, bad) {
			t.Errorf("a tag of the page has %q", bad)
		}
	}
	r = verified(t, n.takeOut("north", a.RecordID, EvidenceOptions{}), n.knownRoot("north"))
	b.Reset()
	decidetest.Must(t, r.WritePage(&b))
	for _, word := range []string{"zebra-1", "1951-02-03", "It holds &lt;", "FIRED"} {
		if strings.Contains(b.String(), word) {
			t.Errorf("%q is on the page of a file without patient data", word)
		}
	}
	b.Reset()
	decidetest.Must(t, evidence.Unreadable(evidence.ErrFile).WritePage(&b))
	if !strings.Contains(b.String(), "does NOT hold") {
		t.Error("the page of an unreadable file does not say so")
	}
}

// inTags is what stands between angle brackets.
func inTags(page string) string {
	var b strings.Builder
	for rest := page; ; {
		_, after, ok := strings.Cut(rest, "<")
		if !ok {
			return b.String()
		}
		tag, more, _ := strings.Cut(after, ">")
		b.WriteString(tag + "\n")
		rest = more
	}
}

var update = flag.Bool("update", false, "write the evidence files that the tests of package evidence read")

// TestEvidenceSample makes the file that the tests of package evidence read, and holds that the stored one has the same
// parts. With -update it is stored anew.
func TestEvidenceSample(t *testing.T) {
	n := smallRegion(t)
	a := n.call("north", []byte(smallCall))
	n.clock.advance(31 * 24 * time.Hour)
	n.call("north", []byte(strings.Replace(smallCall, "zebra-1", "zebra-2", 2)))
	data := n.takeOut("north", a.RecordID, EvidenceOptions{PatientData: true, Since: audit.Since{Log: "releases", Size: 3}})
	if *update {
		decidetest.Must(t, os.MkdirAll("evidence/testdata", 0o755))
		decidetest.Must(t, os.WriteFile("evidence/testdata/sample.tar", data, 0o644))
		decidetest.Must(t, os.WriteFile("evidence/testdata/root.sha256", []byte(n.knownRoot("north").Root), 0o644))
	}
	stored, err := os.ReadFile("evidence/testdata/sample.tar")
	decidetest.Must(t, err)
	if got, want := partsOf(t, data), partsOf(t, stored); !slices.Equal(got, want) {
		t.Errorf("a file made now has the parts %q, the stored one %q: see what else reads it, and run with -update", got, want)
	}
}

// partsOf lists the parts of an evidence file; a pack by its place alone.
func partsOf(t *testing.T, data []byte) (names []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		decidetest.Must(t, err)
		name, _, _ := strings.Cut(h.Name, "packs/")
		names = append(names, name)
	}
}

// decisionBody is a record's body as one piece.
func decisionBody(in *decision.Inputs, d *decision.Decision) ([]byte, error) {
	segments, err := decision.Encode(in, d)
	return bytes.Join(segments, nil), err
}
