//! A dry run as a person reads it: the verdict, then who allows which scope, what bounds the lifetime, and the claims.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::out::plain;
use super::super::term::Stream;

/// Claims that are times (RFC 7519 §4.1; OpenID Connect Core §2).
const TIMES: [&str; 4] = ["exp", "iat", "nbf", "auth_time"];

/// The whole page (docs/explain.md has its members).
pub(super) fn page(page: &Value, stream: Stream) -> String {
    let mut out = Out { text: String::new(), stream };
    out.verdict(page);
    out.parties(page);
    let ceilings = page.get("ceilings").unwrap_or(&Value::Null);
    let granted = page.get("granted").unwrap_or(&Value::Null);
    out.matrix("scope", ceilings.get("scope"), granted.get("scope"));
    for dropped in list(page.get("dropped")) {
        let (scope, by) = (text(dropped.get("scope")), text(dropped.get("by")));
        out.line(&format!("  {} is dropped: {}", plain(&scope), lacking(&by)));
    }
    out.matrix("audience", ceilings.get("audience"), granted.get("audience"));
    out.lifetimes(list(ceilings.get("ttl")), granted.get("ttl"));
    out.rules(list(page.get("rules")));
    if let Some(Value::Object(claims)) = page.get("claims") {
        out.claims(claims);
    }
    out.text
}

struct Out {
    text: String,
    stream: Stream,
}

impl Out {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn title(&mut self, title: &str) {
        let title = self.stream.bold(title);
        self.line(&format!("\n{title}"));
    }

    /// What came of it, in one sentence, and where a failure came from.
    fn verdict(&mut self, page: &Value) {
        let outcome = text(page.get("outcome"));
        let painted = if outcome == "permit" { self.stream.green(&outcome) } else { self.stream.red(&outcome) };
        let Some(failure) = page.get("failure") else {
            let granted = page.get("granted");
            let scope = joined(granted.and_then(|granted| granted.get("scope")));
            let audience = joined(granted.and_then(|granted| granted.get("audience")));
            let scope = if scope.is_empty() { "no scope".to_owned() } else { scope };
            let ttl = granted.and_then(|granted| granted.get("ttl")).and_then(Value::as_u64).unwrap_or_default();
            return self.line(&format!("{painted} {} for {}, {}", plain(&scope), plain(&audience), lasting(ttl)));
        };
        let field = failure.get("field").and_then(Value::as_str).map(|field| format!(" ({field})")).unwrap_or_default();
        self.line(&format!("{painted} {}: {}{field}", plain(&text(failure.get("code"))), plain(&text(failure.get("message")))));
        for name in ["cause", "acr"] {
            if let Some(found) = failure.get(name).and_then(Value::as_str) {
                self.line(&format!("  {name:<9} {}", plain(found)));
            }
        }
        for rule in list(failure.get("rules")) {
            self.line(&format!("  rule      {}", reason(rule)));
        }
    }

