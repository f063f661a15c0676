//! A file system of its own: ext4 in an image file, on a loop device. Needs root.
//!
//! The loop device does direct I/O on the image, so that the image holds what the file system has given to its disk
//! and nothing that waits in the page cache: a copy of it is what a power cut would leave. Writes that the disk has
//! completed and not flushed count as kept, which a real disk need not do; data that was never synced is lost.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Set to 1, tests that need a file system of their own do nothing.
const SKIP: &str = "PARLANCE_SKIP_MOUNTS";
/// Attempts to copy an image between two writes to it.
const COPIES_MAX: usize = 50;

/// Sets the size limit of a loop device (LOOP_SET_STATUS64 of loop(4)), which losetup does only when it makes one.
const LIMIT_DEVICE: &str = "
import fcntl, struct, sys
GET, SET, BYTES, OFFSET = 0x4C05, 0x4C04, 232, 32
with open(sys.argv[1]) as device:
    status = bytearray(BYTES)
    fcntl.ioctl(device, GET, status)
    struct.pack_into('Q', status, OFFSET, int(sys.argv[2]))
    fcntl.ioctl(device, SET, bytes(status))
";

/// Whether the operator of this machine allows to leave out what needs root and loop devices.
pub(crate) fn skipped(test: &str) -> bool {
    let skipped = env::var(SKIP).is_ok_and(|value| value == "1");
    if skipped {
        println!("NOT TESTED: {test} was skipped because {SKIP}=1");
    }
    skipped
}

/// A mounted image; unmounted and deleted when dropped.
pub(crate) struct Volume {
    folder: TempDir,
    device: String,
    mounted: bool,
}

impl Volume {
    /// A new file system of this size.
    pub(crate) fn new(bytes: u64) -> Self {
        let folder =
            tempfile::Builder::new().prefix("parlance-volume-").tempdir().expect("a temporary folder");
        let image = image(folder.path());
        fs::File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image file");
        run("mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", &text(&image)]);
        Self::attach(folder)
    }

    fn attach(folder: TempDir) -> Self {
        let device = run("losetup", ["--find", "--show", "--direct-io=on", &text(&image(folder.path()))]);
        let mut volume = Self { folder, device, mounted: false };
        fs::create_dir_all(volume.path()).expect("a folder to mount on");
        run("mount", ["-t", "ext4", &volume.device, &text(&volume.path())]);
        volume.mounted = true;
        volume
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// The image as it is at one moment, mounted: the file system of the copy finds what it would find after a power
    /// cut. Whoever writes must have been stopped; what the kernel still writes by itself is waited for by copying
    /// again until nothing was written meanwhile.
    pub(crate) fn cut(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("parlance-cut-").tempdir().expect("a temporary folder");
        for _ in 0..COPIES_MAX {
            let before = self.writes();
            run("cp", [text(&image(self.folder.path())), text(&image(folder.path()))]);
            if before.is_some() && before == self.writes() {
                return Self::attach(folder);
            }
        }
        panic!("{}: written to without end", self.device)
    }

    /// From now on the device answers everything with an I/O error, as a disk that has died. Nothing on it changes.
    pub(crate) fn die(&self) {
        run("python3", ["-c", LIMIT_DEVICE, &self.device, "4096"]);
    }

    /// The device is what it was; the file system is mounted anew, as it must be after that. Nobody may use it.
    pub(crate) fn revive(&mut self) {
        run("python3", ["-c", LIMIT_DEVICE, &self.device, "0"]);
        run("umount", [text(&self.path())]);
        self.mounted = false;
        run("mount", ["-t", "ext4", &self.device, &text(&self.path())]);
        self.mounted = true;
    }

    /// Whoever writes waits, as on a disk that hangs, until what is answered goes.
    pub(crate) fn freeze(&self) -> Frozen {
        let path = text(&self.path());
        run("fsfreeze", ["--freeze", &path]);
        Frozen(path)
    }

    /// Writes and flushes that the device has completed; `None` while some are under way.
    fn writes(&self) -> Option<[u64; 4]> {
        let block = Path::new("/sys/block").join(self.device.trim_start_matches("/dev/"));
        let numbers = |file: &str| -> Vec<u64> {
            let line = fs::read_to_string(block.join(file)).expect("the numbers of a block device");
            line.split_whitespace().map(|number| number.parse().expect("a number")).collect()
        };
        let (stat, inflight) = (numbers("stat"), numbers("inflight"));
        (inflight[1] == 0).then(|| [stat[4], stat[6], stat[11], stat.get(15).copied().unwrap_or_default()])
    }
}

/// A file system that takes no writes; it does again when this is dropped.
pub(crate) struct Frozen(String);

impl Drop for Frozen {
    fn drop(&mut self) {
        quietly("fsfreeze", ["--unfreeze".into(), self.0.clone()]);
    }
}

/// A folder in which nothing can be made, renamed or removed, not even by root; it is as before when this is dropped.
/// Files that are open can be written to.
pub(crate) struct Immutable(String);

impl Immutable {
    pub(crate) fn make(folder: &Path) -> Self {
        let folder = text(folder);
        run("chattr", ["+i", &folder]);
        Self(folder)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        quietly("chattr", ["-i".into(), self.0.clone()]);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted && !quietly("umount", [text(&self.path())]) {
            // Somebody still has a file open: the process that is being killed. It goes when that one goes.
            quietly("umount", ["--lazy".into(), text(&self.path())]);
        }
        quietly("losetup", ["--detach".into(), self.device.clone()]);
    }
}

fn image(folder: &Path) -> PathBuf {
    folder.join("image")
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_owned()
}

/// Runs a program that must succeed; answers what it printed.
fn run(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let output = Command::new(program).args(arguments).output();
    let help = format!("this test needs root, loop devices and {program}; {SKIP}=1 leaves it out, untested");
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: {help}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {said}: {help}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn quietly(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
