package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/precept-cds/precept/api/wire"
)

// measurement is one run against one server.
type measurement struct {
	requests int
	elapsed  time.Duration
	latency  []time.Duration // sorted
	cpu      time.Duration   // of the server, per request
	allocs   float64         // heap objects of the server, per request
}

// add joins what came of two slices, but for what is known at the end only.
func (m measurement) add(n measurement) measurement {
	return measurement{requests: m.requests + n.requests, elapsed: m.elapsed + n.elapsed,
		latency: append(m.latency, n.latency...)}
}

func (m measurement) rate() float64           { return float64(m.requests) / m.elapsed.Seconds() }
func (m measurement) secondsPerCall() float64 { return 1 / m.rate() }
func (m measurement) p50() float64            { return ms(m.latency[len(m.latency)/2]) }
func (m measurement) p99() float64            { return ms(m.latency[len(m.latency)*99/100]) }
func (m measurement) cpuMS() float64          { return ms(m.cpu) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// target is where a load goes. Requests are written as bytes and answers read
// with as little work as HTTP allows, so that the machine's time goes to the
// servers.
type target struct {
	address, path, header string
	wrap                  bool          // as {"input": body}
	recorded              bool          // every answer must come with the receipt of a new record
	pause                 time.Duration // between two requests
	patient               bool          // tries again for some seconds, as an EHR does when a server restarts
}

// run sends each body from next on once, over a number of connections, until
// all are sent or the time is over.
func (t target) run(
	ctx context.Context, bodies [][]byte, next *atomic.Int64, connections int, limit time.Duration,
) (measurement, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	m := measurement{}
	errs := make([]error, connections)
	began := time.Now()
	for i := range connections {
		wg.Go(func() {
			var mine []time.Duration
			mine, errs[i] = t.connection(ctx, bodies, next, began.Add(limit))
			mu.Lock()
			defer mu.Unlock()
			m.latency = append(m.latency, mine...)
		})
	}
	wg.Wait()
	m.elapsed, m.requests = time.Since(began), len(m.latency)
	return m, errors.Join(errs...)
}

func (t target) connection(
	ctx context.Context, bodies [][]byte, next *atomic.Int64, until time.Time,
) (latency []time.Duration, err error) {
	line := &line{target: t}
	defer line.close()
	var out []byte
	for {
		if time.Now().After(until) || ctx.Err() != nil {
			return latency, ctx.Err()
		}
		i := int(next.Add(1)) - 1
		if i >= len(bodies) {
			return latency, nil
		}
		out = t.request(out[:0], bodies[i])
		began := time.Now()
		for {
			if err = line.send(ctx, out); err == nil {
				break
			}
			if !t.patient || time.Since(began) > patience {
				return latency, err
			}
			line.close()
			time.Sleep(t.pause)
		}
		latency = append(latency, time.Since(began))
		time.Sleep(t.pause)
	}
}

// patience is how long a patient client tries again.
const patience = 10 * time.Second

// line is a connection to a target, open when it was used.
type line struct {
	target
	conn net.Conn
	r    *bufio.Reader
}

func (l *line) send(ctx context.Context, request []byte) (err error) {
	if l.conn == nil {
		var d net.Dialer
		if l.conn, err = d.DialContext(ctx, "tcp", l.address); err != nil {
			return err
		}
		l.r = bufio.NewReaderSize(l.conn, 64<<10)
	}
	if _, err := l.conn.Write(request); err != nil {
		return fmt.Errorf("sending request: %w", err)
	}
	last, err := l.response(l.r)
	if last {
		l.close()
	}
	return err
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing is under way
		l.conn = nil
	}
}

