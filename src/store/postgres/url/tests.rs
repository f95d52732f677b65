use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;

fn file(text: &str, mode: u32) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

fn refused(url: &str) -> Error {
    Target::parse(url).err().expect(url)
}

#[test]
fn a_store_is_called_by_user_hosts_and_database_and_never_by_its_password() {
    for (url, label) in [
        ("postgres://u:hunter2@127.0.0.1/g", "postgres://u@127.0.0.1:5432/g"),
        ("postgres://u@localhost:1,127.0.0.1:2/g", "postgres://u@localhost:1,127.0.0.1:2/g"),
        ("postgresql:///g?host=/run/pg&user=u&password=hunter2", "postgres://u@/run/pg/g"),
        ("postgres://u:hunter2@db/g?sslmode=disable", "postgres://u@db:5432/g"),
    ] {
        assert_eq!(Target::parse(url).unwrap().label, label);
    }
}

#[test]
fn what_leaves_this_computer_is_encrypted_for_a_proven_name_or_openly_not_at_all() {
    for url in ["postgres://db/g", "postgres://127.0.0.1,db/g", "postgres://127.0.0.1/g?hostaddr=10.0.0.1"] {
        assert_eq!(refused(url).found_text(), "no sslrootcert", "{url}");
    }
    for mode in ["allow", "prefer", "require", "verify-ca", "x"] {
        let error = refused(&format!("postgres://db/g?sslmode={mode}"));
        assert_eq!((error.code(), error.found_text()), (Code::ConfigBadValue, &*format!("sslmode={mode}")));
    }
    for url in
        ["postgres://localhost/g", "postgres://[::1]/g", "postgres:///g?host=/run", "postgres://db/g?sslmode=disable"]
    {
        let target = Target::parse(url).unwrap();
        assert!(target.tls.is_none() && target.hosts[0].get_ssl_mode() == SslMode::Disable, "{url}");
    }
    let nothing = file("no certificate", 0o644);
    for path in [nothing.path(), Path::new("/nowhere/ca.pem")] {
        let error = refused(&format!("postgres://db/g?sslrootcert={}", path.display()));
        assert_eq!(error.code(), Code::ConfigBadValue);
        assert!(error.subject_text().contains("sslrootcert"), "{error}");
    }
}

#[test]
fn a_password_comes_from_a_file_that_is_its_owners_alone() {
    let password = |url: &str| Target::parse(url).unwrap().hosts[0].get_password().map(<[u8]>::to_vec);
    let own = file("hunter2\nanother line\n", 0o600);
    let url = format!("postgres://u@localhost/g?password_file={}", own.path().display());
    assert_eq!(password(&url).unwrap(), b"hunter2");
    let lines =
        "# a comment\nelsewhere:*:*:*:no\nlocalhost:5432:g:other:no\nlocalhost:*:g:u:hun\\:ter\\\\2\n*:*:*:*:no\n";
    let pgpass = file(lines, 0o600);
    let url = format!("postgres://u@localhost/g?passfile={}", pgpass.path().display());
    assert_eq!(password(&url).unwrap(), b"hun:ter\\2");
    let url = format!("postgres://u@127.0.0.1:99/other?passfile={}", pgpass.path().display());
    assert_eq!(password(&url).unwrap(), b"no");
    let exposed = file("hunter2", 0o644);
    for key in ["password_file", "passfile"] {
        let error = refused(&format!("postgres://u@localhost/g?{key}={}", exposed.path().display()));
        assert_eq!((error.code(), error.found_text()), (Code::KeyExposed, "mode 644"));
        assert_eq!(refused(&format!("postgres://u@localhost/g?{key}=/nowhere")).code(), Code::ConfigBadValue);
    }
}

#[test]
fn what_cannot_be_read_is_refused_without_being_repeated() {
    for url in [
        "postgres://u:hunter2@",
        "postgres://u:hunter2@localhost:port/g",
        "postgres://u:hunter2@localhost/g?sslmode=disable&sslmode=disable",
        "postgres://u:hunter2@localhost/g?passfile=%zz",
        "postgres://u:hunter2@localhost/g?passfile=%00",
        "postgres://u:hunter2@localhost/g?notify=perhaps",
        "postgres://u:hunter2@localhost/g?connect_timeout=hunter2",
    ] {
        let error = refused(url);
        assert_eq!(error.code(), Code::ConfigBadValue, "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let unknown = refused("postgres://u:hunter2@localhost/g?sslmod=disable");
    assert!(unknown.found_text().contains("sslmod") && !unknown.to_string().contains("hunter2"), "{unknown}");
}

#[test]
fn of_several_hosts_the_one_that_can_be_written_is_meant() {
    let target = Target::parse("postgres://localhost,127.0.0.1/g?target_session_attrs=any").unwrap();
    assert_eq!(target.hosts.len(), 2);
    for host in &target.hosts {
        assert_eq!((host.get_target_session_attrs(), host.get_hosts().len()), (TargetSessionAttrs::ReadWrite, 1));
    }
    assert_eq!(refused(&format!("postgres://{}/g", ["localhost"; 9].join(","))).found_text(), "9 hosts");
}

#[test]
fn each_host_has_all_that_the_string_says() {
    let url = "postgres://u:p@localhost:1,127.0.0.1:2/g?options=-cx%3Dy&application_name=a&connect_timeout=3&\
               tcp_user_timeout=4&keepalives_idle=5&keepalives_interval=6&keepalives_retries=7&channel_binding=require&\
               sslnegotiation=direct&sslmode=disable";
    let all: Config = url.replace("&sslmode=disable", "").parse().unwrap();
    for (at, host) in Target::parse(url).unwrap().hosts.iter().enumerate() {
        let mut expected = all.clone();
        complete(&mut expected);
        expected.ssl_mode(SslMode::Disable);
        assert_eq!(
            (host.get_hosts(), host.get_ports()),
            (&expected.get_hosts()[at..=at], &expected.get_ports()[at..=at])
        );
        // What is left in the text is all the rest.
        let rest = |config: &Config| {
            let text = format!("{config:?}");
            let cut = |text: &str, key: &str| {
                let (before, after) = text.split_once(key).unwrap();
                format!("{before}{}", after.split_once(']').unwrap().1)
            };
            cut(&cut(&text, " host: ["), " port: [")
        };
        assert_eq!(rest(host), rest(&expected));
    }
}
