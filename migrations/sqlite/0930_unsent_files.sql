-- Files that were uploaded before their message is sent: they have an owner and no thread yet. SQLite cannot drop NOT NULL from a column.
CREATE TABLE new_files (
    id TEXT PRIMARY KEY,
    -- Null: the file was not sent yet.
    thread_id TEXT REFERENCES threads (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    owner TEXT
);
INSERT INTO new_files (id, thread_id, name, bytes, created_at, owner) SELECT id, thread_id, name, bytes, created_at, owner FROM files;
DROP TABLE files;
ALTER TABLE new_files RENAME TO files;
CREATE INDEX files_by_thread ON files (thread_id);
CREATE INDEX files_by_owner ON files (owner, bytes);
CREATE INDEX files_unsent ON files (created_at) WHERE thread_id IS NULL;

CREATE TABLE new_uploads (
    id TEXT PRIMARY KEY,
    -- Null: the file's message is not sent yet.
    thread_id TEXT REFERENCES threads (id) ON DELETE CASCADE,
    owner TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bytes BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
INSERT INTO new_uploads (id, thread_id, owner, bytes, expires_at) SELECT id, thread_id, owner, bytes, expires_at FROM uploads;
DROP TABLE uploads;
ALTER TABLE new_uploads RENAME TO uploads;
CREATE INDEX uploads_by_owner ON uploads (owner);
