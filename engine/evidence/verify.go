package evidence

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/trust"
)

// Known is what whoever checks a file has by another way than from the file. Something of it is needed: a file can
// vouch for itself as little as a person can.
type Known struct {
	Root    trust.Digest      // of the tenant's first trust root; empty if it is not known
	Node    ed25519.PublicKey // with which the region signs the heads of its logs; nil if it is not known
	Earlier [][]byte          // signed heads and receipts that were noted before
}

// Options say how a file is checked.
type Options struct {
	Known
	// Prove tries packs where they can do no harm, before they are run here; nil means that they are not run.
	Prove decide.Prover
	Build string // version of this program
}

// Outcome is what came of a check.
type Outcome string

// The outcomes.
const (
	OK          Outcome = "ok"
	Failed      Outcome = "failed"
	NotPossible Outcome = "not possible"
)

// Check is one thing that was checked. Detail says what it shows, what is wrong, or why it could not be checked.
type Check struct {
	Name    string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
}

// The names of checks, in the order in which they are told.
const (
	checkFile     = "file"
	checkParts    = "parts"
	checkRoot     = "trust root"
	checkSigned   = "statements"
	checkKey      = "region key"
	checkReleases = "release log"
	checkTimes    = "statement times"
	checkRecord   = "record"
	checkLater    = "later logs"
	checkExport   = "export"
	checkEarlier  = "earlier heads"
	checkWitness  = "witnesses"
	checkPacks    = "packs"
	checkBody     = "body"
	checkReplay   = "replay"
)

var checkOrder = []string{checkFile, checkParts, checkRoot, checkSigned, checkKey, checkReleases, checkTimes, checkRecord,
	checkLater, checkExport, checkEarlier, checkWitness, checkPacks, checkBody, checkReplay}

// Verdict is what all checks amount to.
type Verdict string

// The verdicts.
const (
	Holds      Verdict = "holds"
	DoesNot    Verdict = "does not hold"
	CannotTell Verdict = "cannot tell"
)

// Result is what a file says, as far as that was checked, and the checks. Nothing else in it is to be believed unless
// the verdict is Holds.
type Result struct {
	Verdict  Verdict  `json:"verdict"`
	Why      string   `json:"why,omitempty"` // for CannotTell
	Checks   []Check  `json:"checks"`
	Manifest Manifest `json:"manifest"`

	Kind      audit.Kind `json:"kind"`
	Decided   time.Time  `json:"decided"`
	Committed time.Time  `json:"committed"`
	Engine    string     `json:"engine"`  // build that decided
	Library   string     `json:"library"` // newest clinical library that it had
	Leaf      string     `json:"leaf"`    // as hashed

	Statements []Statement `json:"statements"`
	Packs      []Pack      `json:"packs"`
	Exported   Exported    `json:"exported"`

	// What the body says; nil without it, and of records that are no decisions. It is about a patient.
	Inputs   *decision.Inputs   `json:"-"`
	Decision *decision.Decision `json:"-"`
	Body     []byte             `json:"-"`
}

// Exported is the record of the export.
type Exported struct {
	Record  string    `json:"record"`
	Person  string    `json:"person"`
	Purpose string    `json:"purpose"`
	Time    time.Time `json:"time"`
}

// verifier checks one file.
type verifier struct {
	file    *File
	opt     Options
	result  *Result
	checks  map[string]Check
	blocked []string // what the one who checks could have had checked

	leaf   audit.Leaf
	record audit.Proof
	logged []logged
	state  *signing.State                  // nil unless all statements hold
	node   ed25519.PublicKey               // nil if it is not known by any way
	heads  map[string]map[int64]audit.Head // that were checked, by origin and size
	notes  map[string]string               // one for each log of the file
	packs  map[string]bool                 // that are in the file
	firm   bool                            // something that the one who checks knows vouches for the file
}

func (v *verifier) ok(name, format string, args ...any) {
	v.checks[name] = Check{name, OK, fmt.Sprintf(format, args...)}
}

func (v *verifier) fail(name string, err error) {
	v.checks[name] = Check{name, Failed, err.Error()}
}

func (v *verifier) failf(name, format string, args ...any) { v.fail(name, fmt.Errorf(format, args...)) }

// cannot says that a check is not possible because of what the file is, cannotHere because of what is missing here.
func (v *verifier) cannot(name, format string, args ...any) {
	v.checks[name] = Check{name, NotPossible, fmt.Sprintf(format, args...)}
}

