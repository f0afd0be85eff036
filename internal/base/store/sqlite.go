package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/vfs/adiantum" // the encrypting VFS
)

// The pool's size: readers beyond it wait. Each reader holds its own page cache.
const (
	readers         = 6
	writerCacheKiB  = 24_000
	readerCacheKiB  = 2_000
	checkpointPages = 4_000   // 16 MB of WAL before pages are moved into the database file
	statementsKept  = 400     // prepared statements kept on a connection
	maxStatement    = 1 << 20 // bytes of SQL text
	encryptedBlock  = 4096    // bytes that the VFS encrypts as one
)

const busyTimeout = "PRAGMA busy_timeout=10000" // ms

type sqliteDB struct {
	uri, key string
	pages    int // of WAL before a checkpoint
	ctx      context.Context
	cancel   context.CancelFunc
	writer   chan *sqliteConn // holds the one writer while it is free
	free     chan *sqliteConn // readers that are free
	mu       sync.Mutex
	opened   int
	apart    sync.WaitGroup // of readTogether
}

// OpenSQLite opens or creates an encrypted database file. The key has 32 bytes.
func OpenSQLite(ctx context.Context, path string, key []byte) (*Store, error) {
	return OpenSQLiteVFS(ctx, path, key, "adiantum", checkpointPages)
}

// OpenSQLiteVFS is OpenSQLite over another registered VFS, with another number of
// pages in the write-ahead log before they move into the database file: crash
// tests bring their own, which must encrypt, and let pages move often.
func OpenSQLiteVFS(ctx context.Context, path string, key []byte, vfs string, pages int) (*Store, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("database key has %d bytes, not 32", len(key))
	}
	if err := wholeBlocks(path + "-wal"); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	db := &sqliteDB{
		uri: (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: "vfs=" + vfs}).String(),
		key: hex.EncodeToString(key), pages: pages, ctx: own, cancel: cancel,
		writer: make(chan *sqliteConn, 1), free: make(chan *sqliteConn, readers),
	}
	w, err := db.open(writerCacheKiB, false)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db.writer <- w
	return &Store{engine: SQLite, db: db}, nil
}

// wholeBlocks cuts off what a power cut left of the last block of a write-ahead
// log: it was never synced, cannot be decrypted, and SQLite would refuse the whole
// database for it. A log in use always ends with a whole block.
func wholeBlocks(path string) error {
	is, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || is.Size()%encryptedBlock == 0 {
		return err
	}
	return os.Truncate(path, is.Size()-is.Size()%encryptedBlock)
}

func (db *sqliteDB) open(cacheKiB int, readOnly bool) (*sqliteConn, error) {
	c, err := sqlite3.OpenFlags(db.uri, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE|sqlite3.OPEN_URI|sqlite3.OPEN_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	script := fmt.Sprintf(`PRAGMA hexkey='%s'; `+busyTimeout+`; PRAGMA temp_store=memory; PRAGMA journal_mode=wal;
PRAGMA synchronous=full; PRAGMA cache_size=-%d; PRAGMA wal_autocheckpoint=%d; PRAGMA journal_size_limit=67108864;
PRAGMA trusted_schema=off; PRAGMA cell_size_check=on; PRAGMA secure_delete=on;`, db.key, cacheKiB, db.pages)
	if readOnly {
		script += `PRAGMA query_only=on;`
	}
	if err := c.Exec(script); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &sqliteConn{conn: c, statements: map[string]*statement{}}, nil
}

func (db *sqliteDB) write(ctx context.Context, fn func(*Q) error) error {
	var w *sqliteConn
	select {
	case w = <-db.writer:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.ctx.Done():
		return errClosed
	}
	defer func() { db.writer <- w }()
	return w.transact("BEGIN IMMEDIATE", fn)
}

func (db *sqliteDB) scrub(ctx context.Context, _ []string) (done bool, err error) {
	var w *sqliteConn
	select {
	case w = <-db.writer:
	case <-ctx.Done():
		return false, ctx.Err()
	case <-db.ctx.Done():
		return false, errClosed
	}
	defer func() { db.writer <- w }()
	// Writers wait meanwhile, so readers are not waited for.
	if err := w.conn.Exec("PRAGMA busy_timeout=0"); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, w.conn.Exec(busyTimeout)) }()
	rows, err := w.query("PRAGMA wal_checkpoint(TRUNCATE)", nil)
	if err != nil {
		return false, err
	}
	var busy int64
	if rows.next() {
		err = rows.scan([]any{&busy})
	}
	return busy == 0, errors.Join(err, rows.close())
}

