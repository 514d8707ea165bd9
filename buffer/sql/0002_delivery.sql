-- How far each upstream is, what it would not take, and what people did about it.

-- One row an upstream, each with its own position.
CREATE TABLE cursor (
    upstream TEXT PRIMARY KEY,                  -- name in the configuration
    seq INTEGER NOT NULL,                       -- every entry up to this one is settled with this upstream
    required INTEGER NOT NULL CHECK (required IN (0, 1)), -- 1 pins retention; 0 skips when the byte cap is reached
    accepted_before INTEGER NOT NULL,           -- entries accepted before this upstream's start: not owed to it
    delivered INTEGER NOT NULL,                 -- entries it named as taken, counted row by row when they were settled
    skipped INTEGER NOT NULL,                   -- entries removed before it had them (optional upstreams only)
    registered_at INTEGER NOT NULL              -- wall clock, milliseconds since 1970 UTC; for people
) STRICT, WITHOUT ROWID;

-- Entries that cannot be delivered to an upstream as they are.
CREATE TABLE quarantine (
    upstream TEXT NOT NULL REFERENCES cursor (upstream) ON UPDATE CASCADE, -- who does not have it
    seq INTEGER NOT NULL,                       -- which entry
    reason TEXT NOT NULL,                       -- the upstream's latest words, or what is wrong with the row
    owner TEXT NOT NULL,                        -- who should look at it; empty when nobody is named
    state TEXT NOT NULL CHECK (state IN ('open', 'retry', 'delivered', 'discarded')), -- retry: a person asked to send it again
    since INTEGER NOT NULL,                     -- wall clock when it entered, milliseconds since 1970 UTC; for people
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;

-- Held entries are not purged; retention asks by seq.
CREATE INDEX quarantine_held ON quarantine (seq) WHERE state IN ('open', 'retry');

-- What people and the outbox itself did; append only and chained like the entries.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,                 -- order
    at INTEGER NOT NULL,                        -- wall clock, milliseconds since 1970 UTC; for people
    operating_ms INTEGER NOT NULL,              -- operating clock
    actor TEXT NOT NULL,                        -- who; "outbox" when nobody asked
    action TEXT NOT NULL,                       -- what, as noun_participle
    upstream TEXT NOT NULL,                     -- with regard to which upstream; empty when to none
    seq INTEGER,                                -- with regard to which entry; NULL when to none
    detail TEXT NOT NULL,                       -- in words
    chain BLOB NOT NULL                         -- BLAKE2b-128 over the previous chain and every column before this one
) STRICT;

-- The history of one entry is asked for by seq.
CREATE INDEX audit_of_entry ON audit (seq) WHERE seq IS NOT NULL;

CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is never updated');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is never deleted');
END;
