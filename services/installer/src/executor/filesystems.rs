//! File systems: ext4 by e2fsprogs, which no crate replaces; FAT by `fatfs`.

use super::{Failure, kernel, open, open_for_writing};
use crate::planner::signature;
use fatfs::{FatType, FormatVolumeOptions};
use rustix::mount::{MountFlags, UnmountFlags};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};
use uuid::Uuid;

/// Bytes of a tool's output that are kept for the error: its last lines.
const OUTPUT_KEPT: usize = 4096;
/// No such file, so that the tools go by what is built in and by our arguments, on every host alike.
const NO_CONFIG: &str = "/run/orlop/no-mke2fs.conf";
/// What an ext4 is made with, whatever the version of mke2fs takes as default; all of it is in Linux 6.1.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// Label of the ESP, padded as FAT wants it.
const ESP_LABEL: [u8; 11] = *b"ORLOP-ESP  ";

/// Makes an empty FAT32.
pub(crate) fn make_esp(device: &str, sector: u64) -> Result<(), Failure> {
    let failed = || format!("make a FAT file system on {device}");
    let disk = open_for_writing(device)?;
    let sector =
        u16::try_from(sector).map_err(|error| Failure::io(failed())(io::Error::other(error)))?;
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_sector(sector)
        .volume_id(volume_id())
        .volume_label(ESP_LABEL);
    let mut buffered = Buffered(BufWriter::with_capacity(256 * 1024, disk));
    fatfs::format_volume(&mut buffered, options).map_err(Failure::io(failed()))?;
    let disk = buffered
        .0
        .into_inner()
        .map_err(|error| Failure::io(failed())(error.into_error()))?;
    disk.sync_all().map_err(Failure::io(failed()))
}

/// Makes an empty ext4, durably.
pub(crate) fn make_ext(
    programs: &Path,
    device: &str,
    label: &str,
    id: Uuid,
) -> Result<(), Failure> {
    let id = id.to_string();
    let arguments = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-I",
        "256",
        "-m",
        "1",
        "-O",
        FEATURES,
        "-E",
        "lazy_itable_init=1,lazy_journal_init=0,nodiscard",
        "-L",
        label,
        "-U",
        &id,
        device,
    ];
    let status = run(programs, "mke2fs", &arguments, device)?;
    if status.code != 0 {
        return Err(status.failure("mke2fs", device));
    }
    let disk = open_for_writing(device)?;
    disk.sync_all()
        .map_err(Failure::io(format!("flush {device}")))
}

/// Replays the journal and repairs what is safe to repair without asking.
pub(crate) fn check(programs: &Path, device: &str) -> Result<(), Failure> {
    // e2fsck(8): 0 clean, 1 repaired, 2 repaired and "reboot if it was the root"; 4 and more: not repaired.
    const REPAIRED: i32 = 3;
    let status = run(programs, "e2fsck", &["-p", device], device)?;
    match status.code {
        0 => Ok(()),
        code if code & !REPAIRED == 0 => {
            tracing::warn!(device, output = status.output, "file system was repaired");
            Ok(())
        }
        _ => Err(status.failure("e2fsck", device)),
    }
}

/// Grows an ext4 to its partition: mounted where nobody else looks, so that it goes through the journal.
pub(crate) fn grow(device: &str, mount_point: &Path) -> Result<(), Failure> {
    let failed = |what: &str| Failure::io(format!("grow {device}: {what}"));
    let mut partition = open(Path::new(device), false).map_err(failed("open"))?;
    let bytes = partition.seek(SeekFrom::End(0)).map_err(failed("size"))?;
    let mut head = vec![0; 2048];
    partition.seek(SeekFrom::Start(0)).map_err(failed("read"))?;
    partition.read_exact(&mut head).map_err(failed("read"))?;
    drop(partition);
    let ext = signature::ext(&head)
        .ok_or_else(|| failed("superblock")(io::ErrorKind::InvalidData.into()))?;
    fs::create_dir_all(mount_point).map_err(failed("mount point"))?;
    rustix::mount::mount(
        device,
        mount_point,
        "ext4",
        MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV,
        None,
    )
    .map_err(|error| failed("mount")(error.into()))?;
    let grown = File::open(mount_point)
        .and_then(|root| kernel::grow_mounted_ext4(root, bytes / ext.block_bytes));
    let unmounted = rustix::mount::unmount(mount_point, UnmountFlags::empty());
    grown.map_err(failed("resize"))?;
    unmounted.map_err(|error| failed("unmount")(error.into()))
}

struct Status {
    code: i32,
    output: String,
}

impl Status {
    fn failure(self, program: &'static str, device: &str) -> Failure {
        Failure::Program {
            program,
            device: device.to_owned(),
            why: format!("exit code {}: {}", self.code, self.output.trim()),
        }
    }
}

/// Runs a tool with an empty environment and no input. Its time is bounded by the supervisor's start
/// timeout for the whole installer.
fn run(
    programs: &Path,
    program: &'static str,
    arguments: &[&str],
    device: &str,
) -> Result<Status, Failure> {
    let path = programs.join(program);
    let started = Failure::io(format!("run {} on {device}", path.display()));
    let (mut output, writer) = io::pipe().map_err(Failure::io("make a pipe"))?;
    let mut command = Command::new(&path);
    command
        .args(arguments)
        .env_clear()
        .env("MKE2FS_CONFIG", NO_CONFIG)
        .env("E2FSCK_CONFIG", NO_CONFIG)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(Failure::io("make a pipe"))?)
        .stderr(writer);
    let mut child = command.spawn().map_err(started)?;
    // The command holds the writing ends: without them gone, the output never ends.
    drop(command);
    let kept = last_bytes(&mut output).map_err(Failure::io(format!("read from {program}")))?;
    let status = child
        .wait()
        .map_err(Failure::io(format!("wait for {program}")))?;
    Ok(Status {
        code: status.code().unwrap_or(-1),
        output: String::from_utf8_lossy(&kept).into_owned(),
    })
}

fn last_bytes(output: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut chunk = [0; OUTPUT_KEPT];
    loop {
        let count = output.read(&mut chunk)?;
        if count == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&chunk[..count]);
        let surplus = kept.len().saturating_sub(OUTPUT_KEPT);
        kept.drain(..surplus);
    }
}

/// FAT's serial number.
fn volume_id() -> u32 {
    Uuid::new_v4().as_fields().0
}

/// `fatfs` writes sector by sector and wants to read too.
struct Buffered(BufWriter<File>);

impl Read for Buffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.flush()?;
        self.0.get_mut().read(buffer)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Buffered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // Without a buffered byte the position is the file's own.
        if matches!(to, SeekFrom::Current(0)) && self.0.buffer().is_empty() {
            return self.0.get_mut().stream_position();
        }
        self.0.seek(to)
    }
}
