package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/precept-cds/precept/engine/audit/bolt"
)

// runPrecept runs a command and gives its exit status and what it printed.
func runPrecept(t *testing.T, args ...string) (status int, out, talk string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), preceptProgram(t), args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

// TestDamagedStoreIsSaidAndNotServed damages the header of each page of a store in turn: the check names it, the
// verification says that the store is not verified, and a start is refused with a status that says so to a supervisor.
// None of them panics.
func TestDamagedStoreIsSaidAndNotServed(t *testing.T) {
	d := newRegion(t)
	store := d.path("store", "audit.db")
	status, out, talk := runPrecept(t, "audit", "check-store", "--json", store)
	report := &bolt.CheckReport{}
	if err := json.Unmarshal([]byte(out), report); status != 0 || err != nil || len(report.Damage) > 0 ||
		report.Read < 20 {
		t.Fatalf("a whole store: status %d, %+v, %s", status, report, talk)
	}
	f, err := os.OpenFile(store, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	damaged := 0
	for page := int64(2); page < report.Pages && damaged < 5; page += 3 {
		before := make([]byte, 16)
		if _, err := f.ReadAt(before, page*4096); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte{0x5a}, 16), page*4096); err != nil {
			t.Fatal(err)
		}
		status, out, talk := runPrecept(t, "audit", "check-store", store)
		if status == 0 {
			continue // a free page
		}
		damaged++
		if status != 1 || !strings.Contains(out, "damaged  ") || !strings.Contains(out, "put back a copy") {
			t.Errorf("page %d: status %d: %s%s", page, status, out, talk)
		}
		status, out, talk = runPrecept(t, "audit", "verify", "--store", store, "--tenant", "north")
		if status != 1 || !strings.Contains(out, "structure") || !strings.Contains(out, "log NOT verified") {
			t.Errorf("verifying with page %d damaged: status %d: %s%s", page, status, out, talk)
		}
		_ = os.Remove(checkedFile(store))
		status, _, talk = runPrecept(t, "serve", "--config", d.config)
		if status != 3 || !strings.Contains(talk, "store damaged") || strings.Contains(talk, "goroutine") {
			t.Errorf("starting with page %d damaged: status %d: %s", page, status, talk)
		}
		if _, err := f.WriteAt(before, page*4096); err != nil {
			t.Fatal(err)
		}
	}
	if damaged < 5 {
		t.Errorf("only %d pages were damaged", damaged)
	}
}

// TestQuickCheckOfAStoreThatWasClosed: what was checked in full and closed in order, and not written to since, is
// checked quickly; anything else in full.
func TestQuickCheckOfAStoreThatWasClosed(t *testing.T) {
	d := newRegion(t)
	store := d.path("store", "audit.db")
	if _, quick := quickEnough(store, d.now); !quick {
		t.Error("a store that was closed in order is checked in full")
	}
	if _, quick := quickEnough(store, d.now.Add(2*checkEvery)); quick {
		t.Error("a check is good for ever")
	}
	n := startNode(t, d)
	if _, err := n.call(t, 1); err != nil {
		t.Fatal(err)
	}
	n.kill(t)
	if _, quick := quickEnough(store, d.now); quick {
		t.Error("a store that was not closed in order is checked quickly")
	}
	// A check that is not done in time does not keep the region from starting, and is no check.
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	hasty := strings.Replace(string(text), "store:\n", "store:\n    check_time: 1ns\n", 1)
	if err := os.WriteFile(d.config, []byte(hasty), 0o600); err != nil {
		t.Fatal(err)
	}
	n = startNode(t, d)
	if _, err := n.call(t, 2); err != nil {
		t.Fatal(err)
	}
	n.stop()
	if _, quick := quickEnough(store, d.now); quick {
		t.Error("a store whose check was not done is checked quickly")
	}
}
