//! The store: what is read of it, and that installing leaves the old identity or the new one.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::install::{News, Plan};
use super::store::Step;
use super::*;
use crate::identity::CertificateSelector;
use crate::identity::testing::{Issued, distinguished_name, name, openssl};

/// Valid whenever the tests run: the store's clock is the computer's.
fn years(from: i32) -> impl Fn(&mut CertificateParams) {
    move |params| {
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(2045, 1, 1);
    }
}

fn root() -> Issued {
    Issued::root(years(2020))
}

fn directory(root: &Issued) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.pem"), root.pem()).unwrap();
    directory
}

fn files_of(directory: &Path) -> IdentityFiles {
    IdentityFiles { directory: Some(directory.to_owned()), ..IdentityFiles::default() }
}

fn put_key(directory: &Path, file: &str, issued: &Issued) {
    let path = directory.join(file);
    fs::write(&path, issued.key_pem()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn put(directory: &Path, stem: &str, issued: &Issued) {
    fs::write(directory.join(format!("{stem}.pem")), issued.pem()).unwrap();
    put_key(directory, &format!("{stem}.key"), issued);
}

fn live_leaf(directory: &Path) -> Result<CertificateDer<'static>, Code> {
    let identity = files_of(directory).load(&name()).map_err(|error| error.code())?;
    Ok(identity.chain()[0].clone())
}

fn listing(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn installed(directory: &Path, issued: &Issued) -> Result<Identity, Code> {
    let key = issued.key.serialize_der();
    install(&files_of(directory), &name(), &[issued.der()], Some(&key)).map_err(|error| error.code())
}

#[test]
fn i4_the_names_of_files_mean_nothing_and_a_renewed_certificate_beside_the_old_one_is_live() {
    let root = root();
    let (old, new) = (root.leaf(years(2021)), root.leaf(years(2022)));
    let store = directory(&root);
    put(store.path(), "zzz", &old);
    assert_eq!(live_leaf(store.path()), Ok(old.der()));
    put(store.path(), "a", &new);
    assert_eq!(live_leaf(store.path()), Ok(new.der()));
    put(store.path(), "other", &root.leaf_of("pc8.branch.example", years(2023)));
    assert_eq!(live_leaf(store.path()), Ok(new.der()), "another node's");
    fs::remove_file(store.path().join("a.key")).unwrap();
    assert_eq!(live_leaf(store.path()), Ok(old.der()), "without its key it is none");
    put(store.path(), "twin", &root.leaf(years(2021)));
    assert_eq!(live_leaf(store.path()), Err(Code::IdentityAmbiguous));
}

#[test]
fn a_store_reads_every_format_of_certificates_and_tells_trust_from_intermediates() {
    let root = root();
    let middle = root.intermediate("middle", years(2020));
    let leaf = middle.leaf(years(2021));
    let store = tempfile::tempdir().unwrap();
    fs::write(store.path().join("root.der"), root.der()).unwrap();
    fs::write(store.path().join("chain.crt"), middle.pem() + &leaf.pem()).unwrap();
    put_key(store.path(), "some.key", &leaf);
    fs::write(store.path().join("notes.txt"), "not read").unwrap();
    fs::write(store.path().join(".hidden.pem"), "not read").unwrap();
    let identity = files_of(store.path()).load(&name()).unwrap();
    assert_eq!(identity.chain().as_ref(), [leaf.der(), middle.der()]);
    let resolved = files_of(store.path()).resolve(&name()).unwrap();
    assert_eq!(resolved.certificate, Some(store.path().join("chain.crt")));
    assert_eq!(resolved.key, Some(store.path().join("some.key")));
    assert_eq!(resolved.trust, [store.path().join("root.der")]);
    assert_eq!(resolved.load(&name()).unwrap().chain(), identity.chain());
    fs::write(store.path().join("bad.pem"), "no certificate").unwrap();
    assert_eq!(live_leaf(store.path()), Err(Code::SourceUnreadable), "one bad file may be the one that matters");
}

#[test]
fn h13_a_store_that_others_can_write_is_refused_for_reading_and_for_installing() {
    let root = root();
    let leaf = root.leaf(years(2021));
    let store = directory(&root);
    put(store.path(), "a", &leaf);
    for mode in [0o777, 0o775, 0o1777] {
        fs::set_permissions(store.path(), fs::Permissions::from_mode(mode)).unwrap();
        let before = listing(store.path());
        assert_eq!(live_leaf(store.path()), Err(Code::DirectoryExposed), "{mode:o}");
        assert_eq!(installed(store.path(), &leaf).map(|_| ()), Err(Code::DirectoryExposed), "{mode:o}");
        assert_eq!(listing(store.path()), before);
    }
}

#[test]
fn h13_what_root_installs_for_a_service_account_belongs_to_the_account() {
    let root = root();
    let store = directory(&root);
    if !nix::unistd::geteuid().is_root() || std::os::unix::fs::chown(store.path(), Some(65_534), Some(65_534)).is_err()
    {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let leaf = root.leaf(years(2021));
    installed(store.path(), &leaf).unwrap();
    let written = fs::read_dir(store.path()).unwrap().map(|entry| entry.unwrap());
    let written = written.filter(|entry| entry.file_name() != "ca.pem");
    assert!(written.map(|entry| entry.metadata().unwrap().uid()).all(|owner| owner == 65_534));
    assert_eq!(live_leaf(store.path()), Ok(leaf.der()));
}

#[test]
fn a_directory_with_too_many_files_or_a_certificate_of_ten_megabytes_is_refused() {
    let root = root();
    let store = directory(&root);
    put(store.path(), "a", &root.leaf(years(2021)));
    fs::write(store.path().join("large.pem"), vec![b'A'; 10_000_000]).unwrap();
    assert_eq!(live_leaf(store.path()), Err(Code::FileUnreadable));
    fs::remove_file(store.path().join("large.pem")).unwrap();
    (0..300).for_each(|file| fs::write(store.path().join(format!("{file}.crl")), "").unwrap());
    assert_eq!(live_leaf(store.path()), Err(Code::StoreTooLarge));
}

#[test]
fn installing_replaces_the_old_certificate_and_key_and_nothing_of_others() {
    let root = root();
    let (old, new) = (root.leaf(years(2022)), root.leaf(years(2021)));
    let store = directory(&root);
    put(store.path(), name().as_ref(), &old);
    put(store.path(), "pc8", &root.leaf_of("pc8.branch.example", years(2021)));
    let waits = root.leaf(years(2023));
    keep_waiting_key(&files_of(store.path()), &name(), &waits.key.serialize_der(), b"request").unwrap();
    assert_eq!(installed(store.path(), &new).unwrap().chain().as_ref(), [new.der()], "older, and asked for");
    assert_eq!(live_leaf(store.path()), Ok(new.der()));
    let names: Vec<String> = listing(store.path()).into_iter().map(|(name, _)| name).collect();
    assert!(!names.contains(&format!("{}.key", name())), "{names:?}");
    assert_eq!(names.len(), 7, "ca, certificate and key, pc8 twice, the waiting key and its request: {names:?}");
    for (name, _) in listing(store.path()).iter().filter(|(name, _)| name.ends_with(".key")) {
        let mode = fs::metadata(store.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The answer to the request comes without its key, in any order, with the root.
    let files = files_of(store.path());
    assert_eq!(waiting_keys(&files, &name()).unwrap().len(), 1);
    let answer = [waits.der(), root.der()];
    install(&files, &name(), &answer, None).unwrap();
    assert_eq!(live_leaf(store.path()), Ok(waits.der()));
    assert!(waiting_keys(&files, &name()).unwrap().is_empty(), "it waits no more");
    let removed = files.remove_certificate(&name()).unwrap();
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert_eq!(live_leaf(store.path()), Err(Code::IdentityMissing));
    assert!(files_of(store.path()).load(&Name::parse("pc8.branch.example").unwrap()).is_ok());
}

#[test]
fn what_cannot_be_used_is_refused_with_its_code_and_changes_nothing() {
    let (root, foreign) = (root(), Issued::root(|params| params.distinguished_name = distinguished_name("foreign")));
    let store = directory(&root);
    let old = root.leaf(years(2021));
    put(store.path(), name().as_ref(), &old);
    put(store.path(), "extra", &root.leaf(years(2022)));
    let before = listing(store.path());
    let good = root.leaf(years(2023));
    let refused = |leaf: &Issued, key: Option<&Issued>| {
        let key = key.map(|key| key.key.serialize_der());
        let outcome = install(&files_of(store.path()), &name(), &[leaf.der()], key.as_deref());
        assert_eq!(listing(store.path()), before);
        outcome.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(refused(&good, Some(&old)), Err(Code::KeyMissing), "a key for another certificate");
    assert_eq!(refused(&good, None), Err(Code::KeyMissing));
    let expired = root.leaf(|params| params.not_after = date_time_ymd(2026, 1, 2));
    assert_eq!(refused(&expired, Some(&expired)), Err(Code::CertificateExpired));
    let stranger = foreign.leaf(years(2023));
    assert_eq!(refused(&stranger, Some(&stranger)), Err(Code::IssuerUnknown));
    let other = root.leaf_of("pc8.branch.example", years(2023));
    assert_eq!(refused(&other, Some(&other)), Err(Code::NameMismatch));
    let older = root.leaf(years(2020));
    assert_eq!(
        refused(&older, Some(&older)),
        Err(Code::IdentityAmbiguous),
        "the store has a newer one in another file"
    );
    assert_eq!(refused(&root, None), Err(Code::CertificateIsCa));
}

/// A disk that fails at its n-th step; `dies` makes it fail ever after, as a process does that was killed.
struct Failing {
    left: Cell<usize>,
    dies: bool,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        match self.left.get() {
            0 if self.dies => Err(io::Error::other("killed")),
            0 => Ok(()),
            left => {
                self.left.set(left - 1);
                if left == 1 { Err(io::Error::from_raw_os_error(nix::libc::ENOSPC)) } else { Ok(()) }
            }
        }
    }
}

/// A plan with everything: a certificate under a new CA, its key, the CA and its list.
fn large_plan(directory: &Path, ca: &Issued, leaf: &Issued, list: &str) -> Plan {
    let lists = crate::identity::import::lists(list.as_bytes()).unwrap();
    let key = Some(zeroize::Zeroizing::new(leaf.key.serialize_der()));
    let news = News { chain: vec![leaf.der()], key, anchors: vec![ca.der()], lists };
    Plan::make(&files_of(directory), &name(), news, clock::wall()).unwrap()
}

#[test]
fn wherever_the_disk_fails_or_the_process_dies_the_old_identity_or_the_new_one_is_read() {
    let (root, ca) = (
        root(),
        Issued::root(|params| {
            years(2020)(params);
            params.distinguished_name = distinguished_name("new CA");
        }),
    );
    let (old, new) = (root.leaf(years(2021)), ca.leaf(years(2022)));
    let list = ca.list(1, &[], |list| list.next_update = date_time_ymd(2045, 1, 1));
    for dies in [false, true] {
        let mut steps = 0;
        let mut outcomes = [0, 0];
        loop {
            steps += 1;
            let store = directory(&root);
            put(store.path(), name().as_ref(), &old);
            let before = listing(store.path());
            let failing = Failing { left: Cell::new(steps), dies };
            let plan = large_plan(store.path(), &ca, &new, &list);
            let outcome = plan.carry_out(&|_: Step| failing.step());
            let live = files_of(store.path()).load(&name());
            // The list of one CA alone ends what another CA issued: were it put there first, there would be neither.
            let is_new = live.as_ref().is_ok_and(|live| live.chain()[0] == new.der());
            let is_old = live.as_ref().is_ok_and(|live| live.chain()[0] == old.der());
            assert!(is_new || is_old, "step {steps}, dies {dies}: {live:?}");
            outcomes[usize::from(is_new)] += 1;
            if is_old && !dies {
                assert_eq!(listing(store.path()), before, "step {steps}: a failure leaves nothing behind");
            }
            if outcome.is_ok() {
                assert!(is_new, "step {steps}");
                break;
            }
            // The same again, on a disk that works.
            large_plan(store.path(), &ca, &new, &list).carry_out(&|_| Ok(())).unwrap();
            assert_eq!(live_leaf(store.path()), Ok(new.der()), "step {steps}");
            let unfinished = listing(store.path()).iter().filter(|(name, _)| name.starts_with('.')).count();
            assert_eq!(unfinished, 0, "step {steps}");
        }
        println!("{steps} steps, old {} times, new {} times", outcomes[0], outcomes[1]);
        assert!(outcomes[0] >= 5 && outcomes[1] >= 3);
    }
}

#[test]
fn files_by_name_keep_their_names_and_an_interrupted_installation_is_finished_by_the_next_read() {
    let root = root();
    let (old, new) = (root.leaf(years(2021)), root.leaf(years(2022)));
    for steps in 1..20 {
        let store = directory(&root);
        put(store.path(), "node", &old);
        let files = IdentityFiles {
            certificate: Some(store.path().join("node.pem")),
            key: Some(store.path().join("node.key")),
            trust: vec![store.path().join("ca.pem")],
            ..IdentityFiles::default()
        };
        let key = Some(zeroize::Zeroizing::new(new.key.serialize_der()));
        let news = News { chain: vec![new.der()], key, ..News::default() };
        let plan = Plan::make(&files, &name(), news, clock::wall()).unwrap();
        let failing = Failing { left: Cell::new(steps), dies: true };
        let outcome = plan.carry_out(&|_: Step| failing.step());
        let live = files.load(&name()).unwrap();
        assert!([old.der(), new.der()].contains(&live.chain()[0]), "step {steps}");
        install(&files, &name(), &[new.der()], Some(&new.key.serialize_der())).unwrap();
        let names: Vec<String> = listing(store.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ca.pem", "node.key", "node.pem"], "step {steps}");
        assert_eq!(files.load(&name()).unwrap().chain()[0], new.der());
        if outcome.is_ok() {
            assert!(steps > 8, "{steps}");
            return;
        }
    }
    panic!("it never came to an end");
}

#[test]
fn a_pkcs12_file_and_an_encrypted_key_with_a_password_file_are_identities() {
    let root = root();
    let leaf = root.leaf(years(2021));
    let store = directory(&root);
    put(store.path(), "node", &leaf);
    let password = store.path().join("password");
    fs::write(&password, "pass word\n").unwrap();
    let private = |file: &str| {
        fs::set_permissions(store.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
        store.path().join(file)
    };
    private("password");
    let export = "pkcs12 -export -in node.pem -inkey node.key -passout file:password -out node.p12";
    let Some(output) = openssl(store.path(), export) else { return };
    assert!(output.status.success());
    let encrypt = "pkcs8 -topk8 -in node.key -passout file:password -out encrypted.pem";
    assert!(openssl(store.path(), encrypt).unwrap().status.success());
    let trust = vec![store.path().join("ca.pem")];
    let pkcs12 = IdentityFiles {
        pkcs12: Some(private("node.p12")),
        password_file: Some(password.clone()),
        trust: trust.clone(),
        ..IdentityFiles::default()
    };
    assert_eq!(pkcs12.load(&name()).unwrap().chain()[0], leaf.der());
    assert_eq!(pkcs12.watched().len(), 3);
    let named = IdentityFiles {
        certificate: Some(store.path().join("node.pem")),
        key: Some(private("encrypted.pem")),
        password_file: Some(password.clone()),
        trust,
        ..IdentityFiles::default()
    };
    assert_eq!(named.load(&name()).unwrap().chain()[0], leaf.der());
    let without = IdentityFiles { password_file: None, ..named.clone() };
    assert_eq!(without.load(&name()).unwrap_err().code(), Code::PasswordMissing);
    fs::write(&password, "another").unwrap();
    assert_eq!(pkcs12.load(&name()).unwrap_err().code(), Code::PasswordWrong);
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(pkcs12.load(&name()).unwrap_err().code(), Code::PasswordExposed);
}

#[test]
fn files_by_name_with_another_certificate_or_key_say_what_is_wrong() {
    let root = root();
    let leaf = root.leaf(years(2021));
    let store = directory(&root);
    put(store.path(), "node", &leaf);
    put(store.path(), "other", &root.leaf_of("pc8.branch.example", years(2021)));
    let named = |certificate: &str, key: &str| {
        let files = IdentityFiles {
            certificate: Some(store.path().join(certificate)),
            key: Some(store.path().join(key)),
            trust: vec![store.path().join("ca.pem")],
            ..IdentityFiles::default()
        };
        files.load(&name()).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(named("node.pem", "node.key"), Ok(()));
    assert_eq!(named("node.pem", "other.key"), Err(Code::KeyMismatch));
    assert_eq!(named("other.pem", "other.key"), Err(Code::NameMismatch));
    assert_eq!(named("none.pem", "node.key"), Err(Code::FileMissing));
    assert_eq!(named("node.pem", "none.key"), Err(Code::FileMissing));
    assert_eq!(named("ca.pem", "node.key"), Err(Code::CertificateIsCa));
}

#[test]
fn an_import_finds_chooses_checks_and_proves_before_it_writes() {
    let root = root();
    let middle = root.intermediate("middle", years(2020));
    let (old, new) = (middle.leaf(years(2021)), middle.leaf(years(2022)));
    let sources = tempfile::tempdir().unwrap();
    fs::write(sources.path().join("all.pem"), root.pem() + &middle.pem() + &new.pem()).unwrap();
    fs::write(sources.path().join("old.pem"), old.pem()).unwrap();
    put_key(sources.path(), "new.key", &new);
    fs::write(sources.path().join("ca.crt"), root.pem()).unwrap();
    let store = sources.path().join("store/identity");
    let import = || CertificateImport::new(files_of(&store), name()).source(sources.path());
    let missing = import().prepare().map(|_| ()).unwrap_err();
    assert!(missing.has(Code::TrustMissing) && missing.findings()[0].remedy_text().contains("--trust"), "{missing}");
    assert!(!store.exists(), "nothing has changed");
    let prepared = import().trust(sources.path().join("ca.crt")).prepare().unwrap();
    assert!(!store.exists(), "nothing has changed");
    assert_eq!(prepared.files().len(), 3);
    assert_eq!(prepared.source(), sources.path().join("all.pem"));
    prepared.install().unwrap();
    assert_eq!(live_leaf(&store), Ok(new.der()));
    assert_eq!(files_of(&store).load(&name()).unwrap().chain().as_ref(), [new.der(), middle.der()]);
    assert_eq!(listing(&store).len(), 3);
    // Again: the same.
    let before = listing(&store);
    import().prepare().unwrap().install().unwrap();
    assert_eq!(listing(&store), before);
    let selector = CertificateSelector { issuer: Some("nobody".into()), ..CertificateSelector::default() };
    assert!(import().select(selector).prepare().is_err_and(|report| report.has(Code::IdentityMissing)));
    fs::set_permissions(sources.path().join("new.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(import().prepare().is_err_and(|report| report.has(Code::KeyExposed)));
}

#[test]
fn a_reader_beside_many_installations_always_finds_one_of_the_identities() {
    let root = root();
    let leaves = [root.leaf(years(2021)), root.leaf(years(2022))];
    let store = directory(&root);
    installed(store.path(), &leaves[0]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let live = live_leaf(store.path()).unwrap();
                assert!(leaves.iter().any(|leaf| leaf.der() == live));
                reads += 1;
            }
            reads
        });
        for round in 0..60 {
            installed(store.path(), &leaves[round % 2]).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        println!("{} reads beside 60 installations", reader.join().unwrap());
    });
}

#[test]
fn a_signed_answer_alone_is_imported_where_its_key_waits() {
    let root = root();
    let (old, new) = (root.leaf(years(2021)), root.leaf(years(2022)));
    let store = directory(&root);
    installed(store.path(), &old).unwrap();
    let files = files_of(store.path());
    let answer = tempfile::NamedTempFile::new().unwrap();
    fs::write(answer.path(), root.pem() + &new.pem()).unwrap();
    let import = || CertificateImport::new(files.clone(), name()).source(answer.path());
    assert!(import().prepare().is_err_and(|report| report.has(Code::KeyMissing)));
    let waiting = keep_waiting_key(&files, &name(), &new.key.serialize_der(), b"request").unwrap();
    assert_eq!(live_leaf(store.path()), Ok(old.der()), "a key that waits changes nothing");
    fs::set_permissions(&waiting.key, fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = import().prepare().map(|_| ()).unwrap_err();
    assert!(exposed.has(Code::KeyExposed) && exposed.has(Code::KeyMissing), "{exposed}");
    fs::set_permissions(&waiting.key, fs::Permissions::from_mode(0o600)).unwrap();
    import().prepare().unwrap().install().unwrap();
    assert_eq!(live_leaf(store.path()), Ok(new.der()));
    assert!(waiting.key.exists() && !waiting.request.exists(), "{}", waiting.public_key_sha256());
    assert_eq!(listing(store.path()).len(), 3, "the old key is gone: {:?}", listing(store.path()));
}

#[test]
fn h9_a_list_is_imported_with_its_certificate_and_an_older_one_never_replaces_it() {
    let root = root();
    let leaf = root.leaf(years(2021));
    let store = directory(&root);
    let files = files_of(store.path());
    let sources = tempfile::tempdir().unwrap();
    put(sources.path(), "node", &leaf);
    let import = |number: u64, month: u8, revoked: &[&Issued]| {
        let list = root.list(number, revoked, |list| {
            list.this_update = date_time_ymd(2025, month, 1);
            list.next_update = date_time_ymd(2045, 1, 1);
        });
        let file = sources.path().join("new.crl");
        fs::write(&file, list).unwrap();
        let import = CertificateImport::new(files.clone(), name()).source(sources.path().join("node.pem"));
        let import = import.source(sources.path().join("node.key")).revocation_list(&file);
        import.prepare().map(|prepared| prepared.install().map(|_| ()).unwrap())
    };
    import(2, 5, &[]).unwrap();
    let lists = || listing(store.path()).into_iter().filter(|(name, _)| name.ends_with(".crl")).collect::<Vec<_>>();
    let second = lists();
    assert_eq!(second.len(), 1);
    assert!(import(1, 4, &[]).is_err_and(|report| report.has(Code::CrlUnusable)));
    assert_eq!(lists(), second);
    import(3, 6, &[]).unwrap();
    assert!(lists().len() == 1 && lists() != second, "one of an issuer, the newest");
    assert!(import(4, 7, &[&leaf]).is_err_and(|report| report.has(Code::CertificateRevoked)));
    assert_eq!(live_leaf(store.path()), Ok(leaf.der()));
}
