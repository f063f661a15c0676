//! The way into the ledger: so many commands, and so many bytes of messages, wait at most. Who comes then waits outside,
//! and with it the client that it reads from.

use super::Command;
use parlance_plugin_api::ledger::LedgerError;
use parlance_schema::Content;
use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, mpsc};

/// A command with the bytes that it holds of the queue's room.
type Waiting = (Command, u32);

/// The end that takes commands in.
pub(super) struct Entrance {
    commands: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

/// The decider's end. When it is gone, nobody waits for room any more.
pub(crate) struct Queue {
    commands: mpsc::Receiver<Waiting>,
    room: Arc<Semaphore>,
}

/// A queue with its bounds; both at least 1.
pub(super) fn queue(commands_max: usize, bytes_max: usize) -> (Entrance, Queue) {
    let bytes_max = u32::try_from(bytes_max.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let (sender, receiver) = mpsc::channel(commands_max.max(1));
    let room = Arc::new(Semaphore::new(bytes_max as usize));
    let entrance = Entrance { commands: sender, room: room.clone(), bytes_max };
    (entrance, Queue { commands: receiver, room })
}

impl Entrance {
    /// Puts a command in if there is room: the command comes back if not.
    pub(super) fn try_push(&self, command: Command) -> Result<(), Command> {
        let bytes = self.bytes(&command);
        let Ok(room) = self.room.try_acquire_many(bytes) else { return Err(command) };
        self.commands.try_send((command, bytes)).map_err(|error| error.into_inner().0)?;
        // Given back when the command is taken out.
        room.forget();
        Ok(())
    }

    /// Puts a command in, waiting for room.
    pub(super) async fn push(&self, command: Command) -> Result<(), LedgerError> {
        let bytes = self.bytes(&command);
        let room = self.room.acquire_many(bytes).await.map_err(|_| LedgerError::Stopping)?;
        let place = self.commands.reserve().await.map_err(|_| LedgerError::Stopping)?;
        place.send((command, bytes));
        room.forget();
        Ok(())
    }

    /// What a command counts for; never more than there is, so that one larger than the bound waits until it is alone.
    fn bytes(&self, command: &Command) -> u32 {
        let content = match command {
            Command::Send(intent, _) => match &intent.content {
                Content::Text(text) => text.len(),
                Content::Data { bytes, .. } => bytes.len(),
            },
            Command::Publish(publish, _) => publish.message.bytes(),
            _ => return 0,
        };
        u32::try_from(content).unwrap_or(u32::MAX).min(self.bytes_max)
    }
}

/// What came of waiting for a command.
pub(crate) enum Waited {
    Command(Command),
    /// None came in time.
    Nothing,
    /// Nobody can ask any more.
    End,
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Queue {
    /// The next command, waited for on this thread.
    pub(super) fn next(&mut self) -> Waited {
        match self.commands.blocking_recv() {
            Some(waiting) => Waited::Command(self.out(waiting)),
            None => Waited::End,
        }
    }

    /// The same, for so long at most.
    pub(super) fn next_within(&mut self, wait: Duration) -> Waited {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let until = Instant::now() + wait;
        loop {
            match self.commands.poll_recv(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(waiting)) => return Waited::Command(self.out(waiting)),
                Poll::Ready(None) => return Waited::End,
                Poll::Pending => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::Nothing;
            }
            std::thread::park_timeout(left);
        }
    }

    /// The next command, waited for by a task, so long at most.
    #[cfg(feature = "simulation")]
    pub(crate) async fn wait(&mut self, wait: Option<Duration>) -> Waited {
        let next = self.commands.recv();
        let waiting = match wait {
            None => next.await,
            Some(wait) => match tokio::time::timeout(wait, next).await {
                Ok(waiting) => waiting,
                Err(_) => return Waited::Nothing,
            },
        };
        waiting.map_or(Waited::End, |waiting| Waited::Command(self.out(waiting)))
    }

    /// The next command, if one waits.
    pub(super) fn try_next(&mut self) -> Option<Command> {
        let waiting = self.commands.try_recv().ok()?;
        Some(self.out(waiting))
    }

    fn out(&self, (command, bytes): Waiting) -> Command {
        self.room.add_permits(bytes as usize);
        command
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Done, SendIntent};
    use parlance_plugin_api::{ConversationId, UserId};

    fn text(bytes: usize) -> Command {
        let (sender, peer) = (UserId([1; 16]), UserId([2; 16]));
        let intent = SendIntent {
            received: None,
            sender,
            device: None,
            conversation: ConversationId::direct(sender, peer),
            peer: Some(peer),
            id: None,
            retry: None,
            content: Content::Text(vec![b'.'; bytes].into()),
        };
        Command::Send(Box::new(intent), Done::Nobody)
    }

    #[test]
    fn it_is_bounded_by_number_and_by_bytes() {
        let (entrance, mut queue) = queue(3, 100);
        assert!(entrance.try_push(text(60)).is_ok());
        assert!(entrance.try_push(text(60)).is_err(), "no room for its bytes");
        assert!(entrance.try_push(text(40)).is_ok());
        assert!(entrance.try_push(text(0)).is_ok());
        assert!(entrance.try_push(text(0)).is_err(), "no place");
        assert!(queue.try_next().is_some());
        assert!(entrance.try_push(text(60)).is_ok(), "both were given back");
        while queue.try_next().is_some() {}
        assert!(entrance.try_push(text(1_000)).is_ok(), "alone, a larger one finds room");
    }

    #[test]
    fn a_command_is_waited_for_and_not_for_ever() {
        let (entrance, mut queue) = queue(3, 100);
        assert!(matches!(queue.next_within(Duration::from_millis(1)), Waited::Nothing));
        let sender = std::thread::spawn(move || {
            assert!(entrance.try_push(text(1)).is_ok());
            entrance
        });
        assert!(matches!(queue.next_within(Duration::from_secs(60)), Waited::Command(_)));
        drop(sender.join().unwrap());
        assert!(matches!(queue.next_within(Duration::from_secs(60)), Waited::End));
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_there_is_room_and_gives_up_when_there_is_no_ledger() {
        let (entrance, mut queue) = queue(3, 100);
        assert!(entrance.try_push(text(100)).is_ok());
        let mut waiting = std::pin::pin!(entrance.push(text(50)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(queue.try_next().is_some());
        assert_eq!(waiting.await, Ok(()));
        let mut waiting = std::pin::pin!(entrance.push(text(100)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(queue);
        assert_eq!(waiting.await, Err(LedgerError::Stopping));
        assert!(entrance.try_push(text(0)).is_err());
    }
}
