-- What is remembered, of all agents. It follows from the journal alone: whoever deletes this file has it written again.

CREATE TABLE memories (
    n          INTEGER PRIMARY KEY,  -- order of arrival; what has the same time is told in it
    id         TEXT    NOT NULL UNIQUE,  -- AGENT/ID
    agent      TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    session    TEXT    NOT NULL,
    speaker    TEXT    NOT NULL,
    text       TEXT    NOT NULL,
    ts         REAL    NOT NULL,
    seq        INTEGER NOT NULL,
    importance REAL    NOT NULL,
    shared     INTEGER NOT NULL,
    mood       TEXT    NOT NULL,  -- JSON
    source     TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    "by"       TEXT    NOT NULL,
    accessed   INTEGER NOT NULL,
    data       TEXT    NOT NULL,  -- JSON
    words      INTEGER NOT NULL,  -- how many there are in the text
    marks      INTEGER NOT NULL   -- see anima/mneme/asked.py
);

CREATE INDEX memories_by_arrival ON memories (agent, n);
CREATE INDEX memories_by_time ON memories (agent, ts, n);
CREATE INDEX memories_by_kind ON memories (agent, kind, ts, n);
CREATE INDEX memories_by_session ON memories (agent, session, ts, n);

-- The words, of what is live alone; the text itself stands above. Which rows have a word is all that is asked of it.
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = 'memories', content_rowid = 'n', tokenize = 'porter unicode61 remove_diacritics 2', detail = none, columnsize = 0
);

-- The meaning of what is live, as whole numbers from -127 to 127, all of one model; and what waits for its own.
CREATE TABLE vectors (n INTEGER PRIMARY KEY, code BLOB NOT NULL);
CREATE TABLE unwoven (n INTEGER PRIMARY KEY);
CREATE TABLE embedding (model TEXT NOT NULL, dimensions INTEGER NOT NULL);
INSERT INTO embedding VALUES ('', 384);

-- Up to where the journal was read; it moves in the transaction that stores what was found there.
CREATE TABLE cursor (seq INTEGER NOT NULL);
INSERT INTO cursor VALUES (0);
