package api

import (
	"errors"
	"net/http"

	"github.com/precept-cds/precept/engine"
)

// Private is what operators reach: /healthz, /readyz and /metrics. It has no
// authentication and belongs on a network of its own.
func (s *Server) Private() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

// readyz is 200 while calls can be answered: records are taken and the server
// is not stopping. If not, it says why. What does not keep calls from being
// answered is noted in further lines.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	err := s.engine.Ready()
	switch {
	case s.draining.Load():
		plain(w, http.StatusServiceUnavailable, "stopping\n")
	case errors.Is(err, engine.ErrRunsOn):
		plain(w, http.StatusServiceUnavailable, engine.ErrRunsOn.Error()+"\n")
	case err != nil:
		plain(w, http.StatusServiceUnavailable, "records cannot be kept: "+err.Error()+"\n")
	default:
		plain(w, http.StatusOK, "ready\n"+s.notes())
	}
}

func (s *Server) notes() (text string) {
	if stale := s.cfg.ConfigStale; stale != nil && stale() {
		text += "the configuration could not be read again: the one of before is in force\n"
	}
	if s.cfg.Certificate != nil {
		expires, stale := s.cfg.Certificate()
		if stale {
			text += "there is a new TLS certificate that cannot be used: the one of before stays\n"
		}
		if s.cfg.Clock().After(expires) {
			text += "the TLS certificate has expired\n"
		}
	}
	return text + anchorNotes(s.engine.Anchors(), s.cfg.Clock())
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
