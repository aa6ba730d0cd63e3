package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/api/witnessing"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// headFlags are where logs are read: a server, or a store that no process has open.
type headFlags struct {
	*auditFlags
	store  storeConfig
	node   string
	policy string
}

func (f *headFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.store.Path, "store", "", "store to read instead of asking a server: a file,"+
		" or the URL of a PostgreSQL database without a password")
	fl.StringVar(&f.store.Kind, "store-kind", boltStore, "with --store: its kind, as in the configuration")
	fl.StringVar(&f.node, "node-key", "", "the node's public key (base64), if not the one that the server or store shows")
	fl.StringVar(&f.policy, "witnesses", "", "policy file of the witnesses whose signatures count (C2SP tlog-policy)")
}

// logs is what checks of heads read. An origin that ends in /anchor is that of the region's log.
type logs interface {
	key(ctx context.Context) (ed25519.PublicKey, error)
	newest(ctx context.Context) ([][]byte, error) // heads of all the tenant's logs
	head(ctx context.Context, origin string) ([]byte, error)
	tile(ctx context.Context, origin string, t tlog.Tile) ([]byte, error)
	anchor(ctx context.Context, origin string, size int64) ([]byte, error)
	region(ctx context.Context) ([]byte, error) // newest head of the region's log
	witnessed(ctx context.Context) ([]byte, error)
	close() error
}

// open says where logs are read. Without a tenant only the region's log can be.
func (f *headFlags) open(ctx context.Context) (logs, error) {
	if f.store.Path != "" {
		var key ed25519.PublicKey
		if f.node != "" {
			var err error
			if key, err = nodeKey(f.node); err != nil {
				return nil, err
			}
		}
		s, closeStore, err := openStore(ctx, f.store.given(), true)
		if err != nil {
			return nil, err
		}
		r, err := audit.OpenReader(ctx, audit.Config{Store: s, Node: key})
		if err != nil {
			return nil, errors.Join(err, closeStore())
		}
		return &storedLogs{r, tenant.ID(f.tenant), closeStore}, nil
	}
	region, err := client.NewRegion(strings.TrimSuffix(f.server, "/"))
	if err != nil {
		return nil, err
	}
	s := &servedLogs{regions: region, tenant: f.tenant, node: f.node}
	if f.tenant == "" && f.node != "" {
		return s, nil
	}
	s.client, err = f.client()
	return s, err
}

// logOf is whose log an origin names: the region's, as tenant and log are empty then, or a tenant's.
func logOf(origin string) (of, log string, err error) {
	parts := strings.SplitN(origin, "/", 4)
	if len(parts) == 3 && parts[2] == string(audit.RegionLog) {
		return "", "", nil
	}
	if len(parts) == 4 {
		_, err = audit.ParseLogName(parts[3])
		of, log = parts[2], parts[3]
	}
	if len(parts) < 4 || err != nil {
		return "", "", fmt.Errorf("reading head: %q is not the name of a log", origin)
	}
	return of, log, nil
}

// ownLog is logOf where the log must be the region's or this tenant's.
func ownLog(origin, tenant string) (log string, err error) {
	of, log, err := logOf(origin)
	if err == nil && of != "" && of != tenant {
		err = fmt.Errorf("%s is not a log of tenant %q", origin, tenant)
	}
	return log, err
}

// servedLogs are those of a running region.
type servedLogs struct {
	client  *client.Client // nil if only the region's log is read
	regions *client.Region
	tenant  string
	node    string
}

func (s *servedLogs) close() error { return nil }

func (s *servedLogs) key(ctx context.Context) (ed25519.PublicKey, error) {
	if s.node != "" {
		return nodeKey(s.node)
	}
	status, err := s.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	return status.NodeKey, nil
}

func (s *servedLogs) newest(ctx context.Context) (notes [][]byte, err error) {
	if s.client == nil {
		return nil, nil
	}
	heads, err := s.client.Logs(ctx)
	for _, h := range heads {
		notes = append(notes, h.Note)
	}
	return notes, err
}

