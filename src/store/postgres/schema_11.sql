-- How often an instance of the agent came back that another one had replaced, and when last (milliseconds): two computers with
-- one identity (rule F5).
ALTER TABLE farpost.sessions ADD COLUMN returns bigint NOT NULL DEFAULT 0;
ALTER TABLE farpost.sessions ADD COLUMN returned bigint NOT NULL DEFAULT 0;
