//! The records of this plugin: for each kind one file with its key, its value and their tests.

mod api_key;
mod family;
mod index;
mod user;

pub(crate) use api_key::ApiKeyRecord;
pub(crate) use family::FamilyRecord;
pub(crate) use index::{Index, index_key, index_prefix, parse_index_key};
pub(crate) use user::UserRecord;
