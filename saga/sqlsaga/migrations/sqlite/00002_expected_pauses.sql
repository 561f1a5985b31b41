-- +goose Up
CREATE TABLE {{prefix}}saga_expected (
    seq       INTEGER PRIMARY KEY,
    saga_id   TEXT    NOT NULL,
    node      TEXT    NOT NULL,
    direction TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    match_key TEXT    NOT NULL,
    answer    TEXT    NOT NULL, -- the message that answered it, or ''
    UNIQUE (saga_id, node, direction, epoch)
);
CREATE INDEX {{prefix}}saga_expected_open ON {{prefix}}saga_expected (match_key, seq) WHERE answer = '';
CREATE INDEX {{prefix}}saga_expected_answer ON {{prefix}}saga_expected (answer) WHERE answer <> '';

CREATE TABLE {{prefix}}saga_pauses (
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
CREATE INDEX {{prefix}}saga_pauses_newest ON {{prefix}}saga_pauses (at DESC, definition);
CREATE INDEX {{prefix}}saga_pauses_open ON {{prefix}}saga_pauses (at, definition) WHERE done = 0;

-- +goose Down
DROP TABLE {{prefix}}saga_pauses;
DROP TABLE {{prefix}}saga_expected;
