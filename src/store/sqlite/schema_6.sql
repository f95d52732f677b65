-- What decides about agents that no operator has decided about, in order.
CREATE TABLE approval_rules (
    position INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    pattern  TEXT NOT NULL,
    gateway  TEXT,                               -- a pattern too
    issuer   BLOB,                               -- SHA-256 of the issuing CA's SubjectPublicKeyInfo
    action   TEXT NOT NULL
) STRICT;

-- Pinned keys, as JSON; the patterns of the agents that a gateway may speak for, comma-separated; by which rule an agent
-- is what it is.
ALTER TABLE gateways ADD COLUMN pin TEXT NOT NULL DEFAULT '{}';
ALTER TABLE gateways ADD COLUMN agents TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN pin TEXT NOT NULL DEFAULT '{}';
ALTER TABLE agents ADD COLUMN rule TEXT;
