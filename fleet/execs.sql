-- Into which containers were programs started from outside, health checks apart?
SELECT host, title AS container, execs - health_checks AS execs, health_checks
FROM containers
WHERE execs > 0
ORDER BY execs DESC, host, container
