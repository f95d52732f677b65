//! The group's signing key: shown, rotated, backed up, brought back (rule G6).

use std::path::Path;

use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, By, GroupKeyRecord, KeyRotation, KeysOperation};
use crate::limits::KEY_BACKUP_BYTES_MAX;
use crate::session::atomic_file::{OWNER, write_new};
use crate::session::keeping::blocking;
use crate::session::management_group::{ManagementGroup, answer};
use crate::session::{clock, key_backup};

impl ManagementGroup {
    /// The key that signs the group's assignments.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn group_key(&self) -> Result<GroupKeyRecord> {
        answer!(self.ask(KeysOperation::Key), Key)
    }

    /// Puts a new key in the place of the one of this version ([`GroupKeyRecord::version`]), which says so and is gone then;
    /// signs all assignments anew, in one transaction. Nodes that trust the key before follow, also those that were away.
    ///
    /// # Errors
    ///
    /// [`Code::GroupKeyRotated`] if another key is in force by now.
    pub async fn rotate_group_key(&self, version: u64) -> Result<KeyRotation> {
        answer!(self.ask(KeysOperation::Rotate { version }), KeyRotation)
    }

    /// Writes a file that brings the group's key into another store, for its owner alone; what is there is left as it is. The
    /// private key in it is encrypted with the first line of `password_file`.
    ///
    /// # Errors
    ///
    /// [`Code::OperationLocal`] from afar; [`Code::PasswordMissing`], [`Code::FileUnreadable`].
    pub async fn back_up_group_key(&self, file: &Path, password_file: &Path) -> Result<GroupKeyRecord> {
        let (store, by, file) = (self.store()?, self.by(), file.to_owned());
        let password = password(password_file)?;
        if std::fs::symlink_metadata(&file).is_ok() {
            return Err(Error::new(Code::FileUnreadable)
                .subject(file.display().to_string())
                .found("a file that is there already")
                .expected("a new one: no backup is written over")
                .remedy("name another file"));
        }
        let backup = store.call(move |store| store.back_up_key(&by)).await?;
        blocking(move || {
            let text = Zeroizing::new(key_backup::encode(&backup, &password, clock::wall())?);
            write_new(&file, OWNER, text.as_bytes())
        })
        .await?;
        self.group_key().await
    }

    /// Brings the key of a backup into this store, before anything is assigned: nodes that trust the group accept it again.
    /// The versions of its assignments begin above those of before. A store that has the key already is left as it is.
    ///
    /// # Errors
    ///
    /// [`Code::OperationLocal`] from afar; [`Code::KeyBackupUnusable`], [`Code::PasswordMissing`], [`Code::PasswordWrong`];
    /// [`Code::GroupMismatch`] if it is another group's; [`Code::GroupKeyInUse`] if the store has signed with a key of its own.
    pub async fn restore_group_key(&self, file: &Path, password_file: &Path) -> Result<GroupKeyRecord> {
        let (store, by, path) = (self.store()?, self.by(), file.to_owned());
        let password = password(password_file)?;
        let backup = blocking(move || {
            let text = read(&path)?;
            key_backup::decode(&text, &password).map_err(|error| error.subject(path.display().to_string()))
        });
        let backup = backup.await?;
        store.call(move |store| store.restore_key(&backup, &by)).await
    }

    fn by(&self) -> By {
        By { author: self.author.clone(), at: clock::wall() }
    }
}

fn password(file: &Path) -> Result<Zeroizing<String>> {
    let password = crate::session::identity_store::read_password(file)?;
    if password.is_empty() {
        return Err(Error::new(Code::PasswordMissing)
            .subject(file.display().to_string())
            .found("an empty first line")
            .expected("a password: whoever has it and the backup can assign upstreams to every node"));
    }
    Ok(password)
}

fn read(path: &Path) -> Result<String> {
    let unreadable =
        |found: String| Error::new(Code::KeyBackupUnusable).subject(path.display().to_string()).found(found);
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > KEY_BACKUP_BYTES_MAX {
        return Err(unreadable(format!("{length} bytes")).expected(format!("at most {KEY_BACKUP_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}
