-- What was captured, and everything that commits together with it.

-- The outbox as a whole; exactly one row.
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),    -- always 1: there is one ledger a file
    head_seq INTEGER NOT NULL,                  -- seq of the newest entry ever committed; kept so that a cut-off tail is noticed
    head_chain BLOB NOT NULL,                   -- chain of that entry; sixteen zero bytes before the first
    accepted INTEGER NOT NULL,                  -- entries ever committed, counted in the commit that stored them, never derived
    purged INTEGER NOT NULL,                    -- entries that retention removed, counted in the commit that removed them
    operating_ms INTEGER NOT NULL,              -- milliseconds this gateway has been running, all runs added; never a wall clock
    in_use INTEGER NOT NULL CHECK (in_use IN (0, 1)), -- 1 from open to orderly close; with no write-ahead log beside it, commits were lost
    epoch_wanted TEXT                           -- why the next open must begin a new epoch; NULL when it need not
) STRICT;

-- Under which source sequences were given out. A sequence is never reused under one source.
CREATE TABLE epoch (
    number INTEGER PRIMARY KEY,                 -- order of opening
    first_seq INTEGER NOT NULL,                 -- the first sequence that this epoch may give out
    source TEXT NOT NULL UNIQUE,                -- CloudEvents source with the epoch as its last segment
    linked_chain BLOB NOT NULL,                 -- head of the chain when the epoch began: the journal does not break at an epoch
    reason TEXT NOT NULL,                       -- created, renamed, restored, position beyond ours, ...
    opened_at INTEGER NOT NULL                  -- wall clock, milliseconds since 1970 UTC; for people
) STRICT;

-- The events. Append only.
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY,                    -- order of commit; assigned inside it, never reused, without gaps
    id TEXT NOT NULL,                           -- CloudEvents id, fixed at capture (UUIDv7: no hash-ordered index on the hot table)
    type TEXT NOT NULL,                         -- CloudEvents type
    station TEXT NOT NULL,                      -- station id; empty when none applies
    device TEXT NOT NULL,                       -- device id; empty when the gateway itself speaks
    captured_at INTEGER NOT NULL,               -- wall clock at capture, milliseconds since 1970 UTC; for people and queries
    payload BLOB NOT NULL,                      -- the CloudEvent as JSON without its sequence; never re-encoded
    digest BLOB NOT NULL,                       -- BLAKE2b-128 over seq and every column before this one; checked before sending
    chain BLOB NOT NULL                         -- BLAKE2b-128 over the previous chain, seq and digest: the tamper-evident journal
) STRICT;

CREATE TRIGGER entry_is_never_updated BEFORE UPDATE ON entry
BEGIN
    SELECT RAISE(ABORT, 'an entry is never updated');
END;

-- Anchors: runs of entries that retention removed, so that the chain after them still verifies.
CREATE TABLE purged (
    first_seq INTEGER PRIMARY KEY,              -- first entry of the run
    last_seq INTEGER NOT NULL CHECK (last_seq >= first_seq), -- last entry of the run
    last_chain BLOB NOT NULL                    -- chain of the last entry: where verification goes on
) STRICT;

-- How old entries are, without a column an entry: one row a minute in which something was committed.
CREATE TABLE age_mark (
    operating_ms INTEGER PRIMARY KEY,           -- operating clock when the mark was made
    seq INTEGER NOT NULL                        -- every entry up to this one is at least as old as the mark
) STRICT;

-- Rows that explain events (sessions, counters, open cycles) and commit with them; opaque here.
CREATE TABLE state (
    key TEXT PRIMARY KEY,                       -- the owner's name for it
    value BLOB NOT NULL                         -- the owner's bytes
) STRICT, WITHOUT ROWID;

-- The answers numbered messages were given.
CREATE TABLE redelivery (
    device TEXT NOT NULL,                       -- device id
    message_id TEXT NOT NULL,                   -- the device's own number for the message
    fingerprint BLOB NOT NULL,                  -- of the message, so that a reused number is not taken for a redelivery
    verdict BLOB NOT NULL,                      -- the owner's encoding of the answer
    committed_ms INTEGER NOT NULL,              -- operating clock at commit; the window counts from here
    PRIMARY KEY (device, message_id)
) STRICT, WITHOUT ROWID;

INSERT INTO ledger (one, head_seq, head_chain, accepted, purged, operating_ms, in_use)
VALUES (1, 0, zeroblob(16), 0, 0, 0, 0);
