//! The commands of the management group: approvals, assignments, inventory, messages to agents.
//!
//! They work on the group's store, whether or not a management server runs, or from afar through one (`--server`); what
//! they change takes effect on all of them within 2 s (rule G2).

mod age;
pub(crate) mod approval;
mod audit;
mod deliveries;
mod details;
mod failover;
mod keys;
mod lists;
mod members;
mod messages;
mod operators;
mod overview;
mod refusals;
mod servers;
mod simulate;
mod table;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use farpost::{AgentDecision, ApprovedFor, Code, Config, GatewayState, GatewayTerms, ManagementGroup, Name};

use crate::failure::Failure;
use crate::{afar, files};
use approval::{ChoiceArguments, KeyArguments, RuleCommand};
use failover::{FailoverCommand, SiteCommand};

/// Where the group's store is.
#[derive(Args)]
pub(crate) struct StoreArguments {
    /// The group store: sqlite:///path, or postgres://user@host/database
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    store: Option<String>,
    /// A management server's configuration, which names the store
    #[arg(long, value_name = "FILE", default_value = "/etc/farpost/management-server.toml")]
    config: PathBuf,
}

/// The commands that stand at the top of the command line.
#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// Approve a gateway, or remove it
    Approve(ApproveArguments),
    /// The upstreams of gateways and agents
    #[command(subcommand)]
    Failover(FailoverCommand),
    /// Sets of gateways and agents that have their upstreams in common
    #[command(subcommand)]
    Site(SiteCommand),
    /// The management servers of the group
    #[command(subcommand)]
    Server(servers::ServerCommand),
    /// How every server, gateway and agent stands, and what is wrong
    Inventory(overview::InventoryArguments),
    /// Who may work on the group from afar: farpost --server M --identity DIR COMMAND
    #[command(subcommand)]
    Operator(operators::OperatorCommand),
    /// The group itself: the key that signs its assignments
    #[command(subcommand)]
    Group(keys::OfGroupCommand),
    /// Send a message to agents
    Send(messages::SendArguments),
    /// Messages to agents, and what became of them
    Messages(messages::MessagesArguments),
    /// How long the store keeps what agents delivered (outputs with store = true)
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Who changed what in the group, and when
    Audit(audit::AuditArguments),
    /// Every attempt to connect that was refused, and why
    Refusals(refusals::RefusalsArguments),
}

/// The arguments of `approve`.
#[derive(Args)]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// The management server that the gateway connects to; to create, this or --parent-gateway
    #[arg(long, value_name = "NAME")]
    management_server_name: Option<String>,
    /// The approved gateway that it connects to instead of a management server
    #[arg(long, value_name = "NAME", conflicts_with = "management_server_name")]
    parent_gateway: Option<String>,
    /// The agents that it may speak for: *.branch.example; may be given again; without any, what was said before stays
    #[arg(long, value_name = "PATTERN")]
    agents: Vec<String>,
    /// It may speak for any agent
    #[arg(long, conflicts_with = "agents")]
    any_agents: bool,
    #[command(flatten)]
    key: KeyArguments,
    /// The gateway
    #[arg(long, value_name = "NAME")]
    gateway_name: String,
    /// Approve it, or remove it from the group
    #[arg(long, value_enum, ignore_case = true)]
    action: Action,
    /// The management server dials the gateway: comes with a later release
    #[arg(long)]
    management_server_initiates_connection: bool,
}

/// What `approve` does.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    Create,
    Delete,
}

/// The subcommands of `gateway` that are the group's.
#[derive(Subcommand)]
pub(crate) enum GatewayCommand {
    /// The gateways that the group knows
    List(lists::ListArguments),
    /// All that the group remembers of a gateway, with its whole key
    Show(details::ShowArguments),
}

/// The subcommands of `agent` that are the group's.
#[derive(Subcommand)]
pub(crate) enum AgentCommand {
    /// The agents that the group knows
    List(lists::ListArguments),
    /// All that the group remembers of an agent, with its whole key
    Show(details::ShowArguments),
    /// Let agents in
    Approve {
        #[command(flatten)]
        choice: ChoiceArguments,
        #[command(flatten)]
        key: KeyArguments,
    },
    /// Keep agents out until they are approved
    Reject {
        #[command(flatten)]
        choice: ChoiceArguments,
    },
    /// Forget agents: they are disconnected, and unknown when they come again
    Delete {
        #[command(flatten)]
        choice: ChoiceArguments,
    },
    /// The rules that decide about agents which no operator has decided about
    #[command(subcommand)]
    Rule(RuleCommand),
}

pub(crate) fn execute(command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::Approve(arguments) => wait(approve(arguments)),
        GroupCommand::Failover(command) => failover::execute(command),
        GroupCommand::Site(command) => failover::execute_site(command),
        GroupCommand::Server(command) => wait(servers::execute(command)),
        GroupCommand::Inventory(arguments) => overview::execute(arguments),
        GroupCommand::Operator(command) => operators::execute(command),
        GroupCommand::Group(keys::OfGroupCommand::Key(command)) => wait(keys::execute(command)),
        GroupCommand::Send(arguments) => wait(messages::send(arguments)),
        GroupCommand::Messages(arguments) => wait(messages::messages(arguments)),
        GroupCommand::Deliveries(command) => wait(deliveries::execute(command)),
        GroupCommand::Audit(arguments) => wait(audit::audit(arguments)),
        GroupCommand::Refusals(arguments) => wait(refusals::refusals(arguments)),
    }
}

