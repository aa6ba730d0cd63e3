package engine

import (
	"errors"
	"time"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/engine/cdshooks"
	"github.com/precept-cds/precept/engine/decision"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing/trust"
)

// Caller is on whose behalf a verb of the engine runs. The door has proven who
// it is; what it may do is decided here.
type Caller struct {
	Tenant  tenant.ID
	Client  string         // id of a registered EHR, or
	Person  trust.PersonID // a person of the tenant's trust root
	Purpose string         // why a person looks at records, recorded with the access
	// Since is when the request began to come in: its deadline runs from then. Zero is
	// now.
	Since time.Time
	Token Token // what an EHR proved itself with
}

// Token is what is known of the token of a call. A zero one is not looked at.
type Token struct {
	ID      string    // issuer and jti
	Expires time.Time // when no node accepts it any more
}

// What the verbs of the engine refuse, one sentinel per fact.
var (
	// ErrUnknownTenant says that this node serves no such tenant. Strangers get
	// the same answer as for a bad token.
	ErrUnknownTenant = errors.New("no such tenant here")
	// ErrUnknownService says that the tenant has no service of that id.
	ErrUnknownService = errors.New("no such service")
	// ErrForbidden says that the caller is known but lacks the role; the message
	// names the role.
	ErrForbidden = errors.New("not allowed")
	// ErrNotReady says that the tenant has no policy or no live pack yet. Apply
	// the statements first.
	ErrNotReady = errors.New("tenant is not ready")
	// ErrBusy says that the tenant has as many calls under way as its limit
	// allows. Try again after a second.
	ErrBusy = errors.New("too many calls at once")
	// ErrTurn says that another statement of the tenant is still being checked. Try again
	// after some seconds.
	ErrTurn = errors.New("another statement is being checked")
	// ErrExports says that evidence of the tenant, or of several others, is being taken out. Try again after some
	// seconds.
	ErrExports = errors.New("other evidence is being taken out")
	// ErrPurpose says that records were asked for without a purpose.
	ErrPurpose = errors.New("a purpose is required to look at records")
	// ErrStatement says that a statement is well signed but asks for what this
	// node cannot do; the message names the check that failed.
	ErrStatement = errors.New("statement cannot take effect")
)

// Answer is the result of a call: the exact bytes to send, and the receipt
// that proves the record of it.
type Answer struct {
	Body     []byte
	Receipt  string // an RFC 8941 dictionary, for the Precept-Receipt header
	RecordID string
	Repeated bool // the bytes of an earlier call with the same hookInstance and body
	Cards    decision.Cards
	Cut      int            // pairs not evaluated
	Capped   int            // findings without a card because of the limit on cards
	Failed   map[string]int // rule errors, by code
	Took     time.Duration
	Token    audit.TokenUse            // what became of the call's token
	Refused  []*cdshooks.FeedbackError // entries of a feedback body that were not usable
}
