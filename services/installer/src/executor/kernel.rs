//! Three ioctls that no crate offers: the kernel reads the table again (BLKRRPART, linux/fs.h), which alone
//! gives the partitions their names; partitions one by one (BLKPG, linux/blkpg.h), which works while others
//! of the disk are mounted; growing a mounted ext4 (EXT4_IOC_RESIZE_FS, fs/ext4/ext4.h), which goes through
//! the journal, unlike growing it unmounted.
#![allow(unsafe_code)] // The three ioctls.

use crate::planner::model::Extent;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};
use std::{
    ffi::{c_char, c_int, c_longlong, c_void},
    fs::File,
    io,
    os::fd::AsFd,
};

const BLKRRPART: Opcode = 0x125f;
const BLKPG: Opcode = 0x1269;
const ADD: c_int = 1;
const DELETE: c_int = 2;
const RESIZE: c_int = 3;
/// `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: Opcode = 0x4008_6610;

#[repr(C)]
struct BlkpgPartition {
    start: c_longlong,
    length: c_longlong,
    number: c_int,
    device_name: [c_char; 64],
    volume_name: [c_char; 64],
}

#[repr(C)]
struct BlkpgArgument {
    operation: c_int,
    flags: c_int,
    length: c_int,
    data: *mut c_void,
}

/// Makes the kernel read the table again. False: it would not, because something of the disk is in use.
pub(crate) fn read_again(disk: &File) -> io::Result<bool> {
    // SAFETY: the opcode takes no argument.
    match unsafe { rustix::ioctl::ioctl(disk, rustix::ioctl::NoArg::<BLKRRPART>::new()) } {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::BUSY | rustix::io::Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes the kernel show `wanted` where it shows `now`. Partitions that stay are not touched.
pub(crate) fn show_partitions(disk: &File, now: &[Extent], wanted: &[Extent]) -> io::Result<()> {
    let same_place = |a: &Extent, b: &Extent| a.number == b.number && a.start == b.start;
    for old in now {
        if !wanted.iter().any(|new| same_place(old, new)) {
            change(disk, DELETE, old)?;
        }
    }
    for new in wanted {
        match now.iter().find(|old| same_place(old, new)) {
            Some(old) if old.bytes == new.bytes => {}
            Some(_) => change(disk, RESIZE, new)?,
            None => change(disk, ADD, new)?,
        }
    }
    Ok(())
}

/// Grows the mounted ext4 of which `root` is the root directory to `blocks` of its blocks.
pub(crate) fn grow_mounted_ext4(root: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: the opcode reads one u64 through the pointer, which lives for the call.
    Ok(unsafe { rustix::ioctl::ioctl(root, Resize(blocks)) }?)
}

fn change(disk: &File, operation: c_int, extent: &Extent) -> io::Result<()> {
    let number = |value: u64| c_longlong::try_from(value).map_err(io::Error::other);
    let mut partition = BlkpgPartition {
        start: number(extent.start)?,
        length: number(extent.bytes)?,
        number: c_int::try_from(extent.number).map_err(io::Error::other)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let request = Change(BlkpgArgument {
        operation,
        flags: 0,
        length: c_int::try_from(size_of::<BlkpgPartition>()).expect("152 bytes"),
        data: (&raw mut partition).cast(),
    });
    // SAFETY: BLKPG takes a `struct blkpg_ioctl_arg` whose data points to a `struct blkpg_partition`
    // of the given length; both are laid out as the kernel's and live for the call.
    Ok(unsafe { rustix::ioctl::ioctl(disk, request) }?)
}

struct Change(BlkpgArgument);

// SAFETY: the pointer is to the argument that BLKPG documents; nothing is written back to it.
unsafe impl Ioctl for Change {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        BLKPG
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

struct Resize(u64);

// SAFETY: the pointer is to the u64 that EXT4_IOC_RESIZE_FS reads; nothing is written back to it.
unsafe impl Ioctl for Resize {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        EXT4_IOC_RESIZE_FS
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
