-- +goose Up
CREATE TABLE {{prefix}}sagas (
    seq        {{serial}},
    id         {{char 64}} NOT NULL UNIQUE,
    definition {{char 64}} NOT NULL,
    hash       {{char 64}} NOT NULL,
    saga_key   {{char 255}} NOT NULL,
    status     {{char 32}} NOT NULL,
    live       {{int}} NOT NULL, -- 1 unless terminal or orphaned: what Due looks at
    version    {{int}} NOT NULL,
    flags      {{int}} NOT NULL, -- 1 reversing, 2 pivoted, 4 orphaned
    stuck      {{int}} NOT NULL,
    reason     {{text}} NOT NULL,
    actions    {{text}} NOT NULL,
    started_at {{int}} NOT NULL, -- microseconds since 1970, as all times but wake_at
    updated_at {{int}} NOT NULL,
    nodes      {{bytes}} NOT NULL,
    data       {{bytes}} NOT NULL,
    wake_at    {{int}}           -- milliseconds since 1970
){{engine}};
CREATE INDEX {{prefix}}sagas_wake ON {{prefix}}sagas (wake_at){{where live = 1 AND wake_at IS NOT NULL}};
CREATE INDEX {{prefix}}sagas_status ON {{prefix}}sagas (status, seq){{where status IN ('running', 'compensating', 'parked')}};
CREATE INDEX {{prefix}}sagas_key ON {{prefix}}sagas (saga_key, definition){{where saga_key <> ''}};

CREATE TABLE {{prefix}}saga_items (
    saga_id {{char 64}} NOT NULL,
    item    {{char 500}} NOT NULL, -- the record's key
    seq     {{int}} NOT NULL, -- by creation, within the saga
    nodes   {{bytes}} NOT NULL,
    data    {{bytes}} NOT NULL,
    wake_at {{int}},
    PRIMARY KEY (saga_id, item)
){{clustered}};
CREATE INDEX {{prefix}}saga_items_seq ON {{prefix}}saga_items (saga_id, seq);
CREATE INDEX {{prefix}}saga_items_wake ON {{prefix}}saga_items (wake_at){{where wake_at IS NOT NULL}};

CREATE TABLE {{prefix}}saga_log (
    saga_id   {{char 64}} NOT NULL,
    version   {{int}} NOT NULL,
    line      {{int}} NOT NULL,
    at        {{int}} NOT NULL,
    kind      {{char 32}} NOT NULL,
    node      {{char 500}} NOT NULL,
    direction {{char 16}} NOT NULL,
    attempt   {{int}} NOT NULL,
    detail    {{text}} NOT NULL,
    PRIMARY KEY (saga_id, version, line)
){{clustered}};

CREATE TABLE {{prefix}}saga_audit (
    saga_id      {{char 64}} NOT NULL,
    action_id    {{char 255}} NOT NULL,
    version      {{int}} NOT NULL,
    at           {{int}} NOT NULL,
    action       {{text}} NOT NULL,
    node         {{char 500}} NOT NULL,
    seen_version {{int}} NOT NULL,
    by_whom      {{text}} NOT NULL,
    why          {{text}} NOT NULL,
    before_it    {{text}} NOT NULL,
    after_it     {{text}} NOT NULL,
    PRIMARY KEY (saga_id, action_id)
){{clustered}};

-- +goose Down
DROP TABLE {{prefix}}saga_audit;
DROP TABLE {{prefix}}saga_log;
DROP TABLE {{prefix}}saga_items;
DROP TABLE {{prefix}}sagas;
