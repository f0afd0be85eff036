package ledger

// schema is the ledger's tables. Steps are added, never edited.
//
// entry: one row for each change; the columns are the entry's header, and
// together with sealed they are what the tree hashes. tree: one row for each
// commit, with the run of stored hashes (tlog order) that the commit added.
// cosignature: what witnesses signed of a checkpoint, by the witness's verifier key.
// entry_actor finds what an account, token or device did, entry_undo what was undone;
// entry_org and entry_act answer filters and counts of activity without touching an entry.
// document: what is true now, and the wrapped key of the document's past; held is
// the key while the document is sealed, before it is erased.
var schema = []string{`
CREATE TABLE entry (
	number {bigint} PRIMARY KEY,
	time {bigint} NOT NULL,
	act {bigint} NOT NULL,
	org {text} NOT NULL,
	kind {text} NOT NULL,
	doc {text} NOT NULL,
	revision {bigint} NOT NULL,
	verb {text} NOT NULL,
	actor {text} NOT NULL,
	actor_kind {text} NOT NULL,
	door {text} NOT NULL,
	reverts {bigint} NOT NULL,
	sealed {blob} NOT NULL
) {table};
CREATE UNIQUE INDEX entry_doc ON entry (doc, revision);
CREATE INDEX entry_org ON entry (org, number);
CREATE INDEX entry_act ON entry (act, number);
CREATE TABLE document (
	id {text} PRIMARY KEY,
	org {text} NOT NULL,
	kind {text} NOT NULL,
	revision {bigint} NOT NULL,
	entry {bigint} NOT NULL,
	changed {bigint} NOT NULL,
	shape {bigint} NOT NULL,
	key {blob},
	body {text}
) {table};
CREATE TABLE tree (
	first {bigint} PRIMARY KEY,
	hashes {blob} NOT NULL
) {table};
CREATE TABLE head (
	id {bigint} PRIMARY KEY,
	entries {bigint} NOT NULL,
	time {bigint} NOT NULL,
	root {blob} NOT NULL
) {table};
CREATE TABLE checkpoint (
	size {bigint} PRIMARY KEY,
	time {bigint} NOT NULL,
	note {text} NOT NULL
) {table};
CREATE TABLE noun (
	name {text} PRIMARY KEY,
	shape {text} NOT NULL
) {table}
`, `
CREATE INDEX entry_actor ON entry (actor, number);
CREATE INDEX entry_undo ON entry (doc, reverts) WHERE reverts > 0
`, `
CREATE TABLE cosignature (
	size {bigint} NOT NULL,
	witness {text} NOT NULL,
	line {text} NOT NULL,
	PRIMARY KEY (size, witness)
) {table}
`, `
ALTER TABLE document ADD COLUMN held {blob}
`, `
DROP INDEX entry_org;
CREATE INDEX entry_org ON entry (org, number, act, kind, verb, door, actor_kind, actor);
DROP INDEX entry_act;
CREATE INDEX entry_act ON entry (act, number, org, kind)
`}
