-- Users who may read a thread of another user, or read and write it. `role`: `read` or `write`. `pinned`, `archived`: as in `threads`, for
-- this user's list. `added_at`: milliseconds since 1970.
CREATE TABLE thread_members (
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    pinned BIGINT NOT NULL DEFAULT 0,
    archived BIGINT NOT NULL DEFAULT 0,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (thread_id, user_id)
);
CREATE INDEX thread_members_by_user ON thread_members (user_id);

-- How many members a thread has: most have none, and `thread_members` is not read for them. Whoever changes members locks the thread's row.
ALTER TABLE threads ADD COLUMN members BIGINT NOT NULL DEFAULT 0;

-- The member who requested a run in another user's thread. Null: the thread's owner did.
ALTER TABLE runs ADD COLUMN requested_by TEXT;

-- Authors choose the ids of their messages; in a thread with several authors, none may use another's.
DROP INDEX messages_by_thread;
CREATE INDEX messages_by_thread ON messages (thread_id, id);
