package main

import (
	"net"
	"testing"
)

// TestDemoBesideAnother has the addresses that the demo wants taken: it listens at
// others, and keeps them until its service has them.
func TestDemoBesideAnother(t *testing.T) {
	taken, err := listenAnywhere()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var d demoRegion
	defer func() {
		if err := d.unlisten(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.listen([]string{taken.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	for _, l := range d.listening {
		if l.Addr().String() == taken.Addr().String() {
			t.Errorf("listens at %s, which is taken", l.Addr())
		}
		if again, err := net.Listen("tcp", l.Addr().String()); err == nil {
			_ = again.Close()
			t.Errorf("%s is not kept", l.Addr())
		}
	}
}