func (v *verifier) cannotHere(name, format string, args ...any) {
	v.cannot(name, format, args...)
	v.blocked = append(v.blocked, name)
}

func (v *verifier) is(name string, o Outcome) bool { return v.checks[name].Outcome == o }

// Verify checks a file, cheap things first and strangers' packs last. It never fails: what could not be checked is in
// the result.
func (f *File) Verify(ctx context.Context, o Options) *Result {
	v := &verifier{file: f, opt: o, result: &Result{Manifest: f.Manifest, Statements: []Statement{}, Packs: []Pack{}},
		checks: map[string]Check{}, heads: map[string]map[int64]audit.Head{}, notes: map[string]string{},
		packs: map[string]bool{}}
	v.ok(checkFile, "one canonical archive with %d parts, and nothing else", len(f.Manifest.Parts)+len(exportNames)+1)
	if v.checkDigests(); v.is(checkParts, OK) {
		v.statements(ctx)
		v.trustRoot()
		v.regionKey()
		v.recordInLog()
		v.releases()
		v.times()
		v.later()
		v.exported()
		v.earlier()
		v.vouched()
		v.witnesses()
		v.checkPacks(ctx)
		v.body()
		v.replay(ctx)
	}
	return v.conclude()
}

// conclude puts the checks in order and says what they amount to.
func (v *verifier) conclude() *Result {
	r := v.result
	for _, name := range checkOrder {
		c, done := v.checks[name]
		if !done {
			c = Check{name, NotPossible, "what it rests on is damaged"}
			if name == checkEarlier && len(v.opt.Earlier) == 0 {
				continue
			}
		}
		r.Checks = append(r.Checks, c)
	}
	failed := slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Outcome == Failed })
	switch {
	case failed:
		r.Verdict = DoesNot
	case len(v.blocked) > 0:
		r.Verdict, r.Why = CannotTell, "not possible here: "+strings.Join(v.blocked, ", ")
	case !v.firm:
		r.Verdict = CannotTell
		r.Why = "nothing that you know by another way vouches for this file: give the tenant's first trust root, the " +
			"region's key, or a head or receipt that you noted"
	default:
		r.Verdict = Holds
	}
	return r
}

// checkDigests holds every part against the manifest.
func (v *verifier) checkDigests() {
	for _, p := range v.file.Manifest.Parts {
		sum := sha256.Sum256(v.file.part(p.Name))
		if hex.EncodeToString(sum[:]) != p.SHA256 {
			v.failf(checkParts, "%s does not have the digest that the manifest lists", p.Name)
			return
		}
	}
	v.ok(checkParts, "all have the digests that the manifest lists")
}

// origin is the full name of a log.
func (v *verifier) origin(log string) string {
	m := &v.file.Manifest
	return m.Prefix + "/" + m.Region + "/" + m.Tenant + "/" + log
}

// auditLog returns the name of an audit log of this tenant by its full name.
func (v *verifier) auditLog(origin string) (string, error) {
	name, ok := strings.CutPrefix(origin, v.origin(""))
	if log, err := audit.ParseLogName(name); !ok || err != nil || log == audit.Releases {
		return "", fmt.Errorf("%w: %s is no log of records of tenant %s in %s", audit.ErrCorrupt, origin,
			v.file.Manifest.Tenant, v.file.Manifest.Region)
	}
	return name, nil
}

// statements reads the release log of the file and judges it.
func (v *verifier) statements(ctx context.Context) {
	m := &v.file.Manifest
	t, err := tenant.ParseID(m.Tenant)
	if err != nil {
		v.fail(checkSigned, err)
		return
	}
	for i := range m.Statements {
		proof, err := audit.ParseProof(v.file.part(nameTime(i)))
		if err == nil {
			_, err = v.auditLog(proof.Log)
		}
		var l logged
		if err == nil {
			l, err = readLogged(i, v.file.part(nameStatement(i)), proof)
		}
		if err != nil {
			v.failf(checkSigned, "statement %d: %w", i, err)
			return
		}
		v.logged = append(v.logged, l)
	}
	state, held, err := fold(ctx, t, tenant.Region(m.Region), v.logged[0].env.Digest(), v.logged)
	v.result.Statements = append(v.result.Statements, held...)
	if err != nil {
		v.fail(checkSigned, err)
		return
	}
	v.state = state
	v.ok(checkSigned, "%d hold, from the trust root on: signatures, persons, roles, thresholds and order", len(held))
}

