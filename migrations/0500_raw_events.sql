-- RAW events of agents that keep them: apart from the entries, so that whoever opens a thread does not load them. `seq` counts from
-- 1 in each run.
CREATE TABLE raw_events (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
);
