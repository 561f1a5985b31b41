-- +goose Up
-- A deadline is another one after each step, but as a rule in the same four seconds. PostgreSQL then leaves the indexes of the table alone, if there is
-- room for the new row beside the old one.
ALTER TABLE {{prefix}}sagas ADD COLUMN wake_slot {{int}} GENERATED ALWAYS AS (wake_at >> 12) {{generated}};
DROP INDEX {{prefix}}sagas_wake{{on {{prefix}}sagas}};
CREATE INDEX {{prefix}}sagas_wake ON {{prefix}}sagas (wake_slot{{also wake_at}}){{where live = 1 AND wake_slot IS NOT NULL}};
{{fill {{prefix}}sagas}}

-- +goose Down
DROP INDEX {{prefix}}sagas_wake{{on {{prefix}}sagas}};
ALTER TABLE {{prefix}}sagas DROP COLUMN wake_slot;
CREATE INDEX {{prefix}}sagas_wake ON {{prefix}}sagas (wake_at){{where live = 1 AND wake_at IS NOT NULL}};