// trustRoot compares the first statement with the root that is known.
func (v *verifier) trustRoot() {
	switch {
	case len(v.logged) == 0:
		v.cannot(checkRoot, "the statements cannot be read")
	case v.opt.Root == "":
		v.cannot(checkRoot, "none was given: that %s is that of tenant %s is the word of the region, or of the file",
			v.logged[0].env.Digest(), v.file.Manifest.Tenant)
	case v.opt.Root != v.logged[0].env.Digest():
		v.failf(checkRoot, "it is %s, not the one that was given", v.logged[0].env.Digest())
	default:
		v.ok(checkRoot, "it is the one that was given, %s", v.opt.Root)
	}
}

// regionKey finds out what heads must be signed with.
func (v *verifier) regionKey() {
	pinned, home, why := v.pinned()
	switch {
	case v.opt.Node != nil && pinned != nil && !v.opt.Node.Equal(pinned):
		v.failf(checkKey, "the tenant's placement pins another key than the one that was given")
	case v.opt.Node != nil:
		v.node = v.opt.Node
		v.ok(checkKey, "the one that was given")
	case pinned == nil:
		v.cannotHere(checkKey, "none was given, and no placement pins one: %v", why)
	case v.is(checkRoot, OK):
		v.node = pinned
		v.ok(checkKey, "pinned by placement %d of %s, signed by %s", home.Epoch, home.LoggedAt.Format(time.RFC3339),
			people(home.Signers))
	default: // see vouched
		v.node = pinned
		v.cannot(checkKey, "none was given: the one in the file is used, which nobody vouches for")
	}
}

// pinned is the key of the placement in force.
func (v *verifier) pinned() (ed25519.PublicKey, signing.Home, error) {
	if v.state == nil {
		return nil, signing.Home{}, errors.New("the statements do not hold")
	}
	home, err := v.state.Home()
	if err != nil {
		return nil, home, err
	}
	if string(home.Certificate.Region) != v.file.Manifest.Region {
		return nil, home, fmt.Errorf("the tenant lived in region %s", home.Certificate.Region)
	}
	checkpoint, _, err := home.Certificate.Keys()
	if err != nil {
		return nil, home, err
	}
	key, ok := checkpoint.Crypto().(ed25519.PublicKey)
	if !ok {
		return nil, home, errors.New("it is not an Ed25519 key")
	}
	return key, home, nil
}

func people[T ~string](ids []T) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return strings.Join(names, " and ")
}

// keyless says of a check that heads cannot be checked, if that is so.
func (v *verifier) keyless(name string) bool {
	if v.node == nil {
		v.cannot(name, "the key of the region is not known")
	}
	return v.node == nil
}

// inLog checks a proof, and that the file has one head of each log.
func (v *verifier) inLog(p audit.Proof) error {
	if err := p.Verify(v.node); err != nil {
		return err
	}
	if was, ok := v.notes[p.Log]; ok && was != string(p.Note) {
		return fmt.Errorf("%w: the file has two heads of %s", audit.ErrCorrupt, p.Log)
	}
	v.notes[p.Log] = string(p.Note)
	return v.see(p.Log, p.Note)
}

// see remembers a head that was checked.
func (v *verifier) see(origin string, note []byte) error {
	h, err := audit.OpenCheckpoint(origin, note, v.node)
	if err != nil {
		return err
	}
	if v.heads[origin] == nil {
		v.heads[origin] = map[int64]audit.Head{}
	}
	if was, ok := v.heads[origin][h.Size]; ok && was.Root != h.Root {
		return fmt.Errorf("%w: two heads of %s with %d leaves differ: the region has signed two histories",
			audit.ErrCorrupt, origin, h.Size)
	}
	v.heads[origin][h.Size] = h
	return nil
}

