-- The store of examples/epro: sqlite3 epro.db <schema.sql
PRAGMA journal_mode = WAL; -- readers and the one writer do not wait

CREATE TABLE patient (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- A report is stored once: id is what the phone gave it, the same whenever the
-- phone sends it again, whatever job brings it.
CREATE TABLE report (
  id TEXT PRIMARY KEY,
  patient TEXT NOT NULL REFERENCES patient,
  instrument TEXT NOT NULL,
  completed_at TEXT NOT NULL, -- UTC
  answers TEXT NOT NULL,      -- JSON
  total INTEGER NOT NULL,
  severity TEXT NOT NULL,
  alert TEXT NOT NULL,        -- why somebody has to look at once, or ''
  comment TEXT NOT NULL,
  job TEXT NOT NULL,          -- that stored it
  stored_at_us INTEGER NOT NULL -- Unix time
) STRICT, WITHOUT ROWID;

-- What a clinician sees.
CREATE TABLE alert (
  report TEXT PRIMARY KEY REFERENCES report,
  patient TEXT NOT NULL,
  text TEXT NOT NULL,
  job TEXT NOT NULL,
  raised_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
