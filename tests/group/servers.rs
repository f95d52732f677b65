//! `farpost server` (rules G1, G3).

use serde_json::{Value, json};

use crate::Group;

const MS1: &str = "ms1.corp.example";
const MS2: &str = "ms2.corp.example";
const GW1: &str = "gw1.branch.example";

#[test]
fn g1_g3_a_server_that_was_taken_out_of_service_is_deleted_and_its_name_is_a_gateways() {
    let group = Group::new();
    [MS1, MS2].iter().for_each(|server| group.register_server(server));
    let approve = |gateway: &str, at: &str| {
        let create = ["approve", "--management-server-name", at, "--gateway-name", gateway, "--action", "create"];
        group.run(&create)
    };
    assert!(approve(GW1, MS1).status.success());
    group.done(&["failover", "set", "--gateway", GW1, "--primary", MS1, "--failover", MS2]);
    let inventory = || -> Vec<String> {
        let inventory: Value = serde_json::from_str(&group.done(&["inventory", "--json"])).unwrap();
        let nodes = inventory["nodes"].as_array().unwrap().clone();
        nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(inventory(), [MS1, MS2, GW1]);

    group.renew_lease(MS2, 30_000);
    let told = group.refused(&["server", "delete", MS2]);
    assert!(told.starts_with("FP3065 ") && told.contains("it runs since ") && told.contains("wait "), "{told}");
    group.renew_lease(MS2, 0);
    let told = group.refused(&["server", "delete", MS2]);
    assert!(told.starts_with("FP3066 ") && told.contains(&format!("it is assigned to {GW1}")), "{told}");
    group.done(&["failover", "clear", GW1]);
    assert!(String::from_utf8_lossy(&approve(MS2, MS1).stderr).starts_with("FP3005"));
    assert_eq!(group.done(&["server", "delete", MS2]), format!("The management server {MS2} is deleted.\n"));
    assert_eq!(inventory(), [MS1, GW1]);
    assert!(group.done(&["audit", "--subject", MS2]).contains(&format!("delete server {MS2}  by ")));
    assert!(group.refused(&["server", "delete", MS2]).starts_with("FP3023 "));
    assert!(approve(MS2, MS1).status.success());
    assert_eq!(inventory(), [MS1, GW1, MS2]);
}

#[test]
fn the_json_of_a_deleted_server_says_what_it_was_and_a_lost_exclusion_is_told() {
    let group = Group::new();
    [MS1, MS2].iter().for_each(|server| group.register_server(server));
    group.done(&["server", "set", MS2, "--excluded", "true"]);
    let deleted = |server: &str| {
        let output = group.run(&["server", "delete", server, "--json"]);
        assert!(output.status.success(), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        (document, String::from_utf8(output.stderr).unwrap())
    };
    let (document, warning) = deleted(MS2);
    let mut expected = json!({
        "outcome": "deleted",
        "name": MS2,
        "address": "0.0.0.0:5723",
        "excluded": true,
        "last_seen": "1970-01-01T00:00:00.000Z",
    });
    assert_eq!(document, expected);
    let told = format!("warning: {MS2} was excluded from failover; if it comes back it is not: ");
    assert!(warning.starts_with(&told), "{warning}");
    let (document, warning) = deleted(MS1);
    (expected["name"], expected["excluded"]) = (MS1.into(), false.into());
    assert_eq!((document, warning.as_str()), (expected, ""));
    let help = group.run(&["server", "delete", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("not excluded from failover"), "{help:?}");
}
