-- How damage is noticed and what a salvage leaves behind.

-- Which file this is. Every commit writes this row, so a write-ahead log that belongs to another file shows another value.
ALTER TABLE ledger ADD COLUMN generation TEXT NOT NULL DEFAULT '';
UPDATE ledger SET generation = lower(hex(randomblob(16)));

-- The number of the newest audit record, so that a cut-off tail of the audit is noticed.
ALTER TABLE ledger ADD COLUMN audit_number INTEGER NOT NULL DEFAULT 0;
-- The chain of that record; sixteen zero bytes before the first.
ALTER TABLE ledger ADD COLUMN audit_chain BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';
UPDATE ledger SET
    audit_number = coalesce((SELECT max(number) FROM audit), 0),
    audit_chain = coalesce((SELECT chain FROM audit ORDER BY number DESC LIMIT 1), audit_chain);

-- Entries owed to an upstream that a salvage found gone: a term of the books of its own, counted by the salvage.
ALTER TABLE cursor ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;

-- Damage that a person has to know of; one row an audit record that tells it whole.
CREATE TABLE incident (
    audit_number INTEGER PRIMARY KEY,           -- the record of the audit (outbox_salvaged, log_lost)
    positions_lost INTEGER NOT NULL CHECK (positions_lost IN (0, 1)), -- 1: upstreams without a position get everything kept
    acknowledged_by TEXT                        -- who has seen it; NULL: it is an alarm
) STRICT;
