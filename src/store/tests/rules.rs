//! Rules of approval, pinned keys, which agents a gateway may speak for, and decisions about many agents at once.

use super::*;
use crate::group::{
    AgentChoice, AgentDecision, Answer, ApprovalRule, ApprovalsOperation, AuditOperation, AuditRecord, GatewayTerms,
    KeyDemand, RuleName,
};
use crate::store::asking::Asking as _;

on_every_engine! {
    g1_the_first_rule_that_fits_decides_about_an_unknown_agent_and_one_that_waits,
    g1_rules_are_kept_in_order_and_are_told_apart_by_name,
    g1_a_rule_asks_for_the_issuer_and_the_gateway,
    g1_a_rejected_agent_stays_rejected_whatever_the_rules_say,
    g4_who_was_approved_by_which_rule_is_in_the_audit_log_and_in_the_list,
    g1_many_agents_are_decided_about_all_or_nothing,
    g1_a_deleted_agent_is_put_out_and_unknown_again,
    g1_a_pinned_name_is_refused_with_another_key_and_approving_it_again_pins_anew,
    g1_a_first_key_is_kept_and_a_renewed_one_takes_its_place,
    h4_a_gateway_may_speak_only_for_the_agents_that_it_was_approved_for,
    g1_a_gateway_may_be_behind_another_one_and_never_behind_itself,
    g1_who_waits_is_forgotten_after_seven_days_though_nobody_new_comes,
    g1_g4_two_operators_at_once_end_in_one_of_their_states_with_two_entries,
    g1_nobody_is_in_whom_neither_operator_nor_rule_approved,
}

fn rule(text: &str, pattern: &str, action: UnknownAgents) -> ApprovalRule {
    ApprovalRule::new(text, pattern, action).unwrap()
}

fn add(store: &mut AnyStore, rule: ApprovalRule) {
    store.change_group(ApprovalsOperation::AddRule { rule, before: None }, at(1)).unwrap();
}

fn rules(store: &mut AnyStore) -> Vec<String> {
    match store.operate(ApprovalsOperation::Rules, at(1)).unwrap() {
        Answer::Rules(rules) => rules.iter().map(|rule| rule.name.to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

fn decide(
    store: &mut AnyStore,
    choice: AgentChoice,
    decision: AgentDecision,
    rehearsal: bool,
) -> Result<Vec<String>, Code> {
    let operation = ApprovalsOperation::DecideAgents { choice, decision, rehearsal };
    match store.operate(operation, at(1)).map_err(|error| error.code())? {
        Answer::Names(names) => Ok(names.iter().map(ToString::to_string).collect()),
        other => panic!("{other:?}"),
    }
}

fn approve_gateway(store: &mut AnyStore, gateway: &str, parent: &str, terms: GatewayTerms) -> Result<(), Code> {
    let (gateway, parent) = (name(gateway), name(parent));
    let operation = ApprovalsOperation::ApproveGatewayWith { gateway, parent, terms };
    store.change_group(operation, at(1)).map_err(|error| error.code())
}

fn entries(store: &mut AnyStore) -> Vec<AuditRecord> {
    match store.operate(AuditOperation::Entries { since: at(0), above: 0, limit: u64::MAX }, at(0)).unwrap() {
        Answer::Audit(entries) => entries,
        other => panic!("{other:?}"),
    }
}

fn agent_knock(who: &str, via: Option<&str>) -> Knock {
    knock(Role::Agent, who, via, 5)
}

fn g1_the_first_rule_that_fits_decides_about_an_unknown_agent_and_one_that_waits(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let waiting = agent_knock("old.branch", None);
    assert_eq!(ask(&mut store, &waiting), "pending AgentPending");
    let before = store.change().unwrap();
    add(&mut store, rule("bad", "bad*.branch", UnknownAgents::Reject));
    add(&mut store, rule("wait", "wait*.branch", UnknownAgents::Pending));
    add(&mut store, rule("branch", "*.branch", UnknownAgents::Approve));
    assert!(store.change().unwrap() > before, "who waits is asked about again (rule G2)");
    assert_eq!(ask(&mut store, &waiting), "agent");
    assert_eq!(ask(&mut store, &agent_knock("pc7.branch", None)), "agent");
    assert_eq!(ask(&mut store, &agent_knock("bad7.branch", None)), "refused NameRejected");
    assert_eq!(ask(&mut store, &agent_knock("wait7.branch", None)), "pending AgentPending");
    assert_eq!(ask(&mut store, &agent_knock("pc7.elsewhere", None)), "pending AgentPending");
    assert_eq!(ask(&mut store, &knock(Role::Gateway, "gw.branch", None, 5)), "pending GatewayPending");
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("bad8.branch", None)), "refused NameRejected");
    assert_eq!(ask(&mut store, &agent_knock("pc8.elsewhere", None)), "agent");
    assert_eq!(
        ask(&mut store, &agent_knock("pc7.elsewhere", None)),
        "pending AgentPending",
        "the default is for new ones"
    );
    assert!(!store.agents().unwrap().iter().any(|agent| agent.name.as_str().starts_with("bad")));
    // One that waits is rejected by a rule, and stays so.
    let rule = rule("none", "*.elsewhere", UnknownAgents::Reject);
    store.change_group(ApprovalsOperation::AddRule { rule, before: None }, at(1)).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("pc7.elsewhere", None)), "refused NameRejected");
    assert_eq!(ask(&mut store, &agent_knock("pc8.elsewhere", None)), "agent", "an approved one is not asked about");
    store.change_group(ApprovalsOperation::RemoveRule { rule: RuleName::parse("none").unwrap() }, at(1)).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("pc7.elsewhere", None)), "refused NameRejected");
}

