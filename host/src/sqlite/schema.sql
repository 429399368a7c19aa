-- Version 1. Every reference is checked at commit, so that an import may put rows in any order.
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  csp_id INTEGER UNIQUE,
  sfdc_account_id TEXT UNIQUE,
  state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'pending')),
  attributes TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  primary_account TEXT,
  state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'pending')),
  protected INTEGER NOT NULL CHECK (protected IN (0, 1)),
  scopes TEXT,
  attributes TEXT NOT NULL,
  -- A primary account is one of the user's own.
  FOREIGN KEY (id, primary_account) REFERENCES memberships (user, account) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE memberships (
  user TEXT NOT NULL REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,
  account TEXT NOT NULL REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (user, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_account ON memberships (account);

CREATE TABLE external_identities (
  issuer TEXT NOT NULL,
  value TEXT NOT NULL,
  user TEXT NOT NULL REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (issuer, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX external_identities_user ON external_identities (user);

CREATE TABLE machines (
  id TEXT PRIMARY KEY,
  ophid TEXT UNIQUE,
  account TEXT NOT NULL REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED,
  state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'pending')),
  attributes TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX machines_account ON machines (account);

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  machine TEXT NOT NULL REFERENCES machines (id) DEFERRABLE INITIALLY DEFERRED,
  user TEXT NOT NULL REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED,
  state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'pending'))
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_machine ON api_keys (machine);
CREATE INDEX api_keys_user ON api_keys (user);

CREATE TABLE entries (
  space TEXT NOT NULL REFERENCES spaces (name),
  key BLOB NOT NULL,
  value BLOB NOT NULL,
  revision INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_expiry ON entries (expires_at);

-- How many entries each space holds: counting them at every write would cost more the fuller the space.
CREATE TABLE spaces (
  name TEXT PRIMARY KEY,
  entries INTEGER NOT NULL CHECK (entries >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO spaces VALUES ('single-use', 0), ('revocation', 0), ('state', 0);
CREATE TRIGGER entries_inserted AFTER INSERT ON entries BEGIN
  UPDATE spaces SET entries = entries + 1 WHERE name = NEW.space;
END;
CREATE TRIGGER entries_deleted AFTER DELETE ON entries BEGIN
  UPDATE spaces SET entries = entries - 1 WHERE name = OLD.space;
END;

-- The last revision given to any entry. It only grows, so a revision never comes back, not even after a deletion.
CREATE TABLE revisions (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  last INTEGER NOT NULL
) STRICT;
INSERT INTO revisions VALUES (1, 0);
