-- The words of each text with their positions. A rare word is found by the first index, the newest texts with a common word by the others.
ALTER TABLE search_texts ADD COLUMN words TSVECTOR NOT NULL;
-- Without a list of pending insertions, which each search would have to read.
CREATE INDEX search_texts_by_word ON search_texts USING GIN (words) WITH (fastupdate = off);
CREATE INDEX search_titles_by_owner ON search_texts (owner, id) WHERE kind = 'title';
CREATE INDEX search_bodies_by_owner ON search_texts (owner, id) WHERE kind <> 'title';
