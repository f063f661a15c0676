//! A chat in the terminal.
//!
//! ```text
//! PARLANCE_SECRET='correct horse' cargo run -p parlance-client --example chat -- mqtt://127.0.0.1:1883 alice @bob
//! ```

use parlance_client::{Client, Event, Options, Target, pb};
use std::{env, error::Error};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(url), Some(handle), Some(with)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("chat URL HANDLE @WITH, with the secret in PARLANCE_SECRET".into());
    };
    let target: Target = with.parse()?;
    let options = Options::new(url, handle, env::var("PARLANCE_SECRET")?, "terminal");
    let (client, mut events) = Client::connect(options).await?;
    show_history(&client, &target).await?;
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => show(&event),
                None => return Ok(()),
            },
            line = lines.next_line() => match line? {
                Some(line) if line.is_empty() => {}
                Some(line) => match client.send(target.clone(), line).await {
                    Ok(sent) => println!("  ({})", sent.seq),
                    Err(error) => eprintln!("  {error}"),
                },
                None => break,
            },
        }
    }
    Ok(client.close().await?)
}

async fn show_history(client: &Client, target: &Target) -> Result<(), Box<dyn Error>> {
    let mut history = client.history_of(target, None);
    // Two people who never spoke have no conversation yet: nothing to show is no reason to end.
    match history.next().await {
        Ok(page) => page.unwrap_or_default().iter().rev().for_each(show_message),
        Err(error) => eprintln!("({error})"),
    }
    Ok(())
}

fn show(event: &Event) {
    match event {
        Event::Message { message, .. } => show_message(message),
        Event::Typing(typing) if typing.typing => println!("@{} is typing", typing.user_handle),
        Event::Receipt(receipt) => println!("@{} has read up to {}", receipt.user_handle, receipt.read),
        Event::Disconnected { reason, retry_in } => eprintln!("{reason}; again in {retry_in:.1?}"),
        Event::Closed { reason: Some(reason) } => eprintln!("{reason}"),
        _ => {}
    }
}

fn show_message(message: &pb::Message) {
    println!("{:>5} @{}: {}", message.seq, message.sender_handle, message.text);
}
