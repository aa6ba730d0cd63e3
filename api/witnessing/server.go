// Package witnessing is how logs and witnesses talk: C2SP tlog-witness over HTTP. [Handler] is a witness's side,
// [Client] that of a log's region.
//
// Both bound what they read, and believe nothing that is not signed.
package witnessing

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/precept-cds/precept/engine/witness"
)

const (
	sizeType = "text/x.tlog.size"
	textType = "text/plain; charset=utf-8"
	// atOnce bounds the requests that are worked on.
	atOnce = 16
	// patience is how long one may wait for that, and for the disk.
	patience = 10 * time.Second
)

// Handler answers for a witness:
//
//	POST /add-checkpoint             C2SP tlog-witness
//	GET  /<sha256>/checkpoint        the newest checkpoint cosigned of the log with this SHA-256 of its origin, as the
//	                                 log signed it
//	GET  /                           the witness's verifier key
//
// Misbehaviour of a log that anybody can check, two signed checkpoints of one size, goes to the log of events whole.
func Handler(w *witness.Witness, events *slog.Logger) http.Handler {
	h := &handler{w, events, make(chan struct{}, atOnce)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", h.add)
	mux.HandleFunc("GET /{id}/checkpoint", h.newest)
	mux.HandleFunc("GET /{$}", func(out http.ResponseWriter, _ *http.Request) {
		answer(out, http.StatusOK, textType, w.VerifierKey()+"\n")
	})
	return mux
}

type handler struct {
	witness *witness.Witness
	events  *slog.Logger
	places  chan struct{}
}

func answer(out http.ResponseWriter, status int, contentType, text string) {
	out.Header().Set("Content-Type", contentType)
	out.Header().Set("Cache-Control", "no-store")
	out.Header().Set("X-Content-Type-Options", "nosniff")
	out.WriteHeader(status)
	_, _ = io.WriteString(out, text) // who has gone away cannot be told
}

func (h *handler) add(out http.ResponseWriter, r *http.Request) {
	ctx, stop := context.WithTimeout(r.Context(), patience)
	defer stop()
	body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, witness.MaxRequest))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		answer(out, http.StatusRequestEntityTooLarge, textType, "the request is too large\n")
		return
	}
	if err != nil {
		answer(out, http.StatusBadRequest, textType, "the request could not be read to its end\n")
		return
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		out.Header().Set("Retry-After", "1")
		answer(out, http.StatusServiceUnavailable, textType, "too many requests are being worked on\n")
		return
	}
	line, err := h.witness.Add(ctx, body)
	if err == nil {
		answer(out, http.StatusOK, textType, string(line))
		return
	}
	h.refuse(out, err)
}

// statuses is the table from why to what is answered.
var statuses = []struct {
	is     error
	status int
	text   string
}{
	{witness.ErrUnknownLog, http.StatusNotFound, "this witness does not watch the log\n"},
	{witness.ErrKey, http.StatusForbidden, "the checkpoint is not signed by a key of its log\n"},
	{witness.ErrProof, http.StatusUnprocessableEntity, "the checkpoint is not shown to follow the one cosigned before\n"},
	{witness.ErrRequest, http.StatusBadRequest, "the request is not one to cosign a checkpoint\n"},
}

func (h *handler) refuse(out http.ResponseWriter, err error) {
	if conflict, ok := errors.AsType[*witness.ConflictError](err); ok {
		if conflict.Proof != nil {
			h.events.Error("a log has signed two checkpoints of one size", "proof", string(conflict.Proof))
		}
		answer(out, http.StatusConflict, sizeType, strconv.FormatInt(conflict.Size, 10)+"\n")
		return
	}
	for _, s := range statuses {
		if errors.Is(err, s.is) {
			h.events.Warn("not cosigned", "status", s.status, "error", err.Error())
			answer(out, s.status, textType, s.text)
			return
		}
	}
	h.events.Error("not cosigned", "status", http.StatusServiceUnavailable, "error", err.Error())
	out.Header().Set("Retry-After", "5")
	answer(out, http.StatusServiceUnavailable, textType, "the witness cannot keep what it would cosign\n")
}

func (h *handler) newest(out http.ResponseWriter, r *http.Request) {
	signed := h.witness.Newest(r.PathValue("id"))
	if signed == nil {
		answer(out, http.StatusNotFound, textType, "nothing was cosigned of this log\n")
		return
	}
	answer(out, http.StatusOK, textType, string(signed))
}

// NewServer is an HTTP server for a witness, with bounds for its connections' time and headers.
func NewServer(h http.Handler, events *slog.Logger) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(events.Handler(), slog.LevelWarn)}
}
