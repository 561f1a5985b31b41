-- +goose Up
CREATE TABLE {{prefix}}outbox (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    topic       TEXT NOT NULL,
    message_key TEXT NOT NULL,
    type        TEXT NOT NULL,
    headers     TEXT NOT NULL,
    payload     BLOB NOT NULL
);

CREATE TABLE {{prefix}}inbox (
    consumer      TEXT    NOT NULL,
    entry_key     TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    outcome       TEXT    NOT NULL,
    reply_id      TEXT    NOT NULL,
    reply_topic   TEXT    NOT NULL,
    reply_key     TEXT    NOT NULL,
    reply_type    TEXT    NOT NULL,
    reply_headers TEXT    NOT NULL,
    reply_payload BLOB    NOT NULL,
    handled_at    INTEGER NOT NULL,
    PRIMARY KEY (consumer, entry_key)
);
CREATE INDEX {{prefix}}inbox_handled_at ON {{prefix}}inbox (handled_at);

CREATE TABLE {{prefix}}dead_letters (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription TEXT    NOT NULL,
    identity     TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    broker_id    TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    message_key  TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    reason       TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    failed_at    INTEGER NOT NULL,
    UNIQUE (subscription, identity)
);

-- +goose Down
DROP TABLE {{prefix}}dead_letters;
DROP TABLE {{prefix}}inbox;
DROP TABLE {{prefix}}outbox;
