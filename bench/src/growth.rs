//! Growth: the same mint with few and with many clients registered, and with few and with many users in the embedded directory.

use std::sync::Arc;

use serde_json::json;
use standin::Standin;
use standin::audit::MemoryAudit;
use standin::config::Config;
use standin::directory::import::{self, Mode};
use standin::sqlite::Database;
use standin::types::{Descriptor, IdType, Request, Subject};

use crate::pipeline::{Side, runtime};
use crate::table::{Bar, Table};
use crate::world::{Variant, World, by_token, request};

const ROUNDS: usize = 60;
const MINTS: usize = 40;
const WARM_UP: usize = 300;
/// Different users that are asked for, spread over all of them.
const ASKED: usize = 256;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    clients(table)?;
    users(table)
}

fn clients(table: &mut Table) -> anyhow::Result<()> {
    let world = World::new()?;
    let requests: Vec<Request> = world.tokens()?.iter().map(|token| request(by_token(token))).collect();
    let few = world.config(Variant::default())?;
    let many = world.config(Variant { clients: 10_000, ..Variant::default() })?;
    let [few, many] = compare([(few, &requests), (many, &requests)])?;
    table.add("growth/clients-1", few, "µs", None, None);
    table.add("growth/clients-10000", many, "µs", Some("growth/clients-1"), Some(Bar::RatioAtMost(1.3)));
    Ok(())
}

fn users(table: &mut Table) -> anyhow::Result<()> {
    let (small, large) = (World::new()?, World::new()?);
    let sides = [(&small, 1_000), (&large, 100_000)];
    let mut prepared = Vec::new();
    for (world, count) in sides {
        let config = world.config(Variant::default())?;
        import::import(&Database::create(&config.directory)?, directory(count).as_bytes(), Mode::Replace)?;
        let requests: Vec<Request> = (0..ASKED).map(|number| request(user(number * 389 % count))).collect();
        prepared.push((config, requests));
    }
    let [(few, asked_few), (many, asked_many)] =
        <[(Config, Vec<Request>); 2]>::try_from(prepared).map_err(|_| anyhow::anyhow!("two sides"))?;
    let [few, many] = compare([(few, &asked_few), (many, &asked_many)])?;
    table.add("growth/users-1000", few, "µs", None, None);
    table.add("growth/users-100000", many, "µs", Some("growth/users-1000"), Some(Bar::RatioAtMost(1.3)));
    Ok(())
}

/// The medians of both, taken turn by turn.
fn compare(sides: [(Config, &[Request]); 2]) -> anyhow::Result<[f64; 2]> {
    let runtime = runtime()?;
    let [(few, asked_few), (many, asked_many)] = sides;
    let (few, many) = (runtime.block_on(build(few))?, runtime.block_on(build(many))?);
    let (mut few, mut many) = (Side::new(&few, asked_few), Side::new(&many, asked_many));
    for side in [&mut few, &mut many] {
        runtime.block_on(side.run(WARM_UP))?;
        side.timed.clear();
    }
    for _ in 0..ROUNDS {
        runtime.block_on(few.run(MINTS))?;
        runtime.block_on(many.run(MINTS))?;
    }
    Ok([few.timed.median(), many.timed.median()])
}

async fn build(config: Config) -> anyhow::Result<Standin> {
    let builder = Standin::builder().config(config).audit(Arc::new(MemoryAudit::new(1_000))).remember_signatures(false);
    Ok(builder.build().await?)
}

fn user(number: usize) -> Subject {
    Subject::Descriptor(Descriptor {
        id_type: IdType::User,
        id: format!("email.user-{number}@example.com"),
        account_id: None,
        account_csp_id: None,
        sfdc_account_id: None,
    })
}

fn directory(users: usize) -> String {
    let users: Vec<_> = (0..users)
        .map(|number| {
            json!({
                "id": format!("u-{number}"), "email": format!("user-{number}@example.com"), "accounts": ["acme-eu"],
                "primary_account": "acme-eu",
            })
        })
        .collect();
    json!({ "accounts": [{ "id": "acme-eu", "tenant": "acme", "csp_id": 1_001 }], "users": users, "hosts": [] }).to_string()
}
