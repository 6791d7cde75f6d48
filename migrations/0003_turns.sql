-- Turns in a thread, what waits for a person, what agents used, agents of administrators.

-- `turn`: the place in the thread's log that the run's turn has; a run that goes on from another has the other's. `seq`: the
-- place of what asked for it. `asks_until`: ended, and waits for a person until then, in milliseconds since 1970.
-- `answered_at`: the person answered, or said something else. `caller`: what whoever asked gave along, as JSON.
ALTER TABLE runs ADD COLUMN message_id TEXT;
ALTER TABLE runs ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN asks_until BIGINT;
ALTER TABLE runs ADD COLUMN answered_at BIGINT;
ALTER TABLE runs ADD COLUMN caller TEXT;
UPDATE runs SET message_id = (SELECT m.id FROM messages m WHERE m.run_id = runs.id),
    turn = COALESCE((SELECT m.seq FROM messages m WHERE m.run_id = runs.id), 0),
    seq = COALESCE((SELECT m.seq FROM messages m WHERE m.run_id = runs.id), 0);

-- What a person's runs used on a day (UTC, `2026-01-31`), by agent and model. Costs in millionths of a US dollar.
CREATE TABLE usage (
    day TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    runs BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_microusd BIGINT NOT NULL,
    PRIMARY KEY (day, user_id, agent, model)
);

-- Agents that administrators added, as JSON in the shape of the configuration file's `[[agents]]`.
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    entry TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Folded again from the log, with what they did not tell before.
DELETE FROM snapshots;
