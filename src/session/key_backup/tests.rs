use super::*;
use crate::store::{SqliteStore, Store as _};

use crate::group::{Author, By};

fn backup() -> (tempfile::TempDir, KeyBackup) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&directory.path().join("group.db"), Some("CORP")).unwrap();
    let by = By { author: Author::local_user("tester", "here"), at: Timestamp::from_unix_seconds(1_800_000_000) };
    for version in 1..4 {
        store.perform(&crate::group::KeysOperation::Rotate { version }.into(), &by).unwrap();
    }
    (directory, store.back_up_key(&by).unwrap())
}

fn code(text: &str, password: &str) -> Option<Code> {
    decode(text, password).err().map(|error| error.code())
}

#[test]
fn g6_a_backup_holds_the_key_and_the_way_to_it_and_shows_no_key_without_its_password() {
    let (_directory, backup) = backup();
    let text = encode(&backup, "correct horse", Timestamp::from_unix_seconds(1_800_000_000)).unwrap();
    let read = decode(&text, "correct horse").unwrap();
    let public = |backup: &KeyBackup| GroupKey::from_pkcs8(&backup.pkcs8).unwrap().public();
    assert_eq!(public(&read), public(&backup));
    assert!(KeyBackup { pkcs8: backup.pkcs8.clone(), ..read } == backup, "and all else");
    let raw = hexadecimal(&backup.pkcs8[16..48]);
    assert!(!text.contains(&raw) && !text.contains("BEGIN PRIVATE KEY"));
    assert_eq!(code(&text, "correct horsf"), Some(Code::PasswordWrong));
    assert_eq!(code(&text, ""), Some(Code::PasswordWrong));
    assert!(text.len() as u64 * 10 < crate::limits::KEY_BACKUP_BYTES_MAX, "{} bytes", text.len());
}

#[test]
fn g6_openssl_reads_the_private_key_of_a_backup() {
    let (directory, backup) = backup();
    let text = encode(&backup, "correct horse", Timestamp::from_unix_seconds(1_800_000_000)).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = directory.path().join("key.pem");
    std::fs::write(&key, file["contents"]["private_key"].as_str().unwrap()).unwrap();
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["pkey", "-pubout", "-outform", "DER", "-passin", "pass:correct horse", "-in"]).arg(&key);
    let Ok(output) = openssl.output() else {
        assert!(std::env::var_os("CI").is_none(), "openssl is needed");
        return println!("skipped: openssl is not installed");
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(hexadecimal(&output.stdout[12..]), file["contents"]["public_key"].as_str().unwrap());
}

#[test]
fn g6_a_backup_that_was_cut_or_changed_anywhere_is_refused() {
    let (_directory, backup) = backup();
    let text = encode(&backup, "correct horse", Timestamp::from_unix_seconds(1_800_000_000)).unwrap();
    for length in (0..text.len() - 2).step_by(97) {
        assert_eq!(code(&text[..length], "correct horse"), Some(Code::KeyBackupUnusable), "{length} bytes");
    }
    let bytes = text.as_bytes();
    for at in (0..bytes.len()).step_by(41).filter(|at| !bytes[*at].is_ascii_whitespace()) {
        let mut changed = bytes.to_vec();
        changed[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        let changed = String::from_utf8(changed).unwrap();
        // The password's own parameters are in the encrypted key: another salt is another password.
        let code = code(&changed, "correct horse").unwrap_or_else(|| panic!("byte {at} of {}", &text[at..at + 10]));
        assert!([Code::KeyBackupUnusable, Code::PasswordWrong].contains(&code), "byte {at}: {code:?}");
    }
    for bad in ["", "{}", "[]", "null", "{\"format\":\"farpost group key backup 2\"}", "-----BEGIN PRIVATE KEY-----"] {
        assert_eq!(code(bad, "x"), Some(Code::KeyBackupUnusable), "{bad}");
    }
    let other = text.replacen("\"CORP\"", "\"CORQ\"", 1);
    assert_eq!(code(&other, "correct horse"), Some(Code::KeyBackupUnusable), "the group's name is signed, too");
}
