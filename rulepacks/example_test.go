package rulepacks_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// A pack is read from its author's folder, written as an archive, and read back
// by somebody who trusts neither.
func Example() {
	folder := fstest.MapFS{
		"pack.yaml": {Data: []byte(`name: greeting
version: "1.0.0"
title: A pack with one rule
status: draft
publisher: {name: North Society}
library: "1"
languages: [en]
`)},
		"rules/hello.rego": {Data: []byte("package packs.greeting.hello\n")},
	}
	pack, err := rulepacks.ReadFolder(folder)
	if err != nil {
		fmt.Println(err)
		return
	}
	var archive bytes.Buffer
	if err := pack.WriteArchive(&archive); err != nil {
		fmt.Println(err)
		return
	}

	received, err := rulepacks.ReadArchive(&archive, rulepacks.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(received.Manifest.Revision(), received.Digest == pack.Digest)
	for _, rule := range received.Rules {
		fmt.Printf("%s: %s", rule.Name, rule.Data)
	}
	// Output:
	// greeting@1.0.0 true
	// rules/hello.rego: package packs.greeting.hello
}

// Errors name the place and say how to fix it; each is of a kind.
func ExampleReadFolder() {
	_, err := rulepacks.ReadFolder(fstest.MapFS{
		"pack.yaml": {Data: []byte("name: greeting\nversion: 1.10\n")},
	})
	for _, p := range packfile.Problems(err) {
		fmt.Println(p)
	}
	fmt.Println(errors.Is(err, packfile.ErrMalformed))
	// Output:
	// pack.yaml:2: /version is a number where something else is expected (put versions and texts in quotes, as in "1.10")
	// true
}

// A pack that comes with this module, and what one of its value sets means.
func ExampleReadEmbedded() {
	pack, err := rulepacks.ReadEmbedded("renal_dosing")
	if err != nil {
		fmt.Println(err)
		return
	}
	set, _ := pack.ValueSet("metformin")
	fmt.Println(pack.Manifest.Title)
	fmt.Println(set.Kind, set.Has("http://www.nlm.nih.gov/research/umls/rxnorm", "6809"))
	// Output:
	// Renal dosing: metformin
	// medication true
}
