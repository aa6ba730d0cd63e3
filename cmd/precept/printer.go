package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/precept-cds/precept/engine/safetext"
)

// printer is how every command prints. What it is given may come from packs,
// statements, records and servers that strangers wrote: no value begins a line
// of its own, and nothing reaches the terminal that it would act on.
type printer struct {
	w    io.Writer
	rest []byte // the beginning of a character whose end Write has not seen
}

func stdout(cmd *cobra.Command) *printer { return &printer{w: cmd.OutOrStdout()} }
func stderr(cmd *cobra.Command) *printer { return &printer{w: cmd.ErrOrStderr()} }

// printError says why the program could not, or what the answer no is about.
// Only its first line begins at the margin.
func printError(err error) {
	p := &printer{w: os.Stderr}
	_ = p.text("precept: " + strings.ReplaceAll(err.Error(), "\n", "\n  ") + "\n") // there is nobody left to tell
}

// progressBar draws how far a piece of work is, in bytes, if standard error is a
// terminal; else it is nil. The title is ours: the bar moves the cursor, so it does not
// go through a printer.
func progressBar(title string) func(done, total int64) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(os.Stderr),
				progressbar.OptionShowBytes(true), progressbar.OptionSetDescription(title),
				progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(done) // a bar that cannot be drawn stops nothing
	}
}

// line prints a format and a newline. The format may hold newlines; each of the
// values is made safe within one line.
func (p *printer) line(format string, values ...any) {
	fmt.Fprintln(p.w, safetext.Sprintf(format, values...))
}

// text prints a text of several lines.
func (p *printer) text(s string) error {
	_, err := io.WriteString(p.w, safetext.Text(s))
	return err
}

// Write is for other packages that print. It keeps the lines that they make.
func (p *printer) Write(b []byte) (int, error) {
	all := append(p.rest, b...)
	end := len(all)
	for i := max(0, end-utf8.UTFMax); i < end; i++ {
		if utf8.RuneStart(all[i]) && !utf8.FullRune(all[i:]) {
			end = i
		}
	}
	p.rest = bytes.Clone(all[end:])
	if err := p.text(string(all[:end])); err != nil {
		return 0, err
	}
	return len(b), nil
}

// table prints lines whose tabs become columns.
func (p *printer) table(fill func(t *printer)) error {
	w := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fill(&printer{w: w})
	return w.Flush()
}

// json prints a value as JSON.
func (p *printer) json(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return p.rawJSON(b.Bytes())
}

// rawJSON prints a JSON text as it is, but for what a terminal would act on,
// which is escaped.
func (p *printer) rawJSON(text []byte) error {
	_, err := p.w.Write(safetext.JSON(text))
	return err
}
