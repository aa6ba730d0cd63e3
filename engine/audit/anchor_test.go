package audit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/audittest"
	"github.com/precept-cds/precept/engine/tenant"
	"golang.org/x/mod/sumdb/tlog"
)

const regionOrigin = "audit.example/eu/anchor"

// anchored reads an anchor the way a stranger gets it, as text, and checks it with the node's key alone.
func anchored(t *testing.T, r *audit.Reader, tn tenant.ID, log audit.LogName, size int64) (audit.Anchor, audit.Head) {
	t.Helper()
	given, err := r.Anchored(t.Context(), tn, log, size)
	if err != nil {
		t.Fatal(err)
	}
	a, err := audit.ParseAnchor(given.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	h, err := a.Verify(regionOrigin, r.NodeKey())
	if err != nil {
		t.Fatal(err)
	}
	return a, h
}

func regionSize(t *testing.T, r *audit.Reader) int64 {
	t.Helper()
	h, err := r.RegionHead(t.Context())
	if errors.Is(err, audit.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return h.Size
}

func regionVerified(t *testing.T, r *audit.Reader) {
	t.Helper()
	findings, err := r.VerifyRegion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("verification of the region's log: %v", f)
	}
}

// TestHeadsAreAnchored anchors what changed and nothing else, over a restart and the end of a month.
func TestHeadsAreAnchored(t *testing.T) {
	r := newRegion(t)
	r.jump = 100 * 24 * time.Hour
	l := r.open(t)
	if n := audit.AnchorNow(l); n != 0 || regionSize(t, l.Reader) != 0 {
		t.Errorf("%d heads of nobody are anchored", n)
	}
	if _, err := l.Anchored(t.Context(), "north", "audit/2026-03", 1); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("anchor before the first: %v", err)
	}
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.entry("south", "p1"))
	step := func(want int, size int64) {
		t.Helper()
		if n, got := audit.AnchorNow(l), regionSize(t, l.Reader); n != want || got != size {
			t.Errorf("%d heads anchored, want %d; %d leaves, want %d", n, want, got, size)
		}
	}
	step(2, 2)
	step(0, 2)
	appendOK(t, l, r.entry("north", "p2"))
	appendOK(t, l, r.entry("north", "p3"))
	appendOK(t, l, r.statement("north", 0))
	step(2, 4) // the audit log and the release log of north
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = r.open(t)
	step(0, 4)
	appendOK(t, l, under(t, l, r.entry("north", "p4")))
	r.clock.Add(30 * 24 * time.Hour)
	appendOK(t, l, under(t, l, r.entry("north", "p4")))
	step(2, 6) // the last head of March, which nobody had anchored, and that of April
	step(0, 6)

	for _, c := range []struct {
		tenant   tenant.ID
		log      audit.LogName
		size     int64
		anchored int64
	}{{"north", "audit/2026-03", 1, 1}, {"north", "audit/2026-03", 2, 4}, {"north", "audit/2026-03", 4, 4},
		{"north", "audit/2026-03", 5, 5}, {"north", "audit/2026-04", 1, 2}, {"north", "releases", 1, 1},
		{"south", "audit/2026-03", 1, 1}} {
		a, h := anchored(t, l.Reader, c.tenant, c.log, c.size)
		if a.Size != c.anchored || a.Log != "audit.example/eu/"+string(c.tenant)+"/"+string(c.log) || h.Size != 6 {
			t.Errorf("%v: anchored with %d leaves in %s under %d", c, a.Size, a.Log, h.Size)
		}
	}
	for _, c := range []struct {
		tenant tenant.ID
		log    audit.LogName
		size   int64
	}{{"south", "releases", 1}, {"south", "audit/2026-03", 2}, {"east", "audit/2026-03", 1}, {"north", "anchor", 1},
		{"", "anchor", 1}, {"north", "audit/2026-03", 0}, {"north", "audit/2026-03", -1}} {
		if _, err := l.Anchored(t.Context(), c.tenant, c.log, c.size); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("%v: %v", c, err)
		}
	}
	regionVerified(t, l.Reader)
	verified(t, l.Reader, "north")
	verified(t, l.Reader, "south")
}

