-- What people keep, as far as it is limited.

-- Bytes that the store keeps of a channel: its entries and, of a thread, what its messages and runs were given.
ALTER TABLE channels ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE channels SET bytes = (SELECT COALESCE(SUM(OCTET_LENGTH(e.entry)), 0) FROM entries e WHERE e.channel = channels.id);

CREATE INDEX threads_live ON threads (owner) WHERE deleted_at IS NULL;

-- Whose a file is: the owner of its thread.
ALTER TABLE files ADD COLUMN owner TEXT;
UPDATE files SET owner = (SELECT t.owner FROM threads t WHERE t.id = files.thread_id);
CREATE INDEX files_by_owner ON files (owner, bytes);

-- Files on their way, and the bytes that are reserved for them until then (milliseconds since 1970, by the store's clock). One
-- that is still on its way renews its time.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    owner TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bytes BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX uploads_by_owner ON uploads (owner);
