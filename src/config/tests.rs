use super::keys::{Default, KEYS};
use super::*;

fn agent(pairs: &[(&str, &str)]) -> Result<Config> {
    let mut config = Config::new(Role::Agent);
    for (key, value) in pairs {
        config.set(key, value)?;
    }
    Ok(config)
}

const ROLES: [Role; 3] = [Role::Agent, Role::Gateway, Role::ManagementServer];

#[test]
fn every_default_of_the_table_is_what_a_new_configuration_holds() {
    for role in ROLES {
        let mut config = Config::new(role);
        for key in KEYS.iter().filter(|key| key.roles.contains(&role)) {
            let text = match key.default {
                Default::Unset => continue,
                Default::Text(text) => text,
                Default::AgentElse(agent, others) => {
                    if role == Role::Agent {
                        agent
                    } else {
                        others
                    }
                }
            };
            config.set(key.name, text).unwrap();
            assert_eq!(config, Config::new(role), "{} of {role}", key.name);
        }
    }
}

#[test]
fn every_key_is_found_by_its_own_name_and_refused_to_other_roles() {
    for role in ROLES {
        for key in KEYS {
            let outcome = Config::new(role).set(key.name, "\u{7}");
            let code = outcome.expect_err(key.name).code();
            let known = key.roles.contains(&role);
            assert_eq!(code, if known { Code::ConfigBadValue } else { Code::ConfigUnknownKey }, "{}", key.name);
        }
    }
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    for (slip, key) in [
        ("nmae", "name"),
        ("managment_group", "management_group"),
        ("queue.bytes_maxx", "queue.bytes_max"),
        ("queue.max_bytes", "queue.bytes_max"),
        ("upstream.failovers", "upstream.failover"),
        ("primary", "upstream.primary"),
        ("identity.cert", "identity.certificate"),
        ("backoff_min", "backoff.min"),
        ("queue.max", "queue.bytes_max"),
        ("queue.x", "queue."),
        ("queue.primary", "upstream.primary"),
        ("state-directory", "state_directory"),
        ("", "role"),
    ] {
        let error = Config::new(Role::Agent).set(slip, "x").expect_err(slip);
        assert_eq!(error.code(), Code::ConfigUnknownKey);
        assert!(error.expected_text().starts_with(key), "{slip}: {error}");
    }
    let hostile = "x\u{1b}".repeat(100_000);
    assert!(Config::new(Role::Agent).set(&hostile, "x").expect_err("hostile").to_string().len() < 4096);
}

