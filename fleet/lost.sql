-- Where are records missing?
SELECT host, sum(lost) AS lost, min(time) AS first_time
FROM events
WHERE kind = 'lost'
GROUP BY host
ORDER BY lost DESC, host
