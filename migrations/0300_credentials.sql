-- Every credential is a session: that of a cookie, and one for each access token. `parent`: the session that asked for the
-- token, with which it ends; null for a session that began with a password.
ALTER TABLE sessions ADD COLUMN parent TEXT REFERENCES sessions (id) ON DELETE CASCADE;
CREATE INDEX sessions_by_parent ON sessions (parent);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- A ticket names the session that asked for it.
DELETE FROM tickets WHERE session_id IS NULL;

-- The digest of a set-up token; servers over one store share a token now.
DELETE FROM settings WHERE key = 'setup_token';
CREATE INDEX tickets_by_user ON tickets (user_id);
