//! `farpost refusals`: every attempt to connect that a gateway or a server refused, and why.

use clap::Args;
use farpost::{Code, RefusedAttempt, Timestamp};
use serde_json::{Value, json};

use crate::failure::{Failure, printable};
use crate::group::StoreArguments;
use crate::when::since;

/// The arguments of `refusals`.
#[derive(Args)]
pub(crate) struct RefusalsArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Only those of which the last attempt was since then: 2h, 7d, or 2026-11-22T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only attempts by this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only what this gateway or management server refused
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only those refused for this reason, such as FP3003
    #[arg(long, value_name = "CODE")]
    code: Option<Code>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) async fn refusals(arguments: RefusalsArguments) -> Result<(), Failure> {
    let from = arguments.since.unwrap_or(Timestamp::from_unix_millis(i64::MIN));
    let refused = arguments.store.open().await?.refused_attempts(from, usize::MAX).await?;
    let mut count = 0;
    for one in refused.iter().filter(|one| arguments.wants(one)) {
        count += 1;
        if arguments.json {
            println!("{}", document(one));
        } else {
            print_one(one);
        }
    }
    if count == 0 && !arguments.json {
        println!("no attempt was refused");
    }
    Ok(())
}

impl RefusalsArguments {
    fn wants(&self, one: &RefusedAttempt) -> bool {
        let is = |wanted: &Option<String>, name: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| name.is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
        };
        is(&self.name, one.name.as_ref().map(|name| name.as_str()))
            && is(&self.by, Some(one.by.as_str()))
            && self.code.is_none_or(|code| code.number() == one.code)
    }
}

/// Who, from where, by whom, how often; then the reason as every error of farpost is told.
fn print_one(one: &RefusedAttempt) {
    let who = one.name.as_ref().map_or("somebody without a certificate that counts", |name| name.as_str());
    let role = one.role.map(|role| format!(" as {role}")).unwrap_or_default();
    let from = if one.address.is_empty() { "several addresses".to_owned() } else { printable(&one.address) };
    let times = match one.count {
        1 => one.last.to_string(),
        count => format!("{}, {count} times since {}", one.last, one.first),
    };
    println!("{who}{role}, from {from}, refused by {}: {times}", one.by);
    let (summary, remedy) = words(one.code);
    println!("  reason    FP{} {summary}", one.code);
    if !one.text.is_empty() {
        println!("  detail    {}", printable(&one.text));
    }
    if let Some(remedy) = remedy {
        println!("  remedy    {remedy}");
    }
}

/// What a code says; a newer node may have refused for a reason that this release does not know.
fn words(code: u16) -> (&'static str, Option<&'static str>) {
    Code::from_number(code)
        .map_or(("a reason that this release does not know", None), |code| (code.summary(), Some(code.remedy())))
}

fn document(one: &RefusedAttempt) -> Value {
    json!({
        "name": one.name.as_ref().map(|name| name.as_str()),
        "role": one.role.map(|role| role.as_str()),
        "address": one.address,
        "by": one.by.as_str(),
        "code": format!("FP{}", one.code),
        "reason": words(one.code).0,
        "detail": one.text,
        "remedy": words(one.code).1,
        "first": one.first.to_string(),
        "last": one.last.to_string(),
        "count": one.count,
    })
}
