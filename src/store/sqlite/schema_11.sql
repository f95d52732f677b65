-- The group's key: its place among the group's keys, since when it is the group's (milliseconds; NULL for the first), and what
-- the versions of all assignments are above.
ALTER TABLE management_group ADD COLUMN key_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE management_group ADD COLUMN key_since INTEGER;
ALTER TABLE management_group ADD COLUMN versions_from INTEGER NOT NULL DEFAULT 0;
