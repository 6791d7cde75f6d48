-- Files that were uploaded before their message is sent: they have an owner and no thread yet.
ALTER TABLE files ALTER COLUMN thread_id DROP NOT NULL;
ALTER TABLE uploads ALTER COLUMN thread_id DROP NOT NULL;
CREATE INDEX files_unsent ON files (created_at) WHERE thread_id IS NULL;
