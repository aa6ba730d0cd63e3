package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"

	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/keys"
	"github.com/precept-cds/precept/signing/statement"
	"github.com/precept-cds/precept/signing/trust"
)

// rootFile is a trust root as people write it, in YAML or JSON: the members of
// the statement, with keys as files and times that need not be given.
type rootFile struct {
	Kind    trust.RootKind `yaml:"kind"`
	Name    string         `yaml:"name"`
	Version uint64         `yaml:"version"`
	// IssuedAt is the time of signing if it is not given.
	IssuedAt string `yaml:"issuedAt"`
	// Expires is a time, a day, or a duration after IssuedAt.
	Expires string                     `yaml:"expires"`
	Persons []rootPerson               `yaml:"persons"`
	Roles   map[trust.Role]rootRole    `yaml:"roles"`
	Trusted map[trust.Publisher]string `yaml:"trustedPublishers"` // digest of its first root, or its file
	// ReviewsFrom are those of them whose reviews of other publishers' packs are heard.
	ReviewsFrom []trust.Publisher `yaml:"reviewsFrom"`
	// Regions are those in which the tenant may be placed.
	Regions []string `yaml:"regions"`
}

type rootPerson struct {
	ID         trust.PersonID `yaml:"id"`
	Name       string         `yaml:"name"`
	Identities []string       `yaml:"identities"`
	Keys       []rootKey      `yaml:"keys"`
}

type rootKey struct {
	// File holds the public key; a private key's file is read for its public part.
	File string `yaml:"file"`
	PEM  string `yaml:"publicKeyPem"` // instead of File
	// ValidFrom is the root's IssuedAt if it is not given; ValidUntil may be left out.
	ValidFrom  string `yaml:"validFrom"`
	ValidUntil string `yaml:"validUntil"`
}

type rootRole struct {
	Threshold int              `yaml:"threshold"` // default 1
	Persons   []trust.PersonID `yaml:"persons"`
}

// maxStatementFile bounds what people write as a root or policy: a statement
// cannot be larger.
const maxStatementFile = statement.MaxSize

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStatementFile+1))
	if err == nil && len(text) > maxStatementFile {
		err = fmt.Errorf("more than %d bytes: %w", maxStatementFile, statement.ErrTooLarge)
	}
	return text, err
}

func readRoot(path string, now time.Time) (*trust.Root, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	var r rootFile
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil {
		return nil, yamlError(err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document in the file")
	}
	return r.root(filepath.Dir(path), now)
}

// yamlError leaves out of what the YAML reader found what only its authors understand.
func yamlError(err error) error {
	text := strings.ReplaceAll(err.Error(), " in type main.rootFile", "")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "yaml: "), "construct errors: ")
	return fmt.Errorf("%s; see precept sign root --help for the members", text)
}

// root fills in what follows. Paths are relative to dir.
func (r *rootFile) root(dir string, now time.Time) (*trust.Root, error) {
	root := &trust.Root{RootKind: r.Kind, Name: r.Name, Version: r.Version, IssuedAt: now,
		Roles: map[trust.Role]trust.RoleRule{}, ReviewsFrom: r.ReviewsFrom, Regions: r.Regions}
	var err error
	if r.IssuedAt != "" {
		if root.IssuedAt, err = until("issuedAt", r.IssuedAt, now); err != nil {
			return nil, err
		}
	}
	if root.Expires, err = until("expires", r.Expires, root.IssuedAt); err != nil {
		return nil, err
	}
	for _, p := range r.Persons {
		person, err := p.person(dir, root.IssuedAt)
		if err != nil {
			return nil, fmt.Errorf("person %s: %w", p.ID, err)
		}
		root.Persons = append(root.Persons, person)
	}
	for role, rule := range r.Roles {
		root.Roles[role] = trust.RoleRule{Threshold: max(rule.Threshold, 1), Persons: rule.Persons}
	}
	for _, name := range sortedNames(r.Trusted) {
		digest, err := rootDigest(dir, name, r.Trusted[name])
		if err != nil {
			return nil, fmt.Errorf("trusted publisher %s: %w", name, err)
		}
		root.TrustedPublishers = append(root.TrustedPublishers, trust.TrustedPublisher{Name: name, Root: digest})
	}
	return root, nil
}

func (p *rootPerson) person(dir string, issued time.Time) (trust.Person, error) {
	person := trust.Person{ID: p.ID, Name: p.Name, Identities: append([]string{}, p.Identities...)}
	for _, k := range p.Keys {
		key, err := k.key(dir)
		if err != nil {
			return person, err
		}
		from, to := issued, time.Time{}
		if k.ValidFrom != "" {
			if from, err = until("validFrom", k.ValidFrom, issued); err != nil {
				return person, err
			}
		}
		if k.ValidUntil != "" {
			if to, err = until("validUntil", k.ValidUntil, from); err != nil {
				return person, err
			}
		}
		person.Keys = append(person.Keys, trust.NewPersonKey(key, from, to))
	}
	return person, nil
}

func (k *rootKey) key(dir string) (keys.Public, error) {
	if (k.File == "") == (k.PEM == "") {
		return keys.Public{}, errors.New("a key needs either file or publicKeyPem")
	}
	if k.PEM != "" {
		return keys.ParsePublic([]byte(k.PEM))
	}
	return readPublicKey(under(dir, k.File))
}

// rootDigest takes a digest, or the file of a signed publisher root.
func rootDigest(dir string, name trust.Publisher, text string) (trust.Digest, error) {
	if len(text) == 64 && filepath.Base(text) == text && filepath.Ext(text) == "" {
		return trust.Digest(text), nil
	}
	env, err := readEnvelope(under(dir, text))
	if err != nil {
		return "", err
	}
	root, ok := env.Statement().Predicate.(trust.Root)
	if !ok || root.RootKind != trust.PublisherRoot || root.Name != string(name) {
		return "", fmt.Errorf("%s is not the root of publisher %s", text, name)
	}
	return env.Digest(), nil
}

// readPolicy reads a policy from YAML or JSON, checks it and returns its JSON.
func readPolicy(path string, want statement.TenantPolicy) (jsontext.Value, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	raw := jsontext.Value(text)
	if filepath.Ext(path) != ".json" {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return nil, err
		}
		if raw, err = jsonv2.Marshal(v, jsonv2.Deterministic(true)); err != nil {
			return nil, err
		}
	}
	if err := raw.Compact(); err != nil {
		return nil, errors.New("not valid JSON")
	}
	policy, err := tenant.Parse(raw)
	if err != nil {
		return nil, err
	}
	if string(policy.Tenant) != string(want.Tenant) || string(policy.Region) != string(want.Region) {
		return nil, fmt.Errorf("it is for tenant %s in region %s, not for %s in %s; correct the file or the flags",
			policy.Tenant, policy.Region, want.Tenant, want.Region)
	}
	return raw, nil
}
