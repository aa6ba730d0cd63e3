package api

import (
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/precept-cds/precept/engine/audit"
	"github.com/precept-cds/precept/rulepacks"
)

// maxArchive bounds an uploaded pack, compressed or not.
const maxArchive = 32 << 20

// replyJSON sends a value as JSON, the same bytes for the same value.
func replyJSON(x *exchange, status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("writing answer: %w", err)
	}
	x.reply(status, typeJSON, body)
	return nil
}

// status says what is in force for the tenant.
func (s *Server) status(x *exchange) error {
	st, err := s.engine.Status(x.r.Context(), x.caller)
	if err != nil {
		return err
	}
	return replyJSON(x, http.StatusOK, wireStatus(st))
}

// apply takes in one signed statement: JSON Lines of Sigstore bundles over
// identical bytes, one for each signer.
func (s *Server) apply(x *exchange) error {
	if err := x.wantJSON(); err != nil {
		return err
	}
	envelope, err := s.body(x, aStatement, statementPlaces, audit.MaxStatement)
	if err != nil {
		return err
	}
	applied, err := s.engine.Apply(x.r.Context(), x.caller, envelope)
	if err != nil {
		return err
	}
	x.record = applied.Record
	return replyJSON(x, http.StatusCreated, wireApplied(applied))
}

// statements sends the tenant's release log, oldest first.
func (s *Server) statements(x *exchange) error {
	log, err := s.engine.Statements(x.r.Context(), x.caller)
	if err != nil {
		return err
	}
	return replyJSON(x, http.StatusOK, wireStatements(log))
}

// putPack stores a pack archive, gzip or plain tar, under the digest of its
// canonical form.
func (s *Server) putPack(x *exchange) error {
	digest, err := rulepacks.ParseDigest(x.param("sha256"))
	if err != nil {
		return err
	}
	archive, err := s.body(x, anUpload, s.limits.Load().Uploads, maxArchive)
	if err != nil {
		return err
	}
	if err := s.engine.PutPack(x.r.Context(), x.caller, digest, archive); err != nil {
		return err
	}
	x.Header().Set("Cache-Control", "no-store")
	x.WriteHeader(http.StatusNoContent)
	return nil
}

// pack sends the canonical tar of a pack.
func (s *Server) pack(x *exchange) error {
	digest, err := rulepacks.ParseDigest(x.param("sha256"))
	if err != nil {
		return err
	}
	tar, err := s.engine.Pack(x.r.Context(), x.caller, digest)
	if err != nil {
		return err
	}
	x.reply(http.StatusOK, "application/x-tar", tar)
	return nil
}
