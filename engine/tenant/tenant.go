// Package tenant describes a health system to Precept: which region it lives
// in, which services it offers to which EHRs, and with which limits. A policy
// is a plain value read from a signed tenant-policy statement; checking it and
// asking it questions are pure functions.
//
// The package guarantees that a Policy returned by Parse is complete and
// consistent, with defaults filled in. It does not know whether the policy was
// signed: that is package signing's answer.
package tenant

import (
	"errors"
	"fmt"
	"regexp"
)

// ID names a health system, as it appears in URLs and logs: lower-case letters,
// digits and dashes, 2 to 63 characters, a letter first.
type ID string

// Region names one jurisdiction's data plane, e.g. "eu-central" or "us-east".
type Region string

var name = regexp.MustCompile(`^[a-z][a-z0-9-]{1,62}$`)

// ErrName says that a tenant or region name is not well formed.
var ErrName = errors.New("name must be 2 to 63 lower-case letters, digits or dashes, a letter first")

// ErrResidency says that a tenant does not live in this region. Nothing of it
// may be read, decided or stored here; send the caller to the tenant's region.
var ErrResidency = errors.New("tenant does not live in this region")

// ErrPolicy says that a tenant policy contradicts itself or is incomplete.
var ErrPolicy = errors.New("tenant policy is not usable")

// ParseID checks s and returns it as an ID.
func ParseID(s string) (ID, error) {
	if !name.MatchString(s) {
		return "", fmt.Errorf("reading tenant name: %w", ErrName)
	}
	return ID(s), nil
}

// ParseRegion checks s and returns it as a Region.
func ParseRegion(s string) (Region, error) {
	if !name.MatchString(s) {
		return "", fmt.Errorf("reading region name: %w", ErrName)
	}
	return Region(s), nil
}

// Resides returns nil if a tenant whose policy or placement names region home may be
// served by a node of region here. It is asked at load, at the door and in the core.
func Resides(home, here Region) error {
	if home == "" || home != here {
		return fmt.Errorf("region %q asked of a node in region %q: %w", home, here, ErrResidency)
	}
	return nil
}
