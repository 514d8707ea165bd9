PRAGMA application_id = 1145785422;
PRAGMA user_version = 7;
BEGIN TRANSACTION;
CREATE TABLE age_mark (
    operating_ms INTEGER PRIMARY KEY,           -- operating clock when the mark was made
    seq INTEGER NOT NULL                        -- every entry up to this one is at least as old as the mark
) STRICT;
INSERT INTO "age_mark" VALUES(0,1);
CREATE TABLE annex (
    space TEXT NOT NULL,                        -- which collection of the owner's
    key TEXT NOT NULL,                          -- the owner's name for the row; its order is the order of lists
    value BLOB NOT NULL,                        -- the owner's bytes
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "annex" VALUES('expectation','ASN-1',X'7B2276657273696F6E223A2231227D');
CREATE TABLE announcement (
    upstream TEXT NOT NULL REFERENCES cursor (upstream) ON UPDATE CASCADE, -- who has to be told
    seq INTEGER NOT NULL,                       -- of which entry; what there is to tell stands in its row of quarantine
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "announcement" VALUES('wms',2);
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
INSERT INTO "audit" VALUES(1,1790000000000,0,'outbox','epoch_opened','',NULL,'created',X'C669C41E09E407C95DE6D42FE35C7A2B');
INSERT INTO "audit" VALUES(2,1790000000000,0,'outbox','upstream_registered','wms',NULL,'after sequence 0',X'934C93EA17D022EB96D34E7FEDF66494');
INSERT INTO "audit" VALUES(3,1790000000000,0,'outbox','entry_quarantined','wms',2,'GTIN check digit',X'CF362E61DA6A797C2AFF313158E55959');
CREATE TABLE cursor (
    upstream TEXT PRIMARY KEY,                  -- name in the configuration
    seq INTEGER NOT NULL,                       -- every entry up to this one is settled with this upstream
    required INTEGER NOT NULL CHECK (required IN (0, 1)), -- 1 pins retention; 0 skips when the byte cap is reached
    accepted_before INTEGER NOT NULL,           -- entries accepted before this upstream's start: not owed to it
    delivered INTEGER NOT NULL,                 -- entries it named as taken, counted row by row when they were settled
    skipped INTEGER NOT NULL,                   -- entries removed before it had them (optional upstreams only)
    registered_at INTEGER NOT NULL              -- wall clock, milliseconds since 1970 UTC; for people
, lost INTEGER NOT NULL DEFAULT 0, crc INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "cursor" VALUES('wms',3,1,0,2,0,1790000000000,0,2815843606);
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
INSERT INTO "entry" VALUES(1,'01890000-0000-7000-8000-000000000001','dockline.receipt.v1','dock-3','dock-3-scanner',1790000000001,X'7B227370656376657273696F6E223A22312E30222C226E223A317D',X'483F81CFF6C637FC7EDAFD170660D7A0',X'78B8880CBCE3C50753BF6C92226A0257');
INSERT INTO "entry" VALUES(2,'01890000-0000-7000-8000-000000000002','dockline.receipt.v1','dock-3','dock-3-scanner',1790000000002,X'7B227370656376657273696F6E223A22312E30222C226E223A327D',X'F6B386C523DB8F117FBACD96BD1785A3',X'B67A6156686E26B079B09D45BF319775');
INSERT INTO "entry" VALUES(3,'01890000-0000-7000-8000-000000000003','dockline.receipt.v1','dock-3','dock-3-scanner',1790000000003,X'7B227370656376657273696F6E223A22312E30222C226E223A337D',X'86FB96F19C934D9E2D5AAF149481C04A',X'0FB7B6A46C6C887BA8496DD3B373992A');
INSERT INTO "entry" VALUES(4,'01890000-0000-7000-8000-000000000004','dockline.receipt.v1','dock-3','dock-3-scanner',1790000000004,X'7B227370656376657273696F6E223A22312E30222C226E223A347D',X'966F5FDEEB3EFF64CC10A73B26BC021A',X'05B9D1A8D72EE8EE5B2380D466251CDB');
INSERT INTO "entry" VALUES(5,'01890000-0000-7000-8000-000000000005','dockline.receipt.v1','dock-3','dock-3-scanner',1790000000005,X'7B227370656376657273696F6E223A22312E30222C226E223A357D',X'60987C7ABEDC7579E4555444DF96DC87',X'E57BA7300461CF12D76AE16D318F4CE3');
CREATE TABLE epoch (
    number INTEGER PRIMARY KEY,                 -- order of opening
    first_seq INTEGER NOT NULL,                 -- the first sequence that this epoch may give out
    source TEXT NOT NULL UNIQUE,                -- CloudEvents source with the epoch as its last segment
    linked_chain BLOB NOT NULL,                 -- head of the chain when the epoch began: the journal does not break at an epoch
    reason TEXT NOT NULL,                       -- created, renamed, restored, position beyond ours, ...
    opened_at INTEGER NOT NULL                  -- wall clock, milliseconds since 1970 UTC; for people
) STRICT;
INSERT INTO "epoch" VALUES(1,1,'//dc07/dock-pc-1/e1',X'00000000000000000000000000000000','created',1790000000000);
CREATE TABLE incident (
    audit_number INTEGER PRIMARY KEY,           -- the record of the audit (outbox_salvaged, log_lost)
    positions_lost INTEGER NOT NULL CHECK (positions_lost IN (0, 1)), -- 1: upstreams without a position get everything kept
    acknowledged_by TEXT                        -- who has seen it; NULL: it is an alarm
) STRICT;
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),    -- always 1: there is one ledger a file
    head_seq INTEGER NOT NULL,                  -- seq of the newest entry ever committed; kept so that a cut-off tail is noticed
    head_chain BLOB NOT NULL,                   -- chain of that entry; sixteen zero bytes before the first
    accepted INTEGER NOT NULL,                  -- entries ever committed, counted in the commit that stored them, never derived
    purged INTEGER NOT NULL,                    -- entries that retention removed, counted in the commit that removed them
    operating_ms INTEGER NOT NULL,              -- milliseconds this gateway has been running, all runs added; never a wall clock
    in_use INTEGER NOT NULL CHECK (in_use IN (0, 1)), -- 1 from open to orderly close; with no write-ahead log beside it, commits were lost
    epoch_wanted TEXT                           -- why the next open must begin a new epoch; NULL when it need not
, generation TEXT NOT NULL DEFAULT '', audit_number INTEGER NOT NULL DEFAULT 0, audit_chain BLOB NOT NULL DEFAULT x'00000000000000000000000000000000') STRICT;
INSERT INTO "ledger" VALUES(1,5,X'E57BA7300461CF12D76AE16D318F4CE3',5,0,0,0,NULL,'00112233445566778899aabbccddeeff',3,X'CF362E61DA6A797C2AFF313158E55959');
CREATE TABLE purged (
    first_seq INTEGER PRIMARY KEY,              -- first entry of the run
    last_seq INTEGER NOT NULL CHECK (last_seq >= first_seq), -- last entry of the run
    last_chain BLOB NOT NULL                    -- chain of the last entry: where verification goes on
) STRICT;
CREATE TABLE quarantine (
    upstream TEXT NOT NULL REFERENCES cursor (upstream) ON UPDATE CASCADE, -- who does not have it
    seq INTEGER NOT NULL,                       -- which entry
    reason TEXT NOT NULL,                       -- the upstream's latest words, or what is wrong with the row
    owner TEXT NOT NULL,                        -- who should look at it; empty when nobody is named
    state TEXT NOT NULL CHECK (state IN ('open', 'retry', 'delivered', 'discarded')), -- retry: a person asked to send it again
    since INTEGER NOT NULL,                     -- wall clock when it entered, milliseconds since 1970 UTC; for people
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "quarantine" VALUES('wms',2,'GTIN check digit','quality','open',1790000000000);
CREATE TABLE redelivery (
    device TEXT NOT NULL,                       -- device id
    message_id TEXT NOT NULL,                   -- the device's own number for the message
    fingerprint BLOB NOT NULL,                  -- of the message, so that a reused number is not taken for a redelivery
    verdict BLOB NOT NULL,                      -- the owner's encoding of the answer
    committed_ms INTEGER NOT NULL, crc INTEGER NOT NULL DEFAULT 0,              -- operating clock at commit; the window counts from here
    PRIMARY KEY (device, message_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "redelivery" VALUES('hh-7','hh-7-000001',X'6631',X'7631',0,1683110607);
INSERT INTO "redelivery" VALUES('hh-7','hh-7-000002',X'6632',X'7632',0,338325039);
INSERT INTO "redelivery" VALUES('hh-7','hh-7-000003',X'6633',X'7633',0,2368561072);
INSERT INTO "redelivery" VALUES('hh-7','hh-7-000004',X'6634',X'7634',0,4107978735);
INSERT INTO "redelivery" VALUES('hh-7','hh-7-000005',X'6635',X'7635',0,1843263088);
CREATE TABLE settlement (
    second INTEGER NOT NULL,                    -- operating clock, whole seconds: the order in which it happened
    upstream TEXT NOT NULL REFERENCES cursor (upstream) ON UPDATE CASCADE, -- whose position moved
    after_seq INTEGER NOT NULL,                 -- where it was before: not part of the range
    through_seq INTEGER NOT NULL CHECK (through_seq > after_seq), -- where it went: the last entry of the range
    at INTEGER NOT NULL,                        -- wall clock of the last move in that second, milliseconds since 1970 UTC; for people
    PRIMARY KEY (second, upstream)
) STRICT, WITHOUT ROWID;
INSERT INTO "settlement" VALUES(4,'wms',0,3,1795248000000);
CREATE TABLE state (
    key TEXT PRIMARY KEY,                       -- the owner's name for it
    value BLOB NOT NULL                         -- the owner's bytes
, crc INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "state" VALUES('session/dock-3',X'504C2D31303031',4082180641);
CREATE TRIGGER entry_is_never_updated BEFORE UPDATE ON entry
BEGIN
    SELECT RAISE(ABORT, 'an entry is never updated');
END;
CREATE INDEX quarantine_held ON quarantine (seq) WHERE state IN ('open', 'retry');
CREATE INDEX audit_of_entry ON audit (seq) WHERE seq IS NOT NULL;
CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is never updated');
END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is never deleted');
END;
COMMIT;
