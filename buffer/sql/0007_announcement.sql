-- Gap records that still have to be sent, because the place of their entry is behind the position.

-- One row an entry that an upstream lacks and was not told of; removed when it took the record, or gets the entry.
CREATE TABLE announcement (
    upstream TEXT NOT NULL REFERENCES cursor (upstream) ON UPDATE CASCADE, -- who has to be told
    seq INTEGER NOT NULL,                       -- of which entry; what there is to tell stands in its row of quarantine
    PRIMARY KEY (upstream, seq)
) STRICT, WITHOUT ROWID;

-- Holes that earlier versions left without a word.
INSERT INTO announcement (upstream, seq)
SELECT quarantine.upstream, quarantine.seq FROM quarantine JOIN cursor USING (upstream)
WHERE quarantine.state != 'delivered' AND quarantine.seq <= cursor.seq;
