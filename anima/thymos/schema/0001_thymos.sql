-- Where the next life goes on reading the journal, and up to where souls were told of: a fold begun anew tells nothing twice.
CREATE TABLE cursor (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL, told INTEGER NOT NULL);
INSERT INTO cursor VALUES (1, 0, 0);

-- One agent each, as packed by anima/thymos/being.py; `nature` changes with the settings that shape the fold.
CREATE TABLE beings (agent TEXT PRIMARY KEY, nature TEXT NOT NULL, packed BLOB NOT NULL) WITHOUT ROWID;

-- What moved them, for people who ask why; levels are seven doubles each, in the order of HORMONES.
CREATE TABLE moves (
    agent TEXT NOT NULL,
    n INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ts REAL NOT NULL,
    stimulus TEXT NOT NULL,
    strength REAL NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL,
    PRIMARY KEY (agent, n)
) WITHOUT ROWID;
CREATE INDEX moves_by_ts ON moves (agent, ts);

-- What is to be told to the journal and is not known to be there: how a soul changed.
CREATE TABLE outbox (id TEXT PRIMARY KEY, event BLOB NOT NULL) WITHOUT ROWID;
