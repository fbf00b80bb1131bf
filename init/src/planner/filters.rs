//! The system call filters of services: what is refused, as tables.
//!
//! A filter that lists what is allowed breaks with every update of a library; this one lists what no
//! service of ours has any business with. Refused calls give EPERM; `clone3` gives ENOSYS, because its
//! flags lie in memory where a filter cannot look, and libc then falls back to `clone`.

use init_proto::plan::Seccomp;
use libc::c_long;

/// Refused to every filtered service.
const COMMON: &[c_long] = &[
    // another kernel, kernel modules, swap, reboot, accounting
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    // mounts, roots and namespaces
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // kernel surfaces with a history
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_personality,
    // raw I/O ports
    libc::SYS_iopl,
    libc::SYS_ioperm,
];

/// Refused unless the service sets the clock.
const CLOCK: &[c_long] = &[
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// `clone` flags that make namespaces; each is refused. CLONE_NEWTIME is not among clone's flags.
pub(crate) const NAMESPACE_FLAGS: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// System calls that a profile refuses; None: no filter at all.
pub(crate) fn refused(profile: Seccomp) -> Option<Vec<c_long>> {
    match profile {
        Seccomp::Unfiltered => None,
        Seccomp::Clock => Some(COMMON.to_vec()),
        Seccomp::Service => Some([COMMON, CLOCK].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_differ_by_the_clock_only() {
        let service = refused(Seccomp::Service).unwrap();
        let clock = refused(Seccomp::Clock).unwrap();
        assert!(service.contains(&libc::SYS_clock_settime));
        assert!(!clock.contains(&libc::SYS_clock_settime));
        assert!(clock.iter().all(|call| service.contains(call)));
        assert!(refused(Seccomp::Unfiltered).is_none());
    }
}
