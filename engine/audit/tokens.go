package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/precept-cds/precept/engine/keyring"
	"github.com/precept-cds/precept/engine/tenant"
)

// A Token came with a call and may be good for that call alone. It is remembered until it expires, as keyed digests:
// nothing of the token itself is stored.
type Token struct {
	Client  string    // whose it is
	ID      string    // what makes it this token: issuer and jti
	Call    []byte    // identifies the call; the same token with the same call is not used again
	Expires time.Time // when it is worth nothing any more
	// Enforce refuses a token that was used for another call (ErrTokenUsed), or that there is no room to remember
	// (ErrTokensFull). Otherwise the receipt says so.
	Enforce bool
}

// TokenUse is what became of a token.
type TokenUse int

// The ways.
const (
	TokenNone   TokenUse = iota // there was no token
	TokenFirst                  // it is remembered from now on
	TokenAgain                  // it was used for this very call before
	TokenReused                 // it was used for another call before
	TokenFull                   // it was remembered in place of another one that has not expired
)

// String is a word for metrics.
func (u TokenUse) String() string { return [...]string{"none", "first", "again", "reused", "full"}[u] }

// What is refused where a client's tokens are good for one call.
var (
	// ErrTokenUsed says that the token was used for another call. Nothing was stored.
	ErrTokenUsed = errors.New("token was used for another call")
	// ErrTokensFull says that too many tokens of the client have not expired. Nothing was stored; it passes as they
	// expire.
	ErrTokensFull = errors.New("too many tokens of the client are remembered")
)

// Tokens of a client are kept in 256 slots of a bounded size, by the first byte of their tag: to use one reads and
// writes one value, whatever is remembered, and what has expired goes when its slot is next written. The limit is
// met when a slot is full, which holds twice its part: tags are spread evenly, and nobody outside can choose one.
const (
	tokenSlots = 256
	tokenSize  = 8 + 16 + 8 // expiry, in seconds since 1970, big-endian; tag of the token; tag of the call
)

// Kinds of tags.
const (
	tagTokenClient = "token client"
	tagToken       = "token"
	tagTokenCall   = "token call"
)

// tokenTags are what is stored of a token.
type tokenTags struct {
	key     []byte // of the slot
	entry   []byte
	expires int64
}

func (t *Token) tags(keys *keyring.Tenant) *tokenTags {
	if t == nil {
		return nil
	}
	client, tag := keys.Tag(tagTokenClient, t.Client), keys.Tag(tagToken, t.Client, t.ID)
	call := keys.Tag(tagTokenCall, string(t.Call))
	tags := &tokenTags{key: append(client[:], tag[0]), expires: t.Expires.Unix()}
	tags.entry = binary.BigEndian.AppendUint64(make([]byte, 0, tokenSize), uint64(tags.expires))
	tags.entry = append(append(tags.entry, tag[:]...), call[:8]...)
	return tags
}

// use looks for the token in its slot. If it has to be remembered, next is the slot with it, which has room for so
// many.
func (t *tokenTags) use(slot []byte, now time.Time, most int) (use TokenUse, next []byte) {
	kept := make([]byte, 0, len(slot)+tokenSize)
	oldest, first := -1, int64(0)
	for e := range slices.Chunk(slot, tokenSize) {
		if len(e) < tokenSize {
			break // nobody wrote that
		}
		expires := int64(binary.BigEndian.Uint64(e))
		if expires < now.Unix() {
			continue
		}
		if bytes.Equal(e[8:24], t.entry[8:24]) {
			if bytes.Equal(e[24:], t.entry[24:]) {
				return TokenAgain, nil
			}
			return TokenReused, nil
		}
		if oldest < 0 || expires < first {
			oldest, first = len(kept), expires
		}
		kept = append(kept, e...)
	}
	use = TokenFirst
	if len(kept) >= most*tokenSize {
		use = TokenFull
		kept = append(kept[:oldest], kept[oldest+tokenSize:]...)
	}
	return use, append(kept, t.entry...)
}

