-- Reference data of the owner: what events are compared with. Opaque here.

-- Rows by name, written in commits of their own and looked up between two scans.
CREATE TABLE annex (
    space TEXT NOT NULL,                        -- which collection of the owner's
    key TEXT NOT NULL,                          -- the owner's name for the row; its order is the order of lists
    value BLOB NOT NULL,                        -- the owner's bytes
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
