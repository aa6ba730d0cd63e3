package api

import (
	"net/http"
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
// is not stopping. Why not is in the log of the failed calls.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.draining.Load():
		plain(w, http.StatusServiceUnavailable, "stopping\n")
	case s.engine.Ready() != nil:
		plain(w, http.StatusServiceUnavailable, "records cannot be kept\n")
	default:
		plain(w, http.StatusOK, "ready\n")
	}
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
