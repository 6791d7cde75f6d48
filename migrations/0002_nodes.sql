-- What many nodes on one store need, and what compaction leaves behind.

-- Entries up to `trimmed` may be missing: compacted, or no longer kept.
ALTER TABLE channels ADD COLUMN trimmed BIGINT NOT NULL DEFAULT 0;

-- Processes that share the store. One whose lease ran out counts as dead: others end its runs.
CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- The node that lives the run: only it appends to it. `stop_at`: somebody wants it stopped.
ALTER TABLE runs ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN stop_at BIGINT;
CREATE INDEX runs_open ON runs (node) WHERE ended_at IS NULL;

-- Until when a thread's runs have ended that were looked at for what may go, in milliseconds since 1970.
ALTER TABLE threads ADD COLUMN trimmed_at BIGINT NOT NULL DEFAULT 0;
