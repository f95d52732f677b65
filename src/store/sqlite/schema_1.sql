CREATE TABLE management_group (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    name             TEXT NOT NULL,
    signing_key      BLOB NOT NULL,              -- Ed25519, PKCS#8
    challenge_secret BLOB NOT NULL,
    change           INTEGER NOT NULL DEFAULT 0,
    unknown_agents   TEXT NOT NULL DEFAULT 'pending'
) STRICT;

CREATE TABLE servers (
    name      TEXT PRIMARY KEY,
    address   TEXT NOT NULL,
    excluded  INTEGER NOT NULL DEFAULT 0,
    last_seen INTEGER NOT NULL                   -- all times: milliseconds since 1970
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
    name        TEXT PRIMARY KEY,
    state       TEXT NOT NULL,
    parent      TEXT,
    via         TEXT,
    address     TEXT NOT NULL DEFAULT '',
    server      TEXT,
    software    TEXT NOT NULL DEFAULT '',
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    key_hash    BLOB,                            -- SHA-256 of the SubjectPublicKeyInfo
    key_changed INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX gateways_pending ON gateways (via, server) WHERE state = 'pending';
CREATE INDEX gateways_pending_seen ON gateways (last_seen) WHERE state = 'pending';

CREATE TABLE agents (
    name        TEXT PRIMARY KEY,
    state       TEXT NOT NULL,
    via         TEXT,
    address     TEXT NOT NULL DEFAULT '',
    server      TEXT,
    software    TEXT NOT NULL DEFAULT '',
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    key_hash    BLOB,
    key_changed INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX agents_pending ON agents (via, server) WHERE state = 'pending';
CREATE INDEX agents_pending_seen ON agents (last_seen) WHERE state = 'pending';

-- The version only rises: a withdrawn assignment keeps its row without a body.
CREATE TABLE assignments (
    node      TEXT PRIMARY KEY,
    version   INTEGER NOT NULL,
    body      BLOB,
    signature BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    agent  TEXT PRIMARY KEY,
    fence  INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    server TEXT NOT NULL,
    via    TEXT,
    opened INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
    agent      TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    boot       INTEGER NOT NULL,
    nonce      INTEGER NOT NULL,
    connection INTEGER NOT NULL,
    cursor     INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch)
) STRICT, WITHOUT ROWID;

-- Agents' names and gateways' paths that deliveries refer to, each once.
CREATE TABLE texts (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE deliveries (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    agent    INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    via      INTEGER NOT NULL,
    sent     INTEGER NOT NULL,
    received INTEGER NOT NULL,
    payload  BLOB NOT NULL,
    UNIQUE (agent, epoch, sequence)
) STRICT;

CREATE TABLE gaps (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    agent    INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    reason   INTEGER NOT NULL,
    received INTEGER NOT NULL,
    UNIQUE (agent, epoch, first)
) STRICT;

-- For people and their queries.
CREATE VIEW delivered AS
    SELECT d.id, a.text AS agent, v.text AS via, printf('%016x', d.epoch) AS epoch, d.sequence, d.priority,
           d.sent, d.received, d.payload
    FROM deliveries d JOIN texts a ON a.id = d.agent JOIN texts v ON v.id = d.via;

CREATE TABLE output_positions (
    server TEXT NOT NULL,
    path   TEXT NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (server, path)
) STRICT, WITHOUT ROWID;

-- Messages to agents: the last number given, and what the agent has taken.
CREATE TABLE down_numbers (
    agent     TEXT PRIMARY KEY,
    last      INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE down_messages (
    agent   TEXT NOT NULL,
    number  INTEGER NOT NULL,
    sent    INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (agent, number)
) STRICT;