// recordInLog checks that the record is in its log.
func (v *verifier) recordInLog() {
	m := &v.file.Manifest
	var err error
	if v.record, err = audit.ParseProof(v.file.part(nameRecord)); err != nil {
		v.fail(checkRecord, err)
		return
	}
	if v.leaf, err = audit.ParseLeaf(v.record.Leaf); err != nil {
		v.fail(checkRecord, err)
		return
	}
	l, r := &v.leaf, v.result
	r.Kind, r.Decided, r.Committed, r.Engine, r.Library = l.Kind, l.Decided, l.Committed, l.Engine, l.Library
	r.Leaf = string(v.record.Leaf)
	inForce := l.ReleaseIndex
	if l.Kind == audit.Statement {
		inForce++
	}
	log, err := v.auditLog(v.record.Log)
	switch {
	case err != nil:
		v.fail(checkRecord, err)
	case log != m.Log || string(l.RecordID) != m.Record || l.Index != v.record.Index || inForce != m.Statements:
		v.failf(checkRecord, "the leaf is not that of the record which the manifest names")
	case v.keyless(checkRecord):
	default:
		if err := v.inLog(v.record); err != nil {
			v.fail(checkRecord, err)
			return
		}
		v.ok(checkRecord, "a %s, leaf %d of %s, under a head that the region signed", l.Kind, l.Index, v.record.Log)
	}
}

// releases checks that the statements are the first of the release log.
func (v *verifier) releases() {
	if len(v.logged) < int(v.file.Manifest.Statements) {
		v.cannot(checkReleases, "the statements cannot be read")
		return
	}
	if v.keyless(checkReleases) {
		return
	}
	root, err := treeOf(v.envelopes())
	var c audit.Consistency
	if err == nil {
		c, err = audit.ParseConsistency(v.file.part(nameReleases))
	}
	if err == nil && c.Old != v.file.Manifest.Statements {
		err = fmt.Errorf("%w: its proof is about %d statements", audit.ErrCorrupt, c.Old)
	}
	var h audit.Head
	if err == nil {
		h, err = c.Verify(v.origin(string(audit.Releases)), root, v.node)
	}
	if err == nil {
		err = v.see(h.Origin, c.Note)
	}
	if err != nil {
		v.fail(checkReleases, err)
		return
	}
	v.ok(checkReleases, "the statements are the first %d of %s, of which the region signed %d: none is left out", c.Old,
		h.Origin, h.Size)
}

func (v *verifier) envelopes() [][]byte {
	list := make([][]byte, len(v.logged))
	for i := range list {
		list[i] = v.file.part(nameStatement(int64(i)))
	}
	return list
}

// times checks that the log's own time of each statement is in the log, and before the record.
func (v *verifier) times() {
	if len(v.logged) < int(v.file.Manifest.Statements) {
		v.cannot(checkTimes, "the statements cannot be read")
		return
	}
	if v.keyless(checkTimes) {
		return
	}
	for i, l := range v.logged {
		err := v.inLog(l.proof)
		own := l.leaf.RecordID == v.leaf.RecordID && v.leaf.Kind == audit.Statement
		if err == nil && (l.leaf.Committed.After(v.leaf.Committed) ||
			l.proof.Log == v.record.Log && l.proof.Index >= v.record.Index && !own) {
			err = fmt.Errorf("%w: it was logged after the record", audit.ErrCorrupt)
		}
		if err != nil {
			v.failf(checkTimes, "statement %d: %w", i, err)
			return
		}
	}
	v.ok(checkTimes, "each statement has a record with its time in the log, before this one")
}

// later checks that the logs go on: each begins with the last head of the one before.
func (v *verifier) later() {
	if v.keyless(checkLater) {
		return
	}
	m := &v.file.Manifest
	before, note := m.Log, v.record.Note
	for _, log := range m.Later {
		p, err := audit.ParseProof(v.file.part(nameLater(audit.LogName(log))))
		var leaf audit.Leaf
		if err == nil {
			leaf, err = audit.ParseLeaf(p.Leaf)
		}
		if err == nil && (p.Log != v.origin(log) || p.Index != 0 || leaf.Kind != audit.Checkpoint || leaf.Index != 0 ||
			leaf.Checkpoint != string(note)) {
			err = fmt.Errorf("%w: its first leaf is not the head of %s", audit.ErrCorrupt, before)
		}
		if err == nil {
			_, err = v.auditLog(p.Log)
		}
		if err == nil {
			err = v.inLog(p)
		}
		if err != nil {
			v.failf(checkLater, "%s: %w", log, err)
			return
		}
		before, note = log, p.Note
	}
	if len(m.Later) == 0 {
		v.ok(checkLater, "there are none: %s was the newest", m.Log)
		return
	}
	v.ok(checkLater, "%d, each beginning with the last head of the one before, to %s", len(m.Later), before)
}

