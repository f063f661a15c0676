//! What must hold. [`Book`] notes what devices were told and compares each word with all words before; [`audit`] compares
//! the book with what is durable.

mod audit;
mod book;
mod free;
mod owed;

pub use audit::{Log, audit};
pub use book::{Book, Delivery, DeviceName, Draft, Line, short};
pub use owed::missing;
