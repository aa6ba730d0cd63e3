package api

import "runtime"

// Limits bound what callers may take of a node, whatever their policies allow. A
// zero field has the default beside it.
type Limits struct {
	// BodyBytes bounds the bodies that are read or worked on at once: 128 MiB. A tenant may hold as much of it as
	// is then left, so the largest body that is ever taken is half of it.
	BodyBytes   int64
	Calls       int // that are worked on at once: 16 for each processor. A tenant may have as many as are then left
	Connections int // of the public listener: 2048
	PerAddress  int // of those, from one address (of IPv6, one network of 64 bits): half
	PersonRate  int // requests a second of one person: 50, and ten seconds' worth at once
	TenantRate  int // requests a second of all persons of a tenant: 200, in the same way
	Uploads     int // of one tenant at once: 1
	LogRate     int // requests a second of all strangers for the region's log: 50, and ten seconds' worth at once
}

func (l Limits) withDefaults() *Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.Calls, 16 * runtime.GOMAXPROCS(0)}, {&l.Connections, 2048}, {&l.PersonRate, 50}, {&l.TenantRate, 200},
		{&l.Uploads, 1}, {&l.LogRate, 50},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if l.PerAddress <= 0 {
		l.PerAddress = max(1, l.Connections/2)
	}
	if l.BodyBytes <= 0 {
		l.BodyBytes = 128 << 20
	}
	return &l
}

func (s *Server) setLimits(l Limits) {
	s.limits.Store(l.withDefaults())
	s.shares.resize(s.limits.Load().BodyBytes)
	s.turns.resize(int64(s.limits.Load().Calls))
	s.strangers.resize(s.limits.Load().LogRate)
	s.pace.buckets.Purge()
}
