//! `admin.verifyStore`: the store read in stretches, so that no call takes long however large it is.

use super::{ApiError, Caller};
use crate::context::Context;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parlance_plugin_api::store::{Table, hex};
use parlance_schema::api::{Damage, Verified, VerifyStoreRequest};

/// Records of one stretch.
const STRETCH_RECORDS: usize = 1_000;

pub(super) async fn verify_store(
    context: &Context,
    _: Caller<'_>,
    request: VerifyStoreRequest,
) -> Result<Verified, ApiError> {
    let cursor = match request.cursor {
        Some(cursor) => Some(
            parse_cursor(&cursor)
                .ok_or(ApiError::Field { field: "cursor", expected: "next of the answer before" })?,
        ),
        None => None,
    };
    let ledger = context.ledger.clone();
    let stretch = tokio::task::spawn_blocking(move || ledger.verify(cursor, STRETCH_RECORDS));
    let page = stretch.await.map_err(|_| ApiError::TaskEnded)??;
    let damage = page.damage.into_iter().map(|(table, key, problem)| Damage {
        table: table.name().to_owned(),
        key: hex(&key),
        problem,
    });
    Ok(Verified {
        records: page.records,
        damage: damage.collect(),
        next: page.next.map(|(table, key)| cursor_text(table, &key)),
    })
}

/// A place in the store, opaque to clients: base64url of table tag ‖ key.
fn cursor_text(table: Table, key: &[u8]) -> String {
    let mut place = Vec::with_capacity(1 + key.len());
    place.push(table.tag());
    place.extend_from_slice(key);
    BASE64_URL_SAFE_NO_PAD.encode(place)
}

fn parse_cursor(cursor: &str) -> Option<(Table, Vec<u8>)> {
    let place = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (tag, key) = place.split_first()?;
    Some((Table::from_tag(*tag)?, key.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_round_trip(table in prop::sample::select(&Table::ALL[..]), key: Vec<u8>) {
            prop_assert_eq!(parse_cursor(&cursor_text(table, &key)), Some((table, key)));
        }

        #[test]
        fn no_cursor_panics(text: String) {
            let _ = parse_cursor(&text);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in ["", "!", "AA", "zzzz"] {
            assert_eq!(parse_cursor(bad), None, "{bad}");
        }
    }
}
