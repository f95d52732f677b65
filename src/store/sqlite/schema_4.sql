-- Attempts to connect that a gateway or a server refused: one row for those of one name, role, address and reason.
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
