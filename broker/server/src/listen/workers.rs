//! The threads that serve connections: one runtime each, listeners handed to them while they run.

use super::{Serving, quic, sockets::Sockets, tcp};
use crate::{context::Context, wakes::Mailbox};
use std::{
    io,
    net::{TcpListener as StdTcpListener, UdpSocket},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

/// Sockets that may wait for a thread to take them.
const ORDERS_MAX: usize = 64;
/// How long a thread waits, at the end, for what blocks it.
const END_WAIT: Duration = Duration::from_secs(1);

type Watched = watch::Receiver<Option<Arc<Serving>>>;

/// A socket for a thread.
enum Order {
    Tcp(StdTcpListener, Watched),
    Udp(UdpSocket, Watched),
}

/// The threads that serve connections.
pub(crate) struct Workers {
    orders: Vec<mpsc::Sender<Order>>,
    threads: Vec<JoinHandle<()>>,
    /// Which thread gets the next socket of UDP.
    next: usize,
}

impl Workers {
    /// Starts them.
    ///
    /// # Errors
    /// A thread or a runtime cannot be started.
    pub(crate) fn start(context: &Arc<Context>, count: usize) -> io::Result<Self> {
        let mut workers = Self { orders: Vec::new(), threads: Vec::new(), next: 0 };
        for index in 0..count {
            let (orders, mut taken) = mpsc::channel(ORDERS_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let context = context.clone();
            let work = move || {
                runtime.block_on(async {
                    tokio::spawn(Mailbox::serve());
                    // It is there before the first connection.
                    tokio::task::yield_now().await;
                    while let Some(order) = taken.recv().await {
                        accept(&context, order);
                    }
                });
                runtime.shutdown_timeout(END_WAIT);
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(work)?;
            workers.orders.push(orders);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.orders.len()
    }

    /// Gives every thread its socket.
    pub(super) async fn listen(&mut self, sockets: Sockets, serving: &Watched) {
        // An error means that the thread is gone, which its end tells.
        match sockets {
            Sockets::Tcp(sockets) => {
                for (orders, socket) in self.orders.iter().zip(sockets) {
                    let _ = orders.send(Order::Tcp(socket, serving.clone())).await;
                }
            }
            Sockets::Udp(socket) => {
                self.next = (self.next + 1) % self.orders.len().max(1);
                if let Some(orders) = self.orders.get(self.next) {
                    let _ = orders.send(Order::Udp(socket, serving.clone())).await;
                }
            }
        }
    }

    /// Ends the threads, with what still runs on them.
    pub(crate) fn join(self) {
        drop(self.orders);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

fn accept(context: &Arc<Context>, order: Order) {
    match order {
        Order::Tcp(socket, serving) => match TcpListener::from_std(socket) {
            Ok(listener) => drop(tokio::spawn(tcp::accept_each(context.clone(), listener, serving))),
            Err(error) => tracing::error!(%error, "a listener could not be started"),
        },
        Order::Udp(socket, serving) => {
            drop(tokio::spawn(quic::accept_each(context.clone(), socket, serving)));
        }
    }
}
