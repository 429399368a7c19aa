//! A reverse proxy that loads the component from a file and swaps the inbound bearer token for a minted one, per route.
//!
//! ```text
//! standin component standin.wasm
//! cargo run --example gateway -- --component standin.wasm --config standin.toml --client edge \
//!     --listen 127.0.0.1:8081 --route /expenses=http://127.0.0.1:9001,https://api.example.com,expenses:read
//! ```

#[path = "gateway/proxy.rs"]
mod proxy;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use standin::Standin;
use standin::config::Config;

use self::proxy::{Gateway, Route};

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
    let config = Config::read(&args.config)?;
    let standin = Standin::builder().config(config).component_file(args.component).build().await?;
    let listener = tokio::net::TcpListener::bind(args.listen).await.context("cannot listen")?;
    eprintln!("gateway on {}", listener.local_addr()?);
    let gateway = Gateway::new(standin.clone(), args.client, args.route)?;
    tokio::select! {
        () = gateway.serve(listener) => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    standin.close().await?;
    Ok(())
}