fn g1_rules_are_kept_in_order_and_are_told_apart_by_name(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let one = rule("one", "*.branch", UnknownAgents::Approve).gateway("gw*").unwrap().issuer(&"a5".repeat(32)).unwrap();
    add(&mut store, one.clone());
    add(&mut store, rule("three", "**", UnknownAgents::Reject));
    let two = rule("two", "a.b", UnknownAgents::Pending);
    let before = Some(RuleName::parse("three").unwrap());
    store.change_group(ApprovalsOperation::AddRule { rule: two, before }, at(1)).unwrap();
    assert_eq!(rules(&mut store), ["one", "two", "three"]);
    let Answer::Rules(kept) = store.operate(ApprovalsOperation::Rules, at(1)).unwrap() else { panic!() };
    assert_eq!(kept[0], one);
    let again = ApprovalsOperation::AddRule { rule: one, before: None };
    assert_eq!(store.operate(again, at(1)).unwrap_err().code(), Code::RuleExists);
    let remove = |name: &str| ApprovalsOperation::RemoveRule { rule: RuleName::parse(name).unwrap() };
    store.change_group(remove("two"), at(1)).unwrap();
    assert_eq!(store.operate(remove("two"), at(1)).unwrap_err().code(), Code::RuleUnknown);
    assert_eq!(rules(&mut store), ["one", "three"]);
    let actions: Vec<_> = entries(&mut store).into_iter().map(|entry| (entry.action, entry.subject)).collect();
    let of_rules: Vec<_> = actions.iter().map(|(action, rule)| format!("{action} {rule}")).skip(2).collect();
    assert_eq!(of_rules, ["add rule one", "add rule three", "add rule two", "remove rule two"]);
}

