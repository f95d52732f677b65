SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA farpost;
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
    key_changed bigint
)
WITH (fillfactor='80');
CREATE TABLE farpost.assignments (
    node text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    body bytea,
    signature bytea
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
    payload bytea NOT NULL
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
    key_changed bigint
)
WITH (fillfactor='80');
CREATE TABLE farpost.management_group (
    id smallint NOT NULL,
    name text NOT NULL,
    signing_key bytea NOT NULL,
    challenge_secret bytea NOT NULL,
    change bigint DEFAULT 0 NOT NULL,
    unknown_agents text DEFAULT 'pending'::text NOT NULL,
    CONSTRAINT management_group_id_check CHECK ((id = 1))
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
INSERT INTO farpost.agents VALUES ('pc3', 'pending', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, '\x0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', NULL);
INSERT INTO farpost.agents VALUES ('pc2', 'approved', NULL, '', NULL, '', 1795000000040, 1795000000040, NULL, NULL);
INSERT INTO farpost.agents VALUES ('pc4', 'approved', NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, '\x0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', NULL);
INSERT INTO farpost.agents VALUES ('pc5', 'rejected', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000030, '\x0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e', NULL);
INSERT INTO farpost.agents VALUES ('pc1', 'approved', 'gw1', '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000030, 1795000000042, '\x6363636363636363636363636363636363636363636363636363636363636363', 1795000000042);
INSERT INTO farpost.assignments VALUES ('gw1', 2, '\x0014666172706f73742061737369676e6d656e7420310004434f525000036777310000000000000002000200036d7332165c00036d7331165b', '\xb84259db90ace25f09a9f582919cc5d3058dc3cb9fcf5cbdae332de81b25c4cb109dde3cb2b4f6d3d76e30152805724990984b28c26a4c9920b646309c2e850f');
INSERT INTO farpost.assignments VALUES ('gw4', 1, NULL, NULL);
INSERT INTO farpost.assignments VALUES ('pc1', 1, '\x0014666172706f73742061737369676e6d656e7420310004434f52500003706331000000000000000100020003677731165b0003677732165b', '\x44bae2584ee17210dbee7c061f1b5e6be5146176e5339b6ea377a8c7845b1f07636d87277828d60697422978d21fd2c517fab9420033caa130b7f0fd81448d07');
INSERT INTO farpost.deliveries VALUES (1, 'pc1', 7, 1, 2, 'gw1,gw2', 1, 1795000000055, '\x7063312031');
INSERT INTO farpost.deliveries VALUES (2, 'pc1', 7, 2, 2, 'gw1,gw2', 2, 1795000000055, '\x7063312032');
INSERT INTO farpost.deliveries VALUES (3, 'pc1', 7, 3, 2, 'gw1,gw2', 3, 1795000000055, '\x7063312033');
INSERT INTO farpost.deliveries VALUES (4, 'pc1', -2, 1, 2, 'gw1,gw2', 1, 1795000000055, '\x7063312031');
INSERT INTO farpost.deliveries VALUES (5, 'pc1', -2, 2, 2, 'gw1,gw2', 2, 1795000000055, '\x7063312032');
INSERT INTO farpost.deliveries VALUES (6, 'pc4', 8, 1, 2, '', 1, 1795000000055, '\x7063342031');
INSERT INTO farpost.deliveries VALUES (7, 'pc4', 8, 2, 2, '', 2, 1795000000055, '\x7063342032');
INSERT INTO farpost.down_messages VALUES ('pc1', 2, 1795000000060, '\x00ff27');
INSERT INTO farpost.down_messages VALUES ('pc1', 3, 1795000000060, '\x7468726565');
INSERT INTO farpost.down_numbers VALUES ('pc1', 3, 1);
INSERT INTO farpost.epochs VALUES ('pc1', 7, 1, 10, 1, 3, 1);
INSERT INTO farpost.epochs VALUES ('pc1', -2, 1, 10, 1, 9, 2);
INSERT INTO farpost.epochs VALUES ('pc4', 8, 1, 10, 1, 5, 1);
INSERT INTO farpost.gaps VALUES (1, 'pc1', -2, 3, 9, 4007, 1795000000055);
INSERT INTO farpost.gateways VALUES ('gw3', 'pending', NULL, NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000011, 1795000000011, '\x0303030303030303030303030303030303030303030303030303030303030303', NULL);
INSERT INTO farpost.gateways VALUES ('gw1', 'approved', 'ms1', NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000010, 1795000000010, '\x0101010101010101010101010101010101010101010101010101010101010101', NULL);
INSERT INTO farpost.gateways VALUES ('gw2', 'approved', 'ms2', NULL, '', NULL, '', 1795000000020, 1795000000020, NULL, NULL);
INSERT INTO farpost.gateways VALUES ('gw4', 'deleted', NULL, NULL, '10.0.0.7:50000', 'ms1', 'farpost 0.1 "O''Brien"; DROP TABLE agents; --', 1795000000012, 1795000000012, '\x0404040404040404040404040404040404040404040404040404040404040404', NULL);
INSERT INTO farpost.management_group VALUES (1, 'CORP', '\x3051020101300506032b657004220420e980aaf1060d98268aac2a307530ebac473b93cd1c887a62fd00a8c8c7d326748121000c4e5a1d39b2f3e1029888f3dbb39f2736431a221d6ebd5211a5fa162dd356d8', '\x0909090909090909090909090909090909090909090909090909090909090909', 25, 'reject');
INSERT INTO farpost.output_numbers VALUES (1, 7, 1);
INSERT INTO farpost.output_positions VALUES ('ms1', '/var/lib/O''Brien.jsonl', 1099511627776);
INSERT INTO farpost.servers VALUES ('ms1', '0.0.0.0:5723', false, 1795000000001);
INSERT INTO farpost.servers VALUES ('ms2', '[::]:5723', false, 1795000000001);
INSERT INTO farpost.servers VALUES ('ms3', '10.0.0.3:5723 "O''Brien"', true, 1795000000001);
INSERT INTO farpost.sessions VALUES ('pc1', 2, -2, 'ms1', 'gw1', 1795000000050);
INSERT INTO farpost.sessions VALUES ('pc4', 1, 8, 'ms1', NULL, 1795000000050);
INSERT INTO farpost.tokens VALUES ('\x0202020202020202020202020202020202020202020202020202020202020202', 'gw6', 2, NULL, 1795000000070, 1795003600070, NULL, NULL);
INSERT INTO farpost.tokens VALUES ('\x0101010101010101010101010101010101010101010101010101010101010101', 'pc6', 1, 'gw1', 1795000000070, 1795003600070, 1795000000080, '\x0909090909090909090909090909090909090909090909090909090909090909');
INSERT INTO farpost.versions VALUES (1, '2026-11-22 21:48:26.218291+00');
ALTER TABLE ONLY farpost.agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.assignments
    ADD CONSTRAINT assignments_pkey PRIMARY KEY (node);
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
ALTER TABLE ONLY farpost.management_group
    ADD CONSTRAINT management_group_pkey PRIMARY KEY (id);
ALTER TABLE ONLY farpost.output_numbers
    ADD CONSTRAINT output_numbers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY farpost.output_positions
    ADD CONSTRAINT output_positions_pkey PRIMARY KEY (server, path);
ALTER TABLE ONLY farpost.servers
    ADD CONSTRAINT servers_pkey PRIMARY KEY (name);
ALTER TABLE ONLY farpost.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (agent);
ALTER TABLE ONLY farpost.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (hash);
ALTER TABLE ONLY farpost.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (version);
CREATE INDEX agents_pending ON farpost.agents USING btree (via, server) WHERE (state = 'pending'::text);
CREATE INDEX gateways_pending ON farpost.gateways USING btree (via, server) WHERE (state = 'pending'::text);
CREATE INDEX tokens_expires ON farpost.tokens USING btree (expires);
CREATE INDEX tokens_name ON farpost.tokens USING btree (name);
