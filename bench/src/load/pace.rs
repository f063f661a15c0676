//! A fixed rate: messages leave when their time has come, whatever the broker does meanwhile.

use mio::{Interest, Registry, Token, unix::SourceFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// A timer of the kernel: the poll's own timeout knows whole milliseconds only.
#[derive(Debug)]
pub(super) struct Pace {
    timer: OwnedFd,
    interval_ns: u64,
    next_ns: u64,
    /// The client whose turn it is.
    pub(super) turn: usize,
}

impl Pace {
    /// So many in a second, from now on.
    pub(super) fn start(registry: &Registry, token: Token, per_second: f64, now_ns: u64) -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let interval_ns = (1e9 / per_second).max(1.0) as u64;
        let interval = Timespec {
            tv_sec: (interval_ns / 1_000_000_000) as i64,
            tv_nsec: (interval_ns % 1_000_000_000) as i64,
        };
        let both = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &both)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, interval_ns, next_ns: now_ns + interval_ns, turn: 0 })
    }

    /// Takes note of the timer.
    pub(super) fn rang(&self) {
        // Nothing to read means that it was read already; how often it rang is no matter, since `due` counts by the clock.
        let _ = rustix::io::read(&self.timer, &mut [0_u8; 8]);
    }

    /// How late the next message is, if its time has come; each is answered once.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<u64> {
        let late_ns = now_ns.checked_sub(self.next_ns)?;
        self.next_ns += self.interval_ns;
        Some(late_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_comes_due_once_and_says_how_late_it_is() {
        let poll = mio::Poll::new().expect("epoll");
        let mut pace = Pace::start(poll.registry(), Token(0), 1_000.0, 0).expect("a timer");
        assert_eq!(pace.due(999_999), None);
        assert_eq!(pace.due(1_000_000), Some(0));
        assert_eq!(pace.due(1_000_000), None);
        assert_eq!(pace.due(3_500_000), Some(1_500_000));
        assert_eq!(pace.due(3_500_000), Some(500_000));
        assert_eq!(pace.due(3_500_000), None);
    }
}