fn g1_a_rule_asks_for_the_issuer_and_the_gateway(place: &dyn Place) {
    let mut store = store_with_servers(place);
    for gateway in ["gw1", "gw2"] {
        store.approve_gateway(&name(gateway), &name("ms1"), at(1)).unwrap();
    }
    let ours = KeyHash([9; 32]);
    add(&mut store, rule("a", "*.a", UnknownAgents::Approve).gateway("gw1").unwrap());
    add(&mut store, rule("b", "*.b", UnknownAgents::Approve).issuer(&ours.to_string()).unwrap());
    assert_eq!(ask(&mut store, &agent_knock("x.a", None)), "pending AgentPending");
    assert_eq!(ask(&mut store, &agent_knock("y.a", Some("gw2"))), "pending AgentPending");
    assert_eq!(ask(&mut store, &agent_knock("z.a", Some("gw1"))), "agent");
    assert_eq!(ask(&mut store, &agent_knock("x.b", None)), "agent");
    let foreign = Knock { issuer: KeyHash([8; 32]), ..agent_knock("y.b", None) };
    assert_eq!(ask(&mut store, &foreign), "pending AgentPending");
    let test = |store: &mut AnyStore, agent: &str, gateway: Option<&str>, issuer| {
        let (agent, gateway) = (name(agent), gateway.map(name));
        match store.operate(ApprovalsOperation::TestRules { agent, gateway, issuer }, at(1)).unwrap() {
            Answer::RuleTest(test) => (test.rule.map(|rule| rule.to_string()), test.action, test.known),
            other => panic!("{other:?}"),
        }
    };
    let approve = |rule: &str| (Some(rule.to_owned()), UnknownAgents::Approve, None);
    assert_eq!(test(&mut store, "new.a", Some("gw1"), None), approve("a"));
    assert_eq!(test(&mut store, "new.a", None, None), (None, UnknownAgents::Pending, None));
    assert_eq!(test(&mut store, "new.b", None, Some(ours)), approve("b"));
    assert_eq!(test(&mut store, "y.b", None, None), (None, UnknownAgents::Pending, Some(AgentState::Pending)));
}

fn g1_a_rejected_agent_stays_rejected_whatever_the_rules_say(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.reject_agent(&name("pc7.branch"), at(1)).unwrap();
    add(&mut store, rule("all", "**", UnknownAgents::Approve));
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("pc7.branch", None)), "refused NameRejected");
    assert_eq!(ask(&mut store, &agent_knock("pc8.branch", None)), "agent");
}

