//! What can only be said of all rows together: names used twice, names taken, references to nothing.

use rusqlite::Transaction;

use super::{BadRow, BadRows, List, Problem};

/// One check: a query that yields row, item and id of every row that fails it.
struct Check {
    list: List,
    /// The field; `[]` stands for the item.
    place: &'static str,
    problem: Problem,
    query: String,
}

/// Runs every check and adds what it finds to `bad`.
pub(super) fn all(transaction: &Transaction<'_>, bad: &mut BadRows) -> rusqlite::Result<()> {
    for check in checks() {
        let mut statement = transaction.prepare(&check.query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let item: Option<u32> = row.get(1)?;
            bad.push(BadRow {
                list: check.list,
                index: row.get::<_, i64>(0)?.unsigned_abs(),
                place: check.place.replace("[]", &item.map(|item| format!("[{item}]")).unwrap_or_default()),
                id: Some(row.get(2)?),
                problem: check.problem.clone(),
            });
        }
    }
    Ok(())
}

fn checks() -> Vec<Check> {
    use List::{Accounts, Hosts, Users};
    vec![
        repeated(Accounts, ".id", "in_accounts", &["id"]),
        repeated(Accounts, ".csp_id", "in_accounts", &["csp_id"]),
        repeated(Accounts, ".sfdc_account_id", "in_accounts", &["sfdc_account_id"]),
        taken(Accounts, ".csp_id", "in_accounts", &["csp_id"], "accounts", "id"),
        taken(Accounts, ".sfdc_account_id", "in_accounts", &["sfdc_account_id"], "accounts", "id"),
        repeated(Users, ".id", "in_users", &["id"]),
        repeated(Users, ".email", "in_users", &["email"]),
        repeated(Users, ".external[]", "in_external", &["issuer", "value"]),
        taken(Users, ".email", "in_users", &["email"], "users", "id"),
        taken(Users, ".external[]", "in_external", &["issuer", "value"], "external_identities", "user"),
        dangling(Users, ".accounts[]", "in_memberships", "account", "accounts", Accounts),
        repeated(Hosts, ".id", "in_machines", &["id"]),
        repeated(Hosts, ".ophid", "in_machines", &["ophid"]),
        repeated(Hosts, ".api_keys[].id", "in_keys", &["id"]),
        taken(Hosts, ".ophid", "in_machines", &["ophid"], "machines", "id"),
        taken(Hosts, ".api_keys[].id", "in_keys", &["id"], "api_keys", "machine"),
        dangling(Hosts, ".account", "in_machines", "account", "accounts", Accounts),
        dangling(Hosts, ".api_keys[].user", "in_keys", "user", "users", Users),
    ]
}

/// Item and id of a row: tables of parts have the number of the part and the id of their owner.
fn item_and_id(table: &str) -> &'static str {
    if matches!(table, "in_accounts" | "in_users" | "in_machines") { "NULL, s.id" } else { "s.item, s.owner" }
}

fn same(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("t.{column} = s.{column}")).collect::<Vec<_>>().join(" AND ")
}

fn repeated(list: List, place: &'static str, table: &str, columns: &[&str]) -> Check {
    let (found, same) = (item_and_id(table), same(columns));
    let query =
        format!("SELECT s.row, {found} FROM {table} s WHERE EXISTS (SELECT 1 FROM {table} t WHERE {same} AND t.row < s.row)");
    Check { list, place, problem: Problem::Repeated, query }
}

/// `owner` is the column of `main` that says whose the name is; names of rows that leave are free.
fn taken(list: List, place: &'static str, table: &str, columns: &[&str], main: &str, owner: &str) -> Check {
    let (found, same) = (item_and_id(table), same(columns));
    let leaving = match list {
        List::Accounts => "leaving_accounts",
        List::Users => "leaving_users",
        List::Hosts => "leaving_machines",
    };
    let query = format!(
        "SELECT s.row, {found} FROM {table} s WHERE EXISTS \
         (SELECT 1 FROM main.{main} t WHERE {same} AND t.{owner} NOT IN (SELECT id FROM {leaving}))"
    );
    Check { list, place, problem: Problem::Taken, query }
}

fn dangling(list: List, place: &'static str, table: &str, column: &str, main: &str, refers_to: List) -> Check {
    let found = item_and_id(table);
    let query = format!(
        "SELECT s.row, {found} FROM {table} s WHERE NOT EXISTS (SELECT 1 FROM in_{main} t WHERE t.id = s.{column}) \
         AND NOT EXISTS (SELECT 1 FROM main.{main} t WHERE t.id = s.{column} AND t.id NOT IN (SELECT id FROM leaving_{main})) \
         AND NOT EXISTS (SELECT 1 FROM bad t WHERE t.list = '{refers_to}' AND t.id = s.{column})"
    );
    Check { list, place, problem: Problem::Dangling, query }
}
