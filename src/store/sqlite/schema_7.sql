-- sites, former keys of the group
CREATE TABLE sites (
    name       TEXT PRIMARY KEY,
    assignment TEXT                              -- JSON; NULL while it has none
) STRICT, WITHOUT ROWID;

CREATE TABLE site_nodes (
    node TEXT PRIMARY KEY,
    site TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX site_nodes_by_site ON site_nodes (site);

-- The site that an assignment comes from; NULL for a node's own.
ALTER TABLE assignments ADD COLUMN site TEXT;

-- Statements by which a key of the group named the next one.
CREATE TABLE successions (
    number    INTEGER PRIMARY KEY,
    body      BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
