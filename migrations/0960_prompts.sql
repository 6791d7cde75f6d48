-- Texts for the composer, which users store under a name. `name_key` is the name in lower case: no two prompts of a user differ only in upper
-- and lower case. `shared`: 1 if all users may use it. `updated_at`: milliseconds since 1970.
CREATE TABLE prompts (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    text TEXT NOT NULL,
    shared BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX prompts_by_owner ON prompts (owner, name_key);
CREATE INDEX shared_prompts ON prompts (name_key) WHERE shared = 1;
