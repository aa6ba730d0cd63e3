package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/precept-cds/precept/api/client"
	"github.com/precept-cds/precept/api/wire"
	"github.com/precept-cds/precept/engine/tenant"
	"github.com/precept-cds/precept/rulepacks"
)

// slowPack is within all counts, and takes minutes of processor time to compile: it is
// large, and each of its definitions near the bounds.
func slowPack(t *testing.T) *rulepacks.Pack {
	t.Helper()
	fsys := fstest.MapFS{
		"pack.yaml": {Data: []byte(`name: slow
version: "1.0.0"
title: Slow
status: draft
publisher: {name: Heartland, contact: rules@heartland.example}
effective_period: {start: "2020-01-01", end: ""}
review_due: "2027-01-01"
library: "1"
terminology: {min: "2026.1", max: ""}
languages: [en]
sources:
  - {id: own, title: Made for a test, url: "https://heartland.example", date: "2026-01-01", strength: none}
`)},
		"README.md": {Data: []byte("# Slow\n")},
		"NOTICE":    {Data: []byte("No copyright.\n")},
	}
	var body strings.Builder
	for i := range 110 {
		fmt.Fprintf(&body, "\tsome a%[1]d, b%[1]d in {%[1]d: 2}\n\ta%[1]d < b%[1]d\n", i)
	}
	for i := range 500 {
		fsys[fmt.Sprintf("rules/r%d.rego", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `# METADATA
# scope: package
# title: Slow %[1]d
# custom:
#   id: slow%[1]d
#   hooks: [order-sign]
#   trigger: {patient: true}
#   severity: info
#   unknown: silent
package packs.slow.r%[1]d

holds := fact.greater(fhir.age({"unit": "a"}), 0)

card := {"summary": fhir.text("Slow", {})}

x if {
%[2]s}
`, i, body.String())}
	}
	p, err := rulepacks.ReadFolder(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// residentOf is the memory of a process and its children in bytes, and how many children
// there are.
func residentOf(t *testing.T, pid int) (total int64, children int) {
	t.Helper()
	statuses, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range statuses {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		f := map[string]string{}
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok {
				f[name] = strings.TrimSpace(value)
			}
		}
		own := f["PPid"] == strconv.Itoa(pid)
		if own && !strings.HasPrefix(f["State"], "Z") {
			children++
		}
		if kib, err := strconv.ParseInt(strings.TrimSuffix(f["VmRSS"], " kB"), 10, 64); err == nil &&
			(own || f["Pid"] == strconv.Itoa(pid)) {
			total += kib << 10
		}
	}
	return total, children
}

// uploading gives a client of a tenant's operator.
func (d *demoRegion) uploading(t *testing.T, id tenant.ID) *client.Client {
	t.Helper()
	operator, _, _ := demoPersons(id)
	c, err := d.as(id, operator, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestUploadsUnderAttack has forty clients of one tenant upload a pack that takes minutes
// to compile, again and again. One is tried at a time, in a process that is ended when
// its time is up, the others are told to wait and hold no memory; the other tenant
// uploads and calls meanwhile; and when the clients have gone, so has the process.
func TestUploadsUnderAttack(t *testing.T) {
	const most = 900 << 20 // of the service and its children: two of 256 MiB and the service itself
	d := newRegion(t)
	d.edit(t, "timeouts:", "trials: {memory_bytes: 268435456, cpu: 5s, time: 60s}\ntimeouts:")
	d.edit(t, "limits: {}", "limits: {tenant_rate: 1000, person_rate: 1000}")
	n := startNode(t, d)
	slow := slowPack(t)
	archive := slow.Archive()
	ctx, hangUp := context.WithCancel(t.Context())
	var mu sync.Mutex
	refused := map[string]int{}
	var attackers sync.WaitGroup
	for range 40 {
		c := d.uploading(t, "north")
		attackers.Go(func() {
			for ctx.Err() == nil {
				err := c.PutPack(ctx, string(slow.Digest), archive)
				if p, ok := errors.AsType[*client.Problem](err); ok {
					mu.Lock()
					if refused[p.Code]++; p.Status != 422 && p.RetryAfter == 0 {
						t.Errorf("%v does not say when to come again", p)
					}
					mu.Unlock()
				} else if err == nil {
					t.Error("a pack that takes minutes is stored")
				}
			}
		})
	}
	watch, stop := context.WithCancel(t.Context())
	var peak int64
	var crowd int
	var watched sync.WaitGroup
	watched.Go(func() {
		for watch.Err() == nil {
			bytes, children := residentOf(t, n.cmd.Process.Pid)
			peak, crowd = max(peak, bytes), max(crowd, children)
			time.Sleep(20 * time.Millisecond)
		}
	})
	told := func(code string) int {
		mu.Lock()
		defer mu.Unlock()
		return refused[code]
	}
	eventually(t, "others are told to wait", func() bool { return told("busy") > 40 })
	good := d.packs["renal_dosing"]
	if err := d.uploading(t, "south").PutPack(t.Context(), string(good.Digest), good.Archive()); err != nil {
		t.Errorf("the other tenant's upload, meanwhile: %v", err)
	}
	if a, err := n.call(t, 1); err != nil || len(a.Body) == 0 {
		t.Errorf("a call, meanwhile: %v", err)
	}
	for began := time.Now(); told("pack") == 0 && time.Since(began) < 2*time.Minute; {
		time.Sleep(100 * time.Millisecond)
	}
	hangUp()
	attackers.Wait()
	trials := func() int {
		_, children := residentOf(t, n.cmd.Process.Pid)
		return children
	}
	eventually(t, "the process has ended", func() bool { return trials() == 0 })
	stop()
	watched.Wait()
	t.Logf("%d MiB at most, %d processes, refused %v", peak>>20, crowd, refused)
	if peak > most {
		t.Errorf("service and children take %d MiB, want at most %d", peak>>20, most>>20)
	}
	if crowd > 2 || crowd == 0 {
		t.Errorf("%d processes at once", crowd)
	}
	if refused["pack"] == 0 {
		t.Errorf("no process was ended because its time was up: %v", refused)
	}
	if page := d.page(t, "metrics"); !strings.Contains(page, `precept_trials_total{outcome="limit"}`) {
		t.Error("the metrics do not count trials")
	}
}

// TestKilledWhileTrying kills the service while it tries an upload: the process of the
// trial ends with it, and after the restart the log holds who tried.
func TestKilledWhileTrying(t *testing.T) {
	d := newRegion(t)
	n := startNode(t, d)
	slow := slowPack(t)
	go func() { _ = d.uploading(t, "north").PutPack(t.Context(), string(slow.Digest), slow.Archive()) }()
	eventually(t, "it is being tried", func() bool {
		_, children := residentOf(t, n.cmd.Process.Pid)
		return children == 1
	})
	child := 0
	statuses, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range statuses {
		text, _ := os.ReadFile(path)
		if bytes.Contains(text, fmt.Appendf(nil, "PPid:\t%d\n", n.cmd.Process.Pid)) {
			child, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	n.kill(t)
	eventually(t, "the trial has ended", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
		return err != nil || bytes.Contains(text, []byte("State:\tZ"))
	})
	startNode(t, d)
	_, _, auditor := demoPersons("north")
	c, err := d.as("north", auditor, "test")
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.Records(t.Context(), wire.Search{Kind: "access", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range page.Records {
		r, err := c.Record(t.Context(), line.ID)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(r.Body, []byte(`"verb":"put pack"`)) && bytes.Contains(r.Body, []byte(slow.Digest)) {
			return
		}
	}
	t.Error("no record says who handed in what was being tried")
}
