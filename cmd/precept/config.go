package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v4"

	"github.com/precept-cds/precept/api"
	"github.com/precept-cds/precept/engine"
	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/audit/pg"
	"github.com/precept-cds/precept/engine/sandbox"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/trust"
)

// config is the file that precept serve reads. Paths are relative to the file.
// docs/configuration.md says the same at length; a test keeps the two alike.
type config struct {
	// Region this node serves; tenants of others are refused.
	Region string `yaml:"region"`
	// Public URL that EHRs and people use; tokens must name it.
	PublicURL string `yaml:"public_url"`
	// Address to listen on for EHRs and people.
	Listen string `yaml:"listen"`
	// Address for health and metrics; keep it on a private network.
	PrivateListen string `yaml:"private_listen"`
	// First part of the names of all logs; a DNS name you own.
	LogPrefix string `yaml:"log_prefix"`
	// Certificate and key in PEM; without them a proxy in front must speak TLS.
	TLS tlsConfig `yaml:"tls"`
	// The audit store.
	Store storeConfig `yaml:"store"`
	// The region's own log, in which the heads of tenants are anchored, and its witnesses.
	Anchor anchorConfig `yaml:"anchor,omitempty"`
	// The region key, made by "precept keys region".
	RegionKey string `yaml:"region_key"`
	// The tenants of this node.
	Tenants []tenantConfig `yaml:"tenants"`
	// Browser origins that may call the CDS Hooks routes.
	Origins []string `yaml:"origins"`
	// How long connections may take.
	Timeouts timeoutConfig `yaml:"timeouts"`
	// What the operator allows of any tenant's limits; a policy above it is refused.
	Ceiling ceilingConfig `yaml:"ceiling"`
	// What callers may take of this node.
	Limits limitConfig `yaml:"limits"`
	// The processes in which packs of strangers are tried.
	Trials trialConfig `yaml:"trials,omitempty"`
	// Rules that may run on although their time is used up, before the node restarts.
	Overruns int `yaml:"overruns"`
	// By how much the clock may jump before nothing more is recorded.
	MaxClockJump time.Duration `yaml:"max_clock_jump,omitempty"`
	// Records that may wait to be stored before calls are refused.
	Queue int `yaml:"queue"`
	// Tokens of a client that are remembered until they expire.
	Tokens int `yaml:"tokens"`
	// Lowest level of events that are logged: debug, info, warn or error.
	LogLevel string `yaml:"log_level,omitempty"`

	path           string          // of the file
	adoptHighWater bool            // of the command line
	adoptClock     bool            // of the command line
	listening      [2]net.Listener // instead of Listen and PrivateListen, for who listens already
}

// The addresses where the configuration names none.
const (
	defaultListen        = "127.0.0.1:8480"
	defaultPrivateListen = "127.0.0.1:8481"
)

// ceilingConfig has the members of a policy's limits, and of its clients'.
type ceilingConfig struct {
	BodyBytes     int64 `yaml:"body_bytes"`
	DeadlineMS    int   `yaml:"deadline_ms"`
	RuleMS        int   `yaml:"rule_ms"`
	Resources     int   `yaml:"resources"`
	Concurrency   int   `yaml:"concurrency"`
	Cards         int   `yaml:"cards"`
	RepeatSeconds int   `yaml:"repeat_seconds"`
	TokenSeconds  int   `yaml:"token_seconds"`
	RecordsPerDay int   `yaml:"records_per_day"`
	BytesPerDay   int   `yaml:"bytes_per_day"`
	BytesTotal    int   `yaml:"bytes_total"`
}

func (c ceilingConfig) limits() tenant.Ceiling {
	return tenant.Ceiling{TokenSeconds: c.TokenSeconds, Limits: tenant.Limits{
		BodyBytes: c.BodyBytes, DeadlineMS: c.DeadlineMS, RuleMS: c.RuleMS, Resources: c.Resources,
		Concurrency: c.Concurrency, Cards: c.Cards, RepeatSeconds: c.RepeatSeconds, RecordsPerDay: c.RecordsPerDay,
		BytesPerDay: c.BytesPerDay, BytesTotal: c.BytesTotal}}
}

type tlsConfig struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

type storeConfig struct {
	// Kind of the store: bolt, a file of this process, or postgres, a database that many processes share.
	Kind string `yaml:"kind"`
	// File of the embedded store.
	Path string `yaml:"path"`
	// Database: a URL without a password, or a file that has the URL.
	URL string `yaml:"url,omitempty"`
	// Connections to the database for reads.
	Connections int `yaml:"connections,omitempty"`
	// File that remembers how far the logs were, best on another volume.
	HighWater string `yaml:"high_water"`
	// Largest size of the store in bytes; 0 means no limit.
	MaxBytes int `yaml:"max_bytes"`
	// Bytes that stay free where the store lies; below, records are refused until there is room again.
	MinFreeBytes int64 `yaml:"min_free_bytes,omitempty"`
	// How long after one reading of the whole store the next begins, and how many bytes a second it reads.
	ScrubEvery time.Duration `yaml:"scrub_every"`
	ScrubBytes int64         `yaml:"scrub_bytes,omitempty"`
	// How long a start waits for the check of the store.
	CheckTime time.Duration `yaml:"check_time,omitempty"`
	// How long a commit may take before the node says that it is not ready.
	Patience time.Duration `yaml:"patience,omitempty"`
}