#[test]
fn durations_and_sizes_are_read_with_their_units_and_bounds() {
    let mut config = Config::new(Role::Agent);
    for (text, millis) in [("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000), ("3 s", 3_000)] {
        config.set("heartbeat", text).unwrap();
        assert_eq!(config.heartbeat, Duration::from_millis(millis), "{text}");
        assert_eq!(
            values::duration(&values::duration_text(config.heartbeat), Duration::ZERO, config.heartbeat).unwrap(),
            config.heartbeat
        );
    }
    for bad in
        ["", "30", "s", "30 seconds", "-1s", "1.5s", "0s", "99999999999999999999s", "2d", "18446744073709551615d", "٣s"]
    {
        let error = config.set("heartbeat", bad).expect_err(bad);
        assert_eq!(error.code(), Code::ConfigBadValue);
        assert!(!error.expected_text().is_empty() && error.found_text().contains(bad), "{error}");
    }
    for (text, bytes) in [("64KiB", 64 << 10), ("256MiB", 256 << 20), ("4GiB", 4 << 30), ("100000", 100_000)] {
        config.set("queue.bytes_max", text).unwrap();
        assert_eq!(config.queue.bytes_max, bytes, "{text}");
        assert_eq!(values::size(&values::size_text(bytes), 0, u64::MAX).unwrap(), bytes);
    }
    for bad in ["", "1MB", "1 mib", "1", "99999999TiB", "-1MiB", "1.5GiB"] {
        assert_eq!(config.set("queue.bytes_max", bad).expect_err(bad).code(), Code::ConfigBadValue);
    }
}

#[test]
fn f1_an_upstream_is_a_name_with_a_port_and_never_an_address() {
    let config = agent(&[("upstream.primary", "GW1.Branch.Example"), ("upstream.failover", "gw2:5724, gw3")]).unwrap();
    assert_eq!(config.upstream.primary.unwrap().to_string(), "gw1.branch.example:5723");
    let failover: Vec<String> = config.upstream.failover.iter().map(ToString::to_string).collect();
    assert_eq!(failover, ["gw2:5724", "gw3:5723"]);
    for bad in [
        "10.0.0.5",
        "10.0.0.5:5723",
        "[::1]:5723",
        "::1",
        "[::1]",
        "gw1:0",
        "gw1:65536",
        "gw1:",
        ":5723",
        "gw1:+5",
        "a b:1",
    ] {
        let error = agent(&[("upstream.primary", bad)]).expect_err(bad);
        assert_eq!(error.code(), Code::ConfigBadValue, "{error}");
    }
    let error = agent(&[("upstream.primary", "10.0.0.5:5723")]).expect_err("an address");
    assert!(error.remedy_text().contains("[hosts]"), "{error}");
}

#[test]
fn lists_and_tables_are_the_same_from_set_and_from_toml() {
    let set = agent(&[
        ("hosts.MS1.corp.example", "10.0.0.5, ::1"),
        ("identity.trust", "/a.pem,/b.pem"),
        ("upstream.failover", "gw2:5723"),
        ("message_bytes_max", "4096"),
    ])
    .unwrap();
    let text = "role = \"agent\"\nmessage_bytes_max = 4_096\n[hosts]\n\"ms1.corp.example\" = [\"10.0.0.5\", \"::1\"]\n[identity]\n\
                trust = [\"/a.pem\", \"/b.pem\"]\n[upstream]\nfailover = \"gw2\"\n";
    assert_eq!(Config::from_toml(text, "a.toml").unwrap(), set);
    let unquoted = text.replace("\"ms1.corp.example\"", "ms1.corp.example");
    assert_eq!(Config::from_toml(&unquoted, "a.toml").unwrap(), set);
    let comma =
        Config::from_toml("role = \"agent\"\n[identity]\ntrust = [\"/a,b.pem\"]\nkey = \"/k,1\"", "a.toml").unwrap();
    assert_eq!(comma.identity.trust, [PathBuf::from("/a,b.pem")]);
    assert_eq!(comma.identity.key, Some(PathBuf::from("/k,1")));
}

#[test]
fn an_error_of_a_file_has_its_line() {
    for (text, place, code) in [
        ("role = \"agent\"\n\n[queue]\nbytes_maxx = 1", "a.toml:4: queue.bytes_maxx", Code::ConfigUnknownKey),
        ("role = \"agent\"\nheartbeat = 30", "a.toml:2: heartbeat", Code::ConfigBadValue),
        ("role = \"agent\"\nname = [\"a\"]", "a.toml:2: name", Code::ConfigBadValue),
        ("role = \"agent\"\nname = 1.5", "a.toml:2: name", Code::ConfigBadValue),
        ("role = \"agent\"\nname = [[1]]", "a.toml:2: name", Code::ConfigBadValue),
        ("role = \"agent\"\nname = ", "a.toml:2", Code::ConfigBadValue),
        ("role = \"agent\"\nrole = \"agent\"", "a.toml:2", Code::ConfigBadValue),
        (
            "role = \"agent\"\n\"identity.key\" = \"a\"\n[identity]\nkey = \"b\"",
            "a.toml:4: identity.key",
            Code::ConfigBadValue,
        ),
        ("role = \"clerk\"", "a.toml:1: role", Code::ConfigBadValue),
        ("name = \"a\"", "a.toml: role", Code::ConfigMissingKey),
        ("role = \"agent\"\n[store]\nurl = \"sqlite:///x\"", "a.toml:3: store.url", Code::ConfigUnknownKey),
        ("role = \"agent\"\n[[upstream]]\nprimary = \"a\"", "a.toml:2: upstream", Code::ConfigBadValue),
    ] {
        let error = Config::from_toml(text, "a.toml").expect_err(text);
        assert_eq!((error.subject_text(), error.code()), (place, code), "{error}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let dotted = format!("role = \"agent\"\n{}b = 1", "a.".repeat(50_000));
    let arrays = format!("role = \"agent\"\na = {}", "[".repeat(50_000));
    let tables = format!("role = \"agent\"\na = {}", "{a=".repeat(50_000));
    let headers = format!("role = \"agent\"\n[{}b]\n", "a.".repeat(50_000));
    for text in [dotted, arrays, tables, headers + "c = 1"] {
        assert!(Config::from_toml(&text, "a.toml").is_err());
    }
}

#[test]
fn what_a_later_release_brings_is_refused_with_that_reason() {
    for (role, key, value) in
        [(Role::Gateway, "spool.enabled", "true"), (Role::Agent, "queue.when_full", "drop-oldest")]
    {
        let error = Config::new(role).set(key, value).expect_err(key);
        assert!(error.remedy_text().contains("comes with a later release"), "{error}");
    }
    Config::new(Role::Gateway).set("spool.enabled", "false").unwrap();
}

#[test]
fn a_store_is_a_file_or_a_database_and_its_password_is_not_shown() {
    let mut config = Config::new(Role::ManagementServer);
    config.set("store.url", "postgres://farpost:secret@db/group").unwrap();
    assert!(!format!("{config:?}").contains("secret"));
    let error = config.set("store.url", "mysql://farpost:secret@db/group").expect_err("mysql");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn validation_names_every_missing_key() {
    let error = Config::new(Role::Agent).validate().expect_err("empty");
    assert_eq!(error.subject_text(), "name, management_group, identity.directory, upstream.primary");
    let error = Config::new(Role::ManagementServer).validate().expect_err("empty");
    assert_eq!(error.subject_text(), "name, management_group, identity.directory, store.url");
    let complete =
        [("name", "a"), ("management_group", "G"), ("identity.directory", "/i"), ("upstream.primary", "gw1")];
    agent(&complete).unwrap().validate().unwrap();
    for (key, value, code) in [
        ("upstream.failover", "gw1:1", Code::PrimaryIsFailover),
        ("upstream.failover", "gw2,gw2", Code::ConfigBadValue),
        ("upstream.failover", "a", Code::ConfigBadValue),
        ("backoff.min", "2m", Code::ConfigBadValue),
        ("identity.key", "/k", Code::ConfigBadValue),
        ("queue.bytes_max", "1MiB", Code::ConfigBadValue),
    ] {
        let mut config = agent(&complete).unwrap();
        config.set(key, value).unwrap();
        assert_eq!(config.validate().expect_err(key).code(), code, "{key}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    let agent = Config::from_toml(AGENT, "agent.toml").unwrap();
    agent.validate().unwrap();
    assert_eq!(agent.input_path, Some(PathBuf::from("/var/log/app.log")));
    let server = Config::from_toml(SERVER, "management-server.toml").unwrap();
    server.validate().unwrap();
    assert_eq!(server.output.path, Some(PathBuf::from("-")));
    assert_eq!(server.store_url.as_ref().map(StoreUrl::as_str), Some("sqlite:///var/lib/farpost/group.db"));
    let gateway = Config::from_toml(GATEWAY, "gateway.toml").unwrap();
    gateway.validate().unwrap();
    assert_eq!(gateway.hosts.len(), 1);
}

#[test]
fn an_authority_needs_its_directory_and_belongs_to_a_management_server() {
    let mut server = Config::from_toml(SERVER, "management-server.toml").unwrap();
    assert_eq!(server.authority.kind, AuthorityKind::None);
    assert_eq!(server.authority.validity, Duration::from_secs(90 * 86_400));
    for kind in ["local", "hand-off"] {
        server.set("authority.kind", kind).unwrap();
        server.authority.directory = None;
        let error = server.validate().unwrap_err();
        assert_eq!((error.code(), error.subject_text()), (Code::ConfigMissingKey, "authority.directory"), "{kind}");
        server.set("authority.directory", "/var/lib/farpost/ca").unwrap();
        server.validate().unwrap();
    }
    for (key, value) in [("authority.kind", "ad-cs"), ("authority.validity", "59s"), ("authority.validity", "3651d")] {
        assert_eq!(server.set(key, value).unwrap_err().code(), Code::ConfigBadValue, "{key} = {value}");
    }
    let mut agent = Config::from_toml(AGENT, "agent.toml").unwrap();
    assert_eq!(agent.set("authority.kind", "local").unwrap_err().code(), Code::ConfigUnknownKey);
}

const AGENT: &str = r#"
role = "agent"
name = "pc7.branch.example"
management_group = "CORP"
state_directory = "/var/lib/farpost/agent"
[identity]
certificate = "/etc/pki/pc7.pem"
key = "/etc/pki/pc7.key"
trust = ["/etc/pki/ca.pem"]
crls = ["/etc/pki/ca.crl"]
[upstream]
primary = "gw1.branch.example:5723"
failover = ["gw2.branch.example:5723"]
[input]
path = "/var/log/app.log"
[queue]
bytes_max = "256MiB"
"#;

const GATEWAY: &str = r#"
role = "gateway"
name = "gw1.branch.example"
management_group = "CORP"
state_directory = "/var/lib/farpost/gateway"
[identity]
directory = "/etc/farpost/identity"
[listen]
address = "0.0.0.0:5723"
[upstream]
primary = "ms1.corp.example:5723"
failover = ["ms2.corp.example:5723"]
[hosts]
"ms1.corp.example" = ["10.0.0.5"]
"#;

const SERVER: &str = r#"
role = "management-server"
name = "ms1.corp.example"
management_group = "CORP"
state_directory = "/var/lib/farpost/server"
[identity]
directory = "/etc/farpost/identity"
[listen]
address = "0.0.0.0:5723"
[store]
url = "sqlite:///var/lib/farpost/group.db"
[output]
path = "-"
"#;

#[test]
fn g6_a_group_key_is_sixty_four_digits_and_nothing_else() {
    let set = |text: &str| {
        let mut config = Config::new(Role::Agent);
        config.set("group_key", text).map(|()| config.group_key)
    };
    let text = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511A";
    assert_eq!(set(text).unwrap().map(|key| (key[0], key[31])), Some((0xd7, 0x1a)));
    for bad in
        ["", "d7", &text[1..], &format!("{text}0"), &text.replace('d', "g"), &text.replace("d7", "+7"), &"é".repeat(32)]
    {
        let error = set(bad).unwrap_err();
        assert_eq!((error.code(), error.expected_text()), (Code::ConfigBadValue, "64 hexadecimal digits"), "{bad}");
    }
}
