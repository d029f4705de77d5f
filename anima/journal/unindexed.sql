-- The first row after seq ?1 that is missing in an index, with the index's name. A database whose log was cut can come
-- back with indexes and table from different moments; what an index does not know, no reader of it would ever see.
SELECT recent.seq, missing.name
FROM events AS recent NOT INDEXED
JOIN (
    SELECT 'the index of ids' AS name
    UNION ALL SELECT 'events_by_agent'
    UNION ALL SELECT 'events_by_session'
    UNION ALL SELECT 'events_by_kind'
    UNION ALL SELECT 'events_by_session_kind'
) AS missing
WHERE recent.seq > ?1
AND CASE missing.name
    WHEN 'the index of ids' THEN NOT EXISTS (
        SELECT 1 FROM events WHERE id = recent.id)
    WHEN 'events_by_agent' THEN NOT EXISTS (
        SELECT 1 FROM events INDEXED BY events_by_agent WHERE agent = recent.agent AND seq = recent.seq)
    WHEN 'events_by_session' THEN NOT EXISTS (
        SELECT 1 FROM events INDEXED BY events_by_session
        WHERE agent = recent.agent AND session = recent.session AND seq = recent.seq)
    WHEN 'events_by_kind' THEN NOT EXISTS (
        SELECT 1 FROM events INDEXED BY events_by_kind
        WHERE agent = recent.agent AND kind = recent.kind AND seq = recent.seq)
    ELSE NOT EXISTS (
        SELECT 1 FROM events INDEXED BY events_by_session_kind
        WHERE agent = recent.agent AND session = recent.session AND kind = recent.kind AND seq = recent.seq)
END
LIMIT 1
