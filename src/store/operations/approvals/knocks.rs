//! Who knocks: all knocks of a batch against one picture of the records, which is written back once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::Result;
use crate::group::{
    AgentRecord, AgentState, ApprovalRule, Assignment, Author, By, Decision, Facts, GatewayRecord, GatewayState, Knock,
    OperatorRecord, Remember, RuleName, ServerRecord, UnknownAgents, decide, pending_expired_before,
};
use crate::name::Name;
use crate::role::Role;
use crate::store::operations::{assignments, audit, distinct, server};
use crate::store::records::{Place, Records, Which};
use crate::time::Timestamp;

/// Decides about knocks in their order, each as if those before it had been written, and remembers who knocked.
pub(in crate::store) fn authorise(records: &mut dyn Records, knocks: &[Knock]) -> Result<Vec<Decision>> {
    records.lock_group()?;
    let mut picture = Picture::read(records, knocks)?;
    let decisions = knocks.iter().map(|knock| picture.decide(knock)).collect();
    picture.write(records)?;
    Ok(decisions)
}

/// What the group knows that bears on a batch of knocks.
struct Picture {
    gateways: HashMap<Name, GatewayRecord>,
    agents: HashMap<Name, AgentRecord>,
    operators: HashMap<Name, OperatorRecord>,
    assignments: HashMap<Name, Assignment>,
    servers: Vec<ServerRecord>,
    unknown_agents: UnknownAgents,
    rules: Arc<[ApprovalRule]>,
    /// Empty if no name of the batch is new.
    pending: HashMap<Place, usize>,
    touched_gateways: BTreeSet<Name>,
    touched_agents: BTreeSet<Name>,
    touched_operators: BTreeSet<Name>,
    /// What the group decided by itself, for the audit log (rule G4).
    own: Vec<OwnDecision>,
    is_changed: bool,
}

/// Something that no operator decided: by a rule or the default, or that a pin moved.
struct OwnDecision {
    author: Author,
    at: Timestamp,
    action: &'static str,
    before: Before,
}

/// What there was of a name.
enum Before {
    Gateway(Name, Option<GatewayRecord>),
    Agent(Name, Option<AgentRecord>),
    Operator(Name, OperatorRecord),
}

impl Picture {
    fn read(records: &mut dyn Records, knocks: &[Knock]) -> Result<Self> {
        let who = distinct(knocks.iter().map(|knock| &knock.name));
        let with_vias =
            distinct(knocks.iter().flat_map(|knock| std::iter::once(&knock.name).chain(knock.via.as_ref())));
        let gateways = records.gateways(Which::Named(&with_vias))?;
        let agents = records.agents(Which::Named(&who))?;
        let operators = records.operators(Which::Named(&who))?;
        let assignments = assignments::of(records, &who)?;
        let mut picture = Self {
            gateways: gateways.into_iter().map(|record| (record.name.clone(), record)).collect(),
            agents: agents.into_iter().map(|record| (record.name.clone(), record)).collect(),
            operators: operators.into_iter().map(|record| (record.name.clone(), record)).collect(),
            assignments: assignments.into_iter().map(|(node, record)| (node, record.assignment)).collect(),
            servers: records.servers()?,
            unknown_agents: records.unknown_agents()?,
            rules: records.rules()?.into(),
            pending: HashMap::new(),
            touched_gateways: BTreeSet::new(),
            touched_agents: BTreeSet::new(),
            touched_operators: BTreeSet::new(),
            own: Vec::new(),
            is_changed: false,
        };
        let waits = |knock: &&Knock| knock.role != Role::Operator && picture.is_new(&knock.name);
        if let Some(newest) = knocks.iter().filter(waits).map(|knock| knock.at).max() {
            picture.count_pending(records, knocks, pending_expired_before(newest))?;
        }
        Ok(picture)
    }

    fn is_new(&self, name: &Name) -> bool {
        !self.agents.contains_key(name)
            && self.gateways.get(name).is_none_or(|known| known.state == GatewayState::Deleted)
    }