// allows turns what became of a token into an error if its client's are good for one call.
func (t *Token) allows(use TokenUse) error {
	switch {
	case t.Enforce && use == TokenReused:
		return ErrTokenUsed
	case t.Enforce && use == TokenFull:
		return ErrTokensFull
	}
	return nil
}

// slotSize is how many tokens a slot holds.
func (c *Config) slotSize() int {
	most := c.Tokens
	if most <= 0 {
		most = DefaultTokens
	}
	return 2 * max(most, LeastTokens) / tokenSlots
}

// How many tokens of a client are remembered at once; with fewer than the least, slots would be filled too unevenly.
const (
	DefaultTokens = 16384
	LeastTokens   = 2048
)

// askToken wants the slot of an entry's token.
func (r *request) askToken(keys []Key, start int, t tenant.ID) []Key {
	if r.token == nil {
		return keys
	}
	r.slot = len(keys) - start
	return append(keys, Key{Tokens, t, r.token.key})
}

// useToken says what becomes of the token of an entry, and plans to remember it.
func (l *Log) useToken(p *part, r *request, now time.Time) error {
	if r.token == nil {
		return nil
	}
	slot, planned := p.slots[string(r.token.key)]
	if !planned {
		slot = p.names[r.slot]
	}
	use, next := r.token.use(slot, now, l.cfg.slotSize())
	if err := r.entry.Token.allows(use); err != nil {
		return err
	}
	r.use = use
	if next == nil {
		return nil
	}
	if !planned {
		p.expect(Tokens, r.token.key, bytes.Clone(slot)) // clone: the slot is the view's; nil stays nil
	}
	if p.slots == nil {
		p.slots = map[string][]byte{}
	}
	p.slots[string(r.token.key)] = next
	p.put(Tokens, r.token.key, next)
	return nil
}

// tokenTries is how often a token is looked at again because others changed its slot.
const tokenTries = 16

// UseToken uses a token for a call that adds no record of its own, as one whose answer is given again, and says what
// became of it. It is remembered, durably, only if take is set. The tenant has records: its keys come with the first.
// The errors of Append apply.
func (l *Log) UseToken(ctx context.Context, t tenant.ID, token Token, take bool) (TokenUse, error) {
	use, err := l.takeToken(ctx, t, &token, take)
	if err == nil {
		err = token.allows(use)
	}
	if err != nil {
		return use, fmt.Errorf("using token: %w", err)
	}
	return use, nil
}

func (l *Log) takeToken(ctx context.Context, t tenant.ID, token *Token, take bool) (TokenUse, error) {
	keys, err := l.keys(ctx, t)
	if err != nil {
		return TokenNone, err
	}
	tags := token.tags(keys)
	for range tokenTries {
		slot, err := seen(Only(ctx, t), l.Reader, func(v View) ([]byte, error) {
			got, err := v.Get(Tokens, t, tags.key)
			return bytes.Clone(got), err
		})
		if err != nil {
			return TokenNone, err
		}
		use, next := tags.use(slot, l.cfg.Clock(), l.cfg.slotSize())
		if next == nil || !take || token.allows(use) != nil {
			return use, nil
		}
		err = l.putToken(ctx, &Batch{Expect: []Item{{Tokens, t, tags.key, slot}}, Put: []Item{{Tokens, t, tags.key, next}}})
		if !errors.Is(err, ErrConflict) {
			return use, err
		}
	}
	return TokenNone, ErrBusy
}

// putToken stores a slot beside what the writer stores.
func (l *Log) putToken(ctx context.Context, b *Batch) error {
	if err := l.admit(false); err != nil {
		return err
	}
	_, err := apart(ctx, l.places, func(ctx context.Context) (struct{}, error) {
		if err := l.room(int64(len(b.Put[0].Value)), false); err != nil {
			return struct{}{}, err
		}
		err := l.cfg.Store.Commit(ctx, b)
		if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrNotApplied) {
			return struct{}{}, err
		}
		if _, ok := l.cfg.Store.(Resolver); ok {
			return struct{}{}, err // whether it is remembered or not: the same call may come again
		}
		return struct{}{}, l.poison(err)
	})
	return err
}