fn g4_who_was_approved_by_which_rule_is_in_the_audit_log_and_in_the_list(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.approve_gateway(&name("gw1"), &name("ms1"), at(1)).unwrap();
    add(&mut store, rule("branch", "*.branch", UnknownAgents::Approve));
    let batch =
        [agent_knock("a.branch", Some("gw1")), agent_knock("a.branch", Some("gw1")), agent_knock("b.branch", None)];
    assert!(store.authorise(&batch).unwrap().iter().all(|decision| word(decision) == "agent"));
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    ask(&mut store, &agent_knock("c.other", None));
    let rules: Vec<_> =
        store.agents().unwrap().iter().map(|agent| agent.rule.as_ref().map(ToString::to_string)).collect();
    assert_eq!(rules, [Some("branch".to_owned()), Some("branch".to_owned()), None]);
    let own: Vec<_> = entries(&mut store).into_iter().filter(|entry| entry.action == "approve agent").collect();
    let told: Vec<_> = own.iter().map(|entry| (entry.author.to_string(), entry.subject.as_str(), entry.at)).collect();
    let expected = [
        ("rule branch (gw1)".to_owned(), "a.branch", at(5)),
        ("rule branch (ms1)".to_owned(), "b.branch", at(5)),
        ("unknown_agents (ms1)".to_owned(), "c.other", at(5)),
    ];
    assert_eq!(told, expected);
    assert!(own[0].before.is_none() && own[0].after.as_ref().unwrap().contains(r#""rule":"branch""#), "{own:?}");
    store.approve_agent(&name("a.branch"), at(9)).unwrap();
    assert_eq!(store.agents().unwrap()[0].rule, None, "now it is an operator's word");
}

fn g1_many_agents_are_decided_about_all_or_nothing(place: &dyn Place) {
    let mut store = store_with_servers(place);
    for who in ["a.branch", "b.branch", "c.lab", "d.deep.branch"] {
        ask(&mut store, &agent_knock(who, None));
    }
    store.reject_agent(&name("b.branch"), at(1)).unwrap();
    store.approve_gateway(&name("gw1.branch"), &name("ms1"), at(1)).unwrap();
    let named = |names: &[&str]| AgentChoice::named(names).unwrap();
    let fitting = |pattern: &str| AgentChoice::fitting(pattern).unwrap();
    let approve = AgentDecision::Approve(None);
    // One of them is a gateway: nobody is approved.
    let (before, log) = (store.change().unwrap(), entries(&mut store));
    assert_eq!(decide(&mut store, named(&["a.branch", "gw1.branch"]), approve, false), Err(Code::RoleNotApproved));
    assert_eq!(
        decide(&mut store, named(&["a.branch", "no.branch"]), AgentDecision::Delete, false),
        Err(Code::NameUnknown)
    );
    assert_eq!(decide(&mut store, named(&[]), approve, false), Err(Code::ArgumentInvalid));
    let key = AgentDecision::Approve(Some(KeyDemand::Sha256([1; 32])));
    assert_eq!(decide(&mut store, named(&["a.branch", "c.lab"]), key, false), Err(Code::ArgumentInvalid));
    // A rehearsal says it, and changes nothing.
    let pending = fitting("**.branch").only_pending();
    assert_eq!(decide(&mut store, pending.clone(), approve, true).unwrap(), ["a.branch", "d.deep.branch"]);
    assert_eq!((store.change().unwrap(), entries(&mut store)), (before, log));
    assert_eq!(store.agents().unwrap()[0].state, AgentState::Pending);

    assert_eq!(decide(&mut store, pending.clone(), approve, false).unwrap(), ["a.branch", "d.deep.branch"]);
    assert_eq!(decide(&mut store, pending, approve, false).unwrap(), [""; 0]);
    assert_eq!(decide(&mut store, fitting("*.branch"), approve, false).unwrap(), ["b.branch"]);
    assert_eq!(
        decide(&mut store, fitting("*.branch"), AgentDecision::Reject, false).unwrap(),
        ["a.branch", "b.branch"]
    );
    let first = AgentDecision::Approve(Some(KeyDemand::First));
    assert_eq!(decide(&mut store, named(&["new.lab", "c.lab", "c.lab"]), first, false).unwrap(), ["c.lab", "new.lab"]);
    let agents = store.agents().unwrap();
    let states: Vec<_> = agents.iter().map(|agent| (agent.name.as_str(), agent.state)).collect();
    let (yes, no) = (AgentState::Approved, AgentState::Rejected);
    assert_eq!(states, [("a.branch", no), ("b.branch", no), ("c.lab", yes), ("d.deep.branch", yes), ("new.lab", yes)]);
    assert_eq!(agents[2].pin.demand, KeyDemand::First);
    assert_eq!(decide(&mut store, fitting("**.branch"), AgentDecision::Delete, false).unwrap().len(), 3);
    assert_eq!(store.agents().unwrap().len(), 2);
}

fn g1_a_deleted_agent_is_put_out_and_unknown_again(place: &dyn Place) {
    let mut store = store_with_servers(place);
    add(&mut store, rule("all", "**", UnknownAgents::Approve));
    let pc7 = agent_knock("pc7", None);
    assert_eq!(ask(&mut store, &pc7), "agent");
    store.assign(&name("pc7"), &Assignment::primary("ms1").unwrap()).unwrap();
    decide(&mut store, AgentChoice::named(&["pc7"]).unwrap(), AgentDecision::Delete, false).unwrap();
    assert_eq!(store.signed_assignments(&[name("pc7")]).unwrap(), [None]);
    // Whoever is in is put out, whatever the rules say of it when it comes again.
    let standing = Knock { is_in: true, ..pc7.clone() };
    assert_eq!(ask(&mut store, &standing), "refused ApprovalWithdrawn");
    assert_eq!(store.agents().unwrap(), []);
    assert_eq!(ask(&mut store, &pc7), "agent");
    assert_eq!(ask(&mut store, &standing), "agent");
}

fn g1_a_pinned_name_is_refused_with_another_key_and_approving_it_again_pins_anew(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let (one, two) = (KeyHash([1; 32]), KeyHash([2; 32]));
    let with = |knock: &Knock, key| Knock { key, at: at(7), ..knock.clone() };
    let (gw1, pc7) = (knock(Role::Gateway, "gw1", None, 5), agent_knock("pc7", None));
    approve_gateway(&mut store, "gw1", "ms1", GatewayTerms::default().key(KeyDemand::Sha256(one.0))).unwrap();
    let pinned = AgentDecision::Approve(Some(KeyDemand::Sha256(one.0)));
    decide(&mut store, AgentChoice::named(&["pc7"]).unwrap(), pinned, false).unwrap();
    for (knock, role) in [(&gw1, "gateway"), (&pc7, "agent")] {
        assert_eq!(ask(&mut store, knock), role);
        let change = store.change().unwrap();
        assert_eq!(ask(&mut store, &with(knock, two)), "refused KeyNotPinned");
        assert_eq!(store.change().unwrap(), change, "nobody has to follow it");
        assert_eq!(ask(&mut store, knock), role);
    }
    let decision = store.authorise(&[with(&pc7, two)]).unwrap().remove(0);
    let Decision::Refused(error) = decision else { panic!("{decision:?}") };
    assert_eq!((error.found_text(), error.expected_text()), (&*format!("the key {two}"), &*format!("the key {one}")));
    let (gateway, agent) = (store.gateways().unwrap().remove(0), store.agents().unwrap().remove(0));
    for (pin, seen, key) in [(gateway.pin, gateway.last_seen, gateway.key), (agent.pin, agent.last_seen, agent.key)] {
        assert_eq!((pin.refused_fingerprint(), pin.refused_at), (Some(two.to_string()), Some(at(7))));
        assert_eq!((seen, key), (at(5), Some(one)), "what was refused was not its owner");
    }
    // Another parent leaves the pin as it is, the key that is named takes its place.
    approve_gateway(&mut store, "gw1", "ms2", GatewayTerms::default()).unwrap();
    assert_eq!(ask(&mut store, &with(&gw1, two)), "refused KeyNotPinned");
    approve_gateway(&mut store, "gw1", "ms1", GatewayTerms::default().key(KeyDemand::Sha256(two.0))).unwrap();
    assert_eq!(ask(&mut store, &with(&gw1, two)), "gateway");
    assert_eq!(ask(&mut store, &gw1), "refused KeyNotPinned");
    approve_gateway(&mut store, "gw1", "ms1", GatewayTerms::default().key(KeyDemand::Any)).unwrap();
    assert_eq!(ask(&mut store, &gw1), "gateway");
    assert_eq!(ask(&mut store, &with(&gw1, two)), "gateway");
    // A name that is deleted begins anew.
    approve_gateway(&mut store, "gw1", "ms1", GatewayTerms::default().key(KeyDemand::Sha256(one.0))).unwrap();
    store.delete_gateway(&name("gw1")).unwrap();
    store.approve_gateway(&name("gw1"), &name("ms1"), at(1)).unwrap();
    assert_eq!(ask(&mut store, &with(&gw1, two)), "gateway");
}

fn g1_a_first_key_is_kept_and_a_renewed_one_takes_its_place(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let keys = [1, 2, 3].map(|byte| KeyHash([byte; 32]));
    let hour = 3_600_000;
    approve_gateway(&mut store, "gw1", "ms1", GatewayTerms::default().key(KeyDemand::First)).unwrap();
    let first = AgentDecision::Approve(Some(KeyDemand::First));
    decide(&mut store, AgentChoice::named(&["pc7"]).unwrap(), first, false).unwrap();
    for (role, who) in [(Role::Gateway, "gw1"), (Role::Agent, "pc7")] {
        let come = |store: &mut AnyStore, key: KeyHash, when| {
            let word = ask(store, &Knock { key, ..knock(role, who, None, when) });
            word == role.to_string()
        };
        assert!(come(&mut store, keys[0], 1));
        assert!(!come(&mut store, keys[1], 2));
        store.key_renewed(role, &name(who), keys[1]).unwrap();
        assert!(come(&mut store, keys[0], 3), "the new certificate may not have arrived");
        assert!(!come(&mut store, keys[2], 3));
        assert!(come(&mut store, keys[1], 4));
        assert!(come(&mut store, keys[0], 5), "its links are being renewed");
        assert!(!come(&mut store, keys[0], 4 + hour));
        assert!(come(&mut store, keys[1], 4 + hour));
        let pins =
            entries(&mut store).into_iter().filter(|entry| (&*entry.action, &*entry.subject) == ("pin key", who));
        assert_eq!(pins.count(), 2);
    }
    // Who is not pinned stays so.
    store.approve_agent(&name("free"), at(1)).unwrap();
    store.key_renewed(Role::Agent, &name("free"), keys[1]).unwrap();
    store.key_renewed(Role::Agent, &name("nobody"), keys[1]).unwrap();
    assert_eq!(store.agents().unwrap().len(), 2);
    assert_eq!(ask(&mut store, &Knock { key: keys[2], ..agent_knock("free", None) }), "agent");
}

fn h4_a_gateway_may_speak_only_for_the_agents_that_it_was_approved_for(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let terms = GatewayTerms::default().agents(&["*.branch", "pc*.lab"]).unwrap();
    approve_gateway(&mut store, "gw1", "ms1", terms).unwrap();
    store.approve_gateway(&name("gw2"), &name("ms1"), at(1)).unwrap();
    store.approve_agent(&name("x.other"), at(1)).unwrap();
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("a.branch", Some("gw1"))), "agent");
    assert_eq!(ask(&mut store, &agent_knock("pc7.lab", Some("gw1"))), "agent");
    for foreign in ["x.other", "srv.lab", "new.other"] {
        assert_eq!(ask(&mut store, &agent_knock(foreign, Some("gw1"))), "refused GatewayMayNotSpeak", "{foreign}");
    }
    assert_eq!(store.agents().unwrap().len(), 3, "and nothing is remembered of them");
    assert_eq!(ask(&mut store, &agent_knock("x.other", Some("gw2"))), "agent");
    assert_eq!(ask(&mut store, &agent_knock("x.other", None)), "agent");
    // Another parent leaves that as it is; no pattern at all takes it away.
    approve_gateway(&mut store, "gw1", "ms2", GatewayTerms::default()).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("x.other", Some("gw1"))), "refused GatewayMayNotSpeak");
    approve_gateway(&mut store, "gw1", "ms1", GatewayTerms::default().agents::<&str>(&[]).unwrap()).unwrap();
    assert_eq!(ask(&mut store, &agent_knock("x.other", Some("gw1"))), "agent");
    let many: Vec<String> = (0..=crate::limits::GATEWAY_PATTERNS_MAX).map(|number| format!("*.b{number}")).collect();
    let too_many = GatewayTerms::default().agents(&many).unwrap();
    assert_eq!(approve_gateway(&mut store, "gw1", "ms1", too_many), Err(Code::ArgumentInvalid));
}

