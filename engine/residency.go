package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/signing"
	"github.com/precept-cds/precept/signing/statement"
)

// A tenant has one home. Its people say where, by a placement that pins the keys of the
// region, not only its name; a region serves by the newest one that it was shown. What
// their people prepare or look up is taken and answered all the same: who moves in has
// packs ready before the placement, and who moved out still has records here.

// errPlacement says that the tenant's people have to mend its placement.
var errPlacement = errors.New("the tenant's placement does not hold here")

// atHome returns nil if this region may answer the tenant's EHRs.
func (e *Engine) atHome(trust *signing.State) error {
	h, err := trust.Home()
	switch {
	case trust.Epoch() == 0:
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	case err != nil:
		return fmt.Errorf("%w: %w (%w)", errPlacement, err, tenant.ErrResidency)
	}
	if err := tenant.Resides(tenant.Region(h.Certificate.Region), e.cfg.Region); err != nil {
		return fmt.Errorf("by placement %d: %w", h.Epoch, err)
	}
	if err := e.identifies(h.Placement); err != nil {
		return fmt.Errorf("%w (%w)", err, tenant.ErrResidency)
	}
	return nil
}

// identifies reports whether a placement in a region of this name means this one.
func (e *Engine) identifies(p statement.Placement) error {
	if pinned, own := p.Certificate.Digest(), e.certificate.Digest(); pinned != own {
		return fmt.Errorf("placement %d of tenant %s in %s pins the certificate %s, this region has %s: %w; "+
			"if the tenant is to live here, its operator and approver sign a placement with a higher epoch and the "+
			"certificate that precept keys region-certificate makes; if not, it was shown to the wrong region, or "+
			"this one runs without its own store or region key", p.Epoch, p.Tenant, e.cfg.Region, pinned, own, errPlacement)
	}
	return nil
}

// serving is moment for what EHRs ask.
func (e *Engine) serving(ctx context.Context, id tenant.ID) (*served, *inForce, time.Time, error) {
	l, st, now, err := e.moment(ctx, id)
	if err == nil && (st.policy != nil || errors.Is(st.home, tenant.ErrResidency)) && st.home != nil {
		err = fmt.Errorf("finding tenant: %w", st.home)
	}
	return l, st, now, err
}
