-- How often do threads change their namespaces, by second?
SELECT host, floor((time - begun) / 1e9) AS second, count(*) AS changes
FROM (SELECT host, kind, CAST(time AS BIGINT) AS time, min(CAST(time AS BIGINT)) OVER (PARTITION BY host) AS begun FROM events) AS timed
WHERE kind = 'namespaces'
GROUP BY host, floor((time - begun) / 1e9)
ORDER BY host, second
