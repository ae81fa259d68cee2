-- What came of the reports, and whether it is what was to come of them.
--
--     sqlite3 :memory: <check.sql      in the directory of epro-gen, with
--                                      epro.db, sent.tsv and dead.ndjson
--
-- Prints a report, and as its last line the number of counts that differ.
.mode ascii
.separator "\t" "\n"
ATTACH 'epro.db' AS store;

-- The truth, as epro-gen wrote it down before anything was sent.
CREATE TABLE true_door (door, n);
CREATE TABLE true_report (id, instrument, total, severity, alert);
CREATE TABLE true_dead (reason);
.import doors.tsv true_door
.import stored.tsv true_report
.import dead.tsv true_dead

-- What happened.
CREATE TABLE sent (report, status, due_us, answered_us, job);
CREATE TABLE dead_line (line);
.import sent.tsv sent
.import dead.ndjson dead_line

CREATE TEMP VIEW is_dead AS
  SELECT json_extract(line, '$.error.message') AS reason FROM dead_line;
CREATE TEMP VIEW is_report AS
  SELECT id, instrument, CAST(total AS TEXT) AS total, severity, alert
  FROM store.report;
CREATE TEMP VIEW true_alert AS SELECT id FROM true_report WHERE alert <> '';

-- Not numbers alone: what is in one and not in the other.
CREATE TEMP VIEW unlike_report AS
  SELECT * FROM (SELECT * FROM is_report EXCEPT SELECT * FROM true_report)
  UNION SELECT * FROM
    (SELECT * FROM true_report EXCEPT SELECT * FROM is_report);
CREATE TEMP VIEW unlike_dead AS
  SELECT * FROM
    (SELECT reason, count(*) AS n FROM is_dead GROUP BY reason EXCEPT
     SELECT reason, count(*) FROM true_dead GROUP BY reason)
  UNION SELECT * FROM
    (SELECT reason, count(*) AS n FROM true_dead GROUP BY reason EXCEPT
     SELECT reason, count(*) FROM is_dead GROUP BY reason);
CREATE TEMP VIEW unlike_alert AS
  SELECT * FROM (SELECT report FROM store.alert EXCEPT SELECT * FROM true_alert)
  UNION SELECT * FROM
    (SELECT id FROM true_alert EXCEPT SELECT report FROM store.alert);

CREATE TABLE verdict (what, expected, got, unlike);
INSERT INTO verdict
  SELECT 'accepted: 202', (SELECT n + 0 FROM true_door WHERE door = '202'),
    (SELECT count(*) FROM sent WHERE status = '202'), 0
  UNION ALL
  SELECT 'jobs that made', (SELECT n + 0 FROM true_door WHERE door = 'jobs'),
    (SELECT count(DISTINCT job) FROM sent WHERE status = '202'), 0
  UNION ALL
  SELECT 'no JSON: 400', (SELECT n + 0 FROM true_door WHERE door = '400'),
    (SELECT count(*) FROM sent WHERE status = '400'), 0
  UNION ALL
  SELECT 'no job: 422', (SELECT n + 0 FROM true_door WHERE door = '422'),
    (SELECT count(*) FROM sent WHERE status = '422'), 0
  UNION ALL
  SELECT 'too large: 413', (SELECT n + 0 FROM true_door WHERE door = '413'),
    (SELECT count(*) FROM sent WHERE status = '413'), 0
  UNION ALL
  SELECT 'stored', (SELECT count(*) FROM true_report),
    (SELECT count(*) FROM store.report), (SELECT count(*) FROM unlike_report)
  UNION ALL
  SELECT 'dead', (SELECT count(*) FROM true_dead),
    (SELECT count(*) FROM is_dead), (SELECT count(*) FROM unlike_dead)
  UNION ALL
  SELECT 'alerts', (SELECT count(*) FROM true_alert),
    (SELECT count(*) FROM store.alert), (SELECT count(*) FROM unlike_alert);

CREATE TEMP VIEW latency AS
  SELECT (r.stored_at_us - min(s.due_us + 0)) / 1000.0 AS ms
  FROM sent AS s JOIN store.report AS r ON r.id = s.report GROUP BY r.id;

.mode column
.headers on
SELECT what, expected, got,
  iif(expected = got AND unlike = 0, 'as expected',
      'DIFFERS, ' || unlike || ' unlike') AS verdict
FROM verdict;
.print
SELECT instrument, severity, count(*) AS reports,
  min(total) || ' to ' || max(total) AS sums,
  sum(alert <> '') AS alerts
FROM store.report GROUP BY instrument, severity
ORDER BY instrument DESC, min(total);
.print
-- p90: nine of ten took no longer.
SELECT count(*) AS 'submitted to stored',
  printf('%.1f ms', max(ms) FILTER (WHERE n <= (every * 50 + 99) / 100)) AS p50,
  printf('%.1f ms', max(ms) FILTER (WHERE n <= (every * 90 + 99) / 100)) AS p90,
  printf('%.1f ms', max(ms) FILTER (WHERE n <= (every * 99 + 99) / 100)) AS p99,
  printf('%.1f ms', max(ms)) AS max
FROM (SELECT ms, row_number() OVER (ORDER BY ms) AS n,
  count(*) OVER () AS every FROM latency);
.headers off
SELECT '', 'unlike: ' || id, instrument, total, severity, alert
FROM unlike_report LIMIT 5;
SELECT '', 'unlike: ' || reason, n FROM unlike_dead LIMIT 5;
SELECT '', 'unlike: alert of ' || report FROM unlike_alert LIMIT 5;
.mode list
SELECT count(*) FROM verdict WHERE expected <> got OR unlike <> 0;
