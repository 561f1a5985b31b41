-- +goose Up
CREATE TABLE {{prefix}}saga_expected (
    seq       {{serial}},
    saga_id   {{char 64}} NOT NULL,
    node      {{char 500}} NOT NULL,
    direction {{char 16}} NOT NULL,
    epoch     {{int}} NOT NULL,
    match_key {{char 64}} NOT NULL,
    answer    {{char 255}} NOT NULL, -- the message that answered it, or ''
    UNIQUE (saga_id, node, direction, epoch)
){{engine}};
CREATE INDEX {{prefix}}saga_expected_key ON {{prefix}}saga_expected (match_key, answer, seq);
CREATE INDEX {{prefix}}saga_expected_answer ON {{prefix}}saga_expected (answer){{where answer <> ''}};

CREATE TABLE {{prefix}}saga_pauses (
    definition   {{char 64}} NOT NULL, -- '' is all
    at           {{int}} NOT NULL, -- microseconds since 1970
    by_whom      {{text}} NOT NULL,
    why          {{text}} NOT NULL,
    released_at  {{int}},
    released_by  {{text}} NOT NULL,
    released_why {{text}} NOT NULL,
    rate         {{int}} NOT NULL,
    done         {{int}} NOT NULL,
    PRIMARY KEY (definition, at)
){{clustered}};
CREATE INDEX {{prefix}}saga_pauses_newest ON {{prefix}}saga_pauses (at DESC, definition);
CREATE INDEX {{prefix}}saga_pauses_open ON {{prefix}}saga_pauses (at){{where done = 0}};

-- +goose Down
DROP TABLE {{prefix}}saga_pauses;
DROP TABLE {{prefix}}saga_expected;
