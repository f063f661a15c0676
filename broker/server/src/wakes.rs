//! Waking connections from other threads, many at once.
//!
//! To wake a task of another runtime costs a system call each time. The decider wakes hundreds of connections behind one
//! batch: their wakers are put into the mailbox of their thread, and its one task, woken once, wakes them where they are.

use futures_util::task::AtomicWaker;
use std::{
    cell::RefCell,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
};

thread_local! {
    /// The mailbox of the connections of this thread; none where there is no worker.
    static HOME: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
}

/// Wakers of connections of one thread. There are never more than connections: each is woken once until it looks.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    wakers: Mutex<Vec<Waker>>,
    postman: AtomicWaker,
}

impl Mailbox {
    /// Makes a mailbox for the connections of the thread that calls, and delivers what comes, for ever.
    pub(crate) async fn serve() {
        let mailbox = Arc::new(Self::default());
        HOME.with_borrow_mut(|home| *home = Some(mailbox.clone()));
        let mut taken = Vec::new();
        loop {
            poll_fn(|context| {
                mailbox.postman.register(context.waker());
                std::mem::swap(
                    &mut *mailbox.wakers.lock().unwrap_or_else(PoisonError::into_inner),
                    &mut taken,
                );
                if taken.is_empty() { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            taken.drain(..).for_each(Waker::wake);
        }
    }

    /// The mailbox of this thread.
    pub(crate) fn home() -> Option<Arc<Self>> {
        HOME.with_borrow(Clone::clone)
    }

    /// Whether the caller is on the thread of its connections.
    fn is_here(&self) -> bool {
        HOME.with_borrow(|home| home.as_deref().is_some_and(|home| std::ptr::eq(home, self)))
    }

    /// Wakes a connection of its thread.
    pub(crate) fn wake(&self, waker: Waker) {
        if self.is_here() {
            return waker.wake();
        }
        let first = {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.push(waker);
            wakers.len() == 1
        };
        if first {
            self.postman.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    #[test]
    fn what_another_thread_wakes_is_woken_on_its_own() {
        let (tell, told) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (done, mut finished) = tokio::sync::mpsc::channel(1);
                tokio::spawn(Mailbox::serve());
                tokio::task::yield_now().await;
                for _ in 0..3 {
                    let (tell, done, polls) = (tell.clone(), done.clone(), AtomicUsize::new(0));
                    tokio::spawn(async move {
                        poll_fn(|context| match polls.fetch_add(1, Ordering::Relaxed) {
                            0 => {
                                tell.send((Mailbox::home().unwrap(), context.waker().clone())).unwrap();
                                Poll::Pending
                            }
                            _ => Poll::Ready(()),
                        })
                        .await;
                        done.send(()).await.unwrap();
                    });
                }
                for _ in 0..3 {
                    finished.recv().await.unwrap();
                }
            });
        });
        for _ in 0..3 {
            let (home, waker): (Arc<Mailbox>, Waker) = told.recv().unwrap();
            home.wake(waker);
        }
        worker.join().unwrap();
    }
}
