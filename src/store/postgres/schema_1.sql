-- Names sort by their bytes whatever the database's locale is. All times: milliseconds since 1970. Numbers of 64 bits
-- without a sign are kept with the same bits and compared only by farpost.

CREATE TABLE farpost.management_group (
    id               smallint PRIMARY KEY CHECK (id = 1),
    name             text NOT NULL,
    signing_key      bytea NOT NULL,             -- Ed25519, PKCS#8
    challenge_secret bytea NOT NULL,
    change           bigint NOT NULL DEFAULT 0,
    unknown_agents   text NOT NULL DEFAULT 'pending'
);

CREATE TABLE farpost.servers (
    name      text COLLATE "C" PRIMARY KEY,
    address   text NOT NULL,
    excluded  boolean NOT NULL,
    last_seen bigint NOT NULL
);

CREATE TABLE farpost.gateways (
    name        text COLLATE "C" PRIMARY KEY,
    state       text NOT NULL,
    parent      text COLLATE "C",
    via         text COLLATE "C",
    address     text NOT NULL,
    server      text COLLATE "C",
    software    text NOT NULL,
    first_seen  bigint NOT NULL,
    last_seen   bigint NOT NULL,
    key_hash    bytea,                           -- SHA-256 of the SubjectPublicKeyInfo
    key_changed bigint
) WITH (fillfactor = 80);
CREATE INDEX gateways_pending ON farpost.gateways (via, server) WHERE state = 'pending';

CREATE TABLE farpost.agents (
    name        text COLLATE "C" PRIMARY KEY,
    state       text NOT NULL,
    via         text COLLATE "C",
    address     text NOT NULL,
    server      text COLLATE "C",
    software    text NOT NULL,
    first_seen  bigint NOT NULL,
    last_seen   bigint NOT NULL,
    key_hash    bytea,
    key_changed bigint
) WITH (fillfactor = 80);
CREATE INDEX agents_pending ON farpost.agents (via, server) WHERE state = 'pending';

-- The version only rises: a withdrawn assignment keeps its row without a body.
CREATE TABLE farpost.assignments (
    node      text COLLATE "C" PRIMARY KEY,
    version   bigint NOT NULL,
    body      bytea,
    signature bytea
);

-- A row with fence 0 stands for a session that is being opened for the first time: it is there to be locked.
CREATE TABLE farpost.sessions (
    agent  text COLLATE "C" PRIMARY KEY,
    fence  bigint NOT NULL,
    epoch  bigint NOT NULL,
    server text COLLATE "C" NOT NULL,
    via    text COLLATE "C",
    opened bigint NOT NULL
) WITH (fillfactor = 80);

-- Room beside each row: a cursor moves without a new entry in the index.
CREATE TABLE farpost.epochs (
    agent      text COLLATE "C" NOT NULL,
    epoch      bigint NOT NULL,
    boot       bigint NOT NULL,
    nonce      bigint NOT NULL,
    connection bigint NOT NULL,
    cursor     bigint NOT NULL,
    fence      bigint NOT NULL,
    PRIMARY KEY (agent, epoch)
) WITH (fillfactor = 50);

-- The last numbers given. Whoever takes one holds the row until it has committed, so that numbers appear in their order.
CREATE TABLE farpost.output_numbers (
    id         smallint PRIMARY KEY CHECK (id = 1),
    deliveries bigint NOT NULL,
    gaps       bigint NOT NULL
);
INSERT INTO farpost.output_numbers VALUES (1, 0, 0);

CREATE TABLE farpost.deliveries (
    id       bigint PRIMARY KEY,
    agent    text COLLATE "C" NOT NULL,
    epoch    bigint NOT NULL,
    sequence bigint NOT NULL,
    priority smallint NOT NULL,
    via      text COLLATE "C" NOT NULL,          -- comma-separated, the agent's own gateway first
    sent     bigint NOT NULL,
    received bigint NOT NULL,
    payload  bytea NOT NULL,
    UNIQUE (agent, epoch, sequence)
);

CREATE TABLE farpost.gaps (
    id       bigint PRIMARY KEY,
    agent    text COLLATE "C" NOT NULL,
    epoch    bigint NOT NULL,
    first    bigint NOT NULL,
    last     bigint NOT NULL,
    reason   integer NOT NULL,
    received bigint NOT NULL,
    UNIQUE (agent, epoch, first)
);

-- For people and their queries.
CREATE VIEW farpost.delivered AS
    SELECT id, agent, via, lpad(to_hex(epoch), 16, '0') AS epoch, sequence, priority, sent, received, payload
    FROM farpost.deliveries;

CREATE TABLE farpost.output_positions (
    server text COLLATE "C" NOT NULL,
    path   text NOT NULL,
    length bigint NOT NULL,
    PRIMARY KEY (server, path)
);

-- Messages to agents: the last number given, and what the agent has taken.
CREATE TABLE farpost.down_numbers (
    agent     text COLLATE "C" PRIMARY KEY,
    last      bigint NOT NULL,
    delivered bigint NOT NULL DEFAULT 0
);

CREATE TABLE farpost.down_messages (
    agent   text COLLATE "C" NOT NULL,
    number  bigint NOT NULL,
    sent    bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (agent, number)
);

-- One-time tokens: of each only SHA-256 of its public key, so that whoever reads this cannot use one.
CREATE TABLE farpost.tokens (
    hash    bytea PRIMARY KEY,
    name    text COLLATE "C" NOT NULL,
    role    smallint NOT NULL,
    via     text COLLATE "C",
    created bigint NOT NULL,
    expires bigint NOT NULL,
    used    bigint,
    request bytea                                -- SHA-256 of the certificate request that used it
);
CREATE INDEX tokens_name ON farpost.tokens (name);
CREATE INDEX tokens_expires ON farpost.tokens (expires);
