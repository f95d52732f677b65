-- presence
-- A row per management server: its claims of who is connected count until its lease runs out.
CREATE TABLE leases (
    server   TEXT PRIMARY KEY,
    start    INTEGER NOT NULL,                   -- random, of the server's run; bits of an unsigned number
    started  INTEGER NOT NULL,                   -- by the server's clock
    software TEXT NOT NULL,
    renewed  INTEGER NOT NULL,                   -- by the store's clock
    until    INTEGER NOT NULL                    -- by the store's clock
) STRICT;
-- A row per server and node that is or was connected to it.
CREATE TABLE presences (
    server   TEXT NOT NULL,
    node     TEXT NOT NULL,
    start    INTEGER NOT NULL,
    session  INTEGER NOT NULL,                   -- bits of an unsigned number
    role     INTEGER NOT NULL,
    via      TEXT NOT NULL,                      -- gateways, comma-separated, the node's own first
    address  TEXT NOT NULL,
    since    INTEGER NOT NULL,
    heard    INTEGER NOT NULL,
    silent   INTEGER,
    left_at  INTEGER,
    report   TEXT,                               -- JSON
    PRIMARY KEY (server, node)
) STRICT, WITHOUT ROWID;
