-- Attempts to connect that a gateway or a server refused: one row for those of one name, role, address and reason.
CREATE TABLE farpost.refusals (
    refuser text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,           -- empty: it proved none
    role    smallint NOT NULL,                   -- 0: it said none
    address text NOT NULL,                       -- without a port
    code    integer NOT NULL,
    text    text NOT NULL,
    first   bigint NOT NULL,
    last    bigint NOT NULL,
    count   bigint NOT NULL,
    PRIMARY KEY (refuser, name, role, address, code)
) WITH (fillfactor = 80);
CREATE INDEX refusals_last ON farpost.refusals (last);