// TestRegionLogSaysNothingOfTenants looks at everything of the region's log that strangers get.
func TestRegionLogSaysNothingOfTenants(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	for i, tn := range []tenant.ID{"north", "south", "north"} {
		appendOK(t, l, r.entry(tn, "p1"))
		if i != 1 {
			audit.AnchorNow(l)
		}
	}
	h, err := l.RegionHead(t.Context())
	if err != nil || h.Size != 3 {
		t.Fatal(h, err)
	}
	entries, err := l.RegionEntries(t.Context(), 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	tile, err := l.RegionTile(t.Context(), 0, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	leaves := map[string]bool{}
	for i, rest := 0, entries; len(rest) > 0; i++ {
		n := int(binary.BigEndian.Uint16(rest))
		leaf := rest[2 : 2+n]
		rest = rest[2+n:]
		if len(leaf) != len(`{"v":1,"head":""}`)+64 || leaves[string(leaf)] {
			t.Errorf("leaf %s", leaf)
		}
		if hash := tlog.RecordHash(leaf); !bytes.Equal(hash[:], tile[32*i:32*i+32]) {
			t.Errorf("leaf %d does not have the hash of its tile", i)
		}
		leaves[string(leaf)] = true
	}
	if len(leaves) != 3 {
		t.Errorf("%d leaves", len(leaves))
	}
	north, err := l.Checkpoint(t.Context(), "north", "audit/2026-03")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := anchored(t, l.Reader, "south", "audit/2026-03", 1)
	for name, text := range map[string][]byte{"entries": entries, "head": h.Note, "anchor of another": a.Marshal(),
		"what it opens": a.Salt[:]} {
		for _, word := range []string{"north", string(north), string(bytes.Split(north, []byte("\n"))[2])} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s holds %q", name, word)
			}
		}
	}
	for _, c := range [][3]int{{0, 0, 4}, {0, 1, 1}, {1, 0, 1}, {0, -1, 1}, {0, 0, 0}, {0, 0, 257}, {-1, 0, 1}} {
		if _, err := l.RegionTile(t.Context(), c[0], int64(c[1]), c[2]); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("tile %v: %v", c, err)
		}
		if _, err := l.RegionEntries(t.Context(), int64(c[1]), c[2]); c[0] == 0 && !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("entries %v: %v", c, err)
		}
	}
}

// TestEntriesOfTenants reads the leaves of a tenant's log in bundles.
func TestEntriesOfTenants(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	e := r.entry("north", "p1")
	appendOK(t, l, e)
	data, err := l.Entries(t.Context(), "north", "audit/2026-03", 0, 1)
	if err != nil || !bytes.Contains(data, []byte(e.RecordID)) || int(binary.BigEndian.Uint16(data)) != len(data)-2 {
		t.Errorf("%q: %v", data, err)
	}
	if _, err := l.Entries(t.Context(), "south", "audit/2026-03", 0, 1); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("of another tenant: %v", err)
	}
	long := r.statement("north", 0)
	long.Statement = bytes.Repeat([]byte{'x'}, 70_000)
	appendOK(t, l, long)
	if _, err := l.Entries(t.Context(), "north", "releases", 0, 1); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a leaf too long for its form: %v", err)
	}
}

