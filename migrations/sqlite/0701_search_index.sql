-- The words of each text, separated by spaces, after a word that says whose it is. Without `content`, only the index is stored.
CREATE VIRTUAL TABLE search_index USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = "ascii tokenchars '_'", prefix = '2 3'
);

-- Also when a thread or user is deleted with all its rows.
CREATE TRIGGER search_texts_deleted AFTER DELETE ON search_texts BEGIN
    DELETE FROM search_index WHERE rowid = old.id;
END;
