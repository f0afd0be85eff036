package rig

import (
	"context"
	"path/filepath"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

// Organization makes another organization on the server and signs its admin in.
func (s *Server) Organization(name, admin, email string) (*Client, string) {
	s.t.Helper()
	out, err := s.Run("admin", "organization", "create", name, "--admin", email, "--admin-name", admin)
	link := signInLink.FindStringSubmatch(out)
	if err != nil || link == nil {
		s.t.Fatalf("second organization: %v\n%s", err, out)
	}
	c := s.Client()
	c.Accept(link[1], admin, email)
	return c, c.Organizations()[0]
}

// Open opens the server's database and vault while it is not running, as somebody with the machine could.
func (s *Server) Open(ctx context.Context) (*store.Store, *vault.Vault, error) {
	v, err := vault.Open(filepath.Join(s.Data, "master.key"))
	if err != nil {
		return nil, nil, err
	}
	if s.Database != "" {
		db, err := store.OpenPostgres(ctx, s.Database)
		return db, v, err
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(s.Data, "qanat.db"), v.Derive("database file", 32))
	return db, v, err
}
