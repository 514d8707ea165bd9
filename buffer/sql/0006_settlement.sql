-- When each upstream took what, for people who ask what became of one event.

-- One row a second and upstream in which a position moved forward; removed with the entries it tells of.
CREATE TABLE settlement (
    second INTEGER NOT NULL,                    -- operating clock, whole seconds: the order in which it happened
    upstream TEXT NOT NULL REFERENCES cursor (upstream) ON UPDATE CASCADE, -- whose position moved
    after_seq INTEGER NOT NULL,                 -- where it was before: not part of the range
    through_seq INTEGER NOT NULL CHECK (through_seq > after_seq), -- where it went: the last entry of the range
    at INTEGER NOT NULL,                        -- wall clock of the last move in that second, milliseconds since 1970 UTC; for people
    PRIMARY KEY (second, upstream)
) STRICT, WITHOUT ROWID;