// sizeIn is how many leaves a head is of, by its second line.
func sizeIn(note []byte) (int64, error) {
	lines := strings.SplitN(string(note), "\n", 3)
	if len(lines) == 3 {
		if n, err := strconv.ParseInt(lines[1], 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("reading head: %w: it has no size", audit.ErrCorrupt)
}

// exportBody is the body of the record of an export.
type exportBody struct {
	Person  string `json:"person"`
	Purpose string `json:"purpose"`
	What    struct {
		Verb        string `json:"verb"`
		Record      string `json:"record"`
		Digest      string `json:"digest"`
		Code        string `json:"code"`
		PatientData bool   `json:"patient_data"`
	} `json:"what"`
}

// ExportVerb and ExportCode are what the record of an export says, beside record and digest of the manifest.
const (
	ExportVerb = "evidence"
	ExportCode = "exported"
)

// exported checks that this very file was recorded before it was handed out: the record of the export holds the digest
// of the manifest.
func (v *verifier) exported() {
	if v.keyless(checkExport) {
		return
	}
	if err := v.export(); err != nil {
		v.fail(checkExport, err)
		return
	}
	x := &v.result.Exported
	v.ok(checkExport, "record %s: %s took this file out at %s", x.Record, x.Person, x.Time.Format(time.RFC3339))
}

func (v *verifier) export() error {
	f, m := v.file, &v.file.Manifest
	p, err := audit.ParseProof(f.part(nameExport))
	if err != nil {
		return err
	}
	leaf, err := audit.ParseLeaf(p.Leaf)
	if err != nil {
		return err
	}
	log := m.Log
	if n := len(m.Later); n > 0 {
		log = m.Later[n-1]
	}
	c, err := audit.ParseConsistency(f.part(nameExportSince))
	if err != nil {
		return err
	}
	if p.Log != v.origin(log) || leaf.Index != p.Index || leaf.Kind != audit.Access || string(p.Note) != string(c.Note) ||
		audit.Signatures(p.Note) != 1 {
		return fmt.Errorf("%w: it is not the record of an access in %s, under one head", audit.ErrCorrupt, log)
	}
	if err := p.Verify(v.node); err != nil {
		return err
	}
	before, err := sizeIn([]byte(v.notes[p.Log]))
	if err != nil {
		return fmt.Errorf("%w: the head that it follows does not hold", audit.ErrCorrupt)
	}
	if before != c.Old || p.Index < before {
		return fmt.Errorf("%w: it does not follow the heads of the file", audit.ErrCorrupt)
	}
	if _, err := c.Verify(p.Log, v.heads[p.Log][before].Root, v.node); err != nil {
		return err
	}
	if err := v.see(p.Log, p.Note); err != nil {
		return err
	}
	body := f.part(nameExportBody)
	if len(f.part(nameExportOpen)) != openingSize || audit.Committed(f.part(nameExportOpen), body) != leaf.Commit {
		return fmt.Errorf("%w: its body is not the one that was committed to", audit.ErrCorrupt)
	}
	var b exportBody
	if err := jsonv2.Unmarshal(body, &b); err != nil {
		return fmt.Errorf("%w: its body cannot be read", audit.ErrCorrupt)
	}
	sum := sha256.Sum256(f.manifest)
	if b.What.Verb != ExportVerb || b.What.Code != ExportCode || b.What.Record != m.Record ||
		b.What.Digest != hex.EncodeToString(sum[:]) || m.Body == Included && !b.What.PatientData {
		return fmt.Errorf("%w: another file was taken out by it", audit.ErrCorrupt)
	}
	v.result.Exported = Exported{string(leaf.RecordID), b.Person, b.Purpose, leaf.Decided}
	return nil
}

// earlier holds the file against heads and receipts that were noted before.
func (v *verifier) earlier() {
	if len(v.opt.Earlier) == 0 {
		return
	}
	if v.keyless(checkEarlier) {
		return
	}
	var said []string
	for i, text := range v.opt.Earlier {
		what, possible, err := v.against(text)
		switch {
		case err != nil:
			v.failf(checkEarlier, "number %d: %w", i+1, err)
			return
		case !possible:
			v.cannotHere(checkEarlier, "number %d: %s", i+1, what)
			return
		}
		said = append(said, what)
	}
	v.firm = true
	v.ok(checkEarlier, "%s", strings.Join(said, "; "))
}

// against holds the file against one head or receipt.
func (v *verifier) against(text []byte) (what string, possible bool, err error) {
	note := text
	receipt, isReceipt := audit.Receipt{}, strings.HasPrefix(string(text), `id="`)
	if isReceipt {
		if receipt, err = audit.ParseReceipt(strings.TrimSpace(string(text))); err != nil {
			return "", false, err
		}
		note = receipt.Note
	}
	origin, _, _ := strings.Cut(string(note), "\n")
	if name, ok := strings.CutPrefix(origin, v.origin("")); !ok {
		return "it is of " + origin + ", which is no log of this file", false, nil
	} else if _, err := audit.ParseLogName(name); err != nil {
		return "it is of " + origin + ", which is no log of this file", false, nil
	}
	h, err := audit.OpenCheckpoint(origin, note, v.node)
	if err != nil {
		return "", false, fmt.Errorf("it was not signed with the key of the region that the file is of: %w", err)
	}
	if isReceipt && string(receipt.RecordID) == v.file.Manifest.Record &&
		(receipt.Log != v.record.Log || receipt.Index != v.record.Index || receipt.Leaf != tlog.RecordHash(v.record.Leaf)) {
		return "", false, fmt.Errorf("%w: the receipt of this record is of another leaf: the log was rewritten",
			audit.ErrCorrupt)
	}
	rewritten := fmt.Errorf("%w: the log that the file is of does not go on from it: the log was rewritten",
		audit.ErrCorrupt)
	same := fmt.Sprintf("%s still has the %d leaves of then", origin, h.Size)
	if known, ok := v.heads[origin][h.Size]; ok {
		if known.Root != h.Root {
			return "", false, rewritten
		}
		return same, true, nil
	}
	if origin == v.origin(string(audit.Releases)) && h.Size >= 1 && h.Size <= int64(len(v.logged)) {
		if root, err := treeOf(v.envelopes()[:h.Size]); err != nil || root != h.Root {
			return "", false, rewritten
		}
		return same, true, nil
	}
	if s := v.file.Manifest.Since; s != nil && v.origin(s.Log) == origin && s.Size == h.Size {
		c, err := audit.ParseConsistency(v.file.part(nameSince))
		if err != nil || c.Old != h.Size {
			return "", false, fmt.Errorf("%w: the consistency proof is about something else", audit.ErrCorrupt)
		}
		later, err := c.Verify(origin, h.Root, v.node)
		if err != nil {
			return "", false, rewritten
		}
		return same, true, v.see(origin, []byte(later.Note))
	}
	return fmt.Sprintf("the file has no consistency proof from the %d leaves that %s had then: have it made with --since",
		h.Size, origin), false, nil
}

// vouched finds out whether something that is known vouches for the file.
func (v *verifier) vouched() {
	if v.is(checkRoot, OK) && v.state != nil || v.opt.Node != nil && v.is(checkKey, OK) {
		v.firm = true
	}
	if v.firm && v.is(checkKey, NotPossible) && v.node != nil {
		v.ok(checkKey, "the one that signed the heads which were noted before")
	}
	for _, name := range []string{checkRoot, checkSigned, checkKey, checkRecord, checkReleases, checkTimes, checkLater,
		checkExport, checkEarlier} {
		if v.is(name, Failed) {
			v.firm = false // what a file says that does not hold, nobody vouches for
		}
	}
}

// witnesses says what others than the region have signed.
func (v *verifier) witnesses() {
	n := 0
	for _, note := range v.notes {
		n += max(0, audit.Signatures([]byte(note))-1)
	}
	if n > 0 {
		v.cannot(checkWitness, "%d signatures of others than the region are on the heads; this version does not know"+
			" witnesses, and checks none", n)
		return
	}
	v.cannot(checkWitness, "no witness has signed the heads: that there is no other history, and when things happened, "+
		"is the region's word, but for heads that were noted before")
}

// Unreadable is the result of a file that [Read] refused.
func Unreadable(err error) *Result {
	return &Result{Verdict: DoesNot, Checks: []Check{{checkFile, Failed, err.Error()}}, Statements: []Statement{},
		Packs: []Pack{}}
}
