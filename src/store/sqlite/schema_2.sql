-- One-time tokens: of each only SHA-256 of its public key, so that whoever reads this cannot use one.
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
