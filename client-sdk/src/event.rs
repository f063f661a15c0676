//! What an application hears.

use crate::{core::Core, error::ConnectError, inbox::Taken};
use futures_util::Stream;
use parlance_schema::pb;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Connected and subscribed.
    Connected {
        /// The broker still had the session of this device.
        session_present: bool,
    },
    /// The connection was lost, or an attempt failed. The client tries again by itself.
    Disconnected {
        /// Why.
        reason: ConnectError,
        /// When it tries again.
        retry_in: Duration,
    },
    /// An entry of a conversation: a message, a change of the group, or a damaged record (see `kind`).
    Message {
        /// The entry.
        message: Box<pb::Message>,
        /// It was sent by this account, from this or another device.
        mine: bool,
    },
    /// How far another member has received and read.
    Receipt(pb::Receipt),
    /// Somebody types, or stopped.
    Typing(pb::Typing),
    /// Something about the account: added to a group, removed, logged out, an error (see `event`).
    Account(pb::Event),
    /// The last event.
    Closed {
        /// What ended it; `None` when the application did.
        reason: Option<ConnectError>,
    },
}

/// The events, in order. A message is acknowledged to the broker, and so counts as delivered, when it is taken
/// from here. After [`Event::Closed`] comes `None`.
#[derive(Debug)]
pub struct Events {
    core: Arc<Core>,
    _handle: mpsc::Sender<()>,
}

impl Events {
    pub(crate) fn new(core: Arc<Core>, handle: mpsc::Sender<()>) -> Self {
        Self { core, _handle: handle }
    }

    /// The next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            let taken = self.core.inbox().take(cx.waker());
            match taken {
                Taken::Event(event, ack) => {
                    ack.into_iter().for_each(|ack| self.core.acknowledge(ack));
                    return Poll::Ready(Some(event));
                }
                Taken::Repeated(ack) => ack.into_iter().for_each(|ack| self.core.acknowledge(ack)),
                Taken::Nothing => return Poll::Pending,
                Taken::End => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll(cx)
    }
}
