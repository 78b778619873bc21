//! Who makes the calls to the upstreams?
//!
//! Two clients, each made when it is first needed: reading the system's certificates takes time and
//! memory, and is for nothing where the upstream is a server on this machine. Neither follows
//! redirects, inflates bodies or gives a call a time in which it must be over: what the upstream says
//! is the client's business.

use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, ClientBuilder, Url, redirect};

use crate::config::Config;
use crate::error::ApiError;

/// The clients for `http` and `https`.
#[derive(Debug)]
pub(super) struct Clients {
    connect_timeout: Duration,
    idle_timeout: Duration,
    plain: Mutex<Option<Client>>,
    secured: Mutex<Option<Client>>,
}

impl Clients {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            connect_timeout: config.upstream_connect_timeout,
            idle_timeout: config.upstream_idle_timeout,
            plain: Mutex::default(),
            secured: Mutex::default(),
        }
    }

    /// Returns the client for a URL.
    pub(super) fn of(&self, url: &Url) -> Result<Client, ApiError> {
        let is_plain = url.scheme() == "http";
        let place = if is_plain { &self.plain } else { &self.secured };
        let mut place = place.lock();
        if let Some(client) = &*place {
            return Ok(client.clone());
        }
        let client = self.builder(is_plain).build().map_err(ApiError::internal)?;
        Ok(place.insert(client).clone())
    }

    fn builder(&self, is_plain: bool) -> ClientBuilder {
        // There may be one already, which is as good.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.idle_timeout);
        match is_plain {
            true => builder.tls_certs_only([]).no_proxy(),
            false => builder,
        }
    }
}
