//! `standin demo`: the main job, for real, on loopback and in a temporary folder.

#[path = "../../examples/gateway/proxy.rs"]
mod gateway;
mod issuer;
mod steps;
mod world;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use self::world::World;
use super::out::{say, tell};
use super::{Refused, term};

/// Starts Standin on loopback with embedded storage in a temporary folder and an issuer of user tokens beside it, and runs the
/// main job over HTTP and through the embedding API. Exits with 1 when a step did not do what it should.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object a step.
    #[arg(long)]
    json: bool,
}

/// The longest a step may take.
const STEP: Duration = Duration::from_secs(20);

/// What a step asked, got and shows.
#[derive(Debug, Default)]
struct Shown {
    asked: Value,
    answer: Value,
    claims: Option<Value>,
    notes: Vec<String>,
}

/// A step did not do what it should.
#[derive(Debug)]
struct Unexpected {
    why: String,
    shown: Shown,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let world = World::start().await?;
    if !args.json {
        say!("{} {} {}", term::Stream::Out.bold("Standin"), world.url(), term::Stream::Out.dim(world.folder()))?;
    }
    let mut failed = 0;
    for step in steps::ALL {
        let start = started();
        let outcome = tokio::time::timeout(STEP, steps::run(step, &world))
            .await
            .unwrap_or_else(|_elapsed| Err(Unexpected { why: "the step took too long".into(), shown: Shown::default() }));
        failed += usize::from(outcome.is_err());
        if let Err(error) = print(&args, step, &outcome, start.elapsed()) {
            world.stop().await?;
            return Err(error);
        }
    }
    world.stop().await?;
    if failed == 0 {
        return Ok(());
    }
    tell!("{failed} of {} steps did not do what they should", steps::ALL.len());
    Err(Refused.into())
}

#[expect(clippy::disallowed_methods, reason = "a demo shows real durations")]
fn started() -> Instant {
    Instant::now()
}

fn print(args: &Args, step: &str, outcome: &Result<Shown, Unexpected>, took: Duration) -> anyhow::Result<()> {
    let (shown, why) = match outcome {
        Ok(shown) => (shown, None),
        Err(unexpected) => (&unexpected.shown, Some(&unexpected.why)),
    };
    if args.json {
        let mut line = Map::new();
        line.insert("step".into(), step.into());
        line.insert("ok".into(), why.is_none().into());
        line.insert("ms".into(), json!(took.as_secs_f64() * 1000.0));
        line.insert("asked".into(), shown.asked.clone());
        line.insert("answer".into(), shown.answer.clone());
        line.insert("claims".into(), json!(shown.claims));
        line.insert("notes".into(), json!(shown.notes));
        if let Some(why) = why {
            line.insert("why".into(), why.as_str().into());
        }
        return Ok(say!("{}", Value::Object(line))?);
    }
    let out = term::Stream::Out;
    let mark = if why.is_none() { out.green("ok  ") } else { out.red("FAIL") };
    say!("\n{mark} {} {}", out.bold(step), out.dim(&format!("{:.1} ms", took.as_secs_f64() * 1000.0)))?;
    let line = |name: &str, value: &Value| say!("     {name:<7} {value}");
    line("asked", &shown.asked)?;
    line("answer", &shortened(&shown.answer))?;
    if let Some(claims) = &shown.claims {
        line("claims", claims)?;
    }
    for note in &shown.notes {
        say!("     {:<7} {note}", "note")?;
    }
    if let Some(why) = why {
        say!("     {:<7} {}", "why", out.red(why))?;
    }
    Ok(())
}

/// A token is shown by its beginning: its claims stand below it.
fn shortened(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(token) = answer.get_mut("access_token") {
        let beginning: String = token.as_str().unwrap_or_default().chars().take(16).collect();
        *token = format!("{beginning}…").into();
    }
    answer
}
