// Package audittest holds what every audit store is tested with: a conformance suite, a store in memory, and a
// store that breaks on purpose. It is for tests only.
package audittest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/tenant"
)

// Memory is a store in memory: it keeps all promises but durability.
type Memory struct {
	audit.Followers
	// T, if set, is failed by any attempt to change what is stored in an append-only space.
	T testing.TB

	mu     sync.RWMutex
	values [audit.Spaces]map[string][]byte
	keys   [audit.Spaces][]string // sorted
}

var _ audit.Store = (*Memory)(nil)

// NewMemory returns an empty store that fails t if a stored record is ever changed. A nil t only refuses.
func NewMemory(t testing.TB) *Memory {
	m := &Memory{T: t}
	for i := range m.values {
		m.values[i] = make(map[string][]byte)
	}
	return m
}

// Clone copies the store as it is now, as a backup does.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := NewMemory(m.T)
	for i := range m.values {
		for k, v := range m.values[i] {
			c.values[i][k] = bytes.Clone(v)
		}
		c.keys[i] = slices.Clone(m.keys[i])
	}
	return c
}

// Close implements [audit.Store].
func (m *Memory) Close() error { return nil }

// View implements [audit.Store].
func (m *Memory) View(ctx context.Context, fn func(audit.View) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return fn((*memoryView)(m))
}

type memoryView Memory

func place(t tenant.ID, key []byte) string { return string(t) + "\x00" + string(key) }

// Get implements [audit.View].
func (m *memoryView) Get(s audit.Space, t tenant.ID, key []byte) ([]byte, error) {
	return m.values[s][place(t, key)], nil
}

// GetMany implements [audit.View].
func (m *memoryView) GetMany(keys []audit.Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = m.values[k.Space][place(k.Tenant, k.Key)]
	}
	return values, nil
}

// Scan implements [audit.View].
func (m *memoryView) Scan(s audit.Space, t tenant.ID, from, to []byte, reverse bool,
	fn func(k, v []byte) (bool, error)) error {
	low, high := place(t, from), string(t)+"\x01"
	if to != nil {
		high = place(t, to)
	}
	i, _ := slices.BinarySearch(m.keys[s], low)
	j, _ := slices.BinarySearch(m.keys[s], high)
	keys := slices.Clone(m.keys[s][i:max(i, j)])
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		more, err := fn([]byte(k[len(t)+1:]), m.values[s][k])
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Commit implements [audit.Store].
func (m *Memory) Commit(ctx context.Context, b *audit.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrNotApplied, err)
	}
	if err := m.apply(b); err != nil {
		return err
	}
	m.Committed(b)
	return nil
}

func (m *Memory) apply(b *audit.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var conflict audit.ConflictError
	for _, e := range b.Expect {
		got, ok := m.values[e.Space][place(e.Tenant, e.Key)]
		if ok != (e.Value != nil) || !bytes.Equal(got, e.Value) {
			conflict.Add(e.Tenant)
		}
	}
	for _, p := range b.Put {
		old, ok := m.values[p.Space][place(p.Tenant, p.Key)]
		if ok && p.Value != nil && p.Space.AppendOnly() && !bytes.Equal(old, p.Value) {
			if m.T != nil && len(conflict.Tenants) == 0 {
				m.T.Errorf("a stored value in %s was to be changed", p.Space)
			}
			conflict.Add(p.Tenant)
		}
	}
	if len(conflict.Tenants) > 0 {
		return &conflict
	}
	for _, p := range b.Put {
		m.put(p)
	}
	return nil
}

func (m *Memory) put(p audit.Item) {
	k := place(p.Tenant, p.Key)
	i, ok := slices.BinarySearch(m.keys[p.Space], k)
	switch {
	case p.Value == nil && ok:
		m.keys[p.Space] = slices.Delete(m.keys[p.Space], i, i+1)
		delete(m.values[p.Space], k)
	case p.Value != nil:
		if !ok {
			m.keys[p.Space] = slices.Insert(m.keys[p.Space], i, k)
		}
		m.values[p.Space][k] = append([]byte{}, p.Value...)
	}
}

// Edit changes the store behind everybody's back, as an attacker with the file does. A nil result removes the value.
func (m *Memory) Edit(s audit.Space, t tenant.ID, key []byte, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.values[s][place(t, key)]
	m.put(audit.Item{Space: s, Tenant: t, Key: key, Value: change(bytes.Clone(old))})
}
