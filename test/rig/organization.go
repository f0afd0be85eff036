package rig

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Organization makes another organization on the server, which must be running and is restarted, and signs its admin in. The
// program has no command for it yet: it is made as the demo makes its own, by the server's packages on its data.
func (s *Server) Organization(name, admin, email string) (*Client, string) {
	s.t.Helper()
	s.Stop()
	organization, token, err := s.bootstrap(name, admin, email)
	if err != nil {
		s.t.Fatalf("second organization: %v", err)
	}
	s.Start()
	c := s.Client()
	c.Accept(token, admin, email)
	return c, organization
}

func (s *Server) bootstrap(name, admin, email string) (organization, token string, err error) {
	ctx := context.Background()
	db, v, err := s.Open(ctx)
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	l, err := ledger.Open(ctx, ledger.Config{
		Store: db, Vault: v, Log: slog.New(slog.DiscardHandler), Nouns: append(append(account.Nouns(), org.Nouns()...), &access.Grants), Origin: fmt.Sprintf("qanat/%x", v.Derive("ledger origin", 8)), CheckpointDir: filepath.Join(s.Data, "checkpoints"),
	})
	if err != nil {
		return "", "", err
	}
	defer l.Close()
	people := org.New(l, account.New(account.Config{Ledger: l, Vault: v, Server: "test"}))
	organization, made, err := people.Bootstrap(ctx, ledger.System("test"), name, admin, email)
	return organization, made.Text, err
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
