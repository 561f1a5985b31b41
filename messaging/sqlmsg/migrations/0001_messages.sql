-- +goose Up
CREATE TABLE {{prefix}}outbox (
    seq         {{serial}},
    id          {{char 255}} NOT NULL UNIQUE,
    topic       {{text}} NOT NULL,
    message_key {{text}} NOT NULL,
    type        {{text}} NOT NULL,
    headers     {{text}} NOT NULL,
    payload     {{bytes}} NOT NULL
){{engine}};

CREATE TABLE {{prefix}}inbox (
    consumer      {{char 100}} NOT NULL,
    entry_key     {{char 660}} NOT NULL,
    epoch         {{int}} NOT NULL,
    outcome       {{char 32}} NOT NULL,
    reply_id      {{text}} NOT NULL,
    reply_topic   {{text}} NOT NULL,
    reply_key     {{text}} NOT NULL,
    reply_type    {{text}} NOT NULL,
    reply_headers {{text}} NOT NULL,
    reply_payload {{bytes}} NOT NULL,
    handled_at    {{int}} NOT NULL,
    PRIMARY KEY (consumer, entry_key)
){{engine}};
CREATE INDEX {{prefix}}inbox_handled_at ON {{prefix}}inbox (handled_at);

CREATE TABLE {{prefix}}dead_letters (
    seq          {{number}},
    subscription {{char 255}} NOT NULL,
    identity     {{char 500}} NOT NULL,
    id           {{text}} NOT NULL,
    broker_id    {{text}} NOT NULL,
    topic        {{text}} NOT NULL,
    message_key  {{text}} NOT NULL,
    type         {{text}} NOT NULL,
    headers      {{text}} NOT NULL,
    payload      {{bytes}} NOT NULL,
    reason       {{text}} NOT NULL,
    attempts     {{int}} NOT NULL,
    failed_at    {{int}} NOT NULL,
    UNIQUE (subscription, identity)
){{engine}};

-- +goose Down
DROP TABLE {{prefix}}dead_letters;
DROP TABLE {{prefix}}inbox;
DROP TABLE {{prefix}}outbox;
