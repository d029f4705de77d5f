-- Every fact, once, in the order it was stored. Rows are never changed and never removed.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,    -- dense, from 1
    id      TEXT NOT NULL UNIQUE,   -- the producer's; sending an event again finds it here
    ts      REAL NOT NULL,          -- seconds since 1970, UTC, never less than in the row before, but where an agent brought its past along
    kind    TEXT NOT NULL,
    agent   TEXT NOT NULL,          -- '' for the house
    session TEXT NOT NULL,          -- '' if none
    blob    BLOB NOT NULL,          -- the encoded event, as the producer sent it
    chain   BLOB NOT NULL           -- anima/wire/chain.py: covers the row before, seq, ts and blob
);

-- One index per question asked often, each ending in seq, so that every answer is a walk along one of them
-- (or a merge of a few) that stops at the page's end, however long the history is.
CREATE INDEX events_by_agent ON events (agent, seq);
CREATE INDEX events_by_session ON events (agent, session, seq);
CREATE INDEX events_by_kind ON events (agent, kind, seq);
CREATE INDEX events_by_session_kind ON events (agent, session, kind, seq);
