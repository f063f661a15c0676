//! Who owns a group after its last owner leaves: the admin who has been a member for longest, or else the member.

use parlance_plugin_api::{
    ConversationId, UserId,
    ledger::{LedgerError, View},
    record::{MemberRecord, Role, decode, parse_member_key, prefix_end},
    store::{Direction, Scan, Table},
};
use std::cmp::Reverse;

/// Members read at once.
const PAGE: usize = 1_000;

/// The others of a group, as far as succession goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Succession {
    /// This one follows, and had this role: [`Role::Owner`] when there is another owner anyway.
    Heir {
        /// Who.
        user: UserId,
        /// The role it had when it was chosen.
        role: Role,
    },
    /// There is nobody else.
    Nobody,
}

/// Reads all members of a group, page by page. Not for the decider thread: a group may have many.
pub(crate) fn find(
    view: &dyn View,
    group: ConversationId,
    leaving: UserId,
) -> Result<Succession, LedgerError> {
    let to = prefix_end(&group.0);
    let mut from = group.0.to_vec();
    let mut best: Option<(Role, Reverse<u64>, Reverse<UserId>)> = None;
    loop {
        let scan =
            Scan { table: Table::Members, from: &from, to: &to, direction: Direction::Forward, limit: PAGE };
        let page = view.scan(scan)?;
        let Some((last, _)) = page.last() else { break };
        // The least key behind the last one.
        from = [&last[..], &[0]].concat();
        for (key, value) in page {
            let Some((_, user)) = parse_member_key(&key) else { continue };
            let Some(member) = decode::<MemberRecord>(value) else { continue };
            if user != leaving {
                let role = Role::from_number(member.role);
                best = best.max(Some((role, Reverse(member.joined_ms), Reverse(user))));
            }
        }
    }
    Ok(match best {
        Some((role, _, Reverse(user))) => Succession::Heir { user, role },
        None => Succession::Nobody,
    })
}