fn g1_a_gateway_may_be_behind_another_one_and_never_behind_itself(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let none = GatewayTerms::default;
    assert_eq!(approve_gateway(&mut store, "inner", "outer", none()), Err(Code::ServerUnknown));
    approve_gateway(&mut store, "outer", "ms1", none()).unwrap();
    approve_gateway(&mut store, "inner", "outer", none()).unwrap();
    assert_eq!(ask(&mut store, &knock(Role::Gateway, "inner", Some("outer"), 1)), "gateway");
    assert_eq!(ask(&mut store, &knock(Role::Gateway, "inner", None, 1)), "refused ParentNotApproved");
    assert_eq!(approve_gateway(&mut store, "outer", "inner", none()), Err(Code::ChainLoop));
    assert_eq!(approve_gateway(&mut store, "new", "new", none()), Err(Code::ChainLoop));
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(approve_gateway(&mut store, "pc7", "outer", none()), Err(Code::RoleNotApproved));
    approve_gateway(&mut store, "inner", "ms2", none()).unwrap();
    approve_gateway(&mut store, "outer", "inner", none()).unwrap();
}

fn g1_who_waits_is_forgotten_after_seven_days_though_nobody_new_comes(place: &dyn Place) {
    let mut store = store_with_servers(place);
    ask(&mut store, &agent_knock("pc7", None));
    ask(&mut store, &knock(Role::Gateway, "gw1", None, 5));
    store.approve_agent(&name("pc8"), at(5)).unwrap();
    let expires = store.agents().unwrap()[0].expires().unwrap();
    assert_eq!(expires, at(5 + 7 * 86_400_000));
    assert_eq!(store.gateways().unwrap()[0].expires(), Some(expires));
    store.expire_pending(expires).unwrap();
    assert_eq!(store.agents().unwrap().len(), 2);
    store.expire_pending(at(expires.unix_millis() + 1)).unwrap();
    let left = store.agents().unwrap();
    assert_eq!((left.len(), left[0].name.as_str(), left[0].expires()), (1, "pc8", None));
    assert_eq!(store.gateways().unwrap()[0].state, GatewayState::Deleted);
}

