-- +goose Up
-- The tables and columns are the original's. Ours beside them: seq (the order of the lists), status and version.
-- SQLite takes no notice of a column's length; the domain's rules bound what comes here.
CREATE TABLE campaigns (
    seq           {{number}},
    id            CHAR(36)     NOT NULL UNIQUE,
    nombre        VARCHAR(100) NOT NULL,
    presupuesto   VARCHAR(30)  NOT NULL, -- an exact decimal; the original's float is not
    divisa        VARCHAR(10)  NOT NULL,
    marca_id      VARCHAR(36)  NOT NULL,
    participantes {{text}} NOT NULL CHECK ({{is_json participantes}}),
    status        VARCHAR(10)  NOT NULL CHECK (status IN ('pending', 'active')),
    version       {{int}}      NOT NULL
){{engine}};

CREATE TABLE partners (
    seq                {{number}},
    id                 CHAR(36)     NOT NULL UNIQUE,
    id_campaign        VARCHAR(36)  NOT NULL,
    nombre             VARCHAR(100) NOT NULL,
    tipo               VARCHAR(10)  NOT NULL CHECK (tipo IN ('influencer', 'affiliate')),
    informacion_perfil VARCHAR(255) NOT NULL
){{engine}};

CREATE TABLE eventos (
    seq        {{number}},
    id         CHAR(36)     NOT NULL UNIQUE,
    id_partner VARCHAR(100) NOT NULL,
    id_campana VARCHAR(100) NOT NULL,
    fecha      BIGINT       NOT NULL -- milliseconds since 1970 UTC
){{engine}};

-- How many events a campaign has, in a row that a transaction can hold while it decides about one more.
CREATE TABLE eventos_por_campana (
    id_campana VARCHAR(100) NOT NULL PRIMARY KEY,
    cantidad   BIGINT       NOT NULL CHECK (cantidad >= 0),
    version    BIGINT       NOT NULL
){{engine}};

-- +goose Down
DROP TABLE eventos_por_campana;
DROP TABLE eventos;
DROP TABLE partners;
DROP TABLE campaigns;
