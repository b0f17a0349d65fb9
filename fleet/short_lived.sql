-- Which containers lived for less than a second?
SELECT host, title AS container, (last - first) / 1e6 AS ms, processes, created_by
FROM containers
WHERE first_exact AND last - first < 1000000000
ORDER BY ms, host, container
