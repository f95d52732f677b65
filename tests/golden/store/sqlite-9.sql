PRAGMA application_id = 1179666259;
PRAGMA user_version = 9;
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
, pin TEXT NOT NULL DEFAULT '{}', agents TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
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
, pin TEXT NOT NULL DEFAULT '{}', rule TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX agents_pending ON agents (via, server) WHERE state = 'pending';
CREATE INDEX agents_pending_seen ON agents (last_seen) WHERE state = 'pending';
CREATE TABLE assignments (
    node      TEXT PRIMARY KEY,
    version   INTEGER NOT NULL,
    body      BLOB,
    signature BLOB
, site TEXT) STRICT, WITHOUT ROWID;
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
CREATE TABLE down_numbers (
    agent     TEXT PRIMARY KEY,
    last      INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE down_messages (
    agent   TEXT NOT NULL,
    number  INTEGER NOT NULL,
    sent    INTEGER NOT NULL,
    payload BLOB NOT NULL, state INTEGER NOT NULL DEFAULT 0, author TEXT NOT NULL DEFAULT '', expires INTEGER, ended INTEGER, bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (agent, number)
) STRICT;
CREATE TABLE tokens (
    hash    BLOB PRIMARY KEY,
    name    TEXT NOT NULL,
    role    INTEGER NOT NULL,
    via     TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER,
    request BLOB                                 -- SHA-256 of the certificate request that used it
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_name ON tokens (name);
CREATE INDEX tokens_expires ON tokens (expires);
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,                       -- how the author is known
    author  TEXT NOT NULL,
    origin  TEXT NOT NULL,                       -- a computer's name or an address
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    before  TEXT,                                -- JSON
    after   TEXT
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TABLE refusals (
    refuser TEXT NOT NULL,
    name    TEXT NOT NULL,                       -- empty: it proved none
    role    INTEGER NOT NULL,                    -- 0: it said none
    address TEXT NOT NULL,                       -- without a port
    code    INTEGER NOT NULL,
    text    TEXT NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (refuser, name, role, address, code)
) STRICT, WITHOUT ROWID;
CREATE INDEX refusals_last ON refusals (last);
CREATE TABLE operators (
    name       TEXT PRIMARY KEY,
    state      TEXT NOT NULL,
    access     TEXT NOT NULL,
    since      INTEGER NOT NULL,
    first_seen INTEGER,
    last_seen  INTEGER,
    address    TEXT NOT NULL,
    server     TEXT,
    pinned_key BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE approval_rules (
    position INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    pattern  TEXT NOT NULL,
    gateway  TEXT,                               -- a pattern too
    issuer   BLOB,                               -- SHA-256 of the issuing CA's SubjectPublicKeyInfo
    action   TEXT NOT NULL
) STRICT;
CREATE TABLE sites (
    name       TEXT PRIMARY KEY,
    assignment TEXT                              -- JSON; NULL while it has none
) STRICT, WITHOUT ROWID;
CREATE TABLE site_nodes (
    node TEXT PRIMARY KEY,
    site TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX site_nodes_by_site ON site_nodes (site);
CREATE TABLE successions (
    number    INTEGER PRIMARY KEY,
    body      BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
CREATE TABLE leases (
    server   TEXT PRIMARY KEY,
    start    INTEGER NOT NULL,                   -- random, of the server's run; bits of an unsigned number
    started  INTEGER NOT NULL,                   -- by the server's clock
    software TEXT NOT NULL,
    renewed  INTEGER NOT NULL,                   -- by the store's clock
    until    INTEGER NOT NULL                    -- by the store's clock
) STRICT;
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
CREATE INDEX down_pending ON down_messages (agent, number, bytes) WHERE state = 0;
CREATE INDEX down_expires ON down_messages (expires) WHERE state = 0;
CREATE INDEX down_ended ON down_messages (ended) WHERE state <> 0;
CREATE TABLE chores (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO agents VALUES ('pc1', 'approved', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000042, X'6363636363636363636363636363636363636363636363636363636363636363', 1795000000042, '{"demand":"any"}', NULL);
INSERT INTO agents VALUES ('pc2', 'approved', NULL, '', NULL, '', 1795000000040, 1795000000040, NULL, NULL, '{"demand":"any"}', NULL);
INSERT INTO agents VALUES ('pc3', 'pending', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, X'0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C', NULL, '{"demand":"any"}', NULL);
INSERT INTO agents VALUES ('pc4', 'approved', NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, X'0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D0D', NULL, '{"demand":"any"}', NULL);
INSERT INTO agents VALUES ('pc5', 'rejected', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, X'0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E0E', NULL, '{"demand":"any"}', NULL);
INSERT INTO assignments VALUES ('gw1', 2, X'0014666172706F73742061737369676E6D656E7420310004434F525000036777310000000000000002000200036D7332165C00036D7331165B', X'89192C24C8C0F804ACFE80A62B23B350D25CCB2B30F8A8BFCE90042BF217411A6D902D5B39C4A03D0D6DBE5B52F36D7C8F4614113F4AD61AD6F7430479A66402', NULL);
INSERT INTO assignments VALUES ('gw4', 1, NULL, NULL, NULL);
INSERT INTO assignments VALUES ('pc1', 1, X'0014666172706F73742061737369676E6D656E7420310004434F52500003706331000000000000000100020003677731165B0003677732165B', X'BA07433EFE0231A763A4886D04082AEAF8B7BA975B24A0699A7F588754309AEC133D844135A8D5E03CD7C82A411D445DF2CEB1ECE6ACC058092743458E61380E', NULL);
INSERT INTO audit VALUES (1, 1795000000001, 'group', 'a management server that started', '0.0.0.0:5723', 'register server', 'ms1', NULL, '{"name":"ms1","address":"0.0.0.0:5723","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO audit VALUES (2, 1795000000001, 'group', 'a management server that started', '[::]:5723', 'register server', 'ms2', NULL, '{"name":"ms2","address":"[::]:5723","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO audit VALUES (3, 1795000000001, 'group', 'a management server that started', '10.0.0.3:5723 "O''Brien"', 'register server', 'ms3', NULL, '{"name":"ms3","address":"10.0.0.3:5723 \"O''Brien\"","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO audit VALUES (4, 0, 'local-user', 'tester', 'here', 'exclude server', 'ms3', '{"name":"ms3","address":"10.0.0.3:5723 \"O''Brien\"","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}', '{"name":"ms3","address":"10.0.0.3:5723 \"O''Brien\"","excluded":true,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO audit VALUES (5, 1795000000020, 'local-user', 'tester', 'here', 'approve gateway', 'gw1', '{"name":"gw1","state":"pending","parent":null,"via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.010Z","last_seen":"2026-11-18T11:06:40.010Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0101010101010101010101010101010101010101010101010101010101010101"}', '{"name":"gw1","state":"approved","parent":"ms1","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.010Z","last_seen":"2026-11-18T11:06:40.010Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0101010101010101010101010101010101010101010101010101010101010101"}');
INSERT INTO audit VALUES (6, 1795000000020, 'local-user', 'tester', 'here', 'approve gateway', 'gw2', NULL, '{"name":"gw2","state":"approved","parent":"ms2","via":null,"address":"","server":null,"software":"","first_seen":"2026-11-18T11:06:40.020Z","last_seen":"2026-11-18T11:06:40.020Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":null}');
INSERT INTO audit VALUES (7, 1795000000020, 'local-user', 'tester', 'here', 'approve gateway', 'gw4', '{"name":"gw4","state":"pending","parent":null,"via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}', '{"name":"gw4","state":"approved","parent":"ms1","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}');
INSERT INTO audit VALUES (8, 0, 'local-user', 'tester', 'here', 'assign', 'gw1', NULL, '{"node":"gw1","version":1,"assignment":{"primary":"ms1:5723","failover":["ms2:5724"]},"site":null}');
INSERT INTO audit VALUES (9, 0, 'local-user', 'tester', 'here', 'assign', 'gw1', '{"node":"gw1","version":1,"assignment":{"primary":"ms1:5723","failover":["ms2:5724"]},"site":null}', '{"node":"gw1","version":2,"assignment":{"primary":"ms2:5724","failover":["ms1:5723"]},"site":null}');
INSERT INTO audit VALUES (10, 0, 'local-user', 'tester', 'here', 'assign', 'gw4', NULL, '{"node":"gw4","version":1,"assignment":{"primary":"ms1:5723","failover":["ms2:5723"]},"site":null}');
INSERT INTO audit VALUES (11, 0, 'local-user', 'tester', 'here', 'delete gateway', 'gw4', '{"name":"gw4","state":"approved","parent":"ms1","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}', '{"name":"gw4","state":"deleted","parent":null,"via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}');
INSERT INTO audit VALUES (12, 1795000000040, 'local-user', 'tester', 'here', 'approve agent', 'pc1', '{"name":"pc1","state":"pending","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"}', '{"name":"pc1","state":"approved","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"}');
INSERT INTO audit VALUES (13, 1795000000040, 'local-user', 'tester', 'here', 'approve agent', 'pc2', NULL, '{"name":"pc2","state":"approved","via":null,"address":"","server":null,"software":"","first_seen":"2026-11-18T11:06:40.040Z","last_seen":"2026-11-18T11:06:40.040Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":null}');
INSERT INTO audit VALUES (14, 1795000000040, 'local-user', 'tester', 'here', 'approve agent', 'pc4', '{"name":"pc4","state":"pending","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"}', '{"name":"pc4","state":"approved","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"}');
INSERT INTO audit VALUES (15, 1795000000041, 'local-user', 'tester', 'here', 'reject agent', 'pc5', '{"name":"pc5","state":"pending","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"}', '{"name":"pc5","state":"rejected","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"}');
INSERT INTO audit VALUES (16, 0, 'local-user', 'tester', 'here', 'assign', 'pc1', NULL, '{"node":"pc1","version":1,"assignment":{"primary":"gw1:5723","failover":["gw2:5723"]},"site":null}');
INSERT INTO audit VALUES (17, 0, 'local-user', 'tester', 'here', 'set unknown agents', '', '"pending"', '"reject"');
INSERT INTO audit VALUES (18, 1795000000060, 'local-user', 'tester', 'here', 'send', 'pc1', NULL, '{"number":1,"bytes":3,"expires":"2026-11-25T11:06:40.060Z"}');
INSERT INTO audit VALUES (19, 1795000000060, 'local-user', 'tester', 'here', 'send', 'pc1', NULL, '{"number":2,"bytes":3,"expires":"2026-11-25T11:06:40.060Z"}');
INSERT INTO audit VALUES (20, 1795000000060, 'local-user', 'tester', 'here', 'send', 'pc1', NULL, '{"number":3,"bytes":5,"expires":"2026-11-25T11:06:40.060Z"}');
INSERT INTO audit VALUES (21, 1795000000070, 'local-user', 'tester', 'here', 'create token', 'pc6', NULL, '{"name":"pc6","role":"agent","via":"gw1","created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":null,"hash":"0101010101010101010101010101010101010101010101010101010101010101","request":null}');
INSERT INTO audit VALUES (22, 1795000000070, 'local-user', 'tester', 'here', 'create token', 'gw6', NULL, '{"name":"gw6","role":"gateway","via":null,"created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":null,"hash":"0202020202020202020202020202020202020202020202020202020202020202","request":null}');
INSERT INTO audit VALUES (23, 1795000000080, 'group', 'a node that enrols', 'gw1', 'use token', 'pc6', '{"name":"pc6","role":"agent","via":"gw1","created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":null,"hash":"0101010101010101010101010101010101010101010101010101010101010101","request":null}', '{"name":"pc6","role":"agent","via":"gw1","created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":"2026-11-18T11:06:40.080Z","hash":"0101010101010101010101010101010101010101010101010101010101010101","request":[9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9]}');
INSERT INTO deliveries VALUES (1, 1, 7, 1, 2, 2, 1, 1795000000055, X'7063312031');
INSERT INTO deliveries VALUES (2, 1, 7, 2, 2, 2, 2, 1795000000055, X'7063312032');
INSERT INTO deliveries VALUES (3, 1, 7, 3, 2, 2, 3, 1795000000055, X'7063312033');
INSERT INTO deliveries VALUES (4, 1, -2, 1, 2, 2, 1, 1795000000055, X'7063312031');
INSERT INTO deliveries VALUES (5, 1, -2, 2, 2, 2, 2, 1795000000055, X'7063312032');
INSERT INTO deliveries VALUES (6, 3, 8, 1, 2, 4, 1, 1795000000055, X'7063342031');
INSERT INTO deliveries VALUES (7, 3, 8, 2, 2, 4, 2, 1795000000055, X'7063342032');
INSERT INTO down_messages VALUES ('pc1', 1, 1795000000060, X'', 1, 'tester (here)', 1795604800060, 1795000000120, 3);
INSERT INTO down_messages VALUES ('pc1', 2, 1795000000060, X'00FF27', 0, 'tester (here)', 1795604800060, NULL, 3);
INSERT INTO down_messages VALUES ('pc1', 3, 1795000000060, X'7468726565', 0, 'tester (here)', 1795604800060, NULL, 5);
INSERT INTO down_numbers VALUES ('pc1', 3, 1);
INSERT INTO epochs VALUES ('pc1', -2, 1, 10, 1, 9, 2);
INSERT INTO epochs VALUES ('pc1', 7, 1, 10, 1, 3, 1);
INSERT INTO epochs VALUES ('pc4', 8, 1, 10, 1, 5, 1);
INSERT INTO gaps VALUES (1, 1, -2, 3, 9, 4007, 1795000000055);
INSERT INTO gateways VALUES ('gw1', 'approved', 'ms1', NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000010, 1795000000010, X'0101010101010101010101010101010101010101010101010101010101010101', NULL, '{"demand":"any"}', '');
INSERT INTO gateways VALUES ('gw2', 'approved', 'ms2', NULL, '', NULL, '', 1795000000020, 1795000000020, NULL, NULL, '{"demand":"any"}', '');
INSERT INTO gateways VALUES ('gw3', 'pending', NULL, NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000011, 1795000000011, X'0303030303030303030303030303030303030303030303030303030303030303', NULL, '{"demand":"any"}', '');
INSERT INTO gateways VALUES ('gw4', 'deleted', NULL, NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000012, 1795000000012, X'0404040404040404040404040404040404040404040404040404040404040404', NULL, '{"demand":"any"}', '');
INSERT INTO management_group VALUES (1, 'CORP', X'3051020101300506032B657004220420000DA821C8AB019D4EFBC2BC9B1D695E910C54DBCCD6E1CB96A2A8B851D281438121003619B49E7729A9B4BB2E54871A7F4FDF5A10143BA91B4E13DF5E0F0FBA10F62E', X'0909090909090909090909090909090909090909090909090909090909090909', 25, 'reject');
INSERT INTO output_positions VALUES ('ms1', '/var/lib/O''Brien.jsonl', 1099511627776);
INSERT INTO servers VALUES ('ms1', '0.0.0.0:5723', 0, 1795000000001);
INSERT INTO servers VALUES ('ms2', '[::]:5723', 0, 1795000000001);
INSERT INTO servers VALUES ('ms3', '10.0.0.3:5723 "O''Brien"', 1, 1795000000001);
INSERT INTO sessions VALUES ('pc1', 2, -2, 'ms1', 'gw1', 1795000000050);
INSERT INTO sessions VALUES ('pc4', 1, 8, 'ms1', NULL, 1795000000050);
INSERT INTO sqlite_sequence VALUES ('audit', 23);
INSERT INTO sqlite_sequence VALUES ('deliveries', 7);
INSERT INTO sqlite_sequence VALUES ('gaps', 1);
INSERT INTO texts VALUES (1, 'pc1');
INSERT INTO texts VALUES (2, 'gw1,gw2');
INSERT INTO texts VALUES (3, 'pc4');
INSERT INTO texts VALUES (4, '');
INSERT INTO tokens VALUES (X'0101010101010101010101010101010101010101010101010101010101010101', 'pc6', 1, 'gw1', 1795000000070, 1795003600070, 1795000000080, X'0909090909090909090909090909090909090909090909090909090909090909');
INSERT INTO tokens VALUES (X'0202020202020202020202020202020202020202020202020202020202020202', 'gw6', 2, NULL, 1795000000070, 1795003600070, NULL, NULL);
