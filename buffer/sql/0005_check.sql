-- How a flipped bit in a row without a digest is noticed.

-- CRC-32 over key and value; a row that does not match is not believed.
ALTER TABLE state ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
UPDATE state SET crc = state_crc(key, value);

-- CRC-32 over all other columns; an answer that does not match is not given.
ALTER TABLE redelivery ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
UPDATE redelivery SET crc = redelivery_crc(device, message_id, fingerprint, verdict, committed_ms);

-- CRC-32 over all other columns; a position that does not match is put back before the oldest entry kept.
ALTER TABLE cursor ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
UPDATE cursor SET crc = cursor_crc(upstream, seq, required, accepted_before, delivered, skipped, registered_at, lost);
