-- Messages to agents stay for a while after they ended. Those of an earlier release never expire.
ALTER TABLE farpost.down_messages
    ADD COLUMN state   smallint NOT NULL DEFAULT 0,                      -- 0 pending, 1 delivered, 2 expired
    ADD COLUMN author  text NOT NULL DEFAULT '',
    ADD COLUMN expires bigint,
    ADD COLUMN ended   bigint,
    ADD COLUMN bytes   integer NOT NULL DEFAULT 0;                       -- the payload of those that ended is gone
UPDATE farpost.down_messages SET bytes = octet_length(payload);
CREATE INDEX down_pending ON farpost.down_messages (agent, number) INCLUDE (bytes) WHERE state = 0;
CREATE INDEX down_expires ON farpost.down_messages (expires) WHERE state = 0;
CREATE INDEX down_ended ON farpost.down_messages (ended) WHERE state <> 0;

-- When the servers, one of them at a time, last did something that is due from time to time.
CREATE TABLE farpost.chores (
    name text PRIMARY KEY,
    last bigint NOT NULL
);