type anchorConfig struct {
	// How long after one round of anchoring the next begins.
	Every time.Duration `yaml:"every,omitempty"`
	// File that says which witnesses there are and how many of them it takes, as C2SP tlog-policy.
	Witnesses string `yaml:"witnesses,omitempty"`
	// How often witnesses are asked although nothing is new, and how long one may take.
	WitnessEvery time.Duration `yaml:"witness_every,omitempty"`
	WitnessWait  time.Duration `yaml:"witness_wait,omitempty"`
}

type tenantConfig struct {
	ID string `yaml:"id"`
	// File with the tenant's first trust root, signed.
	Root string `yaml:"root"`
	// SHA-256 of that root's payload, received by another way than the file.
	RootSHA256 string `yaml:"root_sha256"`
	// Region of a tenant that lives elsewhere; it then needs no root.
	Region string `yaml:"region,omitempty"`
}

type timeoutConfig struct {
	Header   time.Duration `yaml:"header"`
	Read     time.Duration `yaml:"read"`
	Write    time.Duration `yaml:"write"`
	Slow     time.Duration `yaml:"slow"`
	Idle     time.Duration `yaml:"idle"`
	Stranger time.Duration `yaml:"stranger,omitempty"`
	// How long the service goes on after it has said that it will stop.
	Drain    time.Duration `yaml:"drain"`
	Shutdown time.Duration `yaml:"shutdown"`
}

type limitConfig struct {
	// Bytes of all bodies that are read or worked on at once.
	BodyBytes int64 `yaml:"body_bytes,omitempty"`
	// Calls that are worked on at once.
	Calls int `yaml:"calls,omitempty"`
	// Connections of the public listener, and those of them from one address.
	Connections int `yaml:"connections,omitempty"`
	PerAddress  int `yaml:"connections_per_address,omitempty"`
	// Requests a second of one person, and of all persons of a tenant.
	PersonRate int `yaml:"person_rate,omitempty"`
	TenantRate int `yaml:"tenant_rate,omitempty"`
	// Uploads of one tenant at once.
	Uploads int `yaml:"uploads,omitempty"`
	// Evidence files that are made and sent at once.
	Exports int `yaml:"exports,omitempty"`
	// Requests a second of all strangers for the region's own log.
	LogRate int `yaml:"log_rate,omitempty"`
}

type trialConfig struct {
	// Processes at once.
	Places int `yaml:"places,omitempty"`
	// Bytes of memory and processor time that one may take.
	MemoryBytes int64         `yaml:"memory_bytes,omitempty"`
	CPU         time.Duration `yaml:"cpu,omitempty"`
	// How long one may take, and how long the next may wait for its place.
	Time time.Duration `yaml:"time,omitempty"`
}

func (t trialConfig) limits() sandbox.Limits {
	return sandbox.Limits{Places: t.Places, Memory: cmp.Or(t.MemoryBytes, defaultTrialBytes(memory())),
		CPU: t.CPU, Time: t.Time}
}

// errConfig says that the configuration cannot be used.
var errConfig = errors.New("configuration is not usable")

