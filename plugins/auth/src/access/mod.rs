//! The access rules of free topics: those of a file, then those that calls have set. The first that matches decides;
//! nothing matches: denied.
//!
//! Rights depend on three things: the rules, an account (which never changes its kind or handle), and who is member
//! of the groups that rules name. A change of a rule moves the version of everybody. A membership is looked up when
//! rights are compiled; when one begins or ends, the version of that user moves (and of the few that share its
//! counter), so that the rights are compiled anew before they are used again.

mod book;
mod file;
mod filters;
mod record;
mod rule;

pub use file::RuleFileError;

use async_trait::async_trait;
use book::Book;
use file::Place;
use parlance_plugin_api::{
    ConversationKind, UserId,
    access::{AccessError, AccessRules, RuleProblem, Subject, TopicFilter, TopicRights},
    event::Event,
    identity::{AccountKind, Directory, Named},
    ledger::{Ledger, LedgerError, TransactError, Transaction, View, read, transact},
    record::{MemberRecord, member_key},
    store::Table,
};
use parlance_schema::api;
use prost::Message;
use record::RulesRecord;
use rule::{GroupName, Rule};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use thiserror::Error;

/// Most rules of the file, and most that calls have set.
pub(crate) const RULES_MAX: usize = 10_000;
/// Most bytes of all rules that calls have set: they are one record.
pub(crate) const RULES_BYTES_MAX: usize = 2 << 20;
/// Most bytes of `who`.
pub(crate) const WHO_BYTES_MAX: usize = 64;
/// Most bytes of a rule's topic.
pub(crate) const TOPIC_BYTES_MAX: usize = 1_024;
/// Most levels of a rule's topic.
pub(crate) const TOPIC_LEVELS_MAX: usize = 128;
/// Counters of the users whose memberships changed. A user that shares one compiles its rights once too often.
const COUNTERS: usize = 1_024;

/// Where the rules of the file are.
#[derive(Debug, Clone, Default)]
pub struct AccessOptions {
    /// The file; `None` for none.
    pub file: Option<PathBuf>,
    /// Whether it must be there; one that need not be is looked for at each reload.
    pub file_required: bool,
}

/// Why the rules cannot be opened.
#[derive(Debug, Error)]
pub enum OpenAccessError {
    /// The file.
    #[error(transparent)]
    File(#[from] RuleFileError),
    /// What is stored cannot be read.
    #[error("the stored access rules cannot be read: {0}")]
    Ledger(#[from] LedgerError),
    /// What is stored is no rule to this version.
    #[error("the stored access rules do not serve: rule {number}: {problem}")]
    Stored {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        problem: RuleProblem,
    },
}

/// The access port: [`AccessRules`].
pub struct Access {
    shared: Arc<Shared>,
    place: Place,
    /// Held while the file is read: two reloads do not overtake each other.
    reloading: Mutex<()>,
}

struct Shared {
    ledger: Arc<dyn Ledger>,
    directory: Arc<dyn Directory>,
    live: RwLock<Arc<Live>>,
    /// Changes of the rules.
    changes: AtomicU64,
    /// Changes of memberships, by user.
    memberships: Box<[AtomicU64]>,
}

/// The rules as they are now.
struct Live {
    revision: u64,
    file: Arc<[Rule]>,
    set: Arc<[Rule]>,
    book: Book,
}

impl Live {
    fn new(revision: u64, file: Arc<[Rule]>, set: Arc<[Rule]>) -> Self {
        let book = Book::new(file.iter().chain(&*set).cloned());
        Self { revision, file, set, book }
    }
}

impl Access {
    /// Reads the file and what is stored.
    ///
    /// # Errors
    /// When one of them holds something that is no rule: a broker with other rules than it was given is not safe.
    pub fn open(
        ledger: Arc<dyn Ledger>,
        directory: Arc<dyn Directory>,
        options: AccessOptions,
    ) -> Result<Arc<Self>, OpenAccessError> {
        let place = Place { path: options.file, required: options.file_required };
        let file = place.read()?;
        let record: RulesRecord = read(&*ledger, Table::Meta, record::KEY)?.unwrap_or_default();
        let revision = record.revision;
        let set = rule::parse_all(record.into_rules())
            .map_err(|(number, problem)| OpenAccessError::Stored { number, problem })?;
        let shared = Shared {
            ledger,
            directory,
            live: RwLock::new(Arc::new(Live::new(revision, file.into(), set.into()))),
            changes: AtomicU64::new(0),
            memberships: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared), place, reloading: Mutex::new(()) }))
    }
}

