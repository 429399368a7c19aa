//! A reverse proxy that loads the component from a file and swaps the inbound bearer token for a minted one, per route.
//!
//! The gateway is a client that Standin takes at its word (`attested`), and the inbound tokens are those of a trusted issuer:
//!
//! ```text
//! standin init obo && cd obo
//! standin client add edge --attested --tenant acme --subject token --audience https://api.example.com --scope expenses:read
//! cat >> standin.toml <<'END'
//! [[trusted_issuer]]
//! name = "corp"
//! issuer = "https://idp.example.com"
//! jwks_uri = "https://idp.example.com/jwks.json"
//! role = "subject"
//! algorithms = ["ES256"]
//! tenants = ["acme"]
//! END
//! standin check
//! standin component standin.wasm
//! cargo run --manifest-path …/Cargo.toml --package standin --example gateway -- --component standin.wasm --config standin.toml --client edge \
//!     --listen 127.0.0.1:8081 --route /expenses=http://127.0.0.1:9001,https://api.example.com,expenses:read
//! ```
//!
//! No other server may run on the same configuration: an audit log has one writer. The inbound tokens name this issuer's URL (`issuer`
//! of standin.toml) in `aud`. One that is expired, malformed or otherwise invalid is answered 401 (RFC 6750 §3.1), what may not be
//! granted for a good one 403.

#[path = "gateway/proxy.rs"]
mod proxy;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use standin::Standin;
use standin::config::Config;
use tokio::signal::unix::{SignalKind, signal};

use self::proxy::{Gateway, Route, check_client};

/// Swaps inbound bearer tokens for minted ones and forwards.
#[derive(Debug, Parser)]
struct Args {
    /// The component.
    #[arg(long, value_name = "FILE")]
    component: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "standin.toml")]
    config: PathBuf,
    /// The client this gateway is; registered with `attested = true`.
    #[arg(long, value_name = "ID")]
    client: String,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// `PREFIX=UPSTREAM,AUDIENCE[,SCOPE…]`; repeatable.
    #[arg(long, value_name = "ROUTE", required = true)]
    route: Vec<Route>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Before anything that takes time: a stop that nobody listens for is lost on the first process of a container.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut stopped = std::pin::pin!(async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    let config = Config::read(&args.config)?;
    check_client(&config, &args.client)?;
    let building = Standin::builder().config(config).component_file(args.component);
    // On a thread of its own: it computes for seconds, and signals are heard meanwhile.
    let runtime = tokio::runtime::Handle::current();
    let building = tokio::task::spawn_blocking(move || runtime.block_on(building.build()));
    let standin = tokio::select! {
        biased;
        // What is being built has no end that could be waited for.
        () = &mut stopped => std::process::exit(0),
        built = building => built??,
    };
    let listener = tokio::net::TcpListener::bind(args.listen).await.context("cannot listen")?;
    eprintln!("gateway on {}", listener.local_addr()?);
    let gateway = Gateway::new(standin.clone(), args.client, args.route)?;
    tokio::select! {
        () = gateway.serve(listener) => {}
        () = stopped => {}
    }
    standin.close().await?;
    Ok(())
}
