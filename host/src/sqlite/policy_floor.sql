-- The highest version of a policy module that was ever live, by slot. It goes down only by hand.
CREATE TABLE policy_floor (
    slot    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version > 0)
) STRICT, WITHOUT ROWID;