impl Shared {
    fn live(&self) -> Arc<Live> {
        // A panic under this lock leaves what was there: it is replaced in one step.
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counter(&self, user: UserId) -> &AtomicU64 {
        // The end of an id is random.
        let [.., high, low] = user.0;
        &self.memberships[usize::from(u16::from_be_bytes([high, low])) % COUNTERS]
    }

    /// Puts other rules in the place of those that are there; `None` of the change leaves them.
    fn change(&self, change: impl FnOnce(&Live) -> Option<Live>) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(changed) = change(&live) {
            *live = Arc::new(changed);
            tracing::info!(file = live.file.len(), set = live.set.len(), "the access rules changed");
            // After they are there: whoever sees the new version sees the new rules.
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    fn is_member(&self, group: &GroupName, user: UserId) -> Result<bool, LedgerError> {
        let group = match group {
            GroupName::Id(group) => *group,
            GroupName::Handle(handle) => match self.directory.resolve(handle) {
                Some(Named::Group(group)) => group,
                _ => return Ok(false),
            },
        };
        let member: Option<MemberRecord> = read(&*self.ledger, Table::Members, &member_key(group, user))?;
        Ok(member.is_some())
    }

    /// Makes rules durable, then live.
    async fn store(&self, expected: Option<u64>, rules: Vec<Rule>) -> Result<(), AccessError> {
        let rules: Arc<[Rule]> = rules.into();
        let written: Vec<_> = rules.iter().map(|rule| rule.written().clone()).collect();
        let decide = move |tx: &mut dyn Transaction| {
            let view: &dyn View = tx;
            let held: RulesRecord = read(view, Table::Meta, record::KEY)?.unwrap_or_default();
            if expected.is_some_and(|expected| expected != held.revision) {
                return Err(AccessError::Changed { revision: held.revision });
            }
            let revision = held.revision + 1;
            let record = RulesRecord::new(revision, written);
            tx.put(Table::Meta, record::KEY, &record.encode_to_vec());
            Ok(revision)
        };
        let revision = transact(&*self.ledger, decide).await.map_err(|error| match error {
            TransactError::Ledger(error) => AccessError::Ledger(error),
            TransactError::Refused(refused) => refused,
        })?;
        // Answers may overtake each other; what was decided last stays.
        self.change(|live| (revision > live.revision).then(|| Live::new(revision, live.file.clone(), rules)));
        Ok(())
    }

    fn list(&self) -> api::AccessRules {
        let live = self.live();
        let written = |rules: &[Rule]| rules.iter().map(|rule| rule.written().clone()).collect();
        api::AccessRules { revision: live.revision, file: written(&live.file), rules: written(&live.set) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl AccessRules for Access {
    fn version(&self, user: UserId) -> u64 {
        // Both only grow, so their sum is the same only if neither has moved.
        let changes = self.shared.changes.load(Ordering::Acquire);
        changes.wrapping_add(self.shared.counter(user).load(Ordering::Acquire))
    }

    fn rights(&self, subject: &Subject) -> Arc<TopicRights> {
        if !matches!(subject.kind, AccountKind::Person | AccountKind::Service) {
            return Arc::default();
        }
        let live = self.shared.live();
        let rights = live.book.rights(subject, |group| self.shared.is_member(group, subject.user));
        rights.map(Arc::new).unwrap_or_else(|error| {
            tracing::error!(%error, user = %subject.user, "memberships cannot be read: everything is denied");
            // So that it is tried again.
            self.shared.counter(subject.user).fetch_add(1, Ordering::Release);
            Arc::default()
        })
    }

    fn allows_filter(&self, rights: &TopicRights, filter: &TopicFilter) -> bool {
        filters::allows(rights, filter.shared().map_or(filter.as_str(), |(_, inner)| inner))
    }

    fn happened(&self, event: &Event) {
        if let Event::MemberAdded { conversation, user, .. } | Event::MemberRemoved { conversation, user } =
            event
            && conversation.kind() == ConversationKind::Group
            && self.shared.live().book.names_groups()
        {
            self.shared.counter(*user).fetch_add(1, Ordering::Release);
        }
    }

    fn list(&self) -> api::AccessRules {
        self.shared.list()
    }

    async fn set(&self, request: api::SetAccessRulesRequest) -> Result<api::AccessRules, AccessError> {
        if request.rules.len() > RULES_MAX {
            return Err(AccessError::TooMany { rules_max: RULES_MAX });
        }
        let bytes: usize = request.rules.iter().map(|rule| rule.who.len() + rule.topic.len()).sum();
        if bytes > RULES_BYTES_MAX {
            return Err(AccessError::TooLarge { bytes_max: RULES_BYTES_MAX });
        }
        let rules = rule::parse_all(request.rules)
            .map_err(|(number, problem)| AccessError::Rule { number, problem })?;
        let shared = self.shared.clone();
        // It runs to its end even when the caller goes away: what is durable is live.
        let task = tokio::spawn(async move { shared.store(request.revision, rules).await });
        task.await.map_err(|_| AccessError::Internal)??;
        Ok(self.list())
    }

    fn reload(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _alone = lock(&self.reloading);
        let file: Arc<[Rule]> = self.place.read()?.into();
        self.shared
            .change(|live| (*live.file != *file).then(|| Live::new(live.revision, file, live.set.clone())));
        Ok(())
    }
}
