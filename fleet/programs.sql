-- Which programs run in containers, on how many hosts?
SELECT comm AS program, count(*) AS processes, count(DISTINCT host) AS hosts, count(DISTINCT container) AS containers
FROM processes
WHERE container IS NOT NULL
GROUP BY comm
ORDER BY processes DESC, program
