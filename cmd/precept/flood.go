package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/sandbox"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/fixtures"
	"github.com/precept-cds/precept/fixtures/misuse"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// The tenants of a demo region when one of them misbehaves.
const (
	goodTenant tenant.ID = "north"
	badTenant  tenant.ID = "south"
)

// liveKinds are the hostile rules that a hostile tenant has in force. The others it
// only uploads.
var liveKinds = []string{"allocates", "card", "compares", "facts", "loops"}

const hostilePack = "hostile"

// openDemo is a demo region in a folder that was made before, to act as its persons.
func openDemo(dir string) (*demoRegion, error) {
	d := &demoRegion{dir: dir, config: filepath.Join(dir, "precept.yaml"), now: time.Now().UTC().Truncate(time.Second),
		keys: map[string]keys.Private{}, packs: map[string]*rulepacks.Pack{}, stop: func() error { return nil },
		say: (&printer{w: io.Discard}).line}
	cfg, err := readConfig(d.config)
	if err != nil {
		return nil, err
	}
	d.public, d.private = cfg.PublicURL, "http://"+cfg.PrivateListen
	files, err := filepath.Glob(d.keyFile("*"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if d.keys[strings.TrimSuffix(filepath.Base(f), ".pem")], err = readKey(f); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// flood is a tenant, and strangers, that send a region whatever may use it up: as much
// as they can, over so many connections.
type flood struct {
	*demoRegion
	connections int
	seed        atomic.Uint64
	mu          sync.Mutex
	did         map[string]int
}

// attack is one thing to do again and again, by some part of all connections.
type attack struct {
	name  string
	share float64
	do    func(*flood, context.Context, *hand) error
}

// hand is one of the connections: an EHR and an operator with connections of their own.
type hand struct {
	ehr  *client.EHR
	c    *client.Client
	rand *rand.Rand
}

// attacks are in the order of what they use up: rules, compiling, cases, connections,
// bodies, records.
var attacks = []attack{
	{"calls of rules that never end", 0.3, (*flood).callRules},
	{"uploads that do not compile in any time", 0.1, (*flood).upload},
	{"activations whose cases never end", 0.05, (*flood).activateCases},
	{"connections that say nothing", 0.1, (*flood).idle},
	{"bodies that never come", 0.1, (*flood).holdBody},
	{"requests of hundreds of thousands of names", 0.05, callLarge("names")},
	{"requests of hundreds of orders", 0.1, callLarge("drafts")},
	{"requests of megabytes", 0.05, callLarge("padded")},
	{"calls of a service that does not exist", 0.15, (*flood).callNowhere},
}

// run goes on until ctx ends.
func (f *flood) run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	operator, _, _ := demoPersons(badTenant)
	for _, a := range attacks {
		for range max(1, int(float64(f.connections)*a.share)) {
			h := &hand{rand: rand.New(rand.NewPCG(f.seed.Add(1), 0))}
			var err error
			if h.ehr, err = f.ehr(badTenant); err != nil {
				return err
			}
			if h.c, err = f.as(badTenant, operator, ""); err != nil {
				return err
			}
			all.Go(func() {
				for ctx.Err() == nil {
					within, stop := context.WithTimeout(ctx, 20*time.Second)
					err := a.do(f, within, h)
					stop()
					f.note(a.name, err)
					if errors.Is(err, syscall.ECONNREFUSED) { // it restarts
						time.Sleep(100 * time.Millisecond)
					}
				}
			})
		}
	}
	return nil
}

// note counts what came of an attack.
func (f *flood) note(name string, err error) {
	what := "answered"
	var problem *client.Problem
	switch {
	case errors.As(err, &problem):
		what = fmt.Sprint(problem.Status, " ", problem.Code)
	case err != nil:
		what = "cut off"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did[name+": "+what]++
}

func (f *flood) callRules(ctx context.Context, h *hand) error {
	_, err := h.ehr.Call(ctx, demoService, f.request(h))
	return err
}

// request is a new call of a well-behaved kind.
func (f *flood) request(h *hand) []byte {
	return current(fixtures.Standard(int64(f.seed.Add(1)), h.rand.IntN(1000)), f.now)
}

func (f *flood) callNowhere(ctx context.Context, h *hand) error {
	var err error
	for range 50 {
		_, err = h.ehr.Call(ctx, "nowhere", []byte("{}"))
	}
	return err
}

func callLarge(kind string) func(*flood, context.Context, *hand) error {
	return func(f *flood, ctx context.Context, h *hand) error {
		body, err := misuse.Body(kind, f.request(h), h.rand.Uint64())
		if err != nil {
			return err
		}
		_, err = h.ehr.Call(ctx, demoService, body)
		return err
	}
}

func (f *flood) upload(ctx context.Context, h *hand) error {
	p, err := misuse.Pack(h.rand.Uint64N(1000), false, misuse.Rules[h.rand.IntN(len(misuse.Rules))])
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.WriteArchive(&b); err != nil {
		return err
	}
	return h.c.PutPack(ctx, string(p.Digest), b.Bytes())
}

// activateCases asks for a pack whose cases never end to go live.
func (f *flood) activateCases(ctx context.Context, h *hand) error {
	p, err := misuse.Pack(h.rand.Uint64N(1000), true, "loops", "compares")
	if err != nil {
		return err
	}
	return f.goLive(ctx, h.c, p, h.rand.Uint64N(1<<31)+10)
}

// idle opens a connection as a stranger and says nothing on it, or next to nothing.
func (f *flood) idle(ctx context.Context, h *hand) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if h.rand.IntN(2) == 0 {
		if _, err := conn.Write([]byte("POST /t/south/cds-services/orders HTTP/1.1\r\nHost: x\r\nX-Slow: ")); err != nil {
			return err
		}
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// holdBody announces megabytes as a known client, and sends a part.
func (f *flood) holdBody(ctx context.Context, h *hand) error {
	token, err := h.ehr.Token(demoService)
	if err != nil {
		return err
	}
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	head := fmt.Sprintf("POST /t/%s/cds-services/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{", badTenant, demoService, token, 8<<20)
	if _, err := conn.Write(append([]byte(head), bytes.Repeat([]byte{' '}, 1<<20)...)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func (f *flood) dial(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(f.public)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(end)
	}
	return conn, err
}

// goLive releases a hostile pack, has it reviewed, and asks for it to go live in the
// hostile tenant alone.
func (d *demoRegion) goLive(ctx context.Context, c *client.Client, p *rulepacks.Pack, seq uint64) error {
	_, approver, _ := demoPersons(badTenant)
	var archive bytes.Buffer
	if err := p.WriteArchive(&archive); err != nil {
		return err
	}
	if err := c.PutPack(ctx, string(p.Digest), archive.Bytes()); err != nil {
		return err
	}
	var waives []statement.Waiver
	for _, f := range p.Rules {
		waives = append(waives, statement.Waiver{Rule: strings.TrimSuffix(path.Base(f.Name), ".rego"),
			States: []string{"true", "false", "unknown"}, Reason: "hostile"})
	}
	name, version := statement.Pack(hostilePack), p.Manifest.Version
	now := time.Now().UTC().Truncate(time.Second)
	for _, s := range []struct {
		predicate statement.Predicate
		by        trust.PersonID
	}{
		{statement.PackRelease{Publisher: demoPublisher, Pack: name, Version: version, Seq: seq,
			PackKind: statement.PackKind(p.Manifest.Kind), Library: p.Manifest.Library, IssuedAt: now,
			EffectivePeriod: statement.Period{Start: "2026-01-01"}, ChangeSummary: "Hostile."}, demoAuthor},
		{statement.ClinicalReview{Pack: name, Version: version, Decision: statement.Approve, Role: "accomplice",
			ReviewedAt: now, ValidUntil: now.AddDate(1, 0, 0), Conditions: []string{"None."},
			Waives: waives}, demoReviewer},
		{statement.Activation{Tenant: statement.Tenant(badTenant), Region: demoRegionID, Pack: name, Version: version,
			Seq: seq, Mode: statement.Active, Library: clinical.Newest().Version(), InputsUnknown: []string{}},
			approver},
	} {
		env, err := d.signed(statement.Statement{Archive: packDigest(p), Predicate: s.predicate}, s.by)
		if err != nil {
			return err
		}
		if _, err := c.Apply(ctx, env.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// makeHostile makes a demo region in a folder, one of whose tenants has hostile rules
// in force, and leaves it there with nobody serving it.
func makeHostile(ctx context.Context, dir string, places int, kinds ...string) (d *demoRegion, err error) {
	if d, err = makeDemoRegion(ctx, dir, io.Discard); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	policy, err := d.policy(badTenant)
	if err != nil {
		return nil, err
	}
	policy.Limits.Concurrency = places
	for i := range policy.Services {
		policy.Services[i].Packs = append(slices.Clone(policy.Services[i].Packs), hostilePack)
	}
	raw, err := jsonv2.Marshal(policy, jsonv2.Deterministic(true))
	if err != nil {
		return nil, err
	}
	operator, approver, _ := demoPersons(badTenant)
	env, err := d.signed(statement.Statement{Predicate: statement.TenantPolicy{Tenant: statement.Tenant(badTenant),
		Region: demoRegionID, Seq: 2, Policy: raw}}, operator, approver)
	if err != nil {
		return nil, err
	}
	if err := d.apply(ctx, badTenant, operator, env.Bytes()); err != nil {
		return nil, err
	}
	p, err := misuse.Pack(1, false, kinds...)
	if err != nil {
		return nil, err
	}
	c, err := d.as(badTenant, operator, "")
	if err != nil {
		return nil, err
	}
	return d, d.goLive(ctx, c, p, 1)
}

// floodCommand is a process of its own, so that it can have a lower priority than what
// is measured.
func floodCommand() *cobra.Command {
	var dir string
	var connections int
	var seed uint64
	c := &cobra.Command{
		Use:    "flood",
		Short:  "send a demo region whatever may use it up, until interrupted",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := sandbox.Lower(19, true); err != nil {
				return err
			}
			d, err := openDemo(dir)
			if err != nil {
				return err
			}
			f := &flood{demoRegion: d, connections: connections, did: map[string]int{}}
			f.seed.Store(seed)
			if err := f.run(cmd.Context()); err != nil {
				return err
			}
			out := stdout(cmd)
			for _, what := range slices.Sorted(maps.Keys(f.did)) {
				out.line("%8d %s", f.did[what], what)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder of the demo region")
	c.Flags().IntVar(&connections, "connections", 80, "connections at once")
	c.Flags().Uint64Var(&seed, "seed", 1, "what the siblings of each kind are made from")
	require(c, "dir")
	return c
}