// TestAnchorsAreHeldAgainstLogs edits a store as somebody with the file can, and looks for the finding that names it, of
// the tenant's verification or of the region's.
func TestAnchorsAreHeldAgainstLogs(t *testing.T) {
	opening := func(log string, size int) []byte { return leafKey(log, size) }
	const march = "audit/2026-03"
	// Whose leaf comes first is chance.
	norths := func(m *audittest.Memory) int { return int(value(m, "north", audit.Anchors, opening(march, 2))[7]) }
	for name, c := range map[string]struct {
		edit           func(m *audittest.Memory)
		tenant, region string // what a finding says; empty for none
	}{
		"leaf of the region flipped": {func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "", leafKey("anchor", norths(m)), flip(-9))
		}, "of the region's log was made of", "do not have the signed root"},
		"leaf of the region dropped": {func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "", leafKey("anchor", 1-norths(m)), drop)
		}, "", "do not have the signed root"},
		"leaf beyond the head": {func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "", leafKey("anchor", 2), func([]byte) []byte { return []byte{0, 'x'} })
		}, "", "beyond the 2"},
		"head of the region dropped": {func(m *audittest.Memory) { m.Edit(audit.Heads, "", []byte("anchor"), drop) },
			"", "a leaf lies beyond"},
		"opening dropped": {func(m *audittest.Memory) { m.Edit(audit.Anchors, "north", opening(march, 2), drop) },
			"", "no log of a tenant is what this leaf was made of"},
		"opening flipped": {func(m *audittest.Memory) { m.Edit(audit.Anchors, "north", opening(march, 2), flip(-1)) },
			"was made of", "no log of a tenant is what this leaf was made of"},
		"opening cut": {func(m *audittest.Memory) {
			m.Edit(audit.Anchors, "north", opening(march, 2), func(b []byte) []byte { return b[:8] })
		}, "damaged", "no log of a tenant is what this leaf was made of"},
		"opening of another size": {func(m *audittest.Memory) {
			v := value(m, "north", audit.Anchors, opening(march, 2))
			m.Edit(audit.Anchors, "north", opening(march, 2), drop)
			m.Edit(audit.Anchors, "north", opening(march, 1), func([]byte) []byte { return v })
		}, "was made of", "no log of a tenant is what this leaf was made of"},
		"opening of another tenant": {func(m *audittest.Memory) {
			v := value(m, "north", audit.Anchors, opening(march, 2))
			m.Edit(audit.Anchors, "south", opening(march, 1), func([]byte) []byte { return v })
		}, "", "no log of a tenant is what this leaf was made of"},
		"opening beyond the log": {func(m *audittest.Memory) {
			v := value(m, "north", audit.Anchors, opening(march, 2))
			m.Edit(audit.Anchors, "north", opening(march, 9), func([]byte) []byte { return v })
		}, "9 leaves of it are anchored, it has 2", ""},
		"tenant dropped": {func(m *audittest.Memory) { m.Edit(audit.Meta, "", []byte("tenant/south"), drop) },
			"", "no log of a tenant is what this leaf was made of"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegion(t)
			l := r.open(t)
			appendOK(t, l, r.entry("north", "p1"))
			appendOK(t, l, r.entry("north", "p2"))
			appendOK(t, l, r.entry("south", "p1"))
			audit.AnchorNow(l)
			regionVerified(t, l.Reader)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			c.edit(r.memory())
			reader, err := audit.OpenReader(t.Context(), audit.Config{Store: r.store})
			if err != nil {
				t.Fatal(err)
			}
			report, err := reader.Verify(t.Context(), "north", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			region, err := reader.VerifyRegion(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range []struct {
				of   string
				want string
				got  []audit.Finding
			}{{"tenant", c.tenant, report.Findings}, {"region", c.region, region}} {
				said := ""
				for _, f := range x.got {
					said += f.Check + ": " + f.Detail + "\n"
				}
				if !strings.Contains(said, x.want) || (x.want == "") != (said == "") {
					t.Errorf("findings of the %s: %q, want %q", x.of, said, x.want)
				}
			}
		})
	}
}

