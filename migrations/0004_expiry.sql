-- Questions that nobody has answered, by when they expire.
CREATE INDEX runs_asking ON runs (asks_until) WHERE asks_until IS NOT NULL AND answered_at IS NULL;
