-- In the order in which commits and readers take them, so that nobody waits for one who waits for this.
LOCK TABLE farpost.management_group, farpost.epochs, farpost.delivered, farpost.deliveries, farpost.gaps
    IN ACCESS EXCLUSIVE MODE;

-- Deliveries by the day (UTC) on which they were received: a day is pruned in an instant. NULL keeps them for ever.
ALTER TABLE farpost.management_group ADD COLUMN deliveries_keep_days integer;

-- What was there is one partition, up to the end of its latest day. A partition's own keys are unique; across them a
-- key is unique by its agent's cursor, and by `stored` where the epoch was forgotten.
ALTER TABLE farpost.deliveries RENAME TO deliveries_earlier;
CREATE TABLE farpost.deliveries (
    id       bigint NOT NULL,
    agent    text COLLATE "C" NOT NULL,
    epoch    bigint NOT NULL,
    sequence bigint NOT NULL,
    priority smallint NOT NULL,
    via      text COLLATE "C" NOT NULL,
    sent     bigint NOT NULL,
    received bigint NOT NULL,
    payload  bytea NOT NULL
) PARTITION BY RANGE (received);

-- For whatever has no day's partition: a commit never fails because one is missing.
CREATE TABLE farpost.deliveries_other PARTITION OF farpost.deliveries (
    PRIMARY KEY (id),
    UNIQUE (agent, epoch, sequence)
) DEFAULT;
CREATE INDEX deliveries_other_received ON farpost.deliveries_other (received);
CREATE INDEX deliveries_earlier_received ON farpost.deliveries_earlier (received);
CREATE INDEX gaps_received ON farpost.gaps (received);

-- A view that is replaced keeps who may read it; the table's readers are named again.
CREATE OR REPLACE VIEW farpost.delivered AS
    SELECT id, agent, via, lpad(to_hex(epoch), 16, '0') AS epoch, sequence, priority, sent, received, payload
    FROM farpost.deliveries;

-- An epoch that was forgotten keeps how far it was delivered (`stored`), in case that it comes back.
ALTER TABLE farpost.epochs
    ADD COLUMN forgotten bigint,
    ADD COLUMN stored    bigint NOT NULL DEFAULT 0;
CREATE INDEX epochs_forgotten ON farpost.epochs (forgotten) WHERE forgotten IS NOT NULL;
INSERT INTO farpost.epochs (agent, epoch, boot, nonce, connection, cursor, fence, forgotten, stored)
    SELECT agent, epoch, 0, 0, 0, max(sequence), 0, (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
           max(sequence)
    FROM farpost.deliveries_earlier GROUP BY agent, epoch
    ON CONFLICT (agent, epoch) DO UPDATE SET stored = excluded.stored WHERE epochs.cursor < excluded.stored;

DO $$
DECLARE
    through bigint;
    reader  text;
BEGIN
    FOR reader IN
        SELECT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.oid = 'farpost.deliveries_earlier'::regclass AND g.privilege_type = 'SELECT' AND g.grantee <> c.relowner
    LOOP
        EXECUTE 'GRANT SELECT ON farpost.deliveries TO ' || reader;
    END LOOP;
    SELECT (max(received) / 86400000 + 1) * 86400000 INTO through FROM farpost.deliveries_earlier;
    IF through IS NULL THEN
        DROP TABLE farpost.deliveries_earlier;
    ELSE
        EXECUTE format('ALTER TABLE farpost.deliveries ATTACH PARTITION farpost.deliveries_earlier
                        FOR VALUES FROM (MINVALUE) TO (%s)', through);
    END IF;
END $$;
