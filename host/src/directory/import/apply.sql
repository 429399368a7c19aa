-- Rows are replaced whole: out with the old ones and what hangs on them, in with the new. References are checked at commit.
-- Ids and addresses may so change hands within one document.
DELETE FROM main.api_keys WHERE machine IN (SELECT id FROM leaving_machines);
DELETE FROM main.machines WHERE id IN (SELECT id FROM leaving_machines);
DELETE FROM main.external_identities WHERE user IN (SELECT id FROM leaving_users);
DELETE FROM main.memberships WHERE user IN (SELECT id FROM leaving_users);
DELETE FROM main.users WHERE id IN (SELECT id FROM leaving_users);
DELETE FROM main.accounts WHERE id IN (SELECT id FROM leaving_accounts);

INSERT INTO main.accounts SELECT id, tenant, csp_id, sfdc_account_id, state, attributes FROM in_accounts ORDER BY id;
INSERT INTO main.users SELECT id, email, primary_account, state, protected, scopes, attributes FROM in_users ORDER BY id;
INSERT INTO main.memberships SELECT owner, account FROM in_memberships ORDER BY 1, 2;
INSERT INTO main.external_identities SELECT issuer, value, owner FROM in_external ORDER BY 1, 2;
INSERT INTO main.machines SELECT id, ophid, account, state, attributes FROM in_machines ORDER BY id;
INSERT INTO main.api_keys SELECT id, owner, user, state FROM in_keys ORDER BY id;
