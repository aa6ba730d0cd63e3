package main

import (
	"context"
	"encoding/base64"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/fixtures"
)

// demoFor makes a demo region in this process, which serves until the script ends.
func demoFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: region DIR PATIENT")
	}
	d, err := makeDemoRegion(context.Background(), ts.MkAbs(args[0]), os.Stderr)
	ts.Check(err)
	ts.Defer(func() {
		if err := d.stop(); err != nil {
			ts.Logf("stopping the region: %v", err)
		}
	})
	p, err := fixtures.Load(args[1])
	ts.Check(err)
	ehr, err := d.ehr("north")
	ts.Check(err)
	answer, err := ehr.Call(context.Background(), demoService, current(p.Request, d.now))
	ts.Check(err)
	r, err := audit.ParseReceipt(answer.Receipt)
	ts.Check(err)
	_, _, auditor := demoPersons("north")
	c, err := d.as("north", auditor, "")
	ts.Check(err)
	s, err := c.Status(context.Background())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("receipt.txt"), []byte(answer.Receipt), 0o600))
	ts.Setenv("SERVER", d.public)
	ts.Setenv("RECORD", string(r.RecordID))
	ts.Setenv("NODE_KEY", base64.StdEncoding.EncodeToString(s.NodeKey))
}