/// `farpost agent list`, `show`, `approve`, `reject`, `delete`, `rule`.
pub(crate) fn execute_agent(command: AgentCommand) -> Result<(), Failure> {
    match command {
        AgentCommand::List(arguments) => wait(lists::agents(arguments)),
        AgentCommand::Show(arguments) => wait(details::agent(arguments)),
        AgentCommand::Approve { choice, key } => {
            let decision = AgentDecision::Approve(key.demand()?);
            wait(approval::decide(choice, decision))
        }
        AgentCommand::Reject { choice } => wait(approval::decide(choice, AgentDecision::Reject)),
        AgentCommand::Delete { choice } => wait(approval::decide(choice, AgentDecision::Delete)),
        AgentCommand::Rule(command) => wait(approval::rules(command)),
    }
}

/// `farpost gateway list`, `show`.
pub(crate) fn execute_gateway(command: GatewayCommand) -> Result<(), Failure> {
    match command {
        GatewayCommand::List(arguments) => wait(lists::gateways(arguments)),
        GatewayCommand::Show(arguments) => wait(details::gateway(arguments)),
    }
}

async fn approve(arguments: ApproveArguments) -> Result<(), Failure> {
    if arguments.management_server_initiates_connection {
        return Err(Failure::new(Code::Usage, "--management-server-initiates-connection")
            .found("a server that dials its gateway")
            .expected("a gateway that dials its server")
            .remedy("leave it out: it comes with a later release"));
    }
    let mut terms = GatewayTerms::default();
    if arguments.any_agents || !arguments.agents.is_empty() {
        terms = terms.agents(&arguments.agents)?;
    }
    if let Some(key) = arguments.key.demand()? {
        terms = terms.key(key);
    }
    let group = arguments.store.open().await?;
    let gateway = &Name::parse(&arguments.gateway_name)?;
    match arguments.action {
        Action::Create => {
            let parent = match (&arguments.parent_gateway, &arguments.management_server_name) {
                (Some(outer), _) => ApprovedFor::Gateway(outer),
                (None, Some(server)) => ApprovedFor::ManagementServer(server),
                (None, None) => {
                    return Err(Failure::new(Code::Usage, "approve --action create")
                        .found("no parent")
                        .expected("--management-server-name, or --parent-gateway"));
                }
            };
            check_parent_role(&group, parent).await?;
            group.approve_gateway_with(gateway.as_str(), parent, &terms).await?;
            println!("The approval of server {gateway} completed successfully.");
        }
        Action::Delete => {
            group.delete_gateway(gateway.as_str()).await?;
            println!("The removal of server {gateway} from the management group completed successfully.");
            warn_of_orphans(&group, gateway.as_str()).await?;
        }
    }
    Ok(())
}

/// Whether the parent is what the command line calls it; what is unknown is refused by the group.
async fn check_parent_role(group: &ManagementGroup, parent: ApprovedFor<'_>) -> Result<(), Failure> {
    let (ApprovedFor::ManagementServer(name) | ApprovedFor::Gateway(name)) = parent else { return Ok(()) };
    let name = Name::parse(name)?;
    let is_server = group.servers().await?.iter().any(|server| server.name == name);
    let is_gateway = || async {
        let gateways = group.gateways().await?;
        Ok::<bool, Failure>(gateways.iter().any(|known| known.name == name && known.state != GatewayState::Deleted))
    };
    let other = |found: &str, option: &str| {
        Err(Failure::new(Code::RoleNotApproved, &name).found(found).expected(option).remedy(format!("say {option}")))
    };
    match parent {
        ApprovedFor::Gateway(_) if is_server => other("a management server", "--management-server-name"),
        ApprovedFor::Gateway(_) if !is_gateway().await? => Err(Failure::new(Code::NameUnknown, &name)
            .found("no gateway of this name")
            .expected("an approved gateway of the group; approve the outer one first")),
        ApprovedFor::ManagementServer(_) if !is_server && is_gateway().await? => other("a gateway", "--parent-gateway"),
        _ => Ok(()),
    }
}

/// Deleting a gateway is allowed whoever is behind it: they have no parent then, until they are given another.
async fn warn_of_orphans(group: &ManagementGroup, deleted: &str) -> Result<(), Failure> {
    let deleted = Name::parse(deleted)?;
    for gateway in group.gateways().await?.iter().filter(|gateway| gateway.parent.as_ref() == Some(&deleted)) {
        eprintln!("warning: the gateway {} was approved for {deleted} and has no parent now", gateway.name);
    }
    Ok(())
}

impl StoreArguments {
    /// The group: by its store, or from afar.
    pub(crate) async fn open(&self) -> Result<ManagementGroup, Failure> {
        if let Some(group) = afar::group(self.store.as_deref()).await? {
            return Ok(group);
        }
        if let Some(url) = &self.store {
            return Ok(ManagementGroup::open(url).await?);
        }
        let text = files::read_text(&self.config).map_err(|failure| {
            failure.remedy(
                "say which group: --config FILE of a management server, --store URL, \
                 or from afar: farpost --server M --identity DIR COMMAND",
            )
        })?;
        let config = Config::from_toml(&text, &self.config.display().to_string())?;
        let url = config.store_url.ok_or_else(|| {
            Failure::new(Code::ConfigMissingKey, format!("{}: store.url", self.config.display()))
                .expected("sqlite:///path or postgres://user@host/database")
                .remedy("give a management server's configuration, or --store URL")
        })?;
        Ok(ManagementGroup::open(url.as_str()).await?)
    }
}

/// Runs one call to the group to its end.
pub(crate) fn wait(call: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Internal, "the runtime").found(error))?;
    runtime.block_on(call)
}
