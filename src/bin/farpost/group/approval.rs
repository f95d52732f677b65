//! `farpost agent approve`, `reject`, `delete`, `rule`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use farpost::{AgentChoice, AgentDecision, ApprovalRule, Code, KeyDemand, ManagementGroup, RuleTest, UnknownAgents};
use serde_json::{Value, json};

use super::StoreArguments;
use super::table::table;
use crate::failure::Failure;
use crate::files;

/// Which agents.
#[derive(Args)]
pub(crate) struct ChoiceArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// The agents
    #[arg(required_unless_present = "pattern", conflicts_with = "pattern")]
    name: Vec<String>,
    /// All agents of the group that fit: *.branch.example, **.example
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    /// Of these only those that wait for approval
    #[arg(long)]
    pending: bool,
    /// Say whom it would concern, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the names as JSON
    #[arg(long)]
    json: bool,
}

/// Which key a name must come with; without any, what was said before stays.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct KeyArguments {
    /// Only with this key: SHA-256 of its SubjectPublicKeyInfo, as `agent show` and `gateway show` print it
    #[arg(long, value_name = "SHA256")]
    key: Option<String>,
    /// Only with the key that it comes with first from now on
    #[arg(long)]
    pin_first: bool,
    /// With any key that a trusted CA vouches for
    #[arg(long)]
    any_key: bool,
}

impl KeyArguments {
    pub(crate) fn demand(&self) -> Result<Option<KeyDemand>, Failure> {
        match &self.key {
            Some(key) => match key.parse()? {
                demand @ KeyDemand::Sha256(_) => Ok(Some(demand)),
                _ => Err(Failure::new(Code::ArgumentInvalid, "--key").found(key).expected("64 hexadecimal digits")),
            },
            None if self.pin_first => Ok(Some(KeyDemand::First)),
            None if self.any_key => Ok(Some(KeyDemand::Any)),
            None => Ok(None),
        }
    }
}

