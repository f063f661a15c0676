//! Processes of brokers that this program did not start, and of one that it does.

use super::BrokerOptions;
use parlance_bench::{Restart, Target};
use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// How long a broker may take to listen, and how often it is tried.
const START: Duration = Duration::from_secs(60);
const TRY: Duration = Duration::from_millis(20);
/// LISTEN, in /proc/net/tcp.
const LISTEN: &str = "0A";

/// The process that listens at this address of this machine, if it can be found out.
pub(crate) fn listening_at(address: SocketAddr) -> Option<u32> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes: Vec<String> = tables
        .iter()
        .flat_map(|table| listeners(table, address.port()))
        .map(|i| format!("socket:[{i}]"))
        .collect();
    let pids = fs::read_dir("/proc").ok()?.flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| holds_one(&Path::new("/proc").join(pid_text(*pid)).join("fd"), &inodes))
}

fn pid_text(pid: u32) -> String {
    pid.to_string()
}

/// Inodes of the sockets that listen on this port.
fn listeners(table: &str, port: u16) -> Vec<&str> {
    let wanted = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&wanted)))
        .filter(|fields| fields.get(3) == Some(&LISTEN))
        .filter_map(|fields| fields.get(9).copied())
        .collect()
}

fn holds_one(descriptors: &Path, inodes: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(descriptors) else { return false };
    let links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.into_iter().any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
}

/// A broker that is started by a command line, and killed.
pub(super) struct Restarted<'a> {
    command: &'a str,
    options: &'a BrokerOptions,
    process: Option<Child>,
}

impl<'a> Restarted<'a> {
    pub(super) fn new(command: &'a str, options: &'a BrokerOptions) -> Self {
        Self { command, options, process: None }
    }
}

impl Restart for Restarted<'_> {
    fn kill(&mut self) -> io::Result<()> {
        if let Some(mut process) = self.process.take() {
            // The shell replaced itself by the broker; what the broker started is in its group.
            let group = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            process.wait()?;
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<Target> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {}", self.command)).process_group(0);
        let mut process = command.spawn()?;
        let end = Instant::now() + START;
        // Parlance's admin token is written after the listeners are there.
        while TcpStream::connect(self.options.address).is_err() || self.options.target(0).is_err() {
            if let Some(status) = process.try_wait()? {
                return Err(io::Error::other(format!("the broker ended: {status}")));
            }
            if Instant::now() > end {
                process.kill()?;
                process.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(TRY);
        }
        let target = self.options.target(process.id());
        self.process = Some(process);
        target
    }
}

impl Drop for Restarted<'_> {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_listens_on_the_port_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
             1: 0100007F:075B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n\
             2: 0100007F:075C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n";
        assert_eq!(listeners(table, 1883), ["111"]);
    }

    #[test]
    fn the_process_behind_a_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        assert_eq!(listening_at(address), Some(std::process::id()));
    }
}