func (s *servedLogs) head(ctx context.Context, origin string) ([]byte, error) {
	log, err := ownLog(origin, s.tenant)
	switch {
	case err != nil:
		return nil, err
	case log == "":
		return s.regions.Checkpoint(ctx)
	}
	return s.client.Checkpoint(ctx, log)
}

func (s *servedLogs) tile(ctx context.Context, origin string, t tlog.Tile) ([]byte, error) {
	log, err := ownLog(origin, s.tenant)
	switch {
	case err != nil:
		return nil, err
	case log == "":
		return s.regions.Tile(ctx, t)
	}
	return s.client.Tile(ctx, log, t)
}

func (s *servedLogs) anchor(ctx context.Context, origin string, size int64) ([]byte, error) {
	log, err := ownLog(origin, s.tenant)
	if err != nil {
		return nil, err
	}
	text, err := s.client.Anchor(ctx, log, size)
	return text, noneYet(err)
}

func (s *servedLogs) region(ctx context.Context) ([]byte, error) {
	text, err := s.regions.Checkpoint(ctx)
	return text, noneYet(err)
}

func (s *servedLogs) witnessed(ctx context.Context) ([]byte, error) {
	text, err := s.regions.Witnessed(ctx)
	return text, noneYet(err)
}

// noneYet makes audit.ErrNotFound of what a server says of things that are not there.
func noneYet(err error) error {
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Code == "not-found" {
		return fmt.Errorf("%w: %w", audit.ErrNotFound, err)
	}
	return err
}

// storedLogs are those of a store.
type storedLogs struct {
	reader *audit.Reader
	tenant tenant.ID
	done   func() error
}

func (s *storedLogs) close() error { return s.done() }

func (s *storedLogs) key(context.Context) (ed25519.PublicKey, error) { return s.reader.NodeKey(), nil }

func (s *storedLogs) newest(ctx context.Context) (notes [][]byte, err error) {
	if s.tenant == "" {
		return nil, nil
	}
	heads, err := s.reader.Logs(ctx, s.tenant)
	for _, h := range heads {
		notes = append(notes, h.Note)
	}
	return notes, err
}

func (s *storedLogs) head(ctx context.Context, origin string) ([]byte, error) {
	log, err := ownLog(origin, string(s.tenant))
	switch {
	case err != nil:
		return nil, err
	case log == "":
		return s.region(ctx)
	}
	return s.reader.Checkpoint(ctx, s.tenant, audit.LogName(log))
}

func (s *storedLogs) tile(ctx context.Context, origin string, t tlog.Tile) ([]byte, error) {
	log, err := ownLog(origin, string(s.tenant))
	switch {
	case err != nil:
		return nil, err
	case log == "":
		return s.reader.RegionTile(ctx, t.L, t.N, t.W)
	}
	return s.reader.Tile(ctx, s.tenant, audit.LogName(log), t.L, t.N, t.W)
}

func (s *storedLogs) anchor(ctx context.Context, origin string, size int64) ([]byte, error) {
	log, err := ownLog(origin, string(s.tenant))
	if err != nil {
		return nil, err
	}
	a, err := s.reader.Anchored(ctx, s.tenant, audit.LogName(log), size)
	if err != nil {
		return nil, err
	}
	return a.Marshal(), nil
}

func (s *storedLogs) region(ctx context.Context) ([]byte, error) {
	h, err := s.reader.RegionHead(ctx)
	return h.Note, err
}

func (s *storedLogs) witnessed(ctx context.Context) ([]byte, error) {
	h, err := s.reader.RegionWitnessed(ctx)
	return h.Note, err
}

// maxHeads bounds a file of heads.
const maxHeads = 16 << 20

// errHeads says that a file does not hold heads.
var errHeads = errors.New("not a file of signed heads")