// TestRewrittenLogIsNotAnchored has a tenant's log be replaced, with the node's own key, behind the back of a running
// log: it is noticed, said once, and not covered by an anchor.
func TestRewrittenLogIsNotAnchored(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	other := *r
	other.store, other.mark = r.memory().Clone(), ""
	l2 := other.open(t)
	for range 4 {
		appendOK(t, l2, r.entry("north", "other"))
	}
	if err := l2.Close(); err != nil {
		t.Fatal(err)
	}
	var found []audit.Finding
	c := r.config(t)
	c.Anchor.Found = func(_ tenant.ID, f audit.Finding) { found = append(found, f) }
	l, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	appendOK(t, l, r.entry("north", "p2"))
	appendOK(t, l, r.entry("north", "p3"))
	audit.AnchorNow(l)
	for i := range 5 { // what the other history has takes the place of this one's, its head too
		v := value(other.memory(), "north", audit.Leaves, leafKey("audit/2026-03", i))
		r.memory().Edit(audit.Leaves, "north", leafKey("audit/2026-03", i), func([]byte) []byte { return v })
	}
	head := value(other.memory(), "north", audit.Heads, []byte("audit"))
	r.memory().Edit(audit.Heads, "north", []byte("audit"), func([]byte) []byte { return head })
	size := regionSize(t, l.Reader)
	for range 3 {
		audit.AnchorNow(l)
	}
	if len(found) != 1 || found[0].Check != "anchor" || l.Anchors().Wrong != 1 || regionSize(t, l.Reader) != size {
		t.Errorf("found %v, %d wrong, %d leaves of %d", found, l.Anchors().Wrong, regionSize(t, l.Reader), size)
	}
}

// TestAnchoringSurvivesFaults breaks each commit in turn in each way there is: whatever became of it, the log goes on or
// starts again, and what is anchored is whole.
func TestAnchoringSurvivesFaults(t *testing.T) {
	for _, fault := range []audittest.Fault{audittest.Refused, audittest.Lost, audittest.Kept} {
		for n := range 3 {
			r := newRegion(t)
			memory := r.memory()
			memory.T = nil
			faulty := audittest.NewFaulty(memory)
			r.store = faulty
			l := r.open(t)
			for i := range 4 {
				appendOK(t, l, r.entry("north", "p1"))
				if i == n {
					faulty.Break(0, fault)
				}
				audit.AnchorNow(l)
				if l.Err() != nil {
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					r.store = audittest.NewFaulty(memory)
					l = r.open(t)
				}
			}
			audit.AnchorNow(l)
			if got, want := regionSize(t, l.Reader), int64(4); got < want-1 || got > want {
				t.Errorf("%s of anchor %d: %d leaves", fault, n, got)
			}
			a, _ := anchored(t, l.Reader, "north", "audit/2026-03", 4)
			if a.Size != 4 {
				t.Errorf("%s of anchor %d: anchored with %d leaves", fault, n, a.Size)
			}
			regionVerified(t, l.Reader)
			l.Close()
		}
	}
}

// hangingReads is a store whose views, once they have begun, hang while the gate is closed, as they do on a page that the
// disk does not deliver.
type hangingReads struct {
	audit.Store
	gate sync.RWMutex
}

func (h *hangingReads) View(ctx context.Context, fn func(audit.View) error) error {
	return h.Store.View(ctx, func(v audit.View) error {
		h.gate.RLock()
		defer h.gate.RUnlock()
		return fn(v)
	})
}

