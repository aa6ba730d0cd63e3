package main

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// maxLog bounds the lines that wait to be written.
const maxLog = 1 << 20

// logBuffer takes the lines of the log and never waits for whoever reads them. What
// does not fit is dropped and counted; when the reader is back a line says how many
// lines are missing. The records are elsewhere: a log that nobody reads holds
// nothing up.
type logBuffer struct {
	to    io.Writer
	clock func() time.Time
	wake  chan struct{}
	done  chan struct{} // closed when the last line is written

	mu      sync.Mutex
	waiting []byte // whole lines
	dropped int64
	closed  bool
}

func newLogBuffer(to io.Writer, clock func() time.Time) *logBuffer {
	b := &logBuffer{to: to, clock: clock, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go b.run()
	return b
}

// Write takes one line.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.waiting)+len(line) > maxLog {
		b.dropped++
		return len(line), nil
	}
	b.waiting = append(b.waiting, line...)
	b.stir()
	return len(line), nil
}

func (b *logBuffer) stir() {
	select {
	case b.wake <- struct{}{}:
	default: // it is awake
	}
}

// Dropped is how many lines nobody will read.
func (b *logBuffer) Dropped() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

// run writes what waits, and then how many lines were lost, if any were.
func (b *logBuffer) run() {
	defer close(b.done)
	var lines []byte
	told := int64(0)
	for range b.wake {
		b.mu.Lock()
		lines, b.waiting = b.waiting, lines[:0]
		dropped, closed := b.dropped, b.closed
		b.mu.Unlock()
		if len(lines) > 0 {
			if _, err := b.to.Write(lines); err != nil {
				b.mu.Lock()
				b.dropped += int64(bytes.Count(lines, []byte("\n")))
				b.mu.Unlock()
			}
		}
		if dropped > told {
			if _, err := b.to.Write(b.gap(dropped - told)); err == nil {
				told = dropped
			}
		}
		if closed {
			return
		}
	}
}

func (b *logBuffer) gap(lines int64) []byte {
	text, err := json.Marshal(struct {
		Time  time.Time `json:"time"`
		Level string    `json:"level"`
		Msg   string    `json:"msg"`
		Lines int64     `json:"lines"`
	}{b.clock(), "WARN", "lines of the log were dropped: nobody read them", lines})
	if err != nil {
		return nil // cannot happen: a time of this century and a number
	}
	return append(text, '\n')
}

// Close writes what waits, for as long as limit.
func (b *logBuffer) Close(limit time.Duration) {
	b.mu.Lock()
	b.closed = true
	b.stir()
	b.mu.Unlock()
	select {
	case <-b.done:
	case <-time.After(limit):
	}
}