// splitHeads reads a file of signed notes, one after the other: the lines of a head, an empty line, the lines of its
// signatures, and an empty line before the next.
func splitHeads(text []byte) (notes [][]byte, err error) {
	bad := func(line int) ([][]byte, error) {
		return nil, fmt.Errorf("reading heads: %w: line %d", errHeads, line)
	}
	if len(text) > maxHeads || len(text) == 0 || text[len(text)-1] != '\n' {
		return nil, fmt.Errorf("reading heads: %w: empty, cut short or too long", errHeads)
	}
	const inText, inSignatures = 0, 1
	state, from, at, signed := inText, 0, 0, false
	for n := 1; at < len(text); n++ {
		end := at + bytes.IndexByte(text[at:], '\n')
		line := text[at:end]
		switch {
		case state == inText && len(line) == 0:
			if at == from {
				return bad(n)
			}
			state, signed = inSignatures, false
		case state == inSignatures && len(line) == 0:
			if !signed {
				return bad(n)
			}
			notes = append(notes, text[from:at])
			state, from = inText, end+1
		case state == inSignatures:
			if !bytes.HasPrefix(line, []byte("— ")) {
				return bad(n)
			}
			signed = true
		}
		at = end + 1
	}
	switch {
	case state == inSignatures && signed:
		notes = append(notes, text[from:])
	case from != len(text):
		return nil, fmt.Errorf("reading heads: %w: the last one is cut short", errHeads)
	}
	return notes, nil
}

// joinHeads is the reverse of splitHeads.
func joinHeads(notes [][]byte) []byte { return bytes.Join(notes, []byte{'\n'}) }

func auditHead(a *auditFlags) *cobra.Command {
	f := &headFlags{auditFlags: a}
	var out string
	c := &cobra.Command{
		Use:   "head",
		Short: "note the newest signed heads of the tenant's logs and of the region's",
		Long: `Head fetches the newest signed heads of the tenant's logs and of the region's own log, checks
their signatures and prints them, or adds them to a file. Keep that file where those who run the
region cannot write: whoever has an old head can tell with precept audit consistency whether the log of
today is the one of then. Without --tenant it is the region's log alone, and --node-key is required.`,
		Example: "  precept audit head --tenant north --person avery@north.example --key avery.pem \\\n" +
			"    --purpose \"monthly note\" -o heads.txt",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			l, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.close()) }()
			notes, err := currentHeads(cmd.Context(), l)
			if err != nil {
				return err
			}
			if out != "" {
				if err := addHeads(out, notes); err != nil {
					return err
				}
				stderr(cmd).line("added %d heads to %s", len(notes), out)
				return nil
			}
			if f.json {
				type line struct{ Note string }
				list := make([]line, len(notes))
				for i := range notes {
					list[i].Note = string(notes[i])
				}
				return stdout(cmd).json(list)
			}
			return stdout(cmd).text(string(joinHeads(notes)))
		},
	}
	f.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "file to add the heads to; it is made if it is not there")
	return c
}

// currentHeads reads the newest heads and checks their signatures.
func currentHeads(ctx context.Context, l logs) ([][]byte, error) {
	key, err := l.key(ctx)
	if err != nil {
		return nil, err
	}
	notes, err := l.newest(ctx)
	if err != nil {
		return nil, err
	}
	region, err := l.region(ctx)
	if err == nil {
		notes = append(notes, region)
	} else if !errors.Is(err, audit.ErrNotFound) {
		return nil, err
	}
	for _, n := range notes {
		if _, err := audit.OpenHead(originOf(n), n, key); err != nil {
			return nil, answeredNo{fmt.Errorf("a head that was shown does NOT hold: %w", err)}
		}
	}
	if len(notes) == 0 {
		return nil, fmt.Errorf("noting heads: %w: there is no log yet", audit.ErrNotFound)
	}
	return notes, nil
}

func originOf(signed []byte) string {
	line, _, _ := bytes.Cut(signed, []byte{'\n'})
	return string(line)
}

// addHeads adds heads to a file, which holds heads or is not there.
func addHeads(path string, notes [][]byte) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("adding heads: %w", err)
	}
	if len(text) > 0 {
		if _, err := splitHeads(text); err != nil {
			return fmt.Errorf("adding heads to %s: %w", path, err)
		}
		notes = append([][]byte{{}}, notes...) // an empty line between
	}
	fh, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("adding heads: %w", err)
	}
	_, err = fh.Write(joinHeads(notes))
	if err := errors.Join(err, fh.Sync(), fh.Close()); err != nil {
		return fmt.Errorf("adding heads: %w", err)
	}
	return nil
}

