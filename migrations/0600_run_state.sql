-- When a run's first entry was appended, and when its message was taken back before that; milliseconds since 1970.
ALTER TABLE runs ADD COLUMN begun_at BIGINT;
ALTER TABLE runs ADD COLUMN taken_back_at BIGINT;

-- Read from the logs for the runs there are. PostgreSQL's jsonb has no `\u0000`; no id or kind contains one.
UPDATE runs SET begun_at = first.at FROM (
    SELECT channel, jsonb(replace(entry, '\u0000', '\u0020')) ->> 'run_id' AS run_id, MIN(at) AS at
    FROM entries WHERE entry LIKE '{"kind":"agent",%}' GROUP BY 1, 2
) AS first WHERE first.run_id = runs.id AND first.channel = 'thread/' || runs.thread_id;

UPDATE runs SET taken_back_at = taken.at FROM (
    SELECT channel, at, jsonb(entry) ->> 'message_id' AS message_id
    FROM entries WHERE entry LIKE '{"kind":"taken_back",%}'
) AS taken WHERE taken.message_id = runs.message_id AND taken.channel = 'thread/' || runs.thread_id;
