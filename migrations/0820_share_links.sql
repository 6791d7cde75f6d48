-- Links with which anybody can read a thread, without an account.
CREATE TABLE share_links (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    -- Null: it does not expire.
    expires_at BIGINT,
    -- Null: it was not withdrawn.
    withdrawn_at BIGINT
);
CREATE INDEX share_links_by_thread ON share_links (thread_id);
