-- What search looks through: titles, messages and answers, derived from the threads' logs. `kind` is `title`, `message` or `answer`. `id` is the
-- time in milliseconds since 1970, times 2^20, plus a random number: the order of ids is the order of time. The index over the words
-- of these texts differs by database: see the folders `sqlite` and `postgres`.
CREATE TABLE search_texts (
    id BIGINT PRIMARY KEY,
    owner TEXT NOT NULL,
    thread_id TEXT NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    message_id TEXT,
    run_id TEXT,
    text TEXT NOT NULL
);
CREATE INDEX search_texts_by_thread ON search_texts (thread_id);

-- Up to which entry of its log a thread was indexed.
CREATE TABLE search_progress (
    thread_id TEXT PRIMARY KEY REFERENCES threads (id) ON DELETE CASCADE,
    indexed_seq BIGINT NOT NULL
);
