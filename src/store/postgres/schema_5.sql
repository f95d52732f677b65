-- What decides about agents that no operator has decided about, in order.
CREATE TABLE farpost.approval_rules (
    position bigint PRIMARY KEY,
    name     text COLLATE "C" NOT NULL UNIQUE,
    pattern  text NOT NULL,
    gateway  text,                               -- a pattern too
    issuer   bytea,                              -- SHA-256 of the issuing CA's SubjectPublicKeyInfo
    action   text NOT NULL
);

-- Pinned keys, as JSON; the patterns of the agents that a gateway may speak for, comma-separated; by which rule an agent
-- is what it is.
ALTER TABLE farpost.gateways ADD COLUMN pin text NOT NULL DEFAULT '{}';
ALTER TABLE farpost.gateways ADD COLUMN agents text NOT NULL DEFAULT '';
ALTER TABLE farpost.agents ADD COLUMN pin text NOT NULL DEFAULT '{}';
ALTER TABLE farpost.agents ADD COLUMN rule text;
