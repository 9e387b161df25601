BEGIN TRANSACTION;
CREATE TABLE applied (key BLOB PRIMARY KEY, micros INTEGER NOT NULL, sequence TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "applied" VALUES(X'6B6579',5,'1000000000000000000000000000000');
CREATE TABLE following (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL);
INSERT INTO "following" VALUES(1,'{"format":1,"world":{"stream":"arn"},"since":7,"copied":false,"shards":{"shard-1":"49"},"read_at":{"shard-1":8},"created":9,"applied":3,"broken":""}');
COMMIT;