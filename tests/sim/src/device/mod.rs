//! A device: a simulated MQTT client with habits of its own.

mod life;
mod line;
mod memory;
mod packets;

pub use life::live;
pub use memory::{Habits, Memory, SessionHope};
