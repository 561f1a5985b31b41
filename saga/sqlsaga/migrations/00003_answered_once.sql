-- +goose Up
-- A message answers one expectation, also when two coordinators are given it at the same time. NULL while it is open: those are many.
ALTER TABLE {{prefix}}saga_expected ADD COLUMN answered {{char 255}} GENERATED ALWAYS AS (NULLIF(answer, '')) {{generated}};
CREATE UNIQUE INDEX {{prefix}}saga_expected_once ON {{prefix}}saga_expected (answered);

-- +goose Down
ALTER TABLE {{prefix}}saga_expected DROP COLUMN answered;
