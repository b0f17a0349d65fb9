-- Which containers share a network namespace?
SELECT a.host, a.title AS container, b.title AS shares_with, a.net AS network
FROM containers a JOIN containers b ON a.host = b.host AND a.net = b.net AND a.id < b.id
WHERE a.net <> 4026531840 AND a.net IN (SELECT n.ino FROM namespaces n WHERE n.host = a.host AND n.type = 'net')
ORDER BY a.host, container, shares_with
