-- Who may ask from afar: nobody who is not here.
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