    /// How many wait where newcomers would; those that were not seen for long are forgotten first. A forgotten gateway
    /// still is no agent (rule G1).
    fn count_pending(&mut self, records: &mut dyn Records, knocks: &[Knock], before: Timestamp) -> Result<()> {
        records.expire_pending(before)?;
        self.agents.retain(|_, agent| agent.state != AgentState::Pending || agent.last_seen >= before);
        for gateway in self.gateways.values_mut() {
            if gateway.state == GatewayState::Pending && gateway.last_seen < before {
                gateway.state = GatewayState::Deleted;
            }
        }
        let mut places: Vec<Place> = Vec::new();
        for place in knocks.iter().map(place_of) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let counts = records.count_pending(&places.iter().collect::<Vec<_>>())?;
        let counts = counts.into_iter().map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        self.pending = places.into_iter().zip(counts).collect();
        Ok(())
    }

    fn facts(&self, knock: &Knock) -> Facts {
        let via = knock.via.as_ref().and_then(|via| self.gateways.get(via));
        Facts {
            gateway: self.gateways.get(&knock.name).cloned(),
            agent: self.agents.get(&knock.name).cloned(),
            server: server(&self.servers, &knock.server).cloned(),
            bearer: server(&self.servers, &knock.name).cloned(),
            operator: self.operators.get(&knock.name).cloned(),
            assignment: self.assignments.get(&knock.name).cloned(),
            via_approved: via.is_some_and(|via| via.state == GatewayState::Approved),
            is_not_vias: via.is_some_and(|via| !via.may_speak_for(&knock.name)),
            pending: if self.is_new(&knock.name) { self.waiting(&place_of(knock)) } else { 0 },
            unknown_agents: self.unknown_agents,
            rules: self.rules.clone(),
        }
    }

    fn waiting(&self, place: &Place) -> usize {
        self.pending.get(place).copied().unwrap_or(0)
    }

    fn decide(&mut self, knock: &Knock) -> Decision {
        let (decision, remember) = decide(&self.facts(knock), knock);
        match &remember {
            Remember::Nothing => return decision,
            Remember::OtherKey => {
                self.note_other_key(knock);
                return decision;
            }
            Remember::Seen => {}
            Remember::PendingGateway => {
                let new = || GatewayRecord::new(knock.name.clone(), GatewayState::Pending, knock.at);
                let record = self.gateways.entry(knock.name.clone()).or_insert_with(new);
                (record.state, record.parent) = (GatewayState::Pending, None);
                self.is_changed = true;
            }
            Remember::Agent(state, rule) => self.remember_agent(knock, *state, rule.as_ref()),
        }
        if !matches!(remember, Remember::Seen | Remember::Agent(AgentState::Approved | AgentState::Rejected, _))
            && let Some(waiting) = self.pending.get_mut(&place_of(knock))
        {
            *waiting += 1;
        }
        self.seen(knock);
        if matches!(decision, Decision::Approved(_)) {
            self.move_pin(knock);
        }
        decision
    }

    /// What a rule, or the default, makes of an agent.
    fn remember_agent(&mut self, knock: &Knock, state: AgentState, rule: Option<&RuleName>) {
        let before = self.agents.get(&knock.name).cloned();
        if state != AgentState::Pending {
            let who = rule.map_or_else(|| "unknown_agents".to_owned(), |rule| format!("rule {rule}"));
            self.own.push(OwnDecision {
                author: Author::group(who, place_of(knock).name().as_str()),
                at: knock.at,
                action: if state == AgentState::Approved { "approve agent" } else { "reject agent" },
                before: Before::Agent(knock.name.clone(), before),
            });
        }
        let new = || AgentRecord::new(knock.name.clone(), state, knock.at);
        let record = self.agents.entry(knock.name.clone()).or_insert_with(new);
        (record.state, record.rule) = (state, rule.cloned());
        self.is_changed = true;
    }

    /// The pinned name came with another key: its owner's is what is remembered as seen.
    fn note_other_key(&mut self, knock: &Knock) {
        let (key, at, name) = (knock.key, knock.at, &knock.name);
        if let Some(gateway) = self.gateways.get_mut(name).filter(|_| knock.role == Role::Gateway) {
            gateway.pin = gateway.pin.refusing(key, at);
            self.touched_gateways.insert(name.clone());
        } else if let Some(agent) = self.agents.get_mut(name) {
            agent.pin = agent.pin.refusing(key, at);
            self.touched_agents.insert(name.clone());
        }
    }

