-- sites, former keys of the group
CREATE TABLE farpost.sites (
    name       text COLLATE "C" PRIMARY KEY,
    assignment text                              -- JSON; NULL while it has none
);

CREATE TABLE farpost.site_nodes (
    node text COLLATE "C" PRIMARY KEY,
    site text COLLATE "C" NOT NULL
);
CREATE INDEX site_nodes_by_site ON farpost.site_nodes (site);

-- The site that an assignment comes from; NULL for a node's own.
ALTER TABLE farpost.assignments ADD COLUMN site text COLLATE "C";

-- Statements by which a key of the group named the next one.
CREATE TABLE farpost.successions (
    number    bigint PRIMARY KEY,
    body      bytea NOT NULL,
    signature bytea NOT NULL
);
