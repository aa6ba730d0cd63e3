package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/engine/sandbox"
	"github.com/precept-cds/precept/rulepacks"
)

func packCompile() *cobra.Command {
	var job sandbox.Job
	var digest string
	var memory int64
	var cpu time.Duration
	c := &cobra.Command{
		Use:   "compile < ARCHIVE",
		Short: "try a pack within limits, as a server does with an upload",
		Long: `Compile reads a pack archive from standard input, compiles it within limits of
memory and processor time, and prints the verdict as JSON, one value a line. It is
the process in which a server, check and test try a pack. With
--terminology-bytes N the first N bytes of the input are a terminology archive,
and the golden cases are run with it. The exit status is 1 if the pack is refused;
a process that passes a limit is ended by the system and prints no verdict.`,
		Example: "  precept pack compile < potassium.tar.gz",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if job.Digest = ""; digest != "" {
				if job.Digest, err = rulepacks.ParseDigest(digest); err != nil {
					return err
				}
			}
			if err := sandbox.Confine(memory, cpu); err != nil {
				return err
			}
			err = sandbox.Answer(cmd.Context(), job, cmd.InOrStdin(), stdout(cmd))
			if errors.Is(err, sandbox.ErrRefused) {
				return errSaid
			}
			return err
		},
	}
	fl := c.Flags()
	fl.StringVar(&digest, "digest", "", "SHA-256 that the canonical archive must have")
	fl.StringVar(&job.Library, "library", "", "version of the clinical library; default the newest that fits")
	fl.Int64Var(&job.TerminologyBytes, "terminology-bytes", 0, "length of the terminology archive before the pack")
	fl.Int64Var(&memory, "memory", sandbox.DefaultMemory, "bytes of memory that it may take")
	fl.DurationVar(&cpu, "cpu", sandbox.DefaultCPU, "processor time that it may take")
	return c
}