func auditConsistency(a *auditFlags) *cobra.Command {
	f := &headFlags{auditFlags: a}
	c := &cobra.Command{
		Use:   "consistency FILE",
		Short: "hold heads that were noted before against the logs of today",
		Long: `Consistency reads a file of precept audit head, or one signed head that came from elsewhere, such as
a witness, and checks for each that the log of today begins with the leaves that it was signed over. If
not, the log was rewritten or cut short since, by whoever has the node's key. Two heads of one size with
different roots are printed: with the node's public key they prove that to anybody.`,
		Example: "  precept audit consistency --store copy.db --tenant north --node-key vZ7c... heads.txt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			text, err := readInput(args[0], cmd.InOrStdin())
			if err != nil {
				return fmt.Errorf("reading heads: %w", err)
			}
			notes, err := splitHeads(text)
			if err != nil {
				return answeredNo{err}
			}
			l, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.close()) }()
			k, err := f.keeper(cmd.Context(), l, stdout(cmd))
			if err != nil {
				return err
			}
			for origin, heads := range k.byLog(notes) {
				if err := k.check(cmd.Context(), origin, heads); err != nil {
					return err
				}
			}
			if k.bad {
				return errSaid
			}
			return nil
		},
	}
	f.add(c)
	return c
}

// keeper holds what was noted against what is there today.
type keeper struct {
	logs
	node   ed25519.PublicKey
	policy *witnessing.Policy // nil if no witnesses count
	out    *printer
	bad    bool // something does not hold
	today  map[string]audit.Head
}

func (f *headFlags) keeper(ctx context.Context, l logs, out *printer) (*keeper, error) {
	k := &keeper{logs: l, out: out, today: map[string]audit.Head{}}
	if f.policy != "" {
		text, err := os.ReadFile(f.policy)
		if err != nil {
			return nil, fmt.Errorf("reading policy of witnesses: %w", err)
		}
		if k.policy, err = witnessing.ParsePolicy(text); err != nil {
			return nil, err
		}
	}
	var err error
	k.node, err = l.key(ctx)
	return k, err
}

func (k *keeper) no(format string, values ...any) {
	k.bad = true
	k.out.line("does NOT hold: "+format, values...)
}

// byLog sorts heads by log and size, in the order of the logs' names.
func (k *keeper) byLog(notes [][]byte) func(yield func(string, []audit.Head) bool) {
	logs := map[string][]audit.Head{}
	for _, n := range notes {
		origin := originOf(n)
		h, err := audit.OpenHead(origin, n, k.node)
		if err != nil {
			k.no("head of %s: %v", origin, err)
			continue
		}
		logs[origin] = append(logs[origin], h)
	}
	return func(yield func(string, []audit.Head) bool) {
		var origins []string
		for origin := range logs {
			origins = append(origins, origin)
		}
		slices.Sort(origins)
		for _, origin := range origins {
			slices.SortFunc(logs[origin], func(a, b audit.Head) int { return cmp.Compare(a.Size, b.Size) })
			if !yield(origin, logs[origin]) {
				return
			}
		}
	}
}

// fork prints two heads of one size with different roots.
func (k *keeper) fork(a, b audit.Head) {
	k.no("the node has signed two heads of %s with %d leaves and different roots. Both, as a proof for anybody who has "+
		"its public key:", a.Origin, a.Size)
	_ = k.out.text("\n" + string(joinHeads([][]byte{a.Note, b.Note})) + "\n") // as every line
}

// newestHead is the head of a log as it is today.
func (k *keeper) newestHead(ctx context.Context, origin string) (audit.Head, error) {
	if h, ok := k.today[origin]; ok {
		return h, nil
	}
	signed, err := k.head(ctx, origin)
	if err != nil {
		return audit.Head{}, err
	}
	h, err := audit.OpenHead(origin, signed, k.node)
	if err != nil {
		return h, answeredNo{fmt.Errorf("the head of today of %s does NOT hold: %w", origin, err)}
	}
	k.today[origin] = h
	return h, nil
}

