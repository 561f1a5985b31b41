-- +goose Up
-- A consumer that forgets does not read past what others keep.
CREATE INDEX {{prefix}}inbox_consumer_handled_at ON {{prefix}}inbox (consumer, handled_at);
DROP INDEX {{prefix}}inbox_handled_at{{on {{prefix}}inbox}};

-- +goose Down
CREATE INDEX {{prefix}}inbox_handled_at ON {{prefix}}inbox (handled_at);
DROP INDEX {{prefix}}inbox_consumer_handled_at{{on {{prefix}}inbox}};
