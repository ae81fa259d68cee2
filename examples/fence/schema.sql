-- The store of account.credit.
CREATE TABLE account (balance INTEGER NOT NULL);
INSERT INTO account VALUES (0);

-- Of each job the highest fencing token seen, and whether its effect is there.
CREATE TABLE delivery (
  job TEXT PRIMARY KEY,
  fence INTEGER NOT NULL,
  applied INTEGER NOT NULL DEFAULT 0
);

-- What was credited, to look at: it would show a job that was credited twice.
CREATE TABLE effect (
  job TEXT NOT NULL,
  fence INTEGER NOT NULL,
  amount INTEGER NOT NULL
);
