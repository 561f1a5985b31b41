-- +goose Up
-- A consumer that forgets passes by what others keep without reading it. The consumer is not first: while the table is young PostgreSQL would look for single
-- entries by this index, past all of their consumer's.
CREATE INDEX {{prefix}}inbox_handled ON {{prefix}}inbox (handled_at, consumer);
DROP INDEX {{prefix}}inbox_handled_at{{on {{prefix}}inbox}};

-- +goose Down
CREATE INDEX {{prefix}}inbox_handled_at ON {{prefix}}inbox (handled_at);
DROP INDEX {{prefix}}inbox_handled{{on {{prefix}}inbox}};
