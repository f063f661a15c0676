//! Clients in the dialect of the target: who they are, where they are written to, where they listen.

use super::{CaseError, http::Http};
use crate::{
    Dialect, Settings, Target,
    load::{Crew, Endpoint, wire::Plan},
    measure::{Disk, Tree},
};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::{Value, json};
use std::{
    io,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Accounts or tokens that are asked for in one call.
const ACCOUNTS_AT_ONCE: usize = 500;
/// Members that are named in one call.
const MEMBERS_AT_ONCE: usize = 1_000;
/// Life of the tokens, seconds.
const TOKEN_TTL_S: u64 = 86_400;

/// A target, and the names of one run on it.
pub(crate) struct World<'a> {
    pub(crate) target: &'a Target,
    pub(crate) settings: &'a Settings,
    /// Part of every name, so that runs on one broker do not meet.
    run: String,
    admin: Option<Http>,
}

/// Who a client is.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// Its number among its people.
    pub(crate) name: String,
    /// Parlance: the user's id.
    pub(crate) id: String,
    /// Parlance: an access token.
    pub(crate) token: Option<String>,
}

impl<'a> World<'a> {
    pub(crate) fn new(target: &'a Target, settings: &'a Settings) -> Result<Self, CaseError> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| CaseError::NotHere("a clock before 1970"))?;
        let run = format!("r{:x}", since.as_millis());
        let admin = match target.dialect {
            Dialect::Plain => None,
            Dialect::Parlance => {
                let http = target.http.ok_or(CaseError::NotHere("Parlance needs its HTTP address"))?;
                let token = target.admin_token.as_deref();
                Some(Http::connect(http, token.ok_or(CaseError::NotHere("Parlance needs its admin token"))?)?)
            }
        };
        Ok(Self { target, settings, run, admin })
    }

    pub(crate) fn is_parlance(&self) -> bool {
        self.admin.is_some()
    }

    /// The broker's processes, if they are known.
    pub(crate) fn tree(&self) -> Option<Tree> {
        Tree::of(self.target.pid)
    }

    /// The device beneath its data, if there is one.
    pub(crate) fn disk(&self) -> Option<Disk> {
        self.target.data.as_deref().and_then(Disk::beneath)
    }

    pub(crate) fn endpoint(&self, tls: bool) -> Result<Endpoint, CaseError> {
        if !tls {
            return Ok(Endpoint { address: self.target.mqtt, tls: None });
        }
        let address = self.target.mqtts.ok_or(CaseError::NotHere("no TLS address"))?;
        let ca = self.target.ca.as_deref().ok_or(CaseError::NotHere("no authority for its certificate"))?;
        let config = tls_config(ca).map_err(CaseError::io("TLS"))?;
        Ok(Endpoint { address, tls: Some(Arc::new(config)) })
    }

    /// No clients yet.
    pub(crate) fn crew(&self, tls: bool) -> Result<Crew, CaseError> {
        let settings = self.settings;
        let endpoint = self.endpoint(tls)?;
        Crew::new(&endpoint, settings.version, settings.threads, settings.payload_bytes, settings.patience)
            .map_err(CaseError::io("the load generator"))
    }

    /// So many people; on Parlance with an account and a token each. `kind` tells them from others of the run.
    pub(crate) fn people(&mut self, kind: &str, count: usize) -> Result<Vec<Person>, CaseError> {
        let names: Vec<String> = (0..count).map(|number| format!("{}{kind}{number}", self.run)).collect();
        let Some(admin) = &mut self.admin else {
            let plain = |name: String| Person { id: name.clone(), name, token: None };
            return Ok(names.into_iter().map(plain).collect());
        };
        let mut people = Vec::with_capacity(count);
        for names in names.chunks(ACCOUNTS_AT_ONCE) {
            let users: Vec<Value> = names.iter().map(|name| json!({"handle": name})).collect();
            let made = admin.post("/admin/addUsers", &json!({"users": users}))?;
            let items: Vec<Value> = names.iter().map(|name| json!({"user": format!("@{name}")})).collect();
            let minted = admin.post("/admin/mintTokens", &json!({"items": items, "ttlS": TOKEN_TTL_S}))?;
            for (place, name) in names.iter().enumerate() {
                let id = text(&made["outcomes"][place]["user"], "/admin/addUsers")?;
                let token = text(&minted["tokens"][place]["token"], "/admin/mintTokens")?;
                people.push(Person { name: name.clone(), id, token: Some(token) });
            }
        }
        Ok(people)
    }

    /// How a person comes who listens to what is written to them.
    pub(crate) fn listener(&self, person: &Person, durable: bool) -> Plan {
        let filter = if self.is_parlance() { "me/text/inbox/#".to_owned() } else { self.topic_of(person) };
        self.client(person, "", Some(filter), durable)
    }

    /// How a person comes who only writes, on a further device of that name.
    pub(crate) fn writer(&self, person: &Person, device: &str) -> Plan {
        self.client(person, device, None, false)
    }

    /// How a person comes who listens to this filter.
    pub(crate) fn client(
        &self,
        person: &Person,
        device: &str,
        filter: Option<String>,
        durable: bool,
    ) -> Plan {
        let client_id = format!("{}{device}", person.name);
        let user_name = person.token.as_ref().map(|_| person.name.clone());
        Plan { client_id, user_name, password: person.token.clone(), filter, durable }
    }

    /// Where this person is written to.
    pub(crate) fn topic_of(&self, person: &Person) -> String {
        if self.is_parlance() { format!("user/{}/text", person.id) } else { format!("chat/{}", person.name) }
    }

    /// A topic that has nothing to do with the messenger; opened to everybody on Parlance.
    pub(crate) fn free_topic(&mut self) -> Result<String, CaseError> {
        if let Some(admin) = &mut self.admin {
            let rule = json!({"who": "*", "action": "both", "topic": "app/bench/#"});
            admin.post("/admin/setAccessRules", &json!({"rules": [rule]}))?;
        }
        Ok(format!("app/bench/{}", self.run))
    }

    /// A group of the first person with all the others; its id. Parlance only.
    pub(crate) fn group(&mut self, kind: &str, people: &[Person]) -> Result<String, CaseError> {
        let owner = people.first().and_then(|owner| owner.token.as_deref());
        let (Some(owner), Some(admin)) = (owner, &self.admin) else {
            return Err(CaseError::NotHere("only Parlance has groups"));
        };
        let mut http = Http::connect(admin.address(), owner)?;
        let handle = format!("{}{kind}", self.run);
        let mut members = people[1..].chunks(MEMBERS_AT_ONCE).map(|members| {
            let members = members.iter().map(|member| member.id.as_str());
            members.collect::<Vec<&str>>()
        });
        let first = members.next().unwrap_or_default();
        let made = http.post("/createGroup", &json!({"name": kind, "handle": handle, "members": first}))?;
        let group = text(&made["id"], "/createGroup")?;
        for more in members {
            http.post("/addMembers", &json!({"group": group, "users": more}))?;
        }
        Ok(group)
    }
}

fn text(value: &Value, path: &str) -> Result<String, CaseError> {
    value.as_str().map(str::to_owned).ok_or_else(|| CaseError::Api {
        path: path.to_owned(),
        status: 200,
        said: value.to_string(),
    })
}

/// Every handshake in full: what is measured is that of a new client.
fn tls_config(ca: &Path) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}