// check holds the heads of one log against that log.
func (k *keeper) check(ctx context.Context, origin string, heads []audit.Head) error {
	for i := range heads[1:] {
		if a, b := heads[i], heads[i+1]; a.Size == b.Size && a.Root != b.Root {
			k.fork(a, b)
		}
	}
	today, err := k.newestHead(ctx, origin)
	if err = noneYet(err); errors.Is(err, audit.ErrNotFound) {
		k.no("%s had %d leaves, and is not there", origin, heads[len(heads)-1].Size)
		return nil
	}
	if err != nil {
		return err
	}
	good := int64(0)
	for _, h := range heads {
		switch holds, err := k.follows(ctx, today, h); {
		case err != nil:
			return err
		case holds:
			good = h.Size
		}
	}
	if good > 0 {
		k.out.line("holds: %s, %d leaves today, begins with the %d of then", origin, today.Size, good)
	}
	if of, _, _ := logOf(origin); of == "" {
		return k.countersigned(ctx, today)
	}
	if good == 0 {
		return nil
	}
	return k.anchored(ctx, today, good)
}

// follows says whether the log of today begins with the leaves of an old head, and prints why not.
func (k *keeper) follows(ctx context.Context, today, old audit.Head) (bool, error) {
	if old.Size > today.Size {
		k.no("%s had %d leaves, and has %d", old.Origin, old.Size, today.Size)
		return false, nil
	}
	if old.Size == today.Size && old.Root != today.Root {
		k.fork(old, today)
		return false, nil
	}
	t := &tiles{ctx: ctx, logs: k.logs, origin: today.Origin}
	root, err := tlog.TreeHash(old.Size, tlog.TileHashReader(tlog.Tree{N: today.Size, Hash: today.Root}, t))
	switch {
	case t.failed != nil:
		return false, t.failed
	case err != nil:
		k.no("the hashes of %s are not those of its head: %v", today.Origin, err)
		return false, nil
	case root != old.Root:
		k.no("the first %d leaves of %s are not those that were signed before: the log was rewritten. The head of then "+
			"and that of today, both signed by the node:", old.Size, old.Origin)
		_ = k.out.text("\n" + string(joinHeads([][]byte{old.Note, today.Note})) + "\n") // as every line
		return false, nil
	}
	return true, nil
}

// tiles fetches the hashes of a log for tlog.
type tiles struct {
	ctx    context.Context
	logs   logs
	origin string
	failed error // why they could not be fetched
}

func (t *tiles) Height() int { return audit.TileHeight }

func (t *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(list))
	for i, tile := range list {
		if data[i], t.failed = t.logs.tile(t.ctx, t.origin, tile); t.failed != nil {
			return nil, t.failed
		}
	}
	return data, nil
}

// SaveTiles keeps nothing: one check needs few.
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// anchored checks that a log's leaves are in the region's log.
func (k *keeper) anchored(ctx context.Context, today audit.Head, size int64) error {
	text, err := k.anchor(ctx, today.Origin, size)
	if errors.Is(err, audit.ErrNotFound) {
		k.out.line("not anchored yet: %s with %d leaves or more", today.Origin, size)
		return nil
	}
	if errors.Is(err, audit.ErrCorrupt) {
		k.no("what is anchored of %s: %v", today.Origin, err)
		return nil
	}
	if err != nil {
		return err
	}
	region := regionOf(today.Origin)
	a, err := audit.ParseAnchor(text)
	if err == nil && (a.Log != today.Origin || a.Size < size) {
		err = fmt.Errorf("it is that of %d leaves of %s", a.Size, a.Log)
	}
	var under audit.Head
	if err == nil {
		under, err = a.Verify(region, k.node)
	}
	if err != nil {
		k.no("anchor of %s: %v", today.Origin, err)
		return nil
	}
	if ok, err := k.follows(ctx, today, audit.Head{Origin: a.Log, Size: a.Size, Root: a.Root}); !ok || err != nil {
		return err
	}
	now, err := k.newestHead(ctx, region)
	if err != nil {
		return err
	}
	if ok, err := k.follows(ctx, now, under); !ok || err != nil {
		return err
	}
	k.out.line("anchored: %s with %d leaves is leaf %d of %s%s", a.Log, a.Size, a.Index, region, k.by(a.Note))
	return nil
}

