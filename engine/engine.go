// Package engine runs a region: it holds what is in force for each tenant, has
// calls decided (package decide), has each decision recorded (package audit),
// and only then answers. It shows records to auditors, and takes in the signed
// statements that alone can change what is in force.
//
// What it guarantees: no answer leaves before its record is durable; what only
// takes power away is never held up by what cannot be run; nothing of a tenant is
// touched in a region that is not its own.
//
// What it does not do: it knows no HTTP and no keys, and it believes the door
// about who is calling.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/clinical"
	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// Config is what an Engine is made of. All fields but Libraries, Ceiling, Poll
// and Elsewhere are required.
type Config struct {
	Region tenant.Region
	Build  string // version of the program
	Log    *audit.Log
	Clock  func() time.Time
	Rand   io.Reader // safe for concurrent use
	Roots  []Root    // the tenants of this node
	// Node is the region's own key (see keyring.Node), by which tenants know the region. It
	// signs suspensions of rules that fail again and again, and nothing else for them.
	Node keys.Private
	// Libraries are the versions of the clinical library that packs may run with,
	// oldest first; default those of the program.
	Libraries []*clinical.Library
	// Ceiling is what the operator allows of any tenant's limits. A policy above it is
	// refused; one that was taken under a higher ceiling is held to it, but for the
	// limits that decisions depend on (resources, cards): these a replay must find as
	// they were signed. Zero members are no ceiling.
	Ceiling tenant.Ceiling
	// Poll is how often the node looks for statements of other nodes, in case it was
	// not told of them; default one second.
	Poll time.Duration
	// Prove tries packs of strangers, and runs the golden cases of those in force; default
	// in this process, where such a pack can take everything: for tests.
	Prove decide.Prover
	// Overruns is how many rules may run on that cannot be ended, before the node is not
	// ready and asks to be restarted; default none.
	Overruns int
	// Exports is how many evidence files are made and sent at once, one of each tenant; default 4. Each
	// holds a pack in memory.
	Exports int
	// Restart asks for the process to be restarted when the calls under way have been
	// answered; it returns at once. Nil if nobody can: the node is not ready, then.
	Restart func(reason string)
	// Elsewhere names tenants that live in other regions, so that a call that
	// went astray is told so. It may be empty.
	Elsewhere map[tenant.ID]tenant.Region
}

// Root is how a tenant's trust begins: its first trust root, and the digest
// of it that came by another way.
type Root struct {
	Tenant   tenant.ID
	Envelope []byte // read only when the tenant's release log is empty
	Digest   trust.Digest
}

// Engine serves the tenants of one region. It is safe for concurrent use.
type Engine struct {
	cfg       Config
	materials *decide.Materials
	// certificate is the region's: what placements have to hold.
	certificate *signing.Envelope
	tenants     map[tenant.ID]*served // not changed after Open
	ceiling     atomic.Pointer[tenant.Ceiling]
	unfollow    func()
	watchdog    *watchdog
	lane        *lane
	refusals    refusals
	exports     chan struct{} // evidence files that are made at once
}

// served is one tenant of this node. now is replaced whole; a call keeps the one it
// began with.
type served struct {
	id    tenant.ID
	pin   trust.Digest
	apply turn       // of who checks and logs a statement
	catch sync.Mutex // held while statements of other nodes are taken in; apply may be held, never taken within
	now   atomic.Pointer[inForce]
	lag   atomic.Pointer[error] // why the node could not keep up with the release log
	calls atomic.Int64          // under way
	// exports has one place, for the evidence file that is being made and sent.
	exports chan struct{}
	// withheld are the rules that this node does not ask for the time being.
	withheld atomic.Pointer[[]decision.Cut]
}

// turn is a lock that nobody waits for beyond maxTurn.
type turn chan struct{}

// maxTurn is how long a statement waits for others of its tenant to be checked. Golden
// cases may run meanwhile.
const maxTurn = 10 * time.Second

func (t turn) take(ctx context.Context) error {
	enough := time.NewTimer(maxTurn)
	defer enough.Stop()
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another statement: %w", ctx.Err())
	case <-enough.C:
		return fmt.Errorf("waiting for another statement: %w", ErrTurn)
	}
}

func (t turn) leave() { <-t }

// Open folds the release log of every tenant and gets their packs ready. A
// tenant whose log is empty starts with its trust root. Close ends it.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	if cfg.Exports <= 0 {
		cfg.Exports = defaultExports
	}
	e := &Engine{cfg: cfg, materials: decide.NewMaterials(cfg.Libraries...), tenants: map[tenant.ID]*served{},
		watchdog: newWatchdog(), lane: newLane(runtime.GOMAXPROCS(0) - 1),
		exports: make(chan struct{}, cfg.Exports)}
	if cfg.Prove != nil {
		e.materials.ProveWith(cfg.Prove)
	} else {
		e.cfg.Prove = func(ctx context.Context, t decide.Trial) error { return decide.Try(ctx, t, nil) }
	}
	e.ceiling.Store(&cfg.Ceiling)
	if cfg.Node.Crypto() == nil {
		return nil, errors.New("opening engine: the region's own key is required; see keyring.Node")
	}
	var err error
	if e.certificate, err = signing.NewCertificate(statement.Region(cfg.Region), cfg.Node); err != nil {
		return nil, fmt.Errorf("making the region's certificate: %w", err)
	}
	for id, home := range cfg.Elsewhere {
		if home == cfg.Region {
			return nil, fmt.Errorf("opening tenant %s: it lives in this region, so it needs a trust root", id)
		}
	}
	for _, r := range cfg.Roots {
		l := &served{id: r.Tenant, pin: r.Digest, apply: make(turn, 1), exports: make(chan struct{}, 1)}
		if e.tenants[r.Tenant] != nil {
			return nil, fmt.Errorf("opening tenant %s: it is configured twice", r.Tenant)
		}
		e.tenants[r.Tenant] = l
		if err := e.open(ctx, l, r); err != nil {
			return nil, fmt.Errorf("opening tenant %s: %w", r.Tenant, err)
		}
	}
	e.follow()
	return e, nil
}

