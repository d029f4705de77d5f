-- Where the next life goes on reading the journal. Written in the same transaction as what was read up to there.
CREATE TABLE cursor (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL);
INSERT INTO cursor VALUES (1, 0);

-- One call of a model each: as reserved, then as settled.
CREATE TABLE entries (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    agent TEXT NOT NULL,
    turn TEXT NOT NULL,
    day TEXT NOT NULL,
    cause TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    wall_s REAL NOT NULL,
    unpriced INTEGER NOT NULL,
    settled INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX entries_by_day ON entries (agent, day);
CREATE INDEX entries_by_turn ON entries (agent, turn);
CREATE INDEX entries_by_seq ON entries (agent, seq);

-- Who is frozen, and why.
CREATE TABLE frozen (agent TEXT PRIMARY KEY, seq INTEGER NOT NULL, ts REAL NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