// regionOf is the origin of the log of the region that a tenant's log is of.
func regionOf(origin string) string {
	parts := strings.SplitN(origin, "/", 4)
	return strings.Join(append(parts[:2:2], string(audit.RegionLog)), "/")
}

// by names the witnesses of the policy that have cosigned a head, and when.
func (k *keeper) by(signed []byte) string {
	if k.policy == nil {
		return ""
	}
	n, err := note.Open(signed, note.VerifierList(k.policy.Verifiers()...))
	if err != nil {
		return ", cosigned by no witness"
	}
	var names []string
	for _, s := range n.Sigs {
		if at, err := cosigned.CoSigV1Timestamp(s); err == nil {
			names = append(names, s.Name+" at "+at.UTC().Format(time.RFC3339))
		}
	}
	slices.Sort(names)
	text := ", cosigned by " + strings.Join(names, " and ")
	if !k.policy.Enough(signed) {
		text += ", which is not enough"
	}
	return text
}

// countersigned checks the newest head of the region's log that witnesses have cosigned.
func (k *keeper) countersigned(ctx context.Context, today audit.Head) error {
	if k.policy == nil {
		return nil
	}
	signed, err := k.witnessed(ctx)
	if errors.Is(err, audit.ErrNotFound) {
		k.no("%s was cosigned by no quorum of witnesses", today.Origin)
		return nil
	}
	if err != nil {
		return err
	}
	h, err := audit.OpenHead(today.Origin, signed, k.node)
	if err != nil {
		k.no("cosigned head of %s: %v", today.Origin, err)
		return nil
	}
	if !k.policy.Enough(signed) {
		k.no("the head of %s with %d leaves is%s", today.Origin, h.Size, strings.TrimPrefix(k.by(signed), ","))
		return nil
	}
	if h.Size > today.Size { // it has grown meanwhile
		return nil
	}
	if ok, err := k.follows(ctx, today, h); !ok || err != nil {
		return err
	}
	k.out.line("witnessed: %s with %d leaves%s", h.Origin, h.Size, k.by(signed))
	return nil
}

// receipt checks a receipt against the log of today.
func (k *keeper) receipt(ctx context.Context, r audit.Receipt) error {
	then, err := audit.OpenHead(r.Log, r.Note, k.node)
	if err == nil {
		err = r.Verify(k.node)
	}
	if err != nil {
		k.out.line("receipt does NOT hold: %v", err)
		return errSaid
	}
	today, err := k.newestHead(ctx, r.Log)
	if err = noneYet(err); errors.Is(err, audit.ErrNotFound) {
		k.out.line("receipt does NOT hold: %s had %d leaves, and is not there", r.Log, r.Size)
		return errSaid
	}
	if err != nil {
		return err
	}
	ok, err := k.follows(ctx, today, then)
	if err != nil {
		return err
	}
	if ok {
		t := &tiles{ctx: ctx, logs: k.logs, origin: r.Log}
		tree := tlog.Tree{N: today.Size, Hash: today.Root}
		proof, err := tlog.ProveRecord(today.Size, r.Index, tlog.TileHashReader(tree, t))
		if t.failed != nil {
			return t.failed
		}
		if err == nil {
			err = tlog.CheckRecord(proof, today.Size, today.Root, r.Index, r.Leaf)
		}
		if err != nil {
			k.no("leaf %d of %s is another one than that of the receipt: %v", r.Index, r.Log, err)
		}
	}
	if k.bad {
		k.out.line("receipt does NOT hold: the log of today is not the one that record %s was put into", r.RecordID)
		return errSaid
	}
	k.out.line("receipt holds: record %s is leaf %d of %s, under the signed head of %d leaves and under that of today, "+
		"of %d", r.RecordID, r.Index, r.Log, r.Size, today.Size)
	if err := k.anchored(ctx, today, r.Index+1); err != nil {
		return err
	}
	if k.bad {
		return errSaid
	}
	return nil
}
