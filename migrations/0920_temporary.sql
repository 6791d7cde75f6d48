-- Temporary threads; null for others. `delete_at`: when the thread is deleted at the latest. `idle_minutes`: after how many minutes without a
-- connection that follows it. `followed_at`: when it was last seen to be followed. Times are milliseconds since 1970.
ALTER TABLE threads ADD COLUMN delete_at BIGINT;
ALTER TABLE threads ADD COLUMN idle_minutes BIGINT;
ALTER TABLE threads ADD COLUMN followed_at BIGINT;
CREATE INDEX threads_temporary ON threads (followed_at) WHERE delete_at IS NOT NULL;
