-- Where a thread's title comes from: `rule`, made of its first message; `requested`, as `rule`, and its agent's model was asked for a better one;
-- `model`, from that model. Null: from a person, or not known.
ALTER TABLE threads ADD COLUMN title_source TEXT;
