//! A device: a simulated MQTT client with habits of its own.

mod dialogue;
mod life;
mod line;
mod memory;
mod packets;

pub use dialogue::Dialogue;
pub use life::live;
pub use memory::{Habits, Memory, SessionHope};
pub use packets::Heard;
