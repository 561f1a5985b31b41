-- +goose Up
ALTER TABLE {{prefix}}inbox ADD COLUMN saga_started {{int}} NOT NULL DEFAULT 0; -- microseconds since 1970; 0 is unknown

CREATE TABLE {{prefix}}inbox_horizon (
    consumer         {{char 100}} NOT NULL PRIMARY KEY,
    forgotten_before {{int}} NOT NULL -- milliseconds since 1970, like handled_at
){{engine}};

-- +goose Down
DROP TABLE {{prefix}}inbox_horizon;
ALTER TABLE {{prefix}}inbox DROP COLUMN saga_started;
