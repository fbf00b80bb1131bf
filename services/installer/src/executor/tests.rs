//! The executor against files and loop devices: every prefix of its writes, and a whole installation with
//! the kernel's own eyes on the result. Needs root, losetup, mke2fs and e2fsck.

use super::{
    Places, meta_store, run,
    table::{self, Found},
};
use crate::{
    meta::Meta,
    planner::{
        layout,
        model::{Disk, Table},
    },
};
use machine_config::parts::{InstallTarget, InstallerPart};
use std::{
    cell::Cell,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
};
use uuid::Uuid;

const SECTOR: usize = 512;
const MIB: u64 = 1024 * 1024;

/// A disk in memory that loses power after a number of sectors: of what is written and not yet synced,
/// whole sectors reach the medium in the order in which they were written.
struct Failing {
    bytes: io::Cursor<Vec<u8>>,
    sectors_left: Cell<usize>,
}

impl Failing {
    fn new(bytes: Vec<u8>, sectors: usize) -> Self {
        Self {
            bytes: io::Cursor::new(bytes),
            sectors_left: Cell::new(sectors),
        }
    }
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.sectors_left.get().checked_sub(1) else {
            return Err(io::Error::other("power is lost"));
        };
        self.sectors_left.set(left);
        self.bytes.write(&bytes[..bytes.len().min(SECTOR)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl meta_store::Durable for Failing {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn layout_for(bytes: u64, sector: u64) -> Table {
    let disk = Disk {
        bytes,
        sector,
        ..Disk::default()
    };
    let fresh = std::array::from_fn(|n| Uuid::from_u128(0xabc0 + n as u128));
    layout::whole_disk(&disk, &fresh).unwrap().0
}

/// A small disk with a small table: the ESP only, at its real size, is more than is needed here.
fn small_table(bytes: u64, partition_bytes: u64) -> Table {
    let mut table = layout_for(2048 * MIB, 512);
    table.partitions.truncate(1);
    table.partitions[0].bytes = partition_bytes;
    assert!(table.partitions[0].end() < bytes);
    table
}

fn read(bytes: &[u8], size: u64) -> Found {
    table::read(&mut io::Cursor::new(bytes), size, 512).unwrap()
}

#[test]
fn a_table_comes_back_as_it_was_written() {
    for sector in [512, 4096] {
        let size = 2048 * MIB;
        let wanted = layout_for(size, sector);
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        let mut disk = file;
        table::write(&mut disk, size, sector, &wanted, &[]).unwrap();
        let found = table::read(&mut disk, size, sector).unwrap();
        assert_eq!(found, Found::Table(wanted), "sector {sector}");
    }
}

/// Writes `next` over `old` with a cut after every sector; what is found must be one of `allowed`, and
/// writing again must give `next`.
fn check_every_prefix(old: &[u8], next: &Table, allowed: impl Fn(&Found) -> bool) {
    let size = old.len() as u64;
    for sectors in 0.. {
        let mut disk = Failing::new(old.to_vec(), sectors);
        let written = table::write(&mut disk, size, 512, next, &[(MIB, 4096)]);
        let torn = disk.bytes.into_inner();
        let found = read(&torn, size);
        assert!(allowed(&found), "after {sectors} sectors: {found:?}");
        let mut again = Failing::new(torn, usize::MAX);
        table::write(&mut again, size, 512, next, &[]).unwrap();
        let found = read(&again.bytes.into_inner(), size);
        assert_eq!(found, Found::Table(next.clone()));
        if written.is_ok() {
            assert!(sectors > 60, "the table has more sectors than that");
            return;
        }
    }
}

fn is(found: &Found, table: &Table) -> bool {
    matches!(found, Found::Table(found) if found.partitions == table.partitions && found.id == table.id)
}

#[test]
fn a_first_table_cut_at_any_sector_is_none_or_whole() {
    let next = small_table(4 * MIB, MIB);
    let blank = vec![0; usize::try_from(4 * MIB).unwrap()];
    check_every_prefix(&blank, &next, |found| {
        // A backup header without a primary one is a table; its entries were durable before it.
        *found == Found::Nothing || is(found, &next)
    });
}

#[test]
fn a_changed_table_cut_at_any_sector_is_the_old_or_the_new_one() {
    let (old, next) = (small_table(6 * MIB, MIB), small_table(6 * MIB, 3 * MIB));
    let mut disk = Failing::new(vec![0; usize::try_from(6 * MIB).unwrap()], usize::MAX);
    table::write(&mut disk, 6 * MIB, 512, &old, &[]).unwrap();
    let disk = disk.bytes.into_inner();
    check_every_prefix(&disk, &next, |found| is(found, &old) || is(found, &next));
}

#[test]
fn a_grown_disk_cut_at_any_sector_is_the_old_or_the_new_table() {
    let (old, next) = (small_table(4 * MIB, MIB), small_table(8 * MIB, 5 * MIB));
    let mut disk = Failing::new(vec![0; usize::try_from(4 * MIB).unwrap()], usize::MAX);
    table::write(&mut disk, 4 * MIB, 512, &old, &[]).unwrap();
    let mut disk = disk.bytes.into_inner();
    disk.resize(usize::try_from(8 * MIB).unwrap(), 0);
    assert!(matches!(read(&disk, 8 * MIB), Found::Table(table) if !table.whole));
    check_every_prefix(&disk, &next, |found| is(found, &old) || is(found, &next));
}

#[test]
fn meta_cut_at_any_sector_is_the_old_or_the_new_one() {
    let meta = |write: u64| Meta {
        disk: Uuid::from_u128(write.into()),
        ..Meta::default()
    };
    let mut disk = Failing::new(vec![0; usize::try_from(4 * MIB).unwrap()], usize::MAX);
    for write in 0..5 {
        let before = disk.bytes.get_ref().clone();
        for sectors in 0..=8 {
            let mut cut = Failing::new(before.clone(), sectors);
            let written = meta_store::write(&mut cut, &meta(write)).is_ok();
            let found = meta_store::read(&mut cut).unwrap().map(|found| found.meta);
            let old = write.checked_sub(1).map(meta);
            assert!(
                found == Some(meta(write)) || !written && found == old,
                "{found:?}"
            );
        }
        meta_store::write(&mut disk, &meta(write)).unwrap();
    }
    assert_eq!(meta_store::read(&mut disk).unwrap().unwrap().number, 5);
}

#[test]
fn damaged_and_unusual_tables_are_an_answer() {
    let size = 4 * MIB;
    let table = small_table(size, MIB);
    let mut disk = Failing::new(vec![0; usize::try_from(size).unwrap()], usize::MAX);
    table::write(&mut disk, size, 512, &table, &[]).unwrap();
    let good = disk.bytes.into_inner();
    for at in 0..92 {
        let mut damaged = good.clone();
        damaged[SECTOR + at] ^= 0x41;
        let found = read(&damaged, size);
        assert!(is(&found, &table), "primary header, byte {at}: {found:?}");
        let backup = good.len() - SECTOR + at;
        damaged[backup] ^= 0x41;
        assert!(
            !matches!(read(&damaged, size), Found::Table(_)),
            "byte {at}"
        );
    }
    assert_eq!(read(&good[..2048], 2048), Found::Nothing);
}

#[test]
fn a_table_of_a_larger_disk_is_an_answer() {
    let (size, left) = (8 * MIB, 4 * MIB);
    let mut disk = Failing::new(vec![0; usize::try_from(size).unwrap()], usize::MAX);
    table::write(&mut disk, size, 512, &small_table(size, 5 * MIB), &[]).unwrap();
    let cut = &disk.bytes.into_inner()[..usize::try_from(left).unwrap()];
    let found = read(cut, left);
    assert!(
        matches!(found, Found::Unusable(why) if why.contains("beyond")),
        "{found:?}"
    );
}

/// A loop device over a sparse file, and a sysfs that shows this disk only.
struct Loop {
    directory: tempfile::TempDir,
    name: String,
}

impl Loop {
    fn new(bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = fs::File::create(directory.path().join("disk")).unwrap();
        image.set_len(bytes).unwrap();
        let mut this = Self {
            directory,
            name: String::new(),
        };
        this.attach(&[]);
        fs::create_dir(this.directory.path().join("block")).unwrap();
        this.show();
        this
    }

    fn attach(&mut self, flags: &[&str]) {
        let image = self.directory.path().join("disk");
        let found = tool(
            "losetup",
            flags,
            &["--find", "--show", image.to_str().unwrap()],
        );
        self.name = found.trim().strip_prefix("/dev/").unwrap().to_owned();
    }

    fn show(&self) {
        let shown = self.directory.path().join("block").join(&self.name);
        let real = Path::new("/sys/block").join(&self.name);
        std::os::unix::fs::symlink(real, shown).unwrap();
    }

    fn detach(&self) {
        for number in 1..=4 {
            // The kernel keeps partitions that it was told of over a detachment.
            let _ = Command::new("delpart")
                .args([self.device(), number.to_string()])
                .output();
        }
        tool("losetup", &["--detach"], &[&self.device()]);
    }

    /// Power off and on. What the kernel reads of the table by itself is the QEMU suite's matter: not
    /// every host's kernel knows GPT.
    fn replug(&mut self) {
        self.detach();
        fs::remove_file(self.directory.path().join("block").join(&self.name)).unwrap();
        self.attach(&["--partscan"]);
        self.show();
    }

    fn device(&self) -> String {
        format!("/dev/{}", self.name)
    }

    fn places(&self) -> Places {
        Places {
            sysfs: self.directory.path().to_owned(),
            dev: PathBuf::from("/dev"),
            programs: PathBuf::from("/usr/sbin"),
            mount_point: self.directory.path().join("data"),
        }
    }

    fn part(&self, wipe: bool) -> InstallerPart {
        InstallerPart {
            target: InstallTarget::Path(self.device()),
            wipe,
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.detach();
    }
}

fn tool(program: &str, flags: &[&str], arguments: &[&str]) -> String {
    let output = Command::new(program).args(flags).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_real_disk_is_installed_whatever_step_is_the_last_before_a_power_cut() {
    let mut disk = Loop::new(1024 * MIB);
    for steps in 1..14 {
        // Cut after one more step each time; the next run finds what is there.
        if run(&disk.places(), &disk.part(false), steps % 4 + 1).is_ok() {
            break;
        }
        disk.replug();
    }
    run(&disk.places(), &disk.part(false), 64).unwrap();
    let label = |number: u32| {
        let device = format!("{}p{number}", disk.device());
        let mut head = vec![0; 2048];
        fs::File::open(device)
            .unwrap()
            .read_exact(&mut head)
            .unwrap();
        crate::planner::signature::ext(&head).map(|ext| ext.label)
    };
    assert_eq!(label(3).as_deref(), Some("ORLOP-STATE"));
    assert_eq!(label(4).as_deref(), Some("ORLOP-DATA"));
    let mut esp = vec![0; 4096];
    let device = format!("{}p1", disk.device());
    fs::File::open(device)
        .unwrap()
        .read_exact(&mut esp)
        .unwrap();
    let found = crate::planner::signature::find(&esp, &[], 512 * MIB);
    assert_eq!(found.as_deref(), Some("a FAT file system"));
    // One look and nothing to do: the first verdict is that it is done, also with `wipe`.
    run(&disk.places(), &disk.part(true), 1).unwrap();
    for number in [3, 4] {
        let device = format!("{}p{number}", disk.device());
        tool("/usr/sbin/e2fsck", &["-f", "-n"], &[&device]);
    }
}

#[test]
fn a_real_disk_with_a_file_system_is_refused_unless_wiped() {
    let disk = Loop::new(1024 * MIB);
    tool(
        "/usr/sbin/mke2fs",
        &["-q", "-F", "-L", "precious"],
        &[&disk.device()],
    );
    let refused = run(&disk.places(), &disk.part(false), 64).unwrap_err();
    assert!(refused.to_string().contains("precious"), "{refused}");
    tool("/usr/sbin/e2fsck", &["-f", "-n"], &[&disk.device()]);
    run(&disk.places(), &disk.part(true), 64).unwrap();
}

#[test]
fn a_mounted_state_is_left_alone() {
    let disk = Loop::new(1024 * MIB);
    run(&disk.places(), &disk.part(false), 64).unwrap();
    let device = format!("{}p3", disk.device());
    let mounted = disk.directory.path().join("state");
    fs::create_dir(&mounted).unwrap();
    tool(
        "mount",
        &["-t", "ext4"],
        &[&device, mounted.to_str().unwrap()],
    );
    fs::write(mounted.join("config-a"), "x").unwrap();
    let again = run(&disk.places(), &disk.part(true), 64);
    let kept = fs::read_to_string(mounted.join("config-a"));
    tool("umount", &[], &[mounted.to_str().unwrap()]);
    again.unwrap();
    assert_eq!(kept.unwrap(), "x");
}
