-- Who waited for a CPU, and for whom? The worst neighbour first.
SELECT w.host, coalesce(a.title, w.waiter) AS waited, coalesce(b.title, w.runner) AS ran, sum(w.ns) / 1e6 AS ms
FROM waits w
LEFT JOIN containers a ON a.host = w.host AND a.id = w.waiter
LEFT JOIN containers b ON b.host = w.host AND b.id = w.runner
GROUP BY w.host, coalesce(a.title, w.waiter), coalesce(b.title, w.runner)
ORDER BY ms DESC, w.host, waited, ran
