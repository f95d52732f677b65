//! `farpost_config_t`: the configuration as string properties; a new option never touches the binary interface.

use std::ffi::c_char;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::code::Code;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ffi::arguments::{invalid, object, output, text};
use crate::ffi::error::ErrorObject;
use crate::ffi::status::{Status, guard, quietly};
use crate::role::Role;

/// The start of a chain: sends messages.
pub const FARPOST_ROLE_AGENT: i32 = 1;
/// Accepts agents and forwards all on one connection.
pub const FARPOST_ROLE_GATEWAY: i32 = 2;
/// The end of a chain: hands messages to the program.
pub const FARPOST_ROLE_MANAGEMENT_SERVER: i32 = 3;

/// A node's configuration. Any thread.
#[derive(Debug)]
pub struct ConfigObject(Mutex<Config>);

impl ConfigObject {
    /// A copy of the values.
    pub(super) fn snapshot(&self) -> Config {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes a configuration with the defaults of a role, a FARPOST_ROLE_ constant. Any thread; does not block.
///
/// # Safety
///
/// `config` is NULL or may be written; `error` as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_config_new(
    role: i32,
    config: *mut *mut ConfigObject,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = || {
        let target = output(config, "config")?;
        let role = match role {
            FARPOST_ROLE_AGENT => Role::Agent,
            FARPOST_ROLE_GATEWAY => Role::Gateway,
            FARPOST_ROLE_MANAGEMENT_SERVER => Role::ManagementServer,
            _ => return Err(invalid("role", role.to_string(), "a FARPOST_ROLE_ constant")),
        };
        // SAFETY: not null, and the caller allows the write.
        unsafe { hand_out(target, Config::new(role)) };
        Ok(())
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
}

/// Reads a configuration from a TOML file, the same that the command `farpost` takes; its key `role` says the role.
/// farpost_config_set may change it afterwards. Any thread; blocks while it reads the file.
///
/// # Safety
///
/// `path` is NULL or a text that ends with NUL; `config` is NULL or may be written; `error` as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_config_load(
    path: *const c_char,
    config: *mut *mut ConfigObject,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = || {
        // SAFETY: the caller passes NULL or a text.
        let path = unsafe { text(path, "path") }?;
        let target = output(config, "config")?;
        let loaded = Config::from_toml(&read(path)?, path)?;
        // SAFETY: not null, and the caller allows the write.
        unsafe { hand_out(target, loaded) };
        Ok(())
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
}

/// Sets one property, such as "upstream.primary" to "gw1.branch.example:5723". Both texts are copied. A list is
/// comma-separated. An unknown key is an error that names the nearest one. Any thread; does not block.
///
/// # Safety
///
/// `config` is NULL or not freed yet; `key` and `value` are NULL or texts that end with NUL; `error` is NULL or
/// may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_config_set(
    config: *mut ConfigObject,
    key: *const c_char,
    value: *const c_char,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = || {
        // SAFETY: the caller passes NULL, or a live object and texts.
        let (config, key, value) = unsafe { (object(config, "config")?, text(key, "key")?, text(value, "value")?) };
        config.0.lock().unwrap_or_else(PoisonError::into_inner).set(key, value)
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
}

/// Frees a configuration. NULL is allowed. Sessions that were opened with it have their own copy.
///
/// # Safety
///
/// `config` is NULL or not freed yet, and no other call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_config_free(config: *mut ConfigObject) {
    if !config.is_null() {
        // SAFETY: made by Box::into_raw, and the caller gives it up.
        quietly(|| drop(unsafe { Box::from_raw(config) }));
    }
}

/// # Safety
///
/// The target may be written.
unsafe fn hand_out(target: *mut *mut ConfigObject, config: Config) {
    let object = Box::into_raw(Box::new(ConfigObject(Mutex::new(config))));
    // SAFETY: as above.
    unsafe { target.write(object) };
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(Path::new(path)).map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { Code::FileMissing } else { Code::FileUnreadable };
        Error::new(code).subject(path).found(error.to_string())
    })
}
