-- One dialect: what SQLite and PostgreSQL both run. Times are milliseconds since 1970; ids are UUIDv7 as text.

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    data TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Only a digest of a ticket is kept; using one deletes it.
CREATE TABLE tickets (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    session_id TEXT,
    expires_at BIGINT NOT NULL
);

-- The log. `id` is `thread/<thread_id>` or `user/<user_id>`; `head` is the seq of the channel's last entry.
CREATE TABLE channels (
    id TEXT PRIMARY KEY,
    head BIGINT NOT NULL
);

CREATE TABLE entries (
    channel TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (channel, seq)
);

-- The reducer's state at a seq: where folding a long log begins.
CREATE TABLE snapshots (
    channel TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    state TEXT NOT NULL
);

-- `request` is what the client asked, to tell a repetition from a conflict. A deleted thread stays as a tombstone, so
-- that its id cannot come back.
CREATE TABLE threads (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    agent TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX threads_by_owner ON threads (owner);

CREATE TABLE messages (
    id TEXT NOT NULL,
    author TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    request TEXT NOT NULL,
    run_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (author, id)
);
CREATE INDEX messages_by_thread ON messages (thread_id);

-- `ended_at` is null while a run goes on: what a restart must end.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    owner TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    agent TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX runs_by_thread ON runs (thread_id);

CREATE TABLE files (
    id TEXT PRIMARY KEY,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX files_by_thread ON files (thread_id);
