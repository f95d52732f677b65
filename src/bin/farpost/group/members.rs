//! `farpost site add` and `farpost site remove`: which nodes a site has.

use clap::Args;
use farpost::{NodeChoice, Role, SiteChange};
use serde_json::json;

use super::StoreArguments;
use crate::failure::Failure;

/// Which nodes of which site.
#[derive(Args)]
pub(crate) struct MemberArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// The site's name
    site: String,
    /// The gateways and agents
    #[arg(required_unless_present = "pattern", conflicts_with = "pattern")]
    node: Vec<String>,
    /// All gateways and agents of the group whose names match, such as '*.branch.example', or '**.example' for any depth
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    /// Of these only those of this role: gateway or agent
    #[arg(long, value_name = "ROLE", requires = "pattern")]
    role: Option<Role>,
    /// Say whom it would concern, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the names as JSON
    #[arg(long)]
    json: bool,
}

/// Says who, where it was not the command line that named them.
pub(super) async fn change(arguments: MemberArguments, change: SiteChange) -> Result<(), Failure> {
    let MemberArguments { store, site, node, pattern, role, dry_run, json: as_json } = arguments;
    let choice = match &pattern {
        Some(pattern) => NodeChoice::fitting(pattern, role)?,
        None => NodeChoice::named(&node)?,
    };
    let group = store.open().await?;
    let names = if dry_run {
        group.rehearse_site(&site, &choice, change).await?
    } else {
        group.change_site(&site, &choice, change).await?
    };
    let outcome = if change == SiteChange::Remove { "removed" } else { "added" };
    let count = names.len();
    if as_json {
        let nodes: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        println!("{}", json!({ "outcome": outcome, "dry_run": dry_run, "site": site, "count": count, "nodes": nodes }));
        return Ok(());
    }
    if pattern.is_some() || dry_run {
        names.iter().for_each(|name| println!("{name}"));
    }
    let verb = if dry_run { " would be" } else { "" };
    let preposition = if change == SiteChange::Remove { "from" } else { "to" };
    println!("{count}{verb} {outcome} {preposition} the site {site}.");
    Ok(())
}