func (db *sqliteDB) read(ctx context.Context, fn func(*Q) error) error {
	r, err := db.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { db.free <- r }()
	r.conn.SetInterrupt(ctx)
	defer r.conn.SetInterrupt(context.Background())
	err = r.transact("BEGIN", fn)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// reader gives a free reader, opens one while there may be more, or waits.
func (db *sqliteDB) reader(ctx context.Context) (*sqliteConn, error) {
	select {
	case r := <-db.free:
		return r, nil
	case <-db.ctx.Done():
		return nil, errClosed
	default:
	}
	db.mu.Lock()
	more := db.opened < readers
	if more {
		db.opened++
	}
	db.mu.Unlock()
	if more {
		r, err := db.open(readerCacheKiB, true)
		if err != nil {
			db.mu.Lock()
			db.opened--
			db.mu.Unlock()
		}
		return r, err
	}
	select {
	case r := <-db.free:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-db.ctx.Done():
		return nil, errClosed
	}
}

func (db *sqliteDB) close() error {
	if db.ctx.Err() != nil {
		return nil
	}
	db.mu.Lock()
	db.cancel()
	opened := db.opened
	db.mu.Unlock()
	db.apart.Wait()
	var errs []error
	for range opened {
		errs = append(errs, (<-db.free).close())
	}
	return errors.Join(append(errs, (<-db.writer).close())...)
}

var errClosed = errors.New("the database is closed")

type sqliteConn struct {
	conn       *sqlite3.Conn
	statements map[string]*statement
	running    *sqliteCursor // the query whose rows are being read
}

type statement struct {
	stmt *sqlite3.Stmt
	busy bool
}

func (c *sqliteConn) transact(begin string, fn func(*Q) error) (err error) {
	if !c.conn.GetAutocommit() { // the last rollback failed; until one succeeds nothing else can begin
		if err := c.conn.Exec("ROLLBACK"); err != nil {
			return err
		}
	}
	if err := c.conn.Exec(begin); err != nil {
		return err
	}
	defer func() {
		if c.running != nil { // fn left in the middle of its rows; they would hold the snapshot for all who come after
			c.running.end()
		}
		if !c.conn.GetAutocommit() { // fn failed, panicked, or the commit did
			c.conn.SetInterrupt(context.Background())
			err = errors.Join(err, c.conn.Exec("ROLLBACK"))
		}
	}()
	if err := fn(&Q{engine: SQLite, conn: c}); err != nil {
		return err
	}
	return c.conn.Exec("COMMIT")
}

func (c *sqliteConn) close() error {
	for _, s := range c.statements {
		_ = s.stmt.Close() // its error is that of the last step, reported then
	}
	return c.conn.Close()
}

var placeholder = regexp.MustCompile(`\$(\d+)`)

// prepare gives a statement that is ready to bind, kept for the next time
// unless the kept one is running already.
func (c *sqliteConn) prepare(sql string) (*statement, func(), error) {
	s := c.statements[sql]
	if s != nil && !s.busy {
		s.busy = true
		return s, func() { _ = s.stmt.Reset(); s.busy = false }, nil
	}
	if len(sql) > maxStatement {
		return nil, nil, fmt.Errorf("statement of %d bytes", len(sql))
	}
	stmt, tail, err := c.conn.Prepare(placeholder.ReplaceAllString(sql, "?$1"))
	if err != nil {
		return nil, nil, err
	}
	if stmt == nil || strings.TrimSpace(tail) != "" {
		return nil, nil, fmt.Errorf("not one statement: %.80q", sql)
	}
	fresh := &statement{stmt: stmt, busy: true}
	if s != nil {
		return fresh, func() { _ = stmt.Close() }, nil
	}
	if len(c.statements) >= statementsKept {
		for text, old := range c.statements {
			if !old.busy {
				_ = old.stmt.Close()
				delete(c.statements, text)
			}
		}
	}
	c.statements[sql] = fresh
	return fresh, func() { _ = stmt.Reset(); fresh.busy = false }, nil
}

func (c *sqliteConn) exec(sql string, args []any) (int64, error) {
	s, done, err := c.prepare(sql)
	if err != nil {
		return 0, sqliteError(err)
	}
	defer done()
	if err := bind(s.stmt, args); err != nil {
		return 0, err
	}
	for s.stmt.Step() { // RETURNING rows nobody asked for
	}
	settle()
	if err := s.stmt.Err(); err != nil {
		return 0, sqliteError(err)
	}
	return c.conn.Changes(), nil
}

func (c *sqliteConn) query(sql string, args []any) (cursor, error) {
	s, done, err := c.prepare(sql)
	if err != nil {
		return nil, sqliteError(err)
	}
	if err := bind(s.stmt, args); err != nil {
		done()
		return nil, err
	}
	c.running = &sqliteCursor{stmt: s.stmt, end: sync.OnceFunc(func() { done(); c.running = nil })}
	return c.running, nil
}

type sqliteCursor struct {
	stmt *sqlite3.Stmt
	end  func()
}

func (r *sqliteCursor) next() bool {
	defer settle()
	return r.stmt.Step()
}

// settle repairs the speed of what comes after a page was decrypted. The AVX2 code
// of adiantum (nh, version 1.1.1) returns with the upper halves of the registers
// in use, and until somebody clears them the processor runs code for the lower
// halves, SHA-256 above all, up to thirty times slower. Looking for a byte in more
// than 32 clears them, in three nanoseconds.
func settle() { bytes.IndexByte(nothing[:], 1) }

var nothing [64]byte

func (r *sqliteCursor) close() error {
	err := r.stmt.Err()
	r.end()
	return sqliteError(err)
}

func (r *sqliteCursor) scan(dest []any) error {
	for i, d := range dest {
		null := r.stmt.ColumnType(i) == sqlite3.NULL
		switch d := d.(type) {
		case *int64:
			*d = r.stmt.ColumnInt64(i)
		case *int:
			*d = r.stmt.ColumnInt(i)
		case *float64:
			*d = r.stmt.ColumnFloat(i)
		case *string:
			*d = r.stmt.ColumnText(i)
		case *[]byte:
			*d = nil
			if !null {
				*d = r.stmt.ColumnBlob(i, []byte{})
			}
		case *Borrowed:
			*d = nil
			if !null {
				if *d = r.stmt.ColumnRawBlob(i); *d == nil { // empty
					*d = []byte{}
				}
			}
		case **int64:
			*d = nil
			if !null {
				v := r.stmt.ColumnInt64(i)
				*d = &v
			}
		case **float64:
			*d = nil
			if !null {
				v := r.stmt.ColumnFloat(i)
				*d = &v
			}
		case **string:
			*d = nil
			if !null {
				v := r.stmt.ColumnText(i)
				*d = &v
			}
		default:
			return fmt.Errorf("cannot scan column %d into %T", i, d)
		}
	}
	return nil
}

func bind(s *sqlite3.Stmt, args []any) error {
	if n := s.BindCount(); n != len(args) {
		return fmt.Errorf("statement takes %d arguments, got %d: %.80q", n, len(args), s.SQL())
	}
	for i, a := range args {
		var err error
		switch a := a.(type) {
		case nil:
			err = s.BindNull(i + 1)
		case int64:
			err = s.BindInt64(i+1, a)
		case int:
			err = s.BindInt64(i+1, int64(a))
		case float64:
			err = s.BindFloat(i+1, a)
		case string:
			err = s.BindText(i+1, a)
		case []byte:
			if a == nil {
				err = s.BindNull(i + 1)
			} else {
				err = s.BindBlob(i+1, a)
			}
		case *int64:
			err = bindOptional(s, i+1, a, s.BindInt64)
		case *float64:
			err = bindOptional(s, i+1, a, s.BindFloat)
		case *string:
			err = bindOptional(s, i+1, a, s.BindText)
		default:
			err = fmt.Errorf("cannot bind argument %d of type %T", i+1, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bindOptional[T any](s *sqlite3.Stmt, i int, v *T, set func(int, T) error) error {
	if v == nil {
		return s.BindNull(i)
	}
	return set(i, *v)
}

// sqliteError makes the errors that callers act on those of this package.
func sqliteError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) || errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY) || errors.Is(err, sqlite3.CONSTRAINT_ROWID) {
		const told = "constraint failed: "
		text := err.Error()
		table, _, _ := strings.Cut(text[strings.LastIndex(text, told)+len(told):], ".")
		return &UniqueError{Table: table, cause: err}
	}
	return err
}
