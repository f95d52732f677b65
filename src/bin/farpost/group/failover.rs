//! `farpost failover` and `farpost site`: which upstreams nodes have.

use clap::{Args, Subcommand};
use farpost::{
    Assignment, AssignmentRecord, AssignmentTarget, Code, GatewayState, ManagementGroup, Name, SiteChange, SiteName,
    SiteRecord,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::group::{StoreArguments, table::table, wait};
use crate::group::{members, simulate};

/// The subcommands of `failover`.
#[derive(Subcommand)]
pub(crate) enum FailoverCommand {
    /// Assign a primary and failovers, in order
    Set {
        #[command(flatten)]
        store: StoreArguments,
        #[command(flatten)]
        target: TargetArguments,
        /// The upstream to use
        #[arg(long, value_name = "NAME[:PORT]")]
        primary: String,
        /// An upstream to use when the ones before it are dead; may be given again, in their order
        #[arg(long, value_name = "NAME[:PORT]")]
        failover: Vec<String>,
    },
    /// Let the primary and a failover change places
    Swap {
        #[command(flatten)]
        store: StoreArguments,
        #[command(flatten)]
        target: TargetArguments,
        /// The failover; without it, the first
        #[arg(long, value_name = "NAME")]
        with: Option<String>,
    },
    /// What is assigned to a node, or to all
    Show {
        #[command(flatten)]
        store: StoreArguments,
        /// The gateway or the agent
        node: Option<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take an assignment away: a node has what its site has, or follows its own configuration
    Clear {
        #[command(flatten)]
        store: StoreArguments,
        /// The gateway or the agent
        #[arg(required_unless_present = "site", conflicts_with = "site")]
        node: Option<String>,
        /// The site whose nodes it is taken from
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
    },
    /// Where everybody would go if a server or a gateway failed
    Simulate(simulate::SimulateArguments),
}

/// Whose upstreams.
#[derive(Args)]
#[group(required = true, multiple = false, id = "target")]
pub(crate) struct TargetArguments {
    /// The gateway that gets them
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// The agent that gets them
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The site whose nodes get them that have none of their own
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
}

/// The subcommands of `site`.
#[derive(Subcommand)]
pub(crate) enum SiteCommand {
    /// Make a site without nodes
    Create {
        #[command(flatten)]
        store: StoreArguments,
        /// Its name
        site: String,
    },
    /// Remove a site; its nodes stay in the group
    Delete {
        #[command(flatten)]
        store: StoreArguments,
        /// Its name
        site: String,
    },
    /// The sites of the group
    List {
        #[command(flatten)]
        store: StoreArguments,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// A site with its nodes
    Show {
        #[command(flatten)]
        store: StoreArguments,
        /// Its name
        site: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put gateways and agents into a site
    Add(members::MemberArguments),
    /// Take gateways and agents out of a site
    Remove(members::MemberArguments),
}

/// `farpost failover`.
pub(super) fn execute(command: FailoverCommand) -> Result<(), Failure> {
    match command {
        FailoverCommand::Simulate(arguments) => simulate::execute(arguments),
        FailoverCommand::Set { store, target, primary, failover } => wait(async {
            let group = store.open().await?;
            let target = target.of(&group).await?;
            match &target {
                AssignmentTarget::Site(site) => group.set_site_failover(site.as_str(), &primary, &failover).await?,
                AssignmentTarget::Node(node) => group.set_failover(node.as_str(), &primary, &failover).await?,
                _ => {}
            }
            println!("{target}: {}", [&[primary][..], &failover].concat().join(", then "));
            Ok(())
        }),
        FailoverCommand::Swap { store, target, with } => wait(async {
            let group = store.open().await?;
            let target = target.of(&group).await?;
            let assignment = group.swap_failover(&target, with.as_deref()).await?;
            println!("{target}: {}", upstreams(&assignment).join(", then "));
            Ok(())
        }),
        FailoverCommand::Show { store, node, json } => wait(async {
            let records = store.open().await?.assignments(node.as_deref()).await?;
            print_assignments(&records, json);
            Ok(())
        }),
        FailoverCommand::Clear { store, node, site } => wait(async {
            let target = TargetArguments { gateway: node, agent: None, site }.parse()?;
            let group = store.open().await?;
            group.clear_failover(&target).await?;
            println!("{target}: {}", what_is_left(&group, &target).await?);
            Ok(())
        }),
    }
}

/// `farpost site`.
pub(super) fn execute_site(command: SiteCommand) -> Result<(), Failure> {
    wait(async {
        match command {
            SiteCommand::Create { store, site } => {
                store.open().await?.create_site(&site).await?;
                println!("The site {site} is there.");
            }
            SiteCommand::Delete { store, site } => {
                store.open().await?.delete_site(&site).await?;
                println!("The site {site} is removed.");
            }
            SiteCommand::List { store, json } => print_sites(&store.open().await?.sites().await?, json),
            SiteCommand::Show { store, site, json } => show(&store.open().await?, &site, json).await?,
            SiteCommand::Add(arguments) => members::change(arguments, SiteChange::Add).await?,
            SiteCommand::Remove(arguments) => members::change(arguments, SiteChange::Remove).await?,
        }
        Ok(())
    })
}

impl TargetArguments {
    /// The target, of the role that was said: gateways are few, so it is they who are looked at.
    async fn of(self, group: &ManagementGroup) -> Result<AssignmentTarget, Failure> {
        let (wanted, is_gateway) = (self.gateway.is_some(), self.gateway.is_some() || self.agent.is_some());
        let target = self.parse()?;
        if let AssignmentTarget::Node(node) = &target
            && is_gateway
        {
            let gateways = group.gateways().await?;
            let found = gateways.iter().any(|known| known.name == *node && known.state != GatewayState::Deleted);
            match (wanted, found) {
                (true, false) => {
                    return Err(Failure::new(Code::NameUnknown, node)
                        .found("no gateway of this name")
                        .expected("a gateway of the group; of an agent, --agent"));
                }
                (false, true) => {
                    let error = Failure::new(Code::RoleNotApproved, node).found("a gateway").expected("an agent");
                    return Err(error.remedy("say --gateway, or use another name"));
                }
                _ => {}
            }
        }
        Ok(target)
    }

    fn parse(self) -> Result<AssignmentTarget, Failure> {
        match (self.site, self.gateway.or(self.agent)) {
            (Some(site), _) => Ok(AssignmentTarget::Site(SiteName::parse(&site)?)),
            (None, node) => Ok(AssignmentTarget::Node(Name::parse(&node.unwrap_or_default())?)),
        }
    }
}

async fn what_is_left(group: &ManagementGroup, target: &AssignmentTarget) -> Result<String, Failure> {
    let AssignmentTarget::Node(node) = target else { return Ok("no assignment".to_owned()) };
    let left = group.assignments(Some(node.as_str())).await?;
    Ok(match left.first() {
        Some(record) => upstreams(&record.assignment).join(", then "),
        None => "its own configuration".to_owned(),
    })
}

async fn show(group: &ManagementGroup, site: &str, as_json: bool) -> Result<(), Failure> {
    let wanted = SiteName::parse(site)?;
    let sites = group.sites().await?;
    let Some(record) = sites.iter().find(|record| record.name == wanted) else {
        let known: Vec<&str> = sites.iter().map(|record| record.name.as_str()).collect();
        let known = if known.is_empty() { "a site; there is none yet".to_owned() } else { known.join(", ") };
        return Err(Failure::new(Code::SiteUnknown, wanted).found("no site of this name").expected(known));
    };
    if as_json {
        println!("{}", site_document(record));
        return Ok(());
    }
    let assigned = record.assignment.as_ref().map_or_else(Vec::new, upstreams);
    println!("site {}: {}", record.name, if assigned.is_empty() { "-".to_owned() } else { assigned.join(", then ") });
    let held = group.assignments(None).await?;
    table(
        &["NODE", "VERSION", "FROM"],
        record.nodes.iter().map(|node| {
            let held = held.iter().find(|held| held.node == *node);
            let version = held.map_or("-".to_owned(), |held| held.version.to_string());
            vec![node.to_string(), version, held.map_or("-".to_owned(), from)]
        }),
    );
    Ok(())
}

fn print_assignments(records: &[AssignmentRecord], as_json: bool) {
    if as_json {
        let all = records.iter().map(|record| {
            json!({
                "node": record.node.as_str(),
                "version": record.version,
                "upstreams": upstreams(&record.assignment),
                "site": record.site.as_ref().map(SiteName::as_str),
            })
        });
        println!("{}", all.collect::<Value>());
        return;
    }
    let rows = records.iter().map(|record| {
        let all = upstreams(&record.assignment).join(", ");
        vec![record.node.to_string(), record.version.to_string(), from(record), all]
    });
    table(&["ASSIGNED TO", "VERSION", "FROM", "UPSTREAMS"], rows);
}

fn print_sites(sites: &[SiteRecord], as_json: bool) {
    if as_json {
        println!("{}", sites.iter().map(site_document).collect::<Value>());
        return;
    }
    let rows = sites.iter().map(|site| {
        let all = site.assignment.as_ref().map_or("-".to_owned(), |assignment| upstreams(assignment).join(", "));
        vec![site.name.to_string(), site.nodes.len().to_string(), all]
    });
    table(&["SITE", "NODES", "UPSTREAMS"], rows);
}

fn site_document(site: &SiteRecord) -> Value {
    json!({
        "name": site.name.as_str(),
        "upstreams": site.assignment.as_ref().map(upstreams),
        "nodes": site.nodes.iter().map(|node| json!(node.as_str())).collect::<Value>(),
    })
}

/// Where an assignment comes from.
fn from(record: &AssignmentRecord) -> String {
    record.site.as_ref().map_or("its own".to_owned(), |site| format!("site {site}"))
}

fn upstreams(assignment: &Assignment) -> Vec<String> {
    assignment.upstreams().map(ToString::to_string).collect()
}
