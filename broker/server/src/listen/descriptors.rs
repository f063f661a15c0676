//! Open files: each connection is one, and the usual soft limit of 1,024 is made for other programs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that connections leave alone, so that the store never lacks one: fjall keeps up to 900 of its files open,
/// and the journal, the listeners and what comes and goes need some. Of few descriptors it is half.
const RESERVED_MAX: u64 = 1_200;

/// How many descriptors there are for connections.
pub(crate) fn for_connections() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, unreserved)
}

fn unreserved(limit: u64) -> usize {
    usize::try_from(limit - RESERVED_MAX.min(limit / 2)).unwrap_or(usize::MAX)
}

/// Raises the soft limit of open files to the hard one, which is the operator's. Answers what it is now; `None`: no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
            limit.current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_has_its_share() {
        assert_eq!(unreserved(20_000), 18_800);
        assert_eq!(unreserved(1_024), 512);
        assert_eq!(unreserved(1), 1);
    }
}
