//! `standin serve`

use std::env::VarError;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use standin::Standin;
use standin::config::Config;
use standin::server::{AdminServer, Certificates, Server, ServerOptions, meters};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::out::tell;
use super::{ConfigArg, Refused, Usage, out, term};

/// How often expired entries are swept and metrics are kept up.
const UPKEEP: Duration = Duration::from_secs(30);
/// Buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// Serves the token endpoint, obo_mint, JWKS, metadata, health and metrics. SIGHUP takes up clients, trusted issuers, audiences,
/// keys, policy, the limits of tokens and the TLS certificate as one snapshot. A file with a fault, or with a change that needs a
/// restart, is refused whole: the old one serves on, and the log says why. SIGTERM and SIGINT finish what is in flight, and end a
/// server that is still starting.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Environment:
  STANDIN_LOG  what is logged: error, warn, info (the default), debug or trace, also by module:
               info,standin::engine=debug")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Listen here instead.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Log as JSON lines.
    #[arg(long)]
    log_json: bool,
}

/// What is logged by default. The HTTP/2 library warns of every connection that a stranger misuses, as often as they like.
const LOGGED: &str = "info,h2=error";

/// A server that was put together and listens.
struct Started {
    standin: Standin,
    server: Server,
    admin: Option<AdminServer>,
    issuer: String,
    metrics: PrometheusHandle,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = super::runtime()?;
    let result = runtime.block_on(serve(args));
    // What is still being put together when it is stopped is not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(args: Args) -> anyhow::Result<()> {
    log(args.log_json)?;
    // Before anything that takes time: a hangup that nobody listens for ends the process, and a stop that nobody listens for is lost
    // on the first process of a container.
    let hangup = signal(SignalKind::hangup())?;
    let mut stopped = std::pin::pin!(stopped()?);
    let (config, listen) = (args.config.clone(), args.listen);
    // On a thread of its own: it computes for seconds, and signals are heard meanwhile.
    let runtime = tokio::runtime::Handle::current();
    let starting = tokio::task::spawn_blocking(move || runtime.block_on(start(&config, listen)));
    let started = tokio::select! {
        biased;
        () = &mut stopped => {
            tracing::info!("stopped while starting");
            return Ok(());
        }
        started = starting => started.context("starting did not finish")??,
    };
    let Started { standin, server, admin, issuer, metrics } = started;
    if args.log_json {
        tracing::info!(address = %server.address(), issuer, "serving");
    } else {
        tell!("{} {} as {issuer}", term::Stream::Err.green("serving"), server.address());
    }
    if let Some(address) = server.health_address() {
        tracing::info!(%address, "health endpoint");
    }
    if let Some(admin) = &admin {
        tracing::info!(place = admin.place(), "admin endpoint");
    }
    let admin = admin.map(|admin| tokio::spawn(admin.serve()));
    let upkeep = tokio::spawn(keep_up(standin.clone(), metrics));
    let reloads = tokio::spawn(reload_on(hangup, standin.clone(), args.config, server.certificates()));
    let watching = tokio::spawn({
        let standin = standin.clone();
        async move { standin.watch_policies().await }
    });
    let finished = server.serve(stopped).await;
    upkeep.abort();
    watching.abort();
    if let Some(admin) = admin {
        admin.abort();
    }
    reloads.abort();
    standin.close().await.context("closing the audit log")?;
    if finished {
        tracing::info!("stopped");
        Ok(())
    } else {
        tracing::error!("stopped with requests still in flight");
        Err(Refused.into())
    }
}

async fn start(config: &ConfigArg, listen: Option<SocketAddr>) -> anyhow::Result<Started> {
    let config = config.read()?;
    let metrics = metrics(&config)?;
    let limits = &config.limits;
    let options = ServerOptions { server: config.server.clone(), max_body: limits.max_body, max_token: limits.max_token };
    let listen = listen.unwrap_or(config.listen);
    if !listen.ip().is_loopback() && config.server.tls.is_none() && !config.server.dangerous_plain_http {
        let what = "is not loopback: configure [server] tls, or dangerous_plain_http behind a tls terminator";
        return Err(Usage(format!("--listen: {listen} {what}")).into());
    }
    let issuer = config.issuer.clone();
    let admin = config.admin.clone();
    let standin = super::build(config).await?;
    let server = Server::bind(listen, options, standin.clone(), Some(metrics.clone())).await?;
    let admin = match admin {
        Some(admin) => Some(AdminServer::bind(&admin, standin.clone()).await?),
        None => None,
    };
    Ok(Started { standin, server, admin, issuer, metrics })
}

fn log(json: bool) -> anyhow::Result<()> {
    let filter = match std::env::var("STANDIN_LOG") {
        Ok(nothing) if nothing.trim().is_empty() => EnvFilter::new(LOGGED),
        Ok(directives) => EnvFilter::try_new(directives).map_err(|error| Usage(format!("STANDIN_LOG: {error}")))?,
        Err(VarError::NotPresent) => EnvFilter::new(LOGGED),
        Err(VarError::NotUnicode(_)) => return Err(Usage("STANDIN_LOG is not UTF-8".to_owned()).into()),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Whoever reads the log may go; the server does not go with them.
    let builder = builder.log_internal_errors(false).with_ansi(term::Stream::Err.is_coloured());
    if json {
        builder.json().init()
    } else {
        builder.init()
    }
    Ok(())
}

fn metrics(config: &Config) -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?;
    let recorder = builder.install_recorder().context("cannot keep metrics")?;
    meters::begin(config);
    Ok(recorder)
}

/// Resolves on SIGTERM or SIGINT.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn reload_on(mut hangup: Signal, standin: Standin, config: ConfigArg, certificates: Option<Certificates>) {
    while hangup.recv().await.is_some() {
        match reload(&standin, &config, certificates.as_ref()).await {
            Ok(()) => {
                metrics::counter!("standin_reloads_total", "outcome" => "done").increment(1);
                tracing::info!("reloaded");
            }
            Err(error) => {
                metrics::counter!("standin_reloads_total", "outcome" => "refused").increment(1);
                tracing::error!(error = out::told(&error), "not reloaded; the old configuration serves on");
            }
        }
    }
}

/// All of it, or nothing: a certificate without its key leaves the old configuration in place too.
async fn reload(standin: &Standin, config: &ConfigArg, certificates: Option<&Certificates>) -> anyhow::Result<()> {
    let config: Config = config.read()?;
    let pair = match certificates {
        Some(certificates) => Some((certificates, certificates.read().await?)),
        None => None,
    };
    standin.reload(config.clone()).await?;
    meters::begin_named(&config);
    if let Some((certificates, pair)) = pair {
        certificates.take(pair);
    }
    Ok(())
}

async fn keep_up(standin: Standin, metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
        standin.follow_keys().await;
        match standin.sweep().await {
            Ok(0) => {}
            Ok(swept) => tracing::debug!(swept, "store"),
            Err(error) => tracing::warn!(?error, "store sweep"),
        }
    }
}
