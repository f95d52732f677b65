SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA farpost;
CREATE FUNCTION farpost.audit_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TABLE farpost.agents (
    name text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL,
    via text COLLATE pg_catalog."C",
    address text NOT NULL,
    server text COLLATE pg_catalog."C",
    software text NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    key_hash bytea,
    key_changed bigint,
    pin text DEFAULT '{}'::text NOT NULL,
    rule text
)
WITH (fillfactor='80');
CREATE TABLE farpost.approval_rules (
    "position" bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    pattern text NOT NULL,
    gateway text,
    issuer bytea,
    action text NOT NULL
);
CREATE TABLE farpost.assignments (
    node text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    body bytea,
    signature bytea,
    site text COLLATE pg_catalog."C"
);
CREATE TABLE farpost.audit (
    number bigint NOT NULL,
    at bigint NOT NULL,
    kind text NOT NULL,
    author text NOT NULL,
    origin text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    before text,
    after text
);
CREATE TABLE farpost.chores (
    name text NOT NULL,
    last bigint NOT NULL
);
CREATE TABLE farpost.deliveries (
    id bigint NOT NULL,
    agent text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    priority smallint NOT NULL,
    via text NOT NULL COLLATE pg_catalog."C",
    sent bigint NOT NULL,
    received bigint NOT NULL,
    payload bytea NOT NULL
);
CREATE VIEW farpost.delivered AS
 SELECT deliveries.id,
    deliveries.agent,
    deliveries.via,
    lpad(to_hex(deliveries.epoch), 16, '0'::text) AS epoch,
    deliveries.sequence,
    deliveries.priority,
    deliveries.sent,
    deliveries.received,
    deliveries.payload
   FROM farpost.deliveries;