/// The subcommands of `agent rule`.
#[derive(Subcommand)]
pub(crate) enum RuleCommand {
    /// Add a rule at the end, or before another one
    Add(AddArguments),
    /// The rules, in their order
    List {
        #[command(flatten)]
        store: StoreArguments,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a rule; whom it let in stays in
    Remove {
        #[command(flatten)]
        store: StoreArguments,
        /// The rule
        rule: String,
    },
    /// Which rule would decide about an agent
    Test {
        #[command(flatten)]
        store: StoreArguments,
        /// The agent
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The gateway that it is behind
        #[arg(long, value_name = "NAME")]
        gateway: Option<String>,
        /// The CA that issued its certificate: a file, or the SHA-256 of its public key
        #[arg(long, value_name = "FILE|SHA256")]
        issuer: Option<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The arguments of `agent rule add`.
#[derive(Args)]
pub(crate) struct AddArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// The rule's name
    rule: String,
    /// Which names it is for: *.branch.example, **.example
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: String,
    /// Only agents whose certificate this CA issued: a file, or the SHA-256 of its public key
    #[arg(long, value_name = "FILE|SHA256")]
    issuer: Option<String>,
    /// Only agents behind gateways of this name or pattern
    #[arg(long, value_name = "PATTERN")]
    gateway: Option<String>,
    /// What becomes of them
    #[arg(long, value_enum)]
    action: ActionWord,
    /// The rule that comes after it; else it is the last
    #[arg(long, value_name = "RULE")]
    before: Option<String>,
}

/// What a rule does.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ActionWord {
    Approve,
    Reject,
    Pending,
}

impl ActionWord {
    fn action(self) -> UnknownAgents {
        match self {
            Self::Approve => UnknownAgents::Approve,
            Self::Reject => UnknownAgents::Reject,
            Self::Pending => UnknownAgents::Pending,
        }
    }
}

/// `farpost agent approve`, `reject`, `delete`.
pub(super) async fn decide(arguments: ChoiceArguments, decision: AgentDecision) -> Result<(), Failure> {
    let choice = match &arguments.pattern {
        Some(pattern) => AgentChoice::fitting(pattern)?,
        None => AgentChoice::named(&arguments.name)?,
    };
    let choice = if arguments.pending { choice.only_pending() } else { choice };
    let group = arguments.store.open().await?;
    let names = if arguments.dry_run {
        group.rehearse_agents(&choice, decision).await?
    } else {
        group.decide_agents(&choice, decision).await?
    };
    let word = match decision {
        AgentDecision::Reject => "rejected",
        AgentDecision::Delete => "deleted",
        _ => "approved",
    };
    if arguments.json {
        let agents: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        println!(
            "{}",
            json!({ "outcome": word, "dry_run": arguments.dry_run, "count": names.len(), "agents": agents })
        );
        return Ok(());
    }
    let verb = if arguments.dry_run { "would be" } else { "is" };
    for name in &names {
        println!("The agent {name} {verb} {word}.");
    }
    if arguments.pattern.is_some() || arguments.pending || names.len() > 1 {
        println!("{} agents", names.len());
    }
    Ok(())
}

/// `farpost agent rule`.
pub(super) async fn rules(command: RuleCommand) -> Result<(), Failure> {
    match command {
        RuleCommand::Add(arguments) => add(arguments).await,
        RuleCommand::List { store, json } => list_rules(&store.open().await?, json).await,
        RuleCommand::Remove { store, rule } => {
            store.open().await?.remove_rule(&rule).await?;
            println!("The rule {rule} is removed.");
            Ok(())
        }
        RuleCommand::Test { store, name, gateway, issuer, json } => {
            let issuer = issuer.as_deref().map(key_of_authority).transpose()?;
            let test = store.open().await?.test_rules(&name, gateway.as_deref(), issuer.as_deref()).await?;
            tell_test(&test, json);
            Ok(())
        }
    }
}

async fn add(arguments: AddArguments) -> Result<(), Failure> {
    let mut rule = ApprovalRule::new(&arguments.rule, &arguments.pattern, arguments.action.action())?;
    if let Some(gateway) = &arguments.gateway {
        rule = rule.gateway(gateway)?;
    }
    if let Some(issuer) = &arguments.issuer {
        rule = rule.issuer(&key_of_authority(issuer)?)?;
    }
    arguments.store.open().await?.add_rule(&rule, arguments.before.as_deref()).await?;
    println!("The rule {} is added.", rule.name);
    Ok(())
}

async fn list_rules(group: &ManagementGroup, as_json: bool) -> Result<(), Failure> {
    let (rules, default) = (group.rules().await?, group.unknown_agents().await?);
    if as_json {
        let rules: Value = rules
            .iter()
            .map(|rule| {
                json!({
                    "name": rule.name.as_str(),
                    "match": rule.pattern.as_str(),
                    "issuer": rule.issuer_fingerprint(),
                    "gateway": rule.gateway.as_ref().map(|gateway| gateway.as_str()),
                    "action": rule.action.as_str(),
                })
            })
            .collect();
        println!("{}", json!({ "rules": rules, "unknown_agents": default.as_str() }));
        return Ok(());
    }
    let any = || "any".to_owned();
    let row = |rule: &ApprovalRule| {
        vec![
            rule.name.to_string(),
            rule.pattern.to_string(),
            rule.gateway.as_ref().map_or_else(any, ToString::to_string),
            rule.issuer_fingerprint().unwrap_or_else(any),
            rule.action.to_string(),
        ]
    };
    let last = vec!["(all others)".to_owned(), "**".to_owned(), any(), any(), default.to_string()];
    let rows = rules.iter().map(row).chain([last]);
    table(&["RULE", "MATCH", "GATEWAY", "ISSUER", "ACTION"], rows);
    Ok(())
}

fn tell_test(test: &RuleTest, as_json: bool) {
    if as_json {
        let (rule, known) = (test.rule.as_ref().map(|rule| rule.as_str()), test.known.map(|known| known.as_str()));
        println!("{}", json!({ "rule": rule, "action": test.action.as_str(), "known": known }));
        return;
    }
    match &test.rule {
        Some(rule) => println!("rule {rule}: {}", test.action),
        None => println!("no rule; unknown agents: {}", test.action),
    }
    if let Some(known) = test.known {
        println!("the group knows it already: {known}");
    }
}

/// SHA-256 of a CA's public key: as it is given, or of the certificate in a file.
fn key_of_authority(issuer: &str) -> Result<String, Failure> {
    if issuer.parse::<KeyDemand>().is_ok() {
        return Ok(issuer.to_owned());
    }
    let path = PathBuf::from(issuer);
    let bytes = std::fs::read(&path).map_err(|error| files::unreadable(&path, &error))?;
    Ok(farpost::key_of_certificate(&bytes)?)
}
