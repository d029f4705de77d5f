-- The newest seq of every agent. Jumps from one agent to the next along events_by_agent instead of reading it:
-- the cost grows with the number of agents, not of events.
WITH RECURSIVE topic (agent) AS (
    SELECT min(agent) FROM events
    UNION ALL
    SELECT (SELECT min(agent) FROM events WHERE agent > topic.agent) FROM topic WHERE topic.agent IS NOT NULL
)
SELECT agent, (SELECT max(seq) FROM events INDEXED BY events_by_agent WHERE events.agent = topic.agent)
FROM topic
WHERE agent IS NOT NULL
