-- Why a run failed, for whoever runs the server; absent where it did not fail, or where the server was the cause.
ALTER TABLE runs ADD COLUMN problem TEXT;
-- The newest run of an agent is looked for.
CREATE INDEX runs_ended_by_agent ON runs (agent, ended_at) WHERE ended_at IS NOT NULL;
