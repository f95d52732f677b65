-- How often an instance of the agent came back that another one had replaced, and when last (milliseconds): two computers with
-- one identity (rule F5).
ALTER TABLE sessions ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