fn g1_g4_two_operators_at_once_end_in_one_of_their_states_with_two_entries(place: &dyn Place) {
    let mut store = store_with_servers(place);
    for round in 0..10 {
        let who = format!("pc{round}");
        let before = entries(&mut store).len();
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for decision in [AgentDecision::Approve(None), AgentDecision::Reject] {
                let (mut own, choice) = (place.open(), AgentChoice::named(&[&who]).unwrap());
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    decide(&mut own, choice, decision, false).unwrap();
                });
            }
        });
        let log = entries(&mut store).split_off(before);
        assert_eq!(log.len(), 2, "{log:?}");
        assert_eq!((&log[0].before, &log[1].before), (&None, &log[0].after), "one after the other");
        let state = store.agents().unwrap().pop().unwrap().state;
        assert_eq!(log[1].action == "approve agent", state == AgentState::Approved);
    }
}

/// A model of who may be in, with random operations from a fixed seed.
fn g1_nobody_is_in_whom_neither_operator_nor_rule_approved(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let names = ["a.x", "b.x", "a.y", "b.y"];
    let patterns = ["*.x", "a.*", "**", "b.y"];
    let actions = [UnknownAgents::Approve, UnknownAgents::Reject, UnknownAgents::Pending];
    // What an operator said of each name, and who was let in without.
    let mut said: std::collections::HashMap<&str, AgentState> = std::collections::HashMap::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    let mut listed: Vec<ApprovalRule> = Vec::new();
    for step in 0..300 {
        let who = names[dice(names.len())];
        match dice(8) {
            0 => {
                store.approve_agent(&name(who), at(step)).unwrap();
                said.insert(who, AgentState::Approved);
            }
            1 => {
                store.reject_agent(&name(who), at(step)).unwrap();
                said.insert(who, AgentState::Rejected);
            }
            2 => {
                let choice = AgentChoice::fitting(who).unwrap();
                decide(&mut store, choice, AgentDecision::Delete, false).unwrap();
                said.remove(who);
            }
            3 => {
                let new = rule(&format!("r{step}"), patterns[dice(patterns.len())], actions[dice(3)]);
                listed.push(new.clone());
                add(&mut store, new);
            }
            4 if !listed.is_empty() => {
                let rule = listed.remove(dice(listed.len())).name;
                store.change_group(ApprovalsOperation::RemoveRule { rule }, at(step)).unwrap();
            }
            _ => {
                let is_in = dice(2) == 0;
                let waits = store
                    .agents()
                    .unwrap()
                    .iter()
                    .any(|agent| agent.name.as_str() == who && agent.state == AgentState::Pending);
                let answer = ask(&mut store, &Knock { is_in, ..knock(Role::Agent, who, None, step) });
                let by_rule = listed.iter().find(|rule| rule.pattern.fits(&name(who))).map(|rule| rule.action);
                let expected = match (said.get(who), by_rule) {
                    (Some(AgentState::Approved), _) => "agent",
                    (Some(_), _) => "refused NameRejected",
                    (None, _) if is_in && !waits => "refused ApprovalWithdrawn",
                    (None, Some(UnknownAgents::Approve)) => "agent",
                    (None, Some(UnknownAgents::Reject)) => "refused NameRejected",
                    (None, _) => "pending AgentPending",
                };
                assert_eq!(answer, expected, "step {step}: {who} {said:?} {listed:?}");
                // What a rule decided stands from then on; who was never remembered is not rejected for good.
                if !said.contains_key(who) && (answer == "agent" || (waits && answer == "refused NameRejected")) {
                    let state = if answer == "agent" { AgentState::Approved } else { AgentState::Rejected };
                    said.insert(who, state);
                }
            }
        }
    }
}
