-- Whether the agent of an active run may read the message of a run that has not begun: 1 if so.
ALTER TABLE runs ADD COLUMN steers BIGINT NOT NULL DEFAULT 0;
