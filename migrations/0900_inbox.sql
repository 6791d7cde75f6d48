-- The runs of a person that wait for an answer, latest first.
CREATE INDEX runs_asking_by_owner ON runs (owner, ended_at, id) WHERE asks_until IS NOT NULL AND answered_at IS NULL;
