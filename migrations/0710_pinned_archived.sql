-- Whether a thread is pinned, and whether it is archived: 0 or 1.
ALTER TABLE threads ADD COLUMN pinned BIGINT NOT NULL DEFAULT 0;
ALTER TABLE threads ADD COLUMN archived BIGINT NOT NULL DEFAULT 0;
