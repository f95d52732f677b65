-- Who changed what: only ever appended to.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,                       -- how the author is known
    author  TEXT NOT NULL,
    origin  TEXT NOT NULL,                       -- a computer's name or an address
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    before  TEXT,                                -- JSON
    after   TEXT
) STRICT;
CREATE INDEX audit_at ON audit (at);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