func (t target) request(out, body []byte) []byte {
	before, after := "", ""
	if t.wrap {
		before, after = `{"input":`, `}`
	}
	out = append(out, "POST "+t.path+" HTTP/1.1\r\nHost: "+t.address+"\r\n"+t.header...)
	out = append(out, "Content-Type: application/json\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(before)+len(body)+len(after)), 10)
	out = append(append(out, "\r\n\r\n"...), before...)
	return append(append(out, body...), after...)
}

// response reads an answer; last says that the connection ends with it.
func (t target) response(r *bufio.Reader) (last bool, err error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return true, fmt.Errorf("reading answer: %w", err)
	}
	defer resp.Body.Close()
	receipt := resp.Header.Get(wire.ReceiptHeader)
	if resp.StatusCode != http.StatusOK || t.recorded && (receipt == "" || strings.HasSuffix(receipt, "repeated")) {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // only for the message
		return true, fmt.Errorf("status %d, receipt %q: %s", resp.StatusCode, receipt, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Close, err
}

// child is a server in a process of its own.
type child struct {
	cmd     *exec.Cmd
	metrics string
}

// inGroup makes a command that has a group of its own, so that what it starts
// ends with it.
func inGroup(ctx context.Context, command ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// startChild starts a server and waits until it is ready. What it says goes
// to the null device, as a file: the cheapest place there is.
func startChild(ctx context.Context, ready, metrics string, command ...string) (*child, error) {
	cmd := inGroup(ctx, command...)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	cmd.Stdout, cmd.Stderr = null, null
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", command[0], err)
	}
	p := &child{cmd: cmd, metrics: metrics}
	for range 300 {
		if resp, err := http.Get(ready); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		select {
		case <-ctx.Done():
			p.stop()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.stop()
	return nil, fmt.Errorf("starting %s: not ready after 30 s", command[0])
}

// stop ends the server and all it started: asked first, then made to.
func (p *child) stop() {
	if p.cmd.ProcessState != nil {
		return // it was waited for
	}
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // it may have ended by itself
	late := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	defer late.Stop()
	_ = p.cmd.Wait() // the status says how it was ended
}

func (p *child) address() string {
	u, err := url.Parse(p.metrics)
	if err != nil {
		return ""
	}
	return u.Host
}

// usage is what a server has used since it started.
type usage struct {
	cpu     time.Duration
	mallocs float64
}

func (p *child) usage() (usage, error) {
	cpu, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return usage{}, err
	}
	mallocs, err := metric(p.metrics, "go_memstats_mallocs_total")
	return usage{cpu, mallocs}, err
}

// tick is the unit of /proc/PID/stat on Linux: 100 a second.
const tick = 10 * time.Millisecond

// cpuTime reads user and system time of a process.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU time: %w; bench needs Linux", err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0, errors.New("reading CPU time: /proc stat is too short")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// metric reads one number from a Prometheus page.
func metric(page, name string) (float64, error) {
	resp, err := http.Get(page)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("reading metrics: %s is not there", name), lines.Err())
}

func post(ctx context.Context, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// listenAnywhere listens on a loopback address that was free. Its port is below those
// that machines give to callers: none of these takes it when it is let go for a moment.
func listenAnywhere() (l net.Listener, err error) {
	for range 100 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("looking for a free address: %w", err)
}

// freeAddress finds a loopback address nobody listens on.
func freeAddress() (string, error) {
	l, err := listenAnywhere()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func floorCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:    "floor",
		Short:  "serve the floor of the benchmark: read a body, check it as JSON, hash it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			registry := prometheus.NewRegistry()
			registry.MustRegister(collectors.NewGoCollector())
			mux := http.NewServeMux()
			mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
			mux.HandleFunc("/", floor)
			s := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
			stop := context.AfterFunc(cmd.Context(), func() { _ = s.Close() })
			defer stop()
			if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to listen on")
	return c
}

// floor is the least any service of this kind has to do.
func floor(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, 0, max(r.ContentLength, 512))
	buf := bytes.NewBuffer(body)
	if _, err := buf.ReadFrom(r.Body); err != nil || !jsontext.Value(buf.Bytes()).IsValid() {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256(buf.Bytes())
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(fmt.Appendf(nil, `{"sha256":"%x"}`, sum)) // whoever went away wants no answer
}
