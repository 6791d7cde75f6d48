-- What the thread's owner thought of a run's answer: `good` or `bad`, and a note. Null: nothing said.
ALTER TABLE runs ADD COLUMN rating TEXT;
ALTER TABLE runs ADD COLUMN feedback_note TEXT;
CREATE INDEX runs_rated ON runs (agent, rating) WHERE rating IS NOT NULL;
