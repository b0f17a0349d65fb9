-- Which containers took most CPU time?
SELECT host, title AS container, image, cpu_ns / 1e9 AS cpu_s, waited_ns / 1e9 AS waited_s, throttled_ns / 1e9 AS throttled_s
FROM containers
ORDER BY cpu_ns DESC, host, container
