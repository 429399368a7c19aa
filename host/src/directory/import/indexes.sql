-- Made when the rows are in: every check below is then a search and not a scan in a scan.
CREATE INDEX temp.bad_id ON bad (list, id);
CREATE INDEX temp.in_accounts_id ON in_accounts (id, row);
CREATE INDEX temp.in_accounts_csp_id ON in_accounts (csp_id, row);
CREATE INDEX temp.in_accounts_sfdc ON in_accounts (sfdc_account_id, row);
CREATE INDEX temp.in_users_id ON in_users (id, row);
CREATE INDEX temp.in_users_email ON in_users (email, row);
CREATE INDEX temp.in_external_name ON in_external (issuer, value, row);
CREATE INDEX temp.in_machines_id ON in_machines (id, row);
CREATE INDEX temp.in_machines_ophid ON in_machines (ophid, row);
CREATE INDEX temp.in_keys_id ON in_keys (id, row);
