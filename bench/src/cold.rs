//! From the start of the process to the first token, with compiled images in the cache; and the component's size.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use standin::clock::{Clock as _, SystemClock};

use crate::http;
use crate::process::Process;
use crate::table::{Bar, Table, median};
use crate::world::{FORM, Variant, World, basic};

const STARTS: usize = 15;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let world = World::new()?;
    let tokens = world.tokens()?;
    let token = tokens.first().context("no tokens")?;
    let clock = SystemClock::default();
    // The first start fills the cache.
    first_token(&http::start(&world, http::Server::Standin(Variant::default()))?, token)?;
    let mut millis = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let begun = clock.monotonic();
        let server = http::start(&world, http::Server::Standin(Variant::default()))?;
        first_token(&server, token)?;
        millis.push(clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e3);
    }
    table.add("cold-start", median(millis), "ms", None, Some(Bar::ValueAtMost(50.0)));
    let size = u32::try_from(standin::COMPONENT.len()).context("the component is too large")?;
    table.add("guest-size", f64::from(size), "bytes", None, Some(Bar::ValueAtMost(655_360.0)));
    Ok(())
}

/// One token over one connection.
fn first_token(server: &Process, token: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let body = format!("{FORM}{token}");
    write!(
        stream,
        "POST /oauth2/token HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        server.address,
        basic(),
        body.len(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") && answer.contains("access_token") { Ok(()) } else { bail!("no token: {answer}") }
}
