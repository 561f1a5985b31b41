CREATE TABLE sqlsaga_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
CREATE TABLE sagas (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    definition TEXT    NOT NULL,
    hash       TEXT    NOT NULL,
    saga_key   TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    live       INTEGER NOT NULL, -- 1 unless terminal or orphaned: what Due looks at
    version    INTEGER NOT NULL,
    flags      INTEGER NOT NULL, -- 1 reversing, 2 pivoted, 4 orphaned
    stuck      INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    actions    TEXT    NOT NULL,
    started_at INTEGER NOT NULL, -- microseconds since 1970, as all times but wake_at
    updated_at INTEGER NOT NULL,
    nodes      BLOB    NOT NULL,
    data       BLOB    NOT NULL,
    wake_at    INTEGER           -- milliseconds since 1970
);
CREATE INDEX sagas_wake ON sagas (wake_at) WHERE live = 1 AND wake_at IS NOT NULL;
CREATE INDEX sagas_status ON sagas (status, seq) WHERE status IN ('running', 'compensating', 'parked');
CREATE INDEX sagas_key ON sagas (saga_key, definition) WHERE saga_key <> '';
CREATE TABLE saga_items (
    saga_id TEXT    NOT NULL,
    item    TEXT    NOT NULL, -- the record's key
    seq     INTEGER NOT NULL, -- by creation, within the saga
    nodes   BLOB    NOT NULL,
    data    BLOB    NOT NULL,
    wake_at INTEGER,
    PRIMARY KEY (saga_id, item)
) WITHOUT ROWID;
CREATE INDEX saga_items_seq ON saga_items (saga_id, seq);
CREATE INDEX saga_items_wake ON saga_items (wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE saga_log (
    saga_id   TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    line      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    node      TEXT    NOT NULL,
    direction TEXT    NOT NULL,
    attempt   INTEGER NOT NULL,
    detail    TEXT    NOT NULL,
    PRIMARY KEY (saga_id, version, line)
) WITHOUT ROWID;
CREATE TABLE saga_audit (
    saga_id      TEXT    NOT NULL,
    action_id    TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    action       TEXT    NOT NULL,
    node         TEXT    NOT NULL,
    seen_version INTEGER NOT NULL,
    by_whom      TEXT    NOT NULL,
    why          TEXT    NOT NULL,
    before_it    TEXT    NOT NULL,
    after_it     TEXT    NOT NULL,
    PRIMARY KEY (saga_id, action_id)
) WITHOUT ROWID;
CREATE TABLE saga_expected (
    seq       INTEGER PRIMARY KEY,
    saga_id   TEXT    NOT NULL,
    node      TEXT    NOT NULL,
    direction TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    match_key TEXT    NOT NULL,
    answer    TEXT    NOT NULL, -- the message that answered it, or ''
    UNIQUE (saga_id, node, direction, epoch)
);
CREATE INDEX saga_expected_key ON saga_expected (match_key, answer, seq);
CREATE TABLE saga_pauses (
    definition   TEXT    NOT NULL, -- '' is all
    at           INTEGER NOT NULL, -- microseconds since 1970
    by_whom      TEXT    NOT NULL,
    why          TEXT    NOT NULL,
    released_at  INTEGER,
    released_by  TEXT    NOT NULL,
    released_why TEXT    NOT NULL,
    rate         INTEGER NOT NULL,
    done         INTEGER NOT NULL,
    PRIMARY KEY (definition, at)
) WITHOUT ROWID;
CREATE INDEX saga_pauses_open ON saga_pauses (at) WHERE done = 0;