CREATE TABLE farpost.down_messages (
    agent text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    sent bigint NOT NULL,
    payload bytea NOT NULL,
    state smallint DEFAULT 0 NOT NULL,
    author text DEFAULT ''::text NOT NULL,
    expires bigint,
    ended bigint,
    bytes integer DEFAULT 0 NOT NULL
);
CREATE TABLE farpost.down_numbers (
    agent text NOT NULL COLLATE pg_catalog."C",
    last bigint NOT NULL,
    delivered bigint DEFAULT 0 NOT NULL
);
CREATE TABLE farpost.epochs (
    agent text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    boot bigint NOT NULL,
    nonce bigint NOT NULL,
    connection bigint NOT NULL,
    cursor bigint NOT NULL,
    fence bigint NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE farpost.gaps (
    id bigint NOT NULL,
    agent text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    reason integer NOT NULL,
    received bigint NOT NULL
);
CREATE TABLE farpost.gateways (
    name text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL,
    parent text COLLATE pg_catalog."C",
    via text COLLATE pg_catalog."C",
    address text NOT NULL,
    server text COLLATE pg_catalog."C",
    software text NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    key_hash bytea,
    key_changed bigint,
    pin text DEFAULT '{}'::text NOT NULL,
    agents text DEFAULT ''::text NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE farpost.leases (
    server text NOT NULL,
    start bigint NOT NULL,
    started bigint NOT NULL,
    software text NOT NULL,
    renewed bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE farpost.management_group (
    id smallint NOT NULL,
    name text NOT NULL,
    signing_key bytea NOT NULL,
    challenge_secret bytea NOT NULL,
    change bigint DEFAULT 0 NOT NULL,
    unknown_agents text DEFAULT 'pending'::text NOT NULL,
    CONSTRAINT management_group_id_check CHECK ((id = 1))
);
CREATE TABLE farpost.operators (
    name text NOT NULL,
    state text NOT NULL,
    access text NOT NULL,
    since bigint NOT NULL,
    first_seen bigint,
    last_seen bigint,
    address text NOT NULL,
    server text,
    pinned_key bytea
);
CREATE TABLE farpost.output_numbers (
    id smallint NOT NULL,
    deliveries bigint NOT NULL,
    gaps bigint NOT NULL,
    CONSTRAINT output_numbers_id_check CHECK ((id = 1))
);
CREATE TABLE farpost.output_positions (
    server text NOT NULL COLLATE pg_catalog."C",
    path text NOT NULL,
    length bigint NOT NULL
);
CREATE TABLE farpost.presences (
    server text NOT NULL,
    node text NOT NULL,
    start bigint NOT NULL,
    session bigint NOT NULL,
    role integer NOT NULL,
    via text NOT NULL,
    address text NOT NULL,
    since bigint NOT NULL,
    heard bigint NOT NULL,
    silent bigint,
    left_at bigint,
    report text
);
CREATE TABLE farpost.refusals (
    refuser text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    role smallint NOT NULL,
    address text NOT NULL,
    code integer NOT NULL,
    text text NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    count bigint NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE farpost.servers (
    name text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL,
    excluded boolean NOT NULL,
    last_seen bigint NOT NULL
);
CREATE TABLE farpost.sessions (
    agent text NOT NULL COLLATE pg_catalog."C",
    fence bigint NOT NULL,
    epoch bigint NOT NULL,
    server text NOT NULL COLLATE pg_catalog."C",
    via text COLLATE pg_catalog."C",
    opened bigint NOT NULL
)
WITH (fillfactor='80');
CREATE TABLE farpost.site_nodes (
    node text NOT NULL COLLATE pg_catalog."C",
    site text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE farpost.sites (
    name text NOT NULL COLLATE pg_catalog."C",
    assignment text
);
CREATE TABLE farpost.successions (
    number bigint NOT NULL,
    body bytea NOT NULL,
    signature bytea NOT NULL
);
CREATE TABLE farpost.tokens (
    hash bytea NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    role smallint NOT NULL,
    via text COLLATE pg_catalog."C",
    created bigint NOT NULL,
    expires bigint NOT NULL,
    used bigint,
    request bytea
);
CREATE TABLE farpost.versions (
    version bigint NOT NULL,
    migrated timestamp with time zone NOT NULL
);
INSERT INTO farpost.agents VALUES ('pc3', 'pending', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, '\x0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', NULL, '{"demand":"any"}', NULL);
INSERT INTO farpost.agents VALUES ('pc2', 'approved', NULL, '', NULL, '', 1795000000040, 1795000000040, NULL, NULL, '{"demand":"any"}', NULL);
INSERT INTO farpost.agents VALUES ('pc4', 'approved', NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, '\x0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', NULL, '{"demand":"any"}', NULL);
INSERT INTO farpost.agents VALUES ('pc5', 'rejected', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, '\x0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e', NULL, '{"demand":"any"}', NULL);
INSERT INTO farpost.agents VALUES ('pc1', 'approved', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000042, '\x6363636363636363636363636363636363636363636363636363636363636363', 1795000000042, '{"demand":"any"}', NULL);
INSERT INTO farpost.assignments VALUES ('gw1', 2, '\x0014666172706f73742061737369676e6d656e7420310004434f525000036777310000000000000002000200036d7332165c00036d7331165b', '\xb6bfdf8ded832770dce25a63c712c0c1b37a2888af4a42ce0bb33c57187f64593aa59d0f152771f8870f44f4181fe04fe44f87e975aeba06be2d74a1309e750d', NULL);
INSERT INTO farpost.assignments VALUES ('gw4', 1, NULL, NULL, NULL);
INSERT INTO farpost.assignments VALUES ('pc1', 1, '\x0014666172706f73742061737369676e6d656e7420310004434f52500003706331000000000000000100020003677731165b0003677732165b', '\x512502127b5920e54e6613ef49c6d594edb19e42f6869c495bcadbbcc592a6f21bd756df5e3573847783f3fac07e741563a55dc387b2d22a3c25c0e1d0f66109', NULL);
INSERT INTO farpost.audit VALUES (1, 1795000000001, 'group', 'a management server that started', '0.0.0.0:5723', 'register server', 'ms1', NULL, '{"name":"ms1","address":"0.0.0.0:5723","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO farpost.audit VALUES (2, 1795000000001, 'group', 'a management server that started', '[::]:5723', 'register server', 'ms2', NULL, '{"name":"ms2","address":"[::]:5723","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO farpost.audit VALUES (3, 1795000000001, 'group', 'a management server that started', '10.0.0.3:5723 "O''Brien"', 'register server', 'ms3', NULL, '{"name":"ms3","address":"10.0.0.3:5723 \"O''Brien\"","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO farpost.audit VALUES (4, 0, 'local-user', 'tester', 'here', 'exclude server', 'ms3', '{"name":"ms3","address":"10.0.0.3:5723 \"O''Brien\"","excluded":false,"last_seen":"2026-11-18T11:06:40.001Z"}', '{"name":"ms3","address":"10.0.0.3:5723 \"O''Brien\"","excluded":true,"last_seen":"2026-11-18T11:06:40.001Z"}');
INSERT INTO farpost.audit VALUES (5, 1795000000020, 'local-user', 'tester', 'here', 'approve gateway', 'gw1', '{"name":"gw1","state":"pending","parent":null,"via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.010Z","last_seen":"2026-11-18T11:06:40.010Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0101010101010101010101010101010101010101010101010101010101010101"}', '{"name":"gw1","state":"approved","parent":"ms1","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.010Z","last_seen":"2026-11-18T11:06:40.010Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0101010101010101010101010101010101010101010101010101010101010101"}');
INSERT INTO farpost.audit VALUES (6, 1795000000020, 'local-user', 'tester', 'here', 'approve gateway', 'gw2', NULL, '{"name":"gw2","state":"approved","parent":"ms2","via":null,"address":"","server":null,"software":"","first_seen":"2026-11-18T11:06:40.020Z","last_seen":"2026-11-18T11:06:40.020Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":null}');
INSERT INTO farpost.audit VALUES (7, 1795000000020, 'local-user', 'tester', 'here', 'approve gateway', 'gw4', '{"name":"gw4","state":"pending","parent":null,"via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}', '{"name":"gw4","state":"approved","parent":"ms1","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}');
INSERT INTO farpost.audit VALUES (8, 0, 'local-user', 'tester', 'here', 'assign', 'gw1', NULL, '{"node":"gw1","version":1,"assignment":{"primary":"ms1:5723","failover":["ms2:5724"]},"site":null}');
INSERT INTO farpost.audit VALUES (9, 0, 'local-user', 'tester', 'here', 'assign', 'gw1', '{"node":"gw1","version":1,"assignment":{"primary":"ms1:5723","failover":["ms2:5724"]},"site":null}', '{"node":"gw1","version":2,"assignment":{"primary":"ms2:5724","failover":["ms1:5723"]},"site":null}');
INSERT INTO farpost.audit VALUES (10, 0, 'local-user', 'tester', 'here', 'assign', 'gw4', NULL, '{"node":"gw4","version":1,"assignment":{"primary":"ms1:5723","failover":["ms2:5723"]},"site":null}');
INSERT INTO farpost.audit VALUES (11, 0, 'local-user', 'tester', 'here', 'delete gateway', 'gw4', '{"name":"gw4","state":"approved","parent":"ms1","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}', '{"name":"gw4","state":"deleted","parent":null,"via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.012Z","last_seen":"2026-11-18T11:06:40.012Z","key_changed":null,"pin":{"demand":"any"},"agents":[],"key":"0404040404040404040404040404040404040404040404040404040404040404"}');
INSERT INTO farpost.audit VALUES (12, 1795000000040, 'local-user', 'tester', 'here', 'approve agent', 'pc1', '{"name":"pc1","state":"pending","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"}', '{"name":"pc1","state":"approved","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"}');
INSERT INTO farpost.audit VALUES (13, 1795000000040, 'local-user', 'tester', 'here', 'approve agent', 'pc2', NULL, '{"name":"pc2","state":"approved","via":null,"address":"","server":null,"software":"","first_seen":"2026-11-18T11:06:40.040Z","last_seen":"2026-11-18T11:06:40.040Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":null}');
INSERT INTO farpost.audit VALUES (14, 1795000000040, 'local-user', 'tester', 'here', 'approve agent', 'pc4', '{"name":"pc4","state":"pending","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"}', '{"name":"pc4","state":"approved","via":null,"address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"}');
INSERT INTO farpost.audit VALUES (15, 1795000000041, 'local-user', 'tester', 'here', 'reject agent', 'pc5', '{"name":"pc5","state":"pending","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"}', '{"name":"pc5","state":"rejected","via":"gw1","address":"10.0.0.7:50000","server":"ms1","software":"farpost 0.1 \"O''Brien\"; DROP TABLE agents; --","first_seen":"2026-11-18T11:06:40.030Z","last_seen":"2026-11-18T11:06:40.030Z","key_changed":null,"pin":{"demand":"any"},"rule":null,"key":"0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"}');
INSERT INTO farpost.audit VALUES (16, 0, 'local-user', 'tester', 'here', 'assign', 'pc1', NULL, '{"node":"pc1","version":1,"assignment":{"primary":"gw1:5723","failover":["gw2:5723"]},"site":null}');
INSERT INTO farpost.audit VALUES (17, 0, 'local-user', 'tester', 'here', 'set unknown agents', '', '"pending"', '"reject"');
INSERT INTO farpost.audit VALUES (18, 1795000000060, 'local-user', 'tester', 'here', 'send', 'pc1', NULL, '{"number":1,"bytes":3,"expires":"2026-11-25T11:06:40.060Z"}');
INSERT INTO farpost.audit VALUES (19, 1795000000060, 'local-user', 'tester', 'here', 'send', 'pc1', NULL, '{"number":2,"bytes":3,"expires":"2026-11-25T11:06:40.060Z"}');
INSERT INTO farpost.audit VALUES (20, 1795000000060, 'local-user', 'tester', 'here', 'send', 'pc1', NULL, '{"number":3,"bytes":5,"expires":"2026-11-25T11:06:40.060Z"}');
INSERT INTO farpost.audit VALUES (21, 1795000000070, 'local-user', 'tester', 'here', 'create token', 'pc6', NULL, '{"name":"pc6","role":"agent","via":"gw1","created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":null,"hash":"0101010101010101010101010101010101010101010101010101010101010101","request":null}');
INSERT INTO farpost.audit VALUES (22, 1795000000070, 'local-user', 'tester', 'here', 'create token', 'gw6', NULL, '{"name":"gw6","role":"gateway","via":null,"created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":null,"hash":"0202020202020202020202020202020202020202020202020202020202020202","request":null}');
INSERT INTO farpost.audit VALUES (23, 1795000000080, 'group', 'a node that enrols', 'gw1', 'use token', 'pc6', '{"name":"pc6","role":"agent","via":"gw1","created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":null,"hash":"0101010101010101010101010101010101010101010101010101010101010101","request":null}', '{"name":"pc6","role":"agent","via":"gw1","created":"2026-11-18T11:06:40.070Z","expires":"2026-11-18T12:06:40.070Z","used":"2026-11-18T11:06:40.080Z","hash":"0101010101010101010101010101010101010101010101010101010101010101","request":[9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9]}');
INSERT INTO farpost.deliveries VALUES (1, 'pc1', 7, 1, 2, 'gw1,gw2', 1, 1795000000055, '\x7063312031');
INSERT INTO farpost.deliveries VALUES (2, 'pc1', 7, 2, 2, 'gw1,gw2', 2, 1795000000055, '\x7063312032');
INSERT INTO farpost.deliveries VALUES (3, 'pc1', 7, 3, 2, 'gw1,gw2', 3, 1795000000055, '\x7063312033');
INSERT INTO farpost.deliveries VALUES (4, 'pc1', -2, 1, 2, 'gw1,gw2', 1, 1795000000055, '\x7063312031');
INSERT INTO farpost.deliveries VALUES (5, 'pc1', -2, 2, 2, 'gw1,gw2', 2, 1795000000055, '\x7063312032');
INSERT INTO farpost.deliveries VALUES (6, 'pc4', 8, 1, 2, '', 1, 1795000000055, '\x7063342031');
INSERT INTO farpost.deliveries VALUES (7, 'pc4', 8, 2, 2, '', 2, 1795000000055, '\x7063342032');
INSERT INTO farpost.down_messages VALUES ('pc1', 2, 1795000000060, '\x00ff27', 0, 'tester (here)', 1795604800060, NULL, 3);
INSERT INTO farpost.down_messages VALUES ('pc1', 3, 1795000000060, '\x7468726565', 0, 'tester (here)', 1795604800060, NULL, 5);
INSERT INTO farpost.down_messages VALUES ('pc1', 1, 1795000000060, '\x', 1, 'tester (here)', 1795604800060, 1795000000120, 3);
INSERT INTO farpost.down_numbers VALUES ('pc1', 3, 1);
INSERT INTO farpost.epochs VALUES ('pc1', 7, 1, 10, 1, 3, 1);
INSERT INTO farpost.epochs VALUES ('pc1', -2, 1, 10, 1, 9, 2);
INSERT INTO farpost.epochs VALUES ('pc4', 8, 1, 10, 1, 5, 1);
INSERT INTO farpost.gaps VALUES (1, 'pc1', -2, 3, 9, 4007, 1795000000055);
INSERT INTO farpost.gateways VALUES ('gw3', 'pending', NULL, NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000011, 1795000000011, '\x0303030303030303030303030303030303030303030303030303030303030303', NULL, '{"demand":"any"}', '');
INSERT INTO farpost.gateways VALUES ('gw1', 'approved', 'ms1', NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000010, 1795000000010, '\x0101010101010101010101010101010101010101010101010101010101010101', NULL, '{"demand":"any"}', '');
INSERT INTO farpost.gateways VALUES ('gw2', 'approved', 'ms2', NULL, '', NULL, '', 1795000000020, 1795000000020, NULL, NULL, '{"demand":"any"}', '');
INSERT INTO farpost.gateways VALUES ('gw4', 'deleted', NULL, NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000012, 1795000000012, '\x0404040404040404040404040404040404040404040404040404040404040404', NULL, '{"demand":"any"}', '');
INSERT INTO farpost.management_group VALUES (1, 'CORP', '\x3051020101300506032b657004220420a33b736834272f17fa1e1263e361f17e0617dd6ac033c0e5848242a4cb974127812100c5b8e93a2042ec5ecf48cf8d445fbd1d0d4c6fc309d28439a7de98d9eb5e8857', '\x0909090909090909090909090909090909090909090909090909090909090909', 25, 'reject');
INSERT INTO farpost.output_numbers VALUES (1, 7, 1);
INSERT INTO farpost.output_positions VALUES ('ms1', '/var/lib/O''Brien.jsonl', 1099511627776);
INSERT INTO farpost.servers VALUES ('ms1', '0.0.0.0:5723', false, 1795000000001);
INSERT INTO farpost.servers VALUES ('ms2', '[::]:5723', false, 1795000000001);
INSERT INTO farpost.servers VALUES ('ms3', '10.0.0.3:5723 "O''Brien"', true, 1795000000001);
INSERT INTO farpost.sessions VALUES ('pc1', 2, -2, 'ms1', 'gw1', 1795000000050);
INSERT INTO farpost.sessions VALUES ('pc4', 1, 8, 'ms1', NULL, 1795000000050);
INSERT INTO farpost.tokens VALUES ('\x0202020202020202020202020202020202020202020202020202020202020202', 'gw6', 2, NULL, 1795000000070, 1795003600070, NULL, NULL);
INSERT INTO farpost.tokens VALUES ('\x0101010101010101010101010101010101010101010101010101010101010101', 'pc6', 1, 'gw1', 1795000000070, 1795003600070, 1795000000080, '\x0909090909090909090909090909090909090909090909090909090909090909');
INSERT INTO farpost.versions VALUES (1, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (2, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (3, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (4, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (5, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (6, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (7, '2026-11-23 02:06:32.742906+00');
INSERT INTO farpost.versions VALUES (8, '2026-11-23 02:06:32.742906+00');
ALTER TABLE ONLY farpost.agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.approval_rules
    ADD CONSTRAINT approval_rules_name_key UNIQUE (name);
ALTER TABLE ONLY farpost.approval_rules
    ADD CONSTRAINT approval_rules_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY farpost.assignments
    ADD CONSTRAINT assignments_pkey PRIMARY KEY (node);
ALTER TABLE ONLY farpost.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (number);
ALTER TABLE ONLY farpost.chores
    ADD CONSTRAINT chores_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.deliveries
    ADD CONSTRAINT deliveries_agent_epoch_sequence_key UNIQUE (agent, epoch, sequence);
ALTER TABLE ONLY farpost.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY farpost.down_messages
    ADD CONSTRAINT down_messages_pkey PRIMARY KEY (agent, number);
ALTER TABLE ONLY farpost.down_numbers
    ADD CONSTRAINT down_numbers_pkey PRIMARY KEY (agent);
ALTER TABLE ONLY farpost.epochs
    ADD CONSTRAINT epochs_pkey PRIMARY KEY (agent, epoch);
ALTER TABLE ONLY farpost.gaps
    ADD CONSTRAINT gaps_agent_epoch_first_key UNIQUE (agent, epoch, first);
ALTER TABLE ONLY farpost.gaps
    ADD CONSTRAINT gaps_pkey PRIMARY KEY (id);
ALTER TABLE ONLY farpost.gateways
    ADD CONSTRAINT gateways_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (server);
ALTER TABLE ONLY farpost.management_group
    ADD CONSTRAINT management_group_pkey PRIMARY KEY (id);
ALTER TABLE ONLY farpost.operators
    ADD CONSTRAINT operators_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.output_numbers
    ADD CONSTRAINT output_numbers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY farpost.output_positions
    ADD CONSTRAINT output_positions_pkey PRIMARY KEY (server, path);
ALTER TABLE ONLY farpost.presences
    ADD CONSTRAINT presences_pkey PRIMARY KEY (server, node);
ALTER TABLE ONLY farpost.refusals
    ADD CONSTRAINT refusals_pkey PRIMARY KEY (refuser, name, role, address, code);
ALTER TABLE ONLY farpost.servers
    ADD CONSTRAINT servers_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (agent);
ALTER TABLE ONLY farpost.site_nodes
    ADD CONSTRAINT site_nodes_pkey PRIMARY KEY (node);
ALTER TABLE ONLY farpost.sites
    ADD CONSTRAINT sites_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.successions
    ADD CONSTRAINT successions_pkey PRIMARY KEY (number);
ALTER TABLE ONLY farpost.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY farpost.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (version);
CREATE INDEX agents_pending ON farpost.agents USING btree (via, server) WHERE (state = 'pending'::text);
CREATE INDEX audit_at ON farpost.audit USING btree (at);
CREATE INDEX down_ended ON farpost.down_messages USING btree (ended) WHERE (state <> 0);
CREATE INDEX down_expires ON farpost.down_messages USING btree (expires) WHERE (state = 0);
CREATE INDEX down_pending ON farpost.down_messages USING btree (agent, number) INCLUDE (bytes) WHERE (state = 0);
CREATE INDEX gateways_pending ON farpost.gateways USING btree (via, server) WHERE (state = 'pending'::text);
CREATE INDEX refusals_last ON farpost.refusals USING btree (last);
CREATE INDEX site_nodes_by_site ON farpost.site_nodes USING btree (site);
CREATE INDEX tokens_expires ON farpost.tokens USING btree (expires);
CREATE INDEX tokens_name ON farpost.tokens USING btree (name);
CREATE TRIGGER audit_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON farpost.audit FOR EACH STATEMENT EXECUTE FUNCTION farpost.audit_is_append_only();
