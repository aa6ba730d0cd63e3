package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/decide"
	"github.com/precept-cds/precept/rulepacks"
	"github.com/precept-cds/precept/rulepacks/packfile"
)

// verdict is one line of what the process writes.
type verdict struct {
	Code     string              `json:"code"`
	Message  string              `json:"message,omitempty"`
	Problems []*packfile.Problem `json:"problems,omitempty"` // instead of a message
}

// The codes of verdicts, beside those of the sentinels.
const (
	codeCompiled = "compiled" // and golden cases are run now
	codeAccepted = "accepted"
	codeProblems = "problems"
	codeFailed   = "failed"
)

// sentinels are the facts that go from one process to another.
var sentinels = []struct {
	code string
	is   error
}{
	{"cases", decide.ErrCases}, {"pack", decide.ErrPack}, {"library", decide.ErrLibrary},
	{"digest", rulepacks.ErrDigest},
}

const maxMessage = 8 << 10

func newVerdict(err error) *verdict {
	v := &verdict{Code: codeAccepted}
	if err == nil {
		return v
	}
	if v.Problems = packfile.Problems(err); len(v.Problems) > 0 {
		v.Code = codeProblems
		return v
	}
	v.Code, v.Message = codeFailed, err.Error()
	if len(v.Message) > maxMessage {
		v.Message = v.Message[:maxMessage] + "..."
	}
	v.Message = strings.ToValidUTF8(v.Message, "")
	for _, s := range sentinels {
		if errors.Is(err, s.is) {
			v.Code = s.code
			break
		}
	}
	return v
}

// said is an error of the other process. It reads as it did there.
type said struct {
	text string
	is   error
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.is }

// err is the error that the verdict was made of.
func (v *verdict) err() error {
	switch v.Code {
	case codeAccepted:
		return nil
	case codeProblems:
		var list packfile.List
		for _, p := range v.Problems {
			if p != nil {
				list.Add(p)
			}
		}
		if len(list) == 0 {
			break
		}
		return fmt.Errorf("reading a pack archive: %w", list.Err())
	}
	for _, s := range sentinels {
		if s.code == v.Code {
			return &said{v.Message, s.is}
		}
	}
	return fmt.Errorf("trying pack: the process for it failed: %s (%w)", v.Message, decide.ErrNotTried)
}

// Job is what a process is asked, beside the archives.
type Job struct {
	Digest           rulepacks.Digest // that the pack must have; "" for any
	Library          string           // as in [decide.Trial]
	TerminologyBytes int64            // the first bytes of the input are a terminology
}

// maxInput bounds the input of a process: a pack and a terminology.
const maxInput = 320 << 20

// ErrRefused says that the verdict is no.
var ErrRefused = errors.New("the pack is refused")

// Answer reads a pack, and the terminology before it if there is one, tries it and writes
// the verdict: lines of JSON. The error is ErrRefused if the verdict is no.
func Answer(ctx context.Context, j Job, in io.Reader, out io.Writer) error {
	t := decide.Trial{Digest: j.Digest, Library: j.Library}
	input, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	n := j.TerminologyBytes
	if n < 0 || int64(len(input)) < n || len(input) > maxInput {
		return fmt.Errorf("reading the archive: %d bytes, of which %d are a terminology; at most %d", len(input), n,
			maxInput)
	}
	if t.Archive = input[n:]; n > 0 {
		t.Terminology = input[:n]
	}
	write := func(v *verdict) error {
		line, err := jsonv2.Marshal(v, jsonv2.Deterministic(true))
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		if err != nil {
			return fmt.Errorf("writing the verdict: %w", err)
		}
		return nil
	}
	err = decide.Try(ctx, t, func() {
		if n > 0 {
			_ = write(&verdict{Code: codeCompiled}) // it matters only if the process is ended now
		}
	})
	if failed := write(newVerdict(err)); failed != nil {
		return failed
	}
	if err != nil {
		return ErrRefused
	}
	return nil
}
