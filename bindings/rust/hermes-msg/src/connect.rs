//! How a session finds its broker: a URL, whom to trust, and who one is.

use crate::error::{Error, Result};
use hermes_msg_sys as sys;
use std::ffi::{c_char, CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;

/// Whom a client trusts, and who it says it is. What is not said is what the environment says, what is empty nothing
/// at all. Files are PEM.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    /// The authorities that may vouch for the broker. `HERMES_TLS_CA`; none: the system's.
    pub tls_ca: Option<PathBuf>,
    /// The client's certificate, and what stands between it and its authority. `HERMES_TLS_CERT`.
    pub tls_cert: Option<PathBuf>,
    /// Its key. `HERMES_TLS_KEY`; none: it is in `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// The name or address that the broker's certificate must have. `HERMES_TLS_SERVER_NAME`; none: that of the URL.
    pub tls_server_name: Option<String>,
    /// The secret that `hermes auth token create` shows. `HERMES_TOKEN`.
    pub token: Option<String>,
    /// A file whose first line it is, read again for each connection. `HERMES_TOKEN_FILE`; instead of `token`.
    pub token_file: Option<PathBuf>,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("tls_ca", &self.tls_ca)
            .field("tls_cert", &self.tls_cert)
            .field("tls_key", &self.tls_key)
            .field("tls_server_name", &self.tls_server_name)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("token_file", &self.token_file)
            .finish()
    }
}

/// The same as C takes it, for each session of a client.
pub(crate) struct Connect {
    pub(crate) url: Option<CString>,
    tls_ca: Option<CString>,
    tls_cert: Option<CString>,
    tls_key: Option<CString>,
    tls_server_name: Option<CString>,
    token: Option<CString>,
    token_file: Option<CString>,
}

fn to_c(value: Option<&OsStr>) -> Result<Option<CString>> {
    Ok(value.map(|value| CString::new(value.as_bytes())).transpose()?)
}

fn pointer_to(value: &Option<CString>) -> *const c_char {
    value.as_ref().map_or(std::ptr::null(), |value| value.as_ptr())
}

impl Connect {
    pub(crate) fn new(url: Option<&OsStr>, options: &ConnectOptions) -> Result<Connect> {
        Ok(Connect {
            url: to_c(url)?,
            tls_ca: to_c(options.tls_ca.as_ref().map(|p| p.as_os_str()))?,
            tls_cert: to_c(options.tls_cert.as_ref().map(|p| p.as_os_str()))?,
            tls_key: to_c(options.tls_key.as_ref().map(|p| p.as_os_str()))?,
            tls_server_name: to_c(options.tls_server_name.as_ref().map(OsStr::new))?,
            token: to_c(options.token.as_ref().map(OsStr::new))?,
            token_file: to_c(options.token_file.as_ref().map(|p| p.as_os_str()))?,
        })
    }

    pub(crate) fn session(&self) -> Result<NonNull<sys::hermes_client_t>> {
        let mut client = std::ptr::null_mut();
        let options = sys::hermes_connect_options_t {
            size: std::mem::size_of::<sys::hermes_connect_options_t>(),
            tls_ca: pointer_to(&self.tls_ca),
            tls_cert: pointer_to(&self.tls_cert),
            tls_key: pointer_to(&self.tls_key),
            tls_server_name: pointer_to(&self.tls_server_name),
            token: pointer_to(&self.token),
            token_file: pointer_to(&self.token_file),
        };
        // SAFETY: all of it is null or a string that lives through the call; client is written to.
        let rc = unsafe { sys::hermes_connect_with(pointer_to(&self.url), &options, &mut client) };
        match NonNull::new(client) {
            Some(client) if rc >= 0 => Ok(client),
            // SAFETY: null asks for this thread's last connect.
            _ => Err(unsafe { Error::of_client(rc, std::ptr::null()) }),
        }
    }
}
