-- The tags of people. `name_key` is the name in lower case: no two tags of a person differ only in upper and lower case.
CREATE TABLE tags (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL
);
CREATE UNIQUE INDEX tags_by_owner ON tags (owner, name_key);

-- Which threads have a tag.
CREATE TABLE thread_tags (
    tag_id TEXT NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    PRIMARY KEY (tag_id, thread_id)
);
CREATE INDEX thread_tags_by_thread ON thread_tags (thread_id);

-- The same tags in the thread's own row, in the order in which they were added: each id followed by a comma.
ALTER TABLE threads ADD COLUMN tags TEXT NOT NULL DEFAULT '';
