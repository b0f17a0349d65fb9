-- How long do containers of an image live? Those only whose beginning and end were seen.
SELECT kind, coalesce(image, '') AS image, count(*) AS containers,
       min(last - first) / 1e9 AS shortest_s, avg(last - first) / 1e9 AS mean_s, max(last - first) / 1e9 AS longest_s
FROM containers
WHERE first_exact AND last IS NOT NULL
GROUP BY kind, coalesce(image, '')
ORDER BY containers DESC, kind, image