// TestAnchoringOnADiskThatHangs begins round after round on a store that does not answer: those that were left go on
// together later, and get in nobody's way.
func TestAnchoringOnADiskThatHangs(t *testing.T) {
	r := newRegion(t)
	store := &hangingReads{Store: r.memory()}
	r.store = store
	l := r.open(t)
	tenants := []tenant.ID{"north", "south", "west", "east"}
	for _, id := range tenants {
		appendOK(t, l, r.entry(id, "p1"))
	}
	if n, err := audit.AnchorHeads(t.Context(), l, tenants...); n != 4 || err != nil {
		t.Fatalf("%d anchored, %v", n, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = r.open(t) // which remembers nothing of what is anchored
	store.gate.Lock()
	for range 20 {
		ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := audit.AnchorHeads(ctx, l, tenants...); !errors.Is(err, audit.ErrLate) {
			t.Errorf("on a store that hangs: %v", err)
		}
		stop()
	}
	store.gate.Unlock()
	for _, id := range tenants {
		appendOK(t, l, r.entry(id, "p2"))
	}
	sum := 0
	for end := time.Now().Add(10 * time.Second); sum < 4; {
		n, err := audit.AnchorHeads(t.Context(), l, tenants...)
		if err != nil && !errors.Is(err, audit.ErrLate) || time.Now().After(end) {
			t.Fatalf("%d anchored after it hung, %v", sum, err)
		}
		sum += n
	}
	if n := regionSize(t, l.Reader); n != 8 {
		t.Errorf("%d leaves", n)
	}
	regionVerified(t, l.Reader)
}

// TestTwoNodesAnchor has two logs on one store anchor the same heads at the same time.
func TestTwoNodesAnchor(t *testing.T) {
	r := newRegion(t)
	r.mark = ""
	a, b := r.open(t), r.open(t)
	for i := range 20 {
		appendOK(t, a, r.entry("north", "p1"))
		appendOK(t, b, r.entry("south", "p1"))
		done := make(chan int)
		go func() { done <- audit.AnchorNow(b) }()
		audit.AnchorNow(a)
		<-done
		if i%5 == 4 {
			audit.AnchorNow(a)
			anchored(t, a.Reader, "north", "audit/2026-03", int64(i+1))
			anchored(t, b.Reader, "south", "audit/2026-03", int64(i+1))
		}
	}
	regionVerified(t, a.Reader)
}

// TestRegionLogIsCheckedAtTheStart damages the region's log in ways that a start must notice.
func TestRegionLogIsCheckedAtTheStart(t *testing.T) {
	for name, edit := range map[string]func(m *audittest.Memory){
		"newest leaf dropped": func(m *audittest.Memory) { m.Edit(audit.Leaves, "", leafKey("anchor", 1), drop) },
		"leaf beyond": func(m *audittest.Memory) {
			m.Edit(audit.Leaves, "", leafKey("anchor", 2), func([]byte) []byte { return []byte{0} })
		},
		"tree hash flipped": func(m *audittest.Memory) { m.Edit(audit.Leaves, "", leafKey("anchor", 1), flip(40)) },
		"head of another size": func(m *audittest.Memory) {
			m.Edit(audit.Heads, "", []byte("anchor"), func(b []byte) []byte {
				return bytes.Replace(b, []byte(`anchor\n2\n`), []byte(`anchor\n1\n`), 1)
			})
		},
		"head of a tenant": func(m *audittest.Memory) {
			v := value(m, "north", audit.Heads, []byte("audit"))
			m.Edit(audit.Heads, "", []byte("anchor"), func([]byte) []byte { return v })
		},
	} {
		r := newRegion(t)
		l := r.open(t)
		appendOK(t, l, r.entry("north", "p1"))
		appendOK(t, l, r.entry("south", "p1"))
		audit.AnchorNow(l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		edit(r.memory())
		if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestShardOfAnotherRegion copies all that another region has of a tenant into a store: nothing of it passes for this
// region's.
func TestShardOfAnotherRegion(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("south", "p1"))
	audit.AnchorNow(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r2 := newRegion(t)
	c := r2.config(t)
	c.Prefix = "other.example"
	foreign, err := audit.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	appendOK(t, foreign, r2.entry("north", "p1"))
	audit.AnchorNow(foreign)
	if err := foreign.Close(); err != nil {
		t.Fatal(err)
	}
	from, to := r2.memory(), r.memory()
	copyTenant := func(tn tenant.ID, space audit.Space) {
		var items []audit.Item
		if err := from.View(t.Context(), func(v audit.View) error {
			return v.Scan(space, tn, nil, nil, false, func(k, val []byte) (bool, error) {
				items = append(items, audit.Item{Space: space, Tenant: tn, Key: bytes.Clone(k), Value: bytes.Clone(val)})
				return true, nil
			})
		}); err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			to.Edit(i.Space, i.Tenant, i.Key, func([]byte) []byte { return i.Value })
		}
	}
	for space := range audit.Spaces {
		copyTenant("north", space)
	}
	ref := value(from, "", audit.Meta, []byte("tenant/north"))
	to.Edit(audit.Meta, "", []byte("tenant/north"), func([]byte) []byte { return ref })
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("a tenant of another region: %v", err)
	}
	reader, err := audit.OpenReader(t.Context(), audit.Config{Store: r.store})
	if err != nil {
		t.Fatal(err)
	}
	report, err := reader.Verify(t.Context(), "north", nil, nil)
	if err != nil || len(report.Findings) == 0 {
		t.Errorf("verification of a tenant of another region: %v, %v", report, err)
	}
	// The region's own log of another region.
	to.Edit(audit.Meta, "", []byte("tenant/north"), drop)
	for _, space := range []audit.Space{audit.Leaves, audit.Heads, audit.Anchors} {
		copyTenant("", space)
	}
	if _, err := r.tryOpen(t); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("the log of another region: %v", err)
	}
}

func TestParseAnchorRefuses(t *testing.T) {
	r := newRegion(t)
	l := r.open(t)
	appendOK(t, l, r.entry("north", "p1"))
	appendOK(t, l, r.entry("south", "p1"))
	audit.AnchorNow(l)
	a, _ := anchored(t, l.Reader, "north", "audit/2026-03", 1)
	text := string(a.Marshal())
	extra := base64.StdEncoding.EncodeToString(append(a.Salt[:], []byte("short")...))
	first := strings.Split(text, "\n")[1]
	for name, bad := range map[string]string{
		"nothing": "", "no extra data": strings.Replace(text, first+"\n", "", 1),
		"extra data of no head": strings.Replace(text, first, "extra "+extra, 1),
		"a proof of a record":   strings.Replace(text, first, "extra "+base64.StdEncoding.EncodeToString([]byte("{}")), 1),
		"something after":       text + "x", "another index form": strings.Replace(text, "index ", "index 0", 1),
	} {
		if _, err := audit.ParseAnchor([]byte(bad)); !errors.Is(err, audit.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*audit.Anchor){
		"size": func(a *audit.Anchor) { a.Size++ }, "root": func(a *audit.Anchor) { a.Root[0] ^= 1 },
		"salt": func(a *audit.Anchor) { a.Salt[0] ^= 1 }, "index": func(a *audit.Anchor) { a.Index ^= 1 },
		"log":      func(a *audit.Anchor) { a.Log = strings.Replace(a.Log, "north", "south", 1) },
		"path":     func(a *audit.Anchor) { a.Hashes = a.Hashes[1:] },
		"negative": func(a *audit.Anchor) { a.Index = -1 },
	} {
		bad := a
		change(&bad)
		if _, err := bad.Verify(regionOrigin, l.NodeKey()); !errors.Is(err, audit.ErrCorrupt) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := a.Verify("audit.example/us/anchor", l.NodeKey()); err == nil {
		t.Error("it holds in another region")
	}
}

func FuzzParseAnchor(f *testing.F) {
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra " + base64.StdEncoding.EncodeToString(append(make([]byte, 32),
		"a.example/eu/north/releases\n1\n"+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"...)) +
		"\nindex 0\n\na.example/eu/anchor\n1\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n\n— a AAAA\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := audit.ParseAnchor(text)
		if err != nil {
			return
		}
		if !bytes.Equal(a.Marshal(), text) {
			t.Errorf("%q is read as %q", text, a.Marshal())
		}
		if _, err := a.Verify("a.example/eu/anchor", make([]byte, 32)); err == nil {
			t.Error("what nobody signed holds")
		}
	})
}
