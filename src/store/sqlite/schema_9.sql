-- Messages to agents stay for a while after they ended. Those of an earlier release never expire.
ALTER TABLE down_messages ADD COLUMN state INTEGER NOT NULL DEFAULT 0;   -- 0 pending, 1 delivered, 2 expired
ALTER TABLE down_messages ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE down_messages ADD COLUMN expires INTEGER;
ALTER TABLE down_messages ADD COLUMN ended INTEGER;
ALTER TABLE down_messages ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;   -- the payload of those that ended is gone
UPDATE down_messages SET bytes = length(payload);
CREATE INDEX down_pending ON down_messages (agent, number, bytes) WHERE state = 0;
CREATE INDEX down_expires ON down_messages (expires) WHERE state = 0;
CREATE INDEX down_ended ON down_messages (ended) WHERE state <> 0;

-- When the servers, one of them at a time, last did something that is due from time to time.
CREATE TABLE chores (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
