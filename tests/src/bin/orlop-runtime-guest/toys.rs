//! What containers do. Each prints what it has seen, and nothing else.

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, open};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;

pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        ["wait"] => forever(),
        ["hold", mebibytes] => {
            let held = vec![1_u8; mebibytes.parse::<usize>().context("a number")? * MIB];
            println!("held {}", std::hint::black_box(&held).len());
            forever()
        }
        ["burn", seconds] => {
            let end = Instant::now() + Duration::from_secs(seconds.parse().context("seconds")?);
            while Instant::now() < end {
                std::hint::black_box(0);
            }
            Ok(())
        }
        ["forks"] => forks(),
        ["devices", devices @ ..] => {
            devices
                .iter()
                .for_each(|device| println!("{}", opened(device)));
            Ok(())
        }
        ["nodes", nodes @ ..] => nodes.iter().try_for_each(|node| made(node)),
        ["writes", path] => {
            println!(
                "{}",
                said(
                    fs::write(path, "0")
                        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
                )
            );
            Ok(())
        }
        ["owner", path] => {
            let found = fs::metadata(path).with_context(|| format!("look at {path}"))?;
            println!("{}", found.uid());
            Ok(())
        }
        ["show", path] => {
            print!(
                "{}",
                fs::read_to_string(path).with_context(|| format!("read {path}"))?
            );
            Ok(())
        }
        _ => bail!("the guest's program does not know {words:?}"),
    }
}

fn forever() -> Result<()> {
    loop {
        std::thread::park();
    }
}

/// Processes until the kernel has no more; each waits.
#[allow(unsafe_code)] // fork(2) has no safe form
fn forks() -> Result<()> {
    for number in 0..1000 {
        // SAFETY: this program has one thread, and the child does nothing but wait to be ended.
        match unsafe { libc::fork() } {
            0 => forever()?,
            pid if pid > 0 => {}
            _ => {
                println!("forked {number}, then {}", said::<()>(Err(last_error())));
                return Ok(());
            }
        }
    }
    println!("forked without end");
    Ok(())
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// `/dev/null:rw`
fn opened(device: &str) -> String {
    let (path, how) = device.rsplit_once(':').unwrap_or((device, "r"));
    let flags = match how {
        "r" => OFlags::RDONLY,
        "w" => OFlags::WRONLY,
        _ => OFlags::RDWR,
    };
    format!(
        "{device} {}",
        said(open(path, flags | OFlags::NONBLOCK, Mode::empty()))
    )
}

/// `/tmp/sda:b:8:0`
fn made(node: &str) -> Result<()> {
    let [path, kind, major, minor] = node.split(':').collect::<Vec<_>>()[..] else {
        bail!("{node} is no node")
    };
    let kind = if kind == "b" {
        FileType::BlockDevice
    } else {
        FileType::CharacterDevice
    };
    let number = makedev(
        major.parse().context("a number")?,
        minor.parse().context("a number")?,
    );
    println!(
        "{node} {}",
        said(mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, number))
    );
    Ok(())
}

fn said<T>(result: Result<T, Errno>) -> String {
    match result {
        Ok(_) => "works".to_owned(),
        Err(Errno::PERM) => "EPERM".to_owned(),
        Err(Errno::AGAIN) => "EAGAIN".to_owned(),
        Err(Errno::NXIO) => "ENXIO".to_owned(),
        Err(Errno::ROFS) => "EROFS".to_owned(),
        Err(error) => format!("error {}", error.raw_os_error()),
    }
}