    /// The first key of a name that is to keep it, or the one that its renewal gave it.
    fn move_pin(&mut self, knock: &Knock) {
        let (name, mut before) = (&knock.name, None);
        if knock.role == Role::Operator {
            if let Some(operator) = self.operators.get_mut(name) {
                let held = operator.clone();
                before = operator.showed(knock.key).then(|| Before::Operator(name.clone(), held));
            }
        } else if let Some(gateway) = self.gateways.get_mut(name).filter(|_| knock.role == Role::Gateway) {
            if let Some(pin) = gateway.pin.after(knock.key, knock.at) {
                before = Some(Before::Gateway(name.clone(), Some(gateway.clone())));
                gateway.pin = pin;
            }
        } else if let Some(agent) = self.agents.get_mut(name)
            && let Some(pin) = agent.pin.after(knock.key, knock.at)
        {
            before = Some(Before::Agent(name.clone(), Some(agent.clone())));
            agent.pin = pin;
        }
        if let Some(before) = before {
            let author = Author::group("the key that it came with", place_of(knock).name().as_str());
            self.own.push(OwnDecision { author, at: knock.at, action: "pin key", before });
        }
    }

    /// When, where and with which key a known name was seen. A new key is remembered, not refused: the CA vouches for
    /// it, since certificates are renewed.
    fn seen(&mut self, knock: &Knock) {
        macro_rules! seen {
            ($records:ident, $touched:ident) => {
                if let Some(record) = self.$records.get_mut(&knock.name) {
                    record.last_seen = record.last_seen.max(knock.at);
                    record.address.clone_from(&knock.address);
                    record.via.clone_from(&knock.via);
                    record.server = Some(knock.server.clone());
                    record.software.clone_from(&knock.software);
                    if record.key.is_some_and(|key| key != knock.key) {
                        record.key_changed = Some(knock.at);
                    }
                    record.key = Some(knock.key);
                    self.$touched.insert(knock.name.clone());
                }
            };
        }
        match knock.role {
            Role::Operator => self.operator_seen(knock),
            Role::Gateway => seen!(gateways, touched_gateways),
            _ => seen!(agents, touched_agents),
        }
    }

    fn operator_seen(&mut self, knock: &Knock) {
        let Some(record) = self.operators.get_mut(&knock.name) else { return };
        record.first_seen.get_or_insert(knock.at);
        record.last_seen = record.last_seen.max(Some(knock.at));
        record.address.clone_from(&knock.address);
        record.server = Some(knock.server.clone());
        self.touched_operators.insert(knock.name.clone());
    }

    fn write(&self, records: &mut dyn Records) -> Result<()> {
        let gateways: Vec<_> = self.touched_gateways.iter().filter_map(|name| self.gateways.get(name)).collect();
        if !gateways.is_empty() {
            records.put_gateways(&gateways)?;
        }
        let agents: Vec<_> = self.touched_agents.iter().filter_map(|name| self.agents.get(name)).collect();
        if !agents.is_empty() {
            records.put_agents(&agents)?;
        }
        let operators: Vec<_> = self.touched_operators.iter().filter_map(|name| self.operators.get(name)).collect();
        if !operators.is_empty() {
            records.put_operators(&operators)?;
        }
        for OwnDecision { author, at, action, before } in &self.own {
            let by = By { author: author.clone(), at: *at };
            match before {
                Before::Gateway(name, before) => {
                    audit(records, &by, (action, name.as_str()), before.as_ref(), self.gateways.get(name))?;
                }
                Before::Agent(name, before) => {
                    audit(records, &by, (action, name.as_str()), before.as_ref(), self.agents.get(name))?;
                }
                Before::Operator(name, before) => {
                    audit(records, &by, (action, name.as_str()), Some(before), self.operators.get(name))?;
                }
            }
        }
        if self.is_changed { records.changed() } else { Ok(()) }
    }
}

fn place_of(knock: &Knock) -> Place {
    match &knock.via {
        Some(via) => Place::Behind(via.clone()),
        None => Place::At(knock.server.clone()),
    }
}
