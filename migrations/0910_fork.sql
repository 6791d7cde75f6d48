-- Where a thread that was forked comes from, as JSON; null for other threads.
ALTER TABLE threads ADD COLUMN forked_from TEXT;
