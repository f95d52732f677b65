-- presence
-- A row per management server: its claims of who is connected count until its lease runs out.
CREATE TABLE farpost.leases (
    server   text PRIMARY KEY,
    start    bigint NOT NULL,                    -- random, of the server's run; bits of an unsigned number
    started  bigint NOT NULL,                    -- by the server's clock
    software text NOT NULL,
    renewed  bigint NOT NULL,                    -- by the database's clock
    until    bigint NOT NULL                     -- by the database's clock
);
-- A row per server and node that is or was connected to it.
CREATE TABLE farpost.presences (
    server   text NOT NULL,
    node     text NOT NULL,
    start    bigint NOT NULL,
    session  bigint NOT NULL,                    -- bits of an unsigned number
    role     integer NOT NULL,
    via      text NOT NULL,                      -- gateways, comma-separated, the node's own first
    address  text NOT NULL,
    since    bigint NOT NULL,
    heard    bigint NOT NULL,
    silent   bigint,
    left_at  bigint,
    report   text,                               -- JSON
    PRIMARY KEY (server, node)
);
