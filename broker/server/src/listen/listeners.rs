//! The listeners that are open, and how they follow the configuration.

use super::{
    Resumption, Routes, Serving, TlsFiles, Workers,
    certificates::CertificateError,
    serving::tls_files,
    sockets::{self, Bound},
};
use crate::config::{Config, Listener, Profile, Transport};
use std::{io, net::SocketAddr, sync::Arc};
use thiserror::Error;
use tokio::sync::watch;

/// Why listeners do not become what the configuration says.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} (the listener {name}): {source}; change its address or stop what uses it"
    )]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// The listener.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error("the listener {name}: {source}")]
    Certificate {
        /// The listener.
        name: String,
        /// Why.
        source: CertificateError,
    },
}

/// A listener with its sockets.
struct Open {
    listener: Listener,
    /// Where it listens (the port is known, if it was 0).
    address: SocketAddr,
    /// `None`: it was taken away.
    serving: watch::Sender<Option<Arc<Serving>>>,
    resumption: Resumption,
    authority: Option<(bool, Vec<u8>)>,
}

/// A listener that has its sockets and is not served yet.
pub(crate) struct Reserved {
    listener: Listener,
    bound: Bound,
}

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) opened: Vec<String>,
    pub(crate) closed: Vec<String>,
    pub(crate) changed: Vec<String>,
}

/// The listeners that are open.
pub(crate) struct Listeners {
    open: Vec<Open>,
}

fn bind(listener: &Listener, workers: usize) -> Result<Option<Reserved>, ListenError> {
    let Some(address) = listener.address.get() else { return Ok(None) };
    let bound = match listener.transport {
        Transport::Quic => sockets::bind_udp(address),
        _ => sockets::bind_tcp(address, workers),
    };
    let failed = |source| ListenError::Bind { address, name: listener.name.clone(), source };
    Ok(Some(Reserved { listener: listener.clone(), bound: bound.map_err(failed)? }))
}

/// Binds every listener of a configuration, before anything else is touched.
///
/// # Errors
/// The first address that is not free.
pub(crate) fn reserve(config: &Config, workers: usize) -> Result<Vec<Reserved>, ListenError> {
    let listeners = config.listeners();
    listeners.iter().filter_map(|listener| bind(listener, workers).transpose()).collect()
}

/// Makes reserved listeners ready to be served.
///
/// # Errors
/// A certificate cannot be used.
pub(crate) fn prepare(
    routes: &Routes,
    config: &Config,
    reserved: Vec<Reserved>,
) -> Result<Vec<Prepared>, ListenError> {
    reserved.into_iter().map(|reserved| Prepared::new(routes, config, reserved)).collect()
}

fn authority(config: &Config, listener: &Listener) -> Option<(bool, Vec<u8>)> {
    tls_files(config, listener).as_ref().and_then(TlsFiles::authority)
}

impl Open {
    /// Whether it has the sockets that `listener` needs.
    fn has_sockets_of(&self, listener: &Listener) -> bool {
        let is_udp = |listener: &Listener| listener.transport == Transport::Quic;
        // Port 0 stands for whatever port the listener of that name was given.
        let named = listener.name == self.listener.name
            || listener.address.get().is_some_and(|address| address.port() != 0);
        self.listener.address == listener.address && is_udp(&self.listener) == is_udp(listener) && named
    }

    fn is_serving(&self) -> bool {
        self.serving.borrow().is_some()
    }
}

fn serving(
    routes: &Routes,
    config: &Config,
    listener: &Listener,
    resumption: &Resumption,
) -> Result<Option<Arc<Serving>>, ListenError> {
    let failed = |source| ListenError::Certificate { name: listener.name.clone(), source };
    let serving = Serving::new(routes, config, listener, resumption).map_err(failed)?;
    Ok(Some(Arc::new(serving)))
}

/// Told each time that such a listener is opened: it must never be on by accident.
fn warn_of_open(listener: &Listener, address: SocketAddr) {
    if listener.profile == Profile::Open {
        let warning = format!(
            "the listener \"{}\" on {address} is OPEN: anybody who reaches it publishes and subscribes on free \
             topics without a login",
            listener.name
        );
        tracing::warn!("{warning}");
        println!("warning: {warning}");
    }
}

impl Listeners {
    /// Serves the listeners that were prepared.
    pub(crate) async fn start(prepared: Vec<Prepared>, workers: &mut Workers) -> Self {
        let mut listeners = Self { open: Vec::new() };
        for prepared in prepared {
            listeners.add(prepared, workers).await;
        }
        listeners
    }