// readConfig reads a configuration file strictly and fills in the defaults.
func readConfig(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w; see docs/configuration.md, or let precept demo make one",
			err)
	}
	c := &config{Listen: defaultListen, PrivateListen: defaultPrivateListen,
		Store: storeConfig{Kind: boltStore, ScrubEvery: 24 * time.Hour}, Anchor: anchorConfig{Every: 10 * time.Second},
		Timeouts: timeoutConfig{Drain: 5 * time.Second, Shutdown: 30 * time.Second}, LogLevel: "info", Overruns: 1,
		path: path,
		Ceiling: ceilingConfig{DeadlineMS: 5000, RuleMS: 1000, Resources: 100_000, Concurrency: 256, Cards: 100,
			TokenSeconds: 3600}}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("reading configuration %s: %w%s (%w)", path, err, nearestKey(err), errConfig)
	}
	dir := filepath.Dir(path)
	for _, p := range []*string{&c.TLS.Cert, &c.TLS.Key, &c.Store.Path, &c.Store.HighWater, &c.RegionKey,
		&c.Anchor.Witnesses} {
		*p = under(dir, *p)
	}
	if !pg.IsURL(c.Store.URL) {
		c.Store.URL = under(dir, c.Store.URL)
	}
	for i := range c.Tenants {
		c.Tenants[i].Root = under(dir, c.Tenants[i].Root)
	}
	for name, value := range map[string]string{"region": c.Region, "public_url": c.PublicURL,
		"log_prefix": c.LogPrefix, "region_key": c.RegionKey} {
		if value == "" {
			return nil, fmt.Errorf("reading configuration %s: %s is required; see docs/configuration.md (%w)", path,
				name, errConfig)
		}
	}
	if err := c.Store.checkKind(); err != nil {
		return nil, fmt.Errorf("reading configuration %s: %w", path, err)
	}
	if _, ok := logLevels[c.LogLevel]; !ok {
		return nil, fmt.Errorf("reading configuration %s: log_level must be debug, info, warn or error (%w)", path,
			errConfig)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return nil, fmt.Errorf("reading configuration %s: tls needs both cert and key (%w)", path, errConfig)
	}
	if e := c.Anchor.Every; e < time.Second || e > time.Hour {
		return nil, fmt.Errorf("reading configuration %s: anchor.every must be from 1s to 1h (%w)", path, errConfig)
	}
	if w := c.Anchor.WitnessWait; w < 0 || w > time.Minute || c.Anchor.WitnessEvery < 0 {
		return nil, fmt.Errorf("reading configuration %s: anchor.witness_wait must be at most 1m (%w)", path, errConfig)
	}
	if c.Tokens != 0 && c.Tokens < audit.LeastTokens {
		return nil, fmt.Errorf("reading configuration %s: tokens must be %d or more (%w)", path, audit.LeastTokens,
			errConfig)
	}
	if b := c.Limits.BodyBytes; b != 0 && b < leastBodyBytes {
		return nil, fmt.Errorf("reading configuration %s: limits.body_bytes must be %d or more: half of it is what one "+
			"tenant may hold, and a pack must go into that (%w)", path, leastBodyBytes, errConfig)
	}
	if n := descriptors() - ownDescriptors; c.Limits.Connections > n {
		return nil, fmt.Errorf("reading configuration %s: limits.connections is %d, but the process may have %d open "+
			"files, of which it keeps %d for itself; raise ulimit -n or LimitNOFILE (%w)", path, c.Limits.Connections,
			n+ownDescriptors, ownDescriptors, errConfig)
	}
	return c, nil
}

func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// nearestKey turns "field regoin not found in type ..." into a hint.
func nearestKey(err error) string {
	_, after, ok := strings.Cut(err.Error(), "field ")
	wrong, _, ok2 := strings.Cut(after, " not found")
	if !ok || !ok2 {
		return ""
	}
	best, distance := "", len(wrong)/2+1
	for _, key := range yamlKeys(reflect.TypeFor[config]()) {
		if d := levenshtein.ComputeDistance(wrong, key); d < distance {
			best, distance = key, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// yamlKeys lists the keys of a configuration type and of the types in it.
func yamlKeys(t reflect.Type) []string {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			keys = append(append(keys, key), yamlKeys(f.Type)...)
		}
	}
	return keys
}

// roots reads how the tenants' trust begins.
func (c *config) roots() ([]engine.Root, error) {
	var roots []engine.Root
	for _, t := range c.Tenants {
		id, err := tenant.ParseID(t.ID)
		if err != nil {
			return nil, fmt.Errorf("reading tenant %q: %w", t.ID, err)
		}
		if c.elsewhere(t) {
			continue
		}
		env, err := os.ReadFile(t.Root)
		if err != nil {
			return nil, fmt.Errorf("reading trust root of tenant %s: %w", id, err)
		}
		roots = append(roots, engine.Root{Tenant: id, Envelope: env, Digest: trust.Digest(t.RootSHA256)})
	}
	return roots, nil
}

func (c *config) elsewhere(t tenantConfig) bool { return t.Region != "" && t.Region != c.Region }

// foreign lists the tenants of other regions.
func (c *config) foreign() map[tenant.ID]tenant.Region {
	m := map[tenant.ID]tenant.Region{}
	for _, t := range c.Tenants {
		if c.elsewhere(t) {
			m[tenant.ID(t.ID)] = tenant.Region(t.Region)
		}
	}
	return m
}

func (t timeoutConfig) api() api.Timeouts {
	return api.Timeouts{Header: t.Header, Read: t.Read, Write: t.Write, Slow: t.Slow, Idle: t.Idle,
		Stranger: t.Stranger}
}

func (l limitConfig) api() api.Limits {
	return api.Limits{BodyBytes: cmp.Or(l.BodyBytes, defaultBodyBytes(memory())),
		Connections: cmp.Or(l.Connections, min(2048, descriptors()-ownDescriptors)), PerAddress: l.PerAddress,
		Calls:      l.Calls,
		PersonRate: l.PersonRate, TenantRate: l.TenantRate, Uploads: l.Uploads, LogRate: l.LogRate}
}
