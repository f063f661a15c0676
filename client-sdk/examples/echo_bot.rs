//! A bot that says back what it hears.
//!
//! ```text
//! parlance user add echo --service
//! parlance key create @echo --name bot --scope messages.send --scope messages.read
//! PARLANCE_SECRET={the key} cargo run -p parlance-client --example echo_bot -- mqtt://127.0.0.1:1883 echo
//! ```

use parlance_client::{Client, Event, Options, Target, pb};
use std::{env, error::Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(handle)) = (arguments.next(), arguments.next()) else {
        return Err("echo_bot URL HANDLE, with the secret in PARLANCE_SECRET".into());
    };
    let options = Options::new(url, handle, env::var("PARLANCE_SECRET")?, "echo-bot").patient();
    let (client, mut events) = Client::connect(options).await?;
    while let Some(event) = events.next().await {
        match event {
            Event::Message { message, mine: false } if message.kind() == pb::Kind::Message => {
                answer(&client, &message).await?;
            }
            Event::Disconnected { reason, retry_in } => eprintln!("{reason}; again in {retry_in:.1?}"),
            Event::Closed { reason: Some(reason) } => return Err(reason.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The message came from the broker under its seq, so the answer gets an id that follows from it: a bot that is
/// killed between answering and acknowledging answers once all the same.
async fn answer(client: &Client, message: &pb::Message) -> Result<(), Box<dyn Error>> {
    let target: Target = message.conversation.parse()?;
    if let Err(error) = client.read(&target, message.seq).await {
        eprintln!("read position: {error}");
    }
    let id = format!("echo-{}-{}", message.conversation, message.seq);
    if let Err(error) = client.send_as(target, id, message.text.clone()).await {
        eprintln!("answer to {}: {error}", message.seq);
    }
    Ok(())
}