    async fn add(&mut self, prepared: Prepared, workers: &mut Workers) {
        let Prepared { reserved: Reserved { listener, bound }, serving, resumption, authority } = prepared;
        let (serving, watched) = watch::channel(serving);
        warn_of_open(&listener, bound.address);
        workers.listen(bound.sockets, &watched).await;
        self.open.push(Open { listener, address: bound.address, serving, resumption, authority });
    }

    /// Opens, closes and exchanges listeners until they are those of `config`; all of it, or nothing. Connections stay.
    /// Certificates are read anew.
    ///
    /// # Errors
    /// An address is not free, or a certificate cannot be used.
    pub(crate) async fn follow(
        &mut self,
        routes: &Routes,
        config: &Config,
        workers: &mut Workers,
    ) -> Result<Changes, ListenError> {
        let wanted = config.listeners();
        // What was taken away for good, its last connection gone.
        self.open.retain(|open| open.is_serving() || !open.serving.is_closed());
        let mut exchanged = Vec::new();
        let mut added = Vec::new();
        for listener in &wanted {
            match self.open.iter().position(|open| open.has_sockets_of(listener)) {
                Some(index) => {
                    exchanged.push((index, Exchange::new(routes, config, listener, &self.open[index])?))
                }
                None => {
                    if let Some(reserved) = bind(listener, workers.count())? {
                        added.push(Prepared::new(routes, config, reserved)?);
                    }
                }
            }
        }
        // Nothing fails from here on.
        let mut changes = Changes::default();
        for (index, open) in self.open.iter_mut().enumerate() {
            let stays = exchanged.iter().position(|(of, _)| *of == index);
            match stays.map(|at| exchanged.swap_remove(at).1) {
                Some(exchange) => exchange.carry_out(open, &mut changes),
                None if open.is_serving() => {
                    changes.closed.push(open.listener.name.clone());
                    open.serving.send_replace(None);
                }
                None => {}
            }
        }
        for prepared in added {
            changes.opened.push(prepared.reserved.listener.name.clone());
            self.add(prepared, workers).await;
        }
        Ok(changes)
    }

    /// The files that the listeners' TLS is made of.
    pub(crate) fn files(&self, config: &Config) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> = self
            .open
            .iter()
            .filter(|open| open.is_serving())
            .filter_map(|open| tls_files(config, &open.listener))
            .flat_map(|files| files.paths().map(std::path::Path::to_owned).collect::<Vec<_>>())
            .collect();
        files.sort();
        files.dedup();
        files
    }
}

/// A listener that only needs to be added.
pub(crate) struct Prepared {
    reserved: Reserved,
    serving: Option<Arc<Serving>>,
    resumption: Resumption,
    authority: Option<(bool, Vec<u8>)>,
}

impl Prepared {
    /// The listener and where it is.
    pub(crate) fn place(&self) -> (&Listener, SocketAddr) {
        (&self.reserved.listener, self.reserved.bound.address)
    }

    fn new(routes: &Routes, config: &Config, reserved: Reserved) -> Result<Self, ListenError> {
        let resumption = Resumption::new();
        let serving = serving(routes, config, &reserved.listener, &resumption)?;
        let authority = authority(config, &reserved.listener);
        Ok(Self { reserved, serving, resumption, authority })
    }
}

/// What an open listener becomes.
struct Exchange {
    listener: Listener,
    serving: Option<Arc<Serving>>,
    resumption: Resumption,
    authority: Option<(bool, Vec<u8>)>,
}

impl Exchange {
    fn new(routes: &Routes, config: &Config, listener: &Listener, open: &Open) -> Result<Self, ListenError> {
        let authority = authority(config, listener);
        // A session that began under other authorities would bring in whom these do not vouch for.
        let same = authority == open.authority && listener.profile == open.listener.profile;
        let resumption = if same { open.resumption.clone() } else { Resumption::new() };
        let serving = serving(routes, config, listener, &resumption)?;
        Ok(Self { listener: listener.clone(), serving, resumption, authority })
    }

    fn carry_out(self, open: &mut Open, changes: &mut Changes) {
        if !open.is_serving() {
            changes.opened.push(self.listener.name.clone());
        } else if self.listener != open.listener {
            changes.changed.push(self.listener.name.clone());
        }
        if self.listener.profile != open.listener.profile || !open.is_serving() {
            warn_of_open(&self.listener, open.address);
        }
        (open.listener, open.resumption, open.authority) = (self.listener, self.resumption, self.authority);
        open.serving.send_replace(self.serving);
    }
}