    /// Who acts for whom, and where.
    fn parties(&mut self, page: &Value) {
        self.text.push('\n');
        let subject = page.get("subject");
        let of = |name: &str| subject.and_then(|subject| subject.get(name)).filter(|value| !value.is_null());
        let mut rows = vec![
            ("caller", text(page.get("caller").and_then(|caller| caller.get("id")))),
            ("subject", text(of("sub"))),
            ("tenant", text(page.get("tenant"))),
        ];
        if of("provisional").and_then(Value::as_bool).unwrap_or_default() {
            rows.push(("", "provisional: the directory does not know this user".to_owned()));
        }
        if let Some(Value::Object(account)) = of("account") {
            let ids = account.iter().filter(|(_, id)| !id.is_null()).map(|(name, id)| format!("{name} {}", text(Some(id))));
            rows.push(("account", ids.collect::<Vec<_>>().join(", ")));
        }
        if let Some(host) = of("host") {
            rows.push(("host", text(Some(host))));
        }
        if let Some(chain) = of("chain") {
            rows.push(("actors", actors(chain).join(", then ")));
        }
        rows.push(("lineage", joined(of("lineage"))));
        rows.push(("record", text(page.get("correlation_id"))));
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(&format!("{name:<9} {}", plain(value)));
        }
    }

    /// A row each of what was asked for, a column each of those who limit it.
    fn matrix(&mut self, of: &str, ceiling: Option<&Value>, granted: Option<&Value>) {
        let Some(ceiling) = ceiling else { return };
        let terms = list(ceiling.get("terms"));
        let asked = list(ceiling.get("asked"));
        if asked.is_empty() && terms.is_empty() {
            return;
        }
        let mut whose: Vec<String> = Vec::new();
        for by in terms.iter().map(|term| text(term.get("by"))) {
            if !whose.contains(&by) {
                whose.push(by);
            }
        }
        let mut table = vec![[of.to_owned(), "asked".to_owned()].into_iter().chain(whose.iter().cloned()).collect::<Vec<_>>()];
        if let Some(head) = table.first_mut() {
            head.push("granted".to_owned());
        }
        for name in asked {
            let by = |by: &String| standing(terms, by, name).to_owned();
            let last = match granted {
                Some(granted) => yes(list(Some(granted)).contains(name)),
                None => "-",
            };
            let row = [plain(&text(Some(name))), "yes".to_owned()].into_iter().chain(whose.iter().map(by));
            table.push(row.chain([last.to_owned()]).collect());
        }
        self.text.push('\n');
        self.table(&table);
        if asked.is_empty() {
            self.line("  nothing was asked for, and there is no default");
        }
    }

    fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.first().map_or(0, Vec::len);
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for (index, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell}{}  ", " ".repeat(width.saturating_sub(cell.chars().count())));
            }
            let line = if index == 0 { self.stream.bold(line.trim_end()) } else { line };
            self.line(&line);
        }
    }

    /// The least of the bounds holds.
    fn lifetimes(&mut self, caps: &[Value], granted: Option<&Value>) {
        if caps.is_empty() {
            return;
        }
        self.title("lifetime");
        let seconds = |cap: &Value| cap.get("seconds").and_then(Value::as_u64).unwrap_or_default();
        let least = caps.iter().map(seconds).min().unwrap_or_default();
        let mut told = false;
        for cap in caps {
            let counts = !told && seconds(cap) == least;
            told |= counts;
            let mark = if counts { "  <- this one counts" } else { "" };
            self.line(&format!("  {:<9} {}{mark}", plain(&text(cap.get("by"))), lasting(seconds(cap))));
        }
        if let Some(granted) = granted.and_then(Value::as_u64) {
            self.line(&format!("  {:<9} {}", "granted", lasting(granted)));
        }
    }

    fn rules(&mut self, rules: &[Value]) {
        if rules.is_empty() {
            return;
        }
        self.title("rules");
        for rule in rules {
            self.line(&format!("  {}", reason(rule)));
        }
    }

    fn claims(&mut self, claims: &Map<String, Value>) {
        self.title("claims");
        let width = claims.keys().map(|name| name.chars().count()).max().unwrap_or_default();
        for (name, value) in claims {
            let moment = value.as_u64().filter(|_| TIMES.contains(&name.as_str()));
            let told = match moment {
                Some(seconds) => format!("{} ({seconds})", standin::audit::time(Duration::from_secs(seconds))),
                None => text(Some(value)),
            };
            self.line(&format!("  {:<width$}  {}", plain(name), plain(&told)));
        }
    }
}

/// Whether everybody of this name allows it; `any` where they limit nothing.
fn standing(terms: &[Value], by: &str, name: &Value) -> &'static str {
    let theirs = || terms.iter().filter(|term| text(term.get("by")) == by).filter_map(|term| term.get("allows")?.as_array());
    if theirs().next().is_none() { "any" } else { yes(theirs().all(|allows| allows.contains(name))) }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "NO" }
}

/// Why a scope goes no further, by whose term it was.
fn lacking(by: &str) -> String {
    match by {
        "subject" => "the subject has it not: its token or the directory".to_owned(),
        "client" => "the client's registration does not list it under `scopes`".to_owned(),
        "step" => "the step's registration does not list it under `scopes`".to_owned(),
        "audience" => "the audience's registration does not list it under `scopes`".to_owned(),
        "policy" => "the policy narrows it away".to_owned(),
        other => format!("{} does not allow it", plain(other)),
    }
}

/// Nearest first.
fn actors(chain: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = Some(chain);
    while let Some(actor) = next {
        let issuer = actor.get("iss").and_then(Value::as_str).map(|issuer| format!(" of {issuer}")).unwrap_or_default();
        found.push(format!("{}{issuer}", text(actor.get("sub"))));
        next = actor.get("act");
    }
    found
}

fn reason(rule: &Value) -> String {
    let (rule, text) = (text(rule.get("rule")), text(rule.get("text")));
    if text.is_empty() { plain(&rule) } else { format!("{}: {}", plain(&rule), plain(&text)) }
}

fn lasting(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, _) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, rest) => format!("{minutes} min {rest} s"),
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn joined(value: Option<&Value>) -> String {
    list(value).iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(" ")
}

/// A string as it is, and everything else as JSON; nothing where there is none.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
