-- How long deliveries are kept, in days; NULL: for ever.
ALTER TABLE management_group ADD COLUMN deliveries_keep_days INTEGER;

-- The days (since 1970, UTC) on which deliveries were received, and between which numbers they stand: what is pruned is
-- found by its number, without an index of times.
CREATE TABLE delivery_days (
    day   INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last  INTEGER NOT NULL
) STRICT;
INSERT INTO delivery_days SELECT received / 86400000, min(id), max(id) FROM deliveries GROUP BY 1;
CREATE INDEX gaps_received ON gaps (received);
