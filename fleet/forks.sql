-- Which containers on which hosts forked most?
SELECT e.host, coalesce(c.title, 'host') AS container, count(*) AS forks
FROM events e LEFT JOIN containers c ON c.host = e.host AND c.id = e.container
WHERE e.kind = 'fork' AND e.pid = e.tid
GROUP BY e.host, coalesce(c.title, 'host')
ORDER BY forks DESC, e.host, container
