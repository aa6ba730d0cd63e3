package rulepacks_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/precept-cds/precept/rulepacks"
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
	for _, f := range received.Files {
		fmt.Println(f.Name)
	}
	// Output:
	// greeting@1.0.0 true
	// .manifest
	// pack.yaml
	// rules/hello.rego
}

// Errors name the place and say how to mend it.
func ExampleProblems() {
	_, err := rulepacks.ParseManifest([]byte("name: greeting\nversion: 1.10\n"))
	for _, p := range rulepacks.Problems(err) {
		fmt.Println(p)
	}
	fmt.Println(errors.Is(err, rulepacks.ErrMalformed))
	// Output:
	// pack.yaml:2: /version is a number where something else is expected (if it is a version or a text write it in quotes, as in "1.10")
	// true
}