func (e *Engine) open(ctx context.Context, l *served, r Root) error {
	st, err := e.fold(ctx, l)
	if err != nil {
		return err
	}
	l.now.Store(st)
	if st.trust.Size() > 0 {
		return nil
	}
	_, err = e.apply(ctx, l, Caller{Tenant: l.id}, r.Envelope)
	if err != nil && l.now.Load().trust.Size() > 0 {
		return nil // another node was first with the same root, which is pinned
	}
	return err
}

// now is the clock in the precision of records.
func (e *Engine) now() time.Time { return e.cfg.Clock().UTC().Truncate(time.Millisecond) }

// Tenants lists the tenants of this node, sorted.
func (e *Engine) Tenants() []tenant.ID {
	ids := make([]tenant.ID, 0, len(e.tenants))
	for id := range e.tenants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Ready is nil while records can be taken and the node is not about to restart.
func (e *Engine) Ready() error { return errors.Join(e.cfg.Log.Ready(), e.watchdog.err()) }

// Store returns figures of the audit log and its store.
func (e *Engine) Store() audit.Stats { return e.cfg.Log.Stats() }

// current returns what is in force for a tenant now, after asking whether the tenant
// lives here.
func (e *Engine) current(ctx context.Context, id tenant.ID) (*served, *inForce, error) {
	l, st, _, err := e.moment(ctx, id)
	return l, st, err
}

// moment is current with the time that it holds at. The clock is read
// last, so that what a record names is what was live at its time.
func (e *Engine) moment(ctx context.Context, id tenant.ID) (*served, *inForce, time.Time, error) {
	if home, ok := e.cfg.Elsewhere[id]; ok {
		return nil, nil, time.Time{}, fmt.Errorf("finding tenant: %w", tenant.Resides(home, e.cfg.Region))
	}
	l := e.tenants[id]
	if l == nil {
		return nil, nil, time.Time{}, fmt.Errorf("finding tenant: %w", ErrUnknownTenant)
	}
	st := e.held(l)
	now := e.now()
	for !st.until.IsZero() && !now.Before(st.until) {
		var err error
		if st, err = e.refresh(ctx, l); err != nil {
			return nil, nil, time.Time{}, err
		}
		now = e.now()
	}
	if st.policy != nil {
		if err := tenant.Resides(st.policy.Region, e.cfg.Region); err != nil {
			return nil, nil, time.Time{}, fmt.Errorf("finding tenant: %w", err)
		}
	}
	return l, st, now, nil
}

// refresh takes activations out whose time is over.
func (e *Engine) refresh(ctx context.Context, l *served) (*inForce, error) {
	st, err := e.prepare(ctx, l.now.Load().trust)
	if err != nil {
		return nil, err
	}
	return l.put(st), nil
}

// Policy returns the policy in force of a tenant.
func (e *Engine) Policy(id tenant.ID) (*tenant.Policy, error) {
	_, st, _, err := e.serving(context.Background(), id)
	if err != nil {
		return nil, err
	}
	if st.policy == nil {
		return nil, st.notReady("reading policy of tenant " + string(id))
	}
	return st.policy, nil
}

// Unready says, for each tenant that cannot be served as its statements say, why:
// its policy cannot be read, packs in force cannot be run here, the node could
// not keep up with the release log, or not log that a rule is out of service, or the
// tenant was placed nowhere, or in a region of this name with other keys. That it lives
// elsewhere is no fault.
func (e *Engine) Unready() map[tenant.ID]error {
	m := e.watchdog.failures()
	for id, l := range e.tenants {
		st := l.now.Load()
		if st.why != nil {
			m[id] = errors.Join(m[id], st.why)
		}
		if st.policy != nil && (errors.Is(st.home, ErrNotReady) || errors.Is(st.home, errPlacement)) {
			m[id] = errors.Join(m[id], st.home)
		}
		if lag := l.lag.Load(); lag != nil {
			m[id] = errors.Join(m[id], *lag)
		}
		for _, not := range st.broken {
			m[id] = errors.Join(m[id], not)
		}
	}
	return m
}

// PersonKey returns the person whose key this is in the tenant's trust root.
func (e *Engine) PersonKey(id tenant.ID, key keys.ID, at time.Time) (trust.Person, keys.Public, error) {
	_, st, err := e.current(context.Background(), id)
	if err != nil {
		return trust.Person{}, keys.Public{}, err
	}
	return st.trust.Person(key, at)
}
