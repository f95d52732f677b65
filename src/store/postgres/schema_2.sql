-- Who changed what: only ever appended to. Its numbers are given under the group's lock, so they appear in their order.
CREATE TABLE farpost.audit (
    number  bigint PRIMARY KEY,
    at      bigint NOT NULL,
    kind    text NOT NULL,                       -- how the author is known
    author  text NOT NULL,
    origin  text NOT NULL,                       -- a computer's name or an address
    action  text NOT NULL,
    subject text NOT NULL,
    before  text,                                -- JSON
    after   text
);
CREATE INDEX audit_at ON farpost.audit (at);
CREATE FUNCTION farpost.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON farpost.audit
    FOR EACH STATEMENT EXECUTE FUNCTION farpost.audit_is_append_only();
